"""`backline bounce` with the bundle that ships: these need it, and say so where it is not there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bridge.bounce import factory_bundle
from bridge.cli import main
from engine.geometry import SAMPLE_RATE_HZ, STEMS
from tests.bridge_support import read_wave, voice, write, write_wave

BAR_SAMPLES = 2 * SAMPLE_RATE_HZ


@pytest.fixture(autouse=True)
def bundle() -> Path:
    manifest = factory_bundle() / "manifest.json"
    assert manifest.is_file(), f"{manifest} is missing: train and export the factory bundle first"
    return factory_bundle()


@pytest.fixture(scope="module")
def take(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with `vocal.wav` and its bounce `out`."""
    folder = tmp_path_factory.mktemp("factory")
    write(folder / "vocal.wav", sung(6.1))
    bounce(folder / "vocal.wav", folder / "out")
    return folder


def sung(seconds: float, semitones: float = 0.0) -> np.ndarray:
    """Return a vocal of half-second notes."""
    audio = voice(seconds)
    note = np.arange(audio.shape[1]) // (SAMPLE_RATE_HZ // 2)
    pitch = 220.0 * 2 ** ((np.array([0, 3, 7, 5])[note % 4] + semitones) / 12)
    tone = np.sin(2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE_HZ)
    gate = np.minimum(1.0, 8.0 * (1.0 - (np.arange(audio.shape[1]) % (SAMPLE_RATE_HZ // 2)) / (SAMPLE_RATE_HZ / 2)))
    return 0.3 * np.stack([tone * gate, tone * gate])


def bounce(vocal: Path, out: Path, *words: object, tempo: int | None = 120) -> None:
    timing = [] if tempo is None else ["--tempo", str(tempo), "--steps", "2"]
    assert main(["bounce", str(vocal), *timing, *map(str, words), "-o", str(out)]) == 0


def stems_of(folder: Path) -> dict[str, np.ndarray]:
    return {stem: read_wave(folder / f"{stem}.wav") for stem in STEMS}


def before_headroom(folder: Path) -> dict[str, np.ndarray]:
    """Return the stems of a bounce without the common gain that keeps its mix from clipping, in 24-bit steps."""
    headroom_db = json.loads((folder / "session.json").read_text(encoding="utf-8"))["headroom_db"]
    return {stem: audio / 10 ** (headroom_db / 20) for stem, audio in stems_of(folder).items()}


def test_every_stem_sounds_and_the_mix_is_the_sum(take: Path) -> None:
    tracks = {name: read_wave(take / "out" / f"{name}.wav") for name in (*STEMS, "vocal", "mix")}
    assert {track.shape for track in tracks.values()} == {read_wave(take / "vocal.wav").shape}
    np.testing.assert_array_equal(tracks["mix"], sum(tracks[name] for name in (*STEMS, "vocal")))
    for stem in STEMS:
        level_db = 20 * np.log10(np.sqrt(np.mean((tracks[stem] / 2**23) ** 2)) + 1e-12)
        assert -50.0 < level_db < -6.0, f"{stem}: {level_db:.1f} dBFS"


def test_the_session_makes_it_again_bit_for_bit(take: Path) -> None:
    bounce(take / "vocal.wav", take / "again", "--session", take / "out" / "session.json", tempo=None)
    for file in sorted((take / "out").iterdir()):
        assert file.read_bytes() == (take / "again" / file.name).read_bytes(), file.name


def test_the_same_seed_with_another_vocal_is_another_accompaniment(take: Path) -> None:
    write(take / "other.wav", sung(6.1, semitones=5.0))
    bounce(take / "other.wav", take / "out-other")
    for stem, audio in stems_of(take / "out").items():
        other = stems_of(take / "out-other")[stem]
        difference = np.sqrt(np.mean((audio - other) ** 2.0)) / (np.sqrt(np.mean(audio**2.0)) + 1.0)
        assert difference > 0.05, f"{stem} ignores the vocal"


def test_another_seed_is_another_take(take: Path) -> None:
    bounce(take / "vocal.wav", take / "out-seed", "--seed", 1)
    for stem, audio in stems_of(take / "out").items():
        assert not np.array_equal(audio, stems_of(take / "out-seed")[stem])


def test_re_rolling_the_drums_of_one_bar_leaves_all_else_alone(take: Path) -> None:
    words = ("--keep", take / "out", "--from-bar", 2, "--to-bar", 2, "--stems", "drums", "--seed", 9)
    bounce(take / "vocal.wav", take / "out-kept", *words)
    before, after = before_headroom(take / "out"), before_headroom(take / "out-kept")
    for stem in ("bass", "other"):
        np.testing.assert_allclose(after[stem], before[stem], atol=2.0)
    changed = np.abs(after["drums"] - before["drums"]).max(axis=0) > 2.0
    assert not changed[:BAR_SAMPLES].any()
    assert not changed[2 * BAR_SAMPLES :].any()
    assert changed[BAR_SAMPLES : 2 * BAR_SAMPLES].mean() > 0.5


@pytest.mark.parametrize("samples", [2, 500, 30_000])
def test_a_fraction_of_a_bar(tmp_path: Path, samples: int) -> None:
    write(tmp_path / "short.wav", voice(samples / SAMPLE_RATE_HZ))
    bounce(tmp_path / "short.wav", tmp_path / "out")
    assert read_wave(tmp_path / "out" / "mix.wav").shape == (2, samples)


def test_silence_is_accompanied(tmp_path: Path) -> None:
    write_wave(tmp_path / "silent.wav", np.zeros((2, 3 * SAMPLE_RATE_HZ), np.int64), SAMPLE_RATE_HZ, 16)
    bounce(tmp_path / "silent.wav", tmp_path / "out", "--style", "rock", "--key", "E minor")
    assert all(np.abs(audio).max() > 0 for audio in stems_of(tmp_path / "out").values())
