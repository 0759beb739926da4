# Backline: `make` lists what there is. `make demo` and `make test` need nothing but Python 3.11 or later.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

DEMO_VOCAL := presets/demo/vocal.flac
DEMO_TEMPO := 92
DEMO_OUT := out/demo

# What each target needs of Debian; on other systems the same programs under their own package names.
DEMO_PACKAGES :=
TEST_PACKAGES := fluidsynth fluid-soundfont-gm espeak-ng libportaudio2 libsndfile1 build-essential \
  pulseaudio pulseaudio-utils libasound2-plugins liblo-tools puredata-core supercollider-language jackd2

.DEFAULT_GOAL := help
.PHONY: help demo test lint types contracts tests format evaluate listen speed constraints hooks clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## bounce the demo vocal to drums, bass and harmony, and say where the files are
	$(BIN)/backline bounce $(DEMO_VOCAL) --tempo $(DEMO_TEMPO) --overwrite -o $(DEMO_OUT)
	@echo "The demo is in $(CURDIR)/$(DEMO_OUT):"
	@ls $(DEMO_OUT)

test: $(VENV)/.test lint types contracts tests ## all that must hold: lint, types, import contracts, tests

lint: $(VENV)/.test ## formatting and lint (ruff)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.test ## types (mypy)
	$(BIN)/mypy

contracts: $(VENV)/.test ## which room may import which (import-linter)
	$(BIN)/lint-imports

tests: $(VENV)/.test ## the tests (pytest)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PYTEST_ARGS)

format: $(VENV)/.test ## put the code in form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

evaluate: $(VENV)/.test ## measure the factory bundle on songs it never saw: make evaluate SONGS=DIR
	@test -n "$(SONGS)" || { echo "name the songs: make evaluate SONGS=DIR"; exit 2; }
	$(BIN)/backline evaluate --bundle presets/factory-bundle --songs $(SONGS) --out docs

listen: $(VENV)/.test ## bounce the demo vocal in every style: sounds, pictures and figures in docs/listen.md
	$(BIN)/python -m benchmarks.listen

speed: $(VENV)/.test ## measure the real-time factor of the factory bundle on two threads
	$(BIN)/python -m benchmarks.speed

constraints: $(VENV)/.test ## write constraints.txt anew from what .venv holds
	$(BIN)/python .ci/constraints.py > constraints.new
	mv constraints.new constraints.txt

hooks: $(VENV)/.test ## check each commit with the tools of .venv
	$(BIN)/pre-commit install

clean: ## remove .venv, caches and what the demo made
	rm -rf $(VENV) $(DEMO_OUT) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Backline needs Python 3.11 or later and $(PYTHON) is $$($(PYTHON) --version); name another: make PYTHON=python3.11"; \
	  exit 1; }
	PYTHON=$(PYTHON) .ci/system-packages
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	PYTHON=$(PYTHON) .ci/system-packages $(DEMO_PACKAGES)
	$(INSTALL) --editable .
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(VENV)/bin/python
	PYTHON=$(PYTHON) .ci/system-packages $(TEST_PACKAGES)
	$(INSTALL) --editable '.[train,evaluate,dev]'
	@touch $@ $(VENV)/.demo
