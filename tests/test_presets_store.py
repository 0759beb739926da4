"""Presets are checked on load: what is wrong is named with file, line, key and reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from presets import store
from presets.store import PLAIN, PresetError, load_preset, load_preset_file, parse_preset, preset_files

GOOD = """\
title = "Mine"
style = "funk"
steps = 4
guidance = 1.5

[gains_db]
drums = -3.0

[[chains.drums]]
effect = "gain"
gain_db = 1.0

[[chains.drums]]
effect = "compressor"
threshold_db = -20.0
ratio = 3.0
"""


@pytest.fixture(autouse=True)
def user_presets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "presets"
    folder.mkdir()
    monkeypatch.setattr(store, "user_folder", lambda: folder)
    return folder


def test_a_preset_is_read() -> None:
    preset = parse_preset(GOOD, "mine.toml")
    assert (preset.title, preset.style, preset.steps, preset.guidance) == ("Mine", "funk", 4, 1.5)
    assert preset.gains_db.factor("drums") == pytest.approx(10 ** (-3 / 20))
    assert [effect.effect for effect in preset.chains.drums] == ["gain", "compressor"]
    assert preset.changes_sound("drums")
    assert not preset.changes_sound("bass")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ratio = 3.0", "ratio = 300.0", r"mine.toml: line 16: chains.drums.2.ratio: .* 20, got 300"),
        ("ratio = 3.0", 'ratio = "much"', r"line 16: chains.drums.2.ratio: .*number"),
        ("ratio = 3.0", "raito = 3.0", r"line 16: chains.drums.2.raito: Extra"),
        ("threshold_db = -20.0\n", "", r"line 13: chains.drums.2.threshold_db: Field required"),
        ('"compressor"', '"vst3"', r"line 13: chains.drums.2: .*'vst3'.* 'gain', 'high-pass'"),
        ('style = "funk"', 'style = "polka"', r"line 2: style: style 'polka' is not known; expected one of: ballad"),
        ("steps = 4", "steps = 0", r"line 3: steps: .*greater than or equal to 1, got 0"),
        ("drums = -3.0", "drums = nan", r"line 7: gains_db.drums: .*finite"),
        ("drums = -3.0", "flute = -3.0", r"line 7: gains_db.flute: Extra"),
        ('title = "Mine"\n', "", r"title: Field required"),
        ("steps = 4", "steps 4", r"not valid TOML: .*line 3"),
    ],
)
def test_what_is_wrong_is_named_with_line_key_and_reason(old: str, new: str, message: str) -> None:
    with pytest.raises(PresetError, match=message):
        parse_preset(GOOD.replace(old, new), "mine.toml")


def test_a_user_preset_is_found_by_name_and_hides_a_factory_one(user_presets: Path) -> None:
    (user_presets / "mine.toml").write_text(GOOD, encoding="utf-8")
    (user_presets / "radio-pop.toml").write_text(GOOD.replace("Mine", "My pop"), encoding="utf-8")
    assert load_preset("mine").title == "Mine"
    assert load_preset("radio-pop").title == "My pop"
    assert len(preset_files()) == 7


def test_a_preset_is_read_from_a_path(tmp_path: Path) -> None:
    path = tmp_path / "other.toml"
    path.write_text(GOOD, encoding="utf-8")
    assert load_preset(str(path)).title == "Mine"


def test_an_unknown_name_lists_those_that_are() -> None:
    with pytest.raises(PresetError, match=r"preset 'nope' is not known; expected one of: .*garage-rock.*radio-pop"):
        load_preset("nope")


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(PresetError, match=r"gone.toml: cannot be read"):
        load_preset_file(tmp_path / "gone.toml")
    (tmp_path / "latin.toml").write_bytes(b'title = "\xe9"')
    with pytest.raises(PresetError, match=r"latin.toml: not UTF-8"):
        load_preset_file(tmp_path / "latin.toml")


def test_the_plain_preset_changes_nothing() -> None:
    assert not any(PLAIN.changes_sound(track) for track in ("drums", "bass", "other", "vocal", "bus"))
    assert (PLAIN.style, PLAIN.steps, PLAIN.guidance) == (None, None, None)
