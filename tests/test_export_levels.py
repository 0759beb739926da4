"""What a bundle's stems lack in level: measured on parts that sound, and written where the engine reads it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from engine.geometry import STEMS
from engine.manifest import MANIFEST_NAME, read_manifest
from engine.tone import BANDS
from export.levels import (
    BLOCK_SAMPLES,
    Levels,
    active_rms_db,
    band_levels,
    hop_bands,
    report,
    wanted_gains_db,
    wanted_style_tones_db,
    wanted_widths_db,
    width_db,
    write_gains,
)
from tests.bundle_support import FACTORY

NAN = float("nan")


def song(drums: float, bass: float, other: float, real: float = -20.0) -> dict[str, Levels]:
    made = {"drums": drums, "bass": bass, "other": other}
    return {stem: Levels(real, real - 1.0, level) for stem, level in made.items()}


def test_the_level_is_that_of_the_parts_that_sound() -> None:
    tone = np.full((2, 3 * BLOCK_SAMPLES), 0.1, np.float32)
    assert active_rms_db(tone) == pytest.approx(-20.0, abs=1e-4)
    assert active_rms_db(np.pad(tone, ((0, 0), (0, 5 * BLOCK_SAMPLES)))) == pytest.approx(-20.0, abs=1e-4)
    assert np.isnan(active_rms_db(np.zeros((2, BLOCK_SAMPLES), np.float32)))


def test_gains_are_the_mean_difference_over_the_songs_in_which_a_stem_sounds() -> None:
    songs = [song(-27.0, -25.0, -20.0), song(-26.0, NAN, -20.0), song(-25.0, -23.0, -20.0), song(-26.0, -24.0, -20.0)]
    assert wanted_gains_db(songs) == {"drums": 6.0, "bass": 4.0, "other": 0.0}
    with pytest.raises(ValueError, match="bass sounds in 2 songs"):
        wanted_gains_db(songs[:3])


def test_where_some_songs_are_much_too_loud_all_stems_are_lowered_alike() -> None:
    songs = [song(-26.0, -22.0, -10.0), song(-26.0, -22.0, -30.0), song(-26.0, -22.0, -20.0)]
    gains = wanted_gains_db(songs)
    assert gains["drums"] - gains["bass"] == gains["bass"] - gains["other"] + 2.0 == 4.0
    assert gains["other"] < -0.5


def test_a_style_has_the_tone_that_its_songs_lack_once_a_stem_has_its_gain() -> None:
    def banded(made_db: float, low_db: float) -> dict[str, Levels]:
        real, made = np.full((50, BANDS), -30.0), np.full((50, BANDS), made_db)
        made[:, :4] += low_db
        return {stem: Levels(-20.0, -20.0, -26.0, NAN, real, made) for stem in STEMS}

    songs = [banded(-36.0, -4.0)] * 6 + [banded(-34.0, 0.0)] * 6
    tones = wanted_style_tones_db(songs, ["acoustic"] * 6 + ["rock"] * 6, {"drums": 6.0, "bass": 4.0})
    assert tones["acoustic"]["drums"] == [3.0] * 4 + [0.0] * (BANDS - 4)  # 6 songs of 8 believed
    assert tones["rock"]["drums"] == [-1.5] * BANDS
    assert tones["rock"]["bass"] == [0.0] * BANDS
    assert tones["acoustic"]["other"] == [7.5] * 4 + [4.5] * (BANDS - 4)
    silent = [{stem: Levels(NAN, NAN, -26.0) for stem in STEMS}]
    assert wanted_style_tones_db(silent, ["pop"], {})["pop"]["bass"] == [0.0] * BANDS


def test_strokes_and_gaps_have_a_say_in_a_bands_level() -> None:
    strokes = np.full((100, BANDS), -200.0)
    strokes[::10] = -20.0
    np.testing.assert_allclose(band_levels(strokes), ((-70.0 * 0.9 - 20.0 * 0.1) + (-30.0)) / 2, atol=0.1)
    tone = np.sin(2 * np.pi * 1_000.0 * np.arange(44_100) / 44_100).astype(np.float32)
    levels = hop_bands(np.stack([tone, tone]))[2:-6]
    assert np.ptp(levels.max(axis=1)) < 0.1
    assert (levels.argmax(axis=1) == levels.argmax(axis=1)[0]).all()


def test_noise_is_not_made_loud() -> None:
    assert wanted_gains_db([song(-60.0, -20.0, -20.0)] * 3)["drums"] == 9.0


def test_gains_are_written_and_all_else_in_the_manifest_stays(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(FACTORY, bundle)
    write_gains(bundle, {"drums": 6.5, "other": -1.0}, {"other": 5.0}, {"rock": {"bass": [-2.0] * BANDS}})
    assert read_manifest(bundle).sampling.style_tones_db == {"rock": {"bass": [-2.0] * BANDS}}
    assert read_manifest(bundle).sampling.stem_gains_db == {"drums": 6.5, "other": -1.0}
    assert read_manifest(bundle).sampling.stem_widths_db == {"other": 5.0}
    before, after = (json.loads((folder / MANIFEST_NAME).read_text()) for folder in (FACTORY, bundle))
    for facts in (before, after):
        for name in ("stem_gains_db", "stem_widths_db", "style_tones_db"):
            facts["sampling"].pop(name, None)
    assert after == before
    with pytest.raises(ValueError, match="flute"):
        write_gains(bundle, {"flute": 1.0}, {}, {})
    with pytest.raises(ValueError, match="polka"):
        write_gains(bundle, {}, {}, {"polka": {"bass": [1.0] * BANDS}})
    with pytest.raises(ValueError, match="rock tone"):
        write_gains(bundle, {}, {}, {"rock": {"bass": [40.0] * BANDS}})
    with pytest.raises(ValueError, match="width of 40"):
        write_gains(bundle, {}, {"other": 40.0}, {})
    assert {path.name for path in bundle.iterdir()} == {path.name for path in FACTORY.iterdir()}


def test_width_is_that_of_the_sides_against_the_middle_and_mono_has_none() -> None:
    middle, side = np.random.default_rng(0).standard_normal((2, 44_100)).astype(np.float32)
    wide = np.stack([middle + 0.1 * side, middle - 0.1 * side])
    assert width_db(wide) == pytest.approx(-20.0, abs=0.2)
    assert np.isnan(width_db(np.stack([middle, middle])))
    assert np.isnan(width_db(np.zeros((2, 100), np.float32)))


def test_a_stem_is_widened_by_the_mean_of_what_it_lacks_unless_most_songs_have_it_in_mono() -> None:
    def widths(lacking: float, bass: float) -> dict[str, Levels]:
        return {
            "drums": Levels(0.0, 0.0, 0.0, -0.5),
            "bass": Levels(0.0, 0.0, 0.0, bass),
            "other": Levels(0.0, 0.0, 0.0, lacking),
        }

    songs = [widths(6.0, 3.0), widths(5.0, NAN), widths(5.5, NAN), widths(NAN, NAN), widths(5.5, NAN)]
    assert wanted_widths_db(songs) == {"drums": -0.5, "other": 5.5}
    assert wanted_widths_db([widths(30.0, NAN)] * 5)["other"] == 9.0


def test_the_report_has_a_line_a_stem() -> None:
    lines = list(report([song(-26.0, -24.0, -20.0)] * 2))
    assert [line.split() for line in lines[1:]] == [
        ["drums", "-20.0", "-21.0", "-26.0"],
        ["bass", "-20.0", "-21.0", "-24.0"],
        ["other", "-20.0", "-21.0", "-20.0"],
    ]
