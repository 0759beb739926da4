"""Tempo and first beat from a vocal, and tempo maps from MIDI files."""

from __future__ import annotations

from pathlib import Path

import mido
import numpy as np
import pytest
from numpy.typing import NDArray

from bridge.errors import UserError
from bridge.tempo import SURE_ENOUGH, estimate_tempo
from bridge.tempo_map import read_tempo_map
from engine.geometry import SAMPLE_RATE_HZ
from tests.bridge_support import Studio, write


def sung(bpm: float, first_beat_seconds: float, seconds: float, steady: bool = True) -> NDArray[np.float32]:
    """Return (2, samples): notes of half a beat to two beats on the grid, or, not steady, of any length."""
    generator = np.random.default_rng(5)
    audio = np.zeros(round(seconds * SAMPLE_RATE_HZ))
    beat, time, accent = 60.0 / bpm, first_beat_seconds, True
    while time < seconds - 2.0:
        length = beat * generator.choice([0.5, 0.5, 1.0, 1.0, 1.5, 2.0]) if steady else generator.uniform(0.2, 1.3)
        start = round((time + generator.normal(0.0, 0.012)) * SAMPLE_RATE_HZ)
        t = np.arange(round(0.85 * length * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
        pitch = 220.0 * 2 ** (generator.integers(0, 12) / 12)
        tone = sum(np.sin(2 * np.pi * pitch * n * t + 0.2 * np.sin(30 * t)) / n for n in range(1, 10))
        envelope = np.minimum(1.0, t / 0.02) * np.minimum(1.0, (t[-1] - t) / 0.05)
        audio[max(start, 0) : max(start, 0) + len(t)] += (0.15 if accent else 0.1) * envelope * tone
        time += length
        accent = round((time - first_beat_seconds) / beat, 3) % 4 == 0
    return np.stack([audio, audio]).astype(np.float32)


@pytest.mark.parametrize("bpm", [74.0, 92.0, 104.5, 126.0])
def test_a_steady_vocal_shows_tempo_and_beat(bpm: float) -> None:
    estimate = estimate_tempo(sung(bpm, 0.4, 45.0))
    assert min(abs(estimate.bpm / (bpm * octave) - 1.0) for octave in (0.5, 1.0, 2.0)) < 0.002
    assert estimate.confidence >= SURE_ENOUGH
    half_beats = (estimate.first_beat_seconds - 0.4) / (30.0 / bpm)
    assert abs(half_beats - round(half_beats)) * 30.0 / bpm < 0.04


def test_a_free_vocal_does_not_pretend() -> None:
    assert estimate_tempo(sung(100.0, 0.4, 45.0, steady=False)).confidence < SURE_ENOUGH


@pytest.mark.parametrize("samples", [2_048, 44_100])
def test_too_little_shows_nothing(samples: int) -> None:
    assert estimate_tempo(np.zeros((2, samples), np.float32)).confidence == 0.0


def test_auto_tempo_reaches_the_engine_and_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    studio = Studio(tmp_path, monkeypatch)
    vocal = write(tmp_path / "sung.wav", sung(92.0, 0.4, 45.0))
    assert studio.bounce(vocal, "--time-signature", "3/4", tempo="auto") == 0
    timeline = studio.calls[0].timeline
    assert timeline.tempos == ((0.0, 92.0),)
    assert timeline.time_signatures == ((0.0, 3, 4),)
    assert "92 bpm" in (said := capsys.readouterr().out)
    assert "sure" in said
    assert studio.bounce("--session", tmp_path / "out", out="again", tempo=None) == 0
    assert studio.calls[1].timeline == timeline
    assert (tmp_path / "out" / "session.json").read_bytes() == (tmp_path / "again" / "session.json").read_bytes()


def save_song(path: Path, *messages: mido.MetaMessage) -> Path:
    song = mido.MidiFile(ticks_per_beat=480, tracks=[mido.MidiTrack(messages)])
    song.save(str(path))
    return path


def test_a_tempo_map_is_read_to_the_sample(tmp_path: Path) -> None:
    song = save_song(
        tmp_path / "song.mid",
        mido.MetaMessage("time_signature", numerator=3, denominator=4),
        mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(92)),
        mido.MetaMessage("set_tempo", tempo=500_000, time=6 * 480),
        mido.MetaMessage("time_signature", numerator=6, denominator=8),
    )
    timeline = read_tempo_map(song)
    assert timeline.tempos == ((0.0, 92.0), (6.0, 120.0))
    assert timeline.time_signatures == ((0.0, 3, 4), (6.0, 6, 8))
    assert timeline.sample_at_beat(7) == round(6 * 60 / 92 * 44_100) + 22_050
    assert read_tempo_map(song, (4, 4), 1_000).time_signatures == ((0.0, 4, 4),)
    assert read_tempo_map(song, (4, 4), 1_000).sample_at_beat(0) == 1_000


def test_an_empty_tempo_map_is_midis_default(tmp_path: Path) -> None:
    timeline = read_tempo_map(save_song(tmp_path / "song.mid"))
    assert timeline.tempos == ((0.0, 120.0),)
    assert timeline.time_signatures == ((0.0, 4, 4),)


def test_a_signature_off_the_bar_line_is_refused_with_the_files_name(tmp_path: Path) -> None:
    song = save_song(tmp_path / "song.mid", mido.MetaMessage("time_signature", numerator=3, denominator=4, time=480))
    with pytest.raises(UserError, match=r"song.mid: .*not on a bar line"):
        read_tempo_map(song)
