"""The commands around `bounce`: what they say, and that mistakes end in one line and exit code 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.cli import main
from presets.store import preset_files


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("backline ")


def test_presets_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["preset", "list"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in preset_files())


@pytest.mark.parametrize("name", sorted(preset_files()))
def test_presets_are_shown(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert main(["preset", "show", name]) == 0
    said = capsys.readouterr().out
    assert "drums: " in said
    assert "bus: " in said


def test_an_unknown_preset_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["preset", "show", "nope"]) == 2
    assert capsys.readouterr().err.startswith("backline: preset 'nope' is not known")


def test_a_broken_user_preset_does_not_hide_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.toml").write_text("title = 3\n", encoding="utf-8")
    monkeypatch.setattr("presets.store.user_folder", lambda: tmp_path)
    assert main(["preset", "list"]) == 0
    said = capsys.readouterr()
    assert "radio-pop" in said.out
    assert "broken.toml: line 1: title" in said.err


def test_a_folder_that_is_no_bundle_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(tmp_path)]) == 2
    assert "manifest.json" in capsys.readouterr().err


def test_help_is_no_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bounce", "--help"]) == 0
    assert "--tempo-map" in capsys.readouterr().out
