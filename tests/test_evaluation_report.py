"""The results file holds each command's section once, the latest."""

from pathlib import Path

from bridge.evaluation.provenance import provenance
from bridge.evaluation.report import Section, Table, mean, number, percent, write_section


def section(name: str, value: str) -> Section:
    table = Table("Figures", ("figure", "value"), (("speed", value),))
    return Section(name, name.title(), f"measure {name}", "Commit 1234; a machine; 2026-01-31.", (table,), ("A note.",))


def test_a_section_replaces_its_own_kind_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "docs" / "results.md"
    for name, value in (("codec", "1"), ("speed", "2"), ("codec", r"3 \1")):
        write_section(path, section(name, value))
    text = path.read_text(encoding="utf-8")
    assert text.count("## Codec") == 1
    assert r"| speed | 3 \1 |" in text
    assert "| speed | 2 |" in text
    assert text.index("## Codec") < text.index("## Speed")


def test_text_around_the_sections_stays(tmp_path: Path) -> None:
    path = tmp_path / "results.md"
    path.write_text("# Mine\n\nBefore.\n", encoding="utf-8")
    write_section(path, section("codec", "1"))
    path.write_text(path.read_text(encoding="utf-8") + "\nAfter.\n", encoding="utf-8")
    write_section(path, section("codec", "2"))
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# Mine\n\nBefore.\n")
    assert text.endswith("After.\n")
    assert "| speed | 1 |" not in text


def test_numbers_read_well() -> None:
    assert percent(0.876) == "88 %"
    assert percent(float("nan")) == "–"
    assert number(1.26, 1, "ms") == "1.3 ms"
    assert mean([1.0, float("nan"), 3.0]) == 2.0


def test_provenance_names_a_machine_and_a_day() -> None:
    found = provenance()
    assert "cores" in found.machine
    assert len(found.date) == 10
    assert found.line.startswith("Commit ")
