"""Multitracks with known tempo, bar lines and chords, as others' folders hold them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from engine.harmony import Chord

Floats = NDArray[np.float64]
CHORDS = ("C", "Am", "F", "G")


def noise_burst(rate_hz: int, seconds: float, seed: int) -> Floats:
    count = int(seconds * rate_hz)
    return np.random.default_rng(seed).standard_normal(count) * np.exp(-np.arange(count) / (0.2 * count))


def tone(midi: float, rate_hz: int, seconds: float) -> Floats:
    at = np.arange(int(seconds * rate_hz)) / rate_hz
    return np.sin(2 * np.pi * 440.0 * 2 ** ((midi - 69) / 12) * at) * np.exp(-at / max(seconds, 0.1))


def play(beats: Sequence[tuple[float, Floats]], samples: int, rate_hz: int) -> Floats:
    """Return (samples,) with each sound at its seconds."""
    audio = np.zeros(samples)
    for seconds, sound in beats:
        start = round(seconds * rate_hz)
        end = min(samples, start + len(sound))
        if 0 <= start < samples:
            audio[start:end] += sound[: end - start]
    return audio


def stems_of(
    beat_seconds: Floats, beats_per_bar: int = 4, seconds: float | None = None, rate_hz: int = 44_100
) -> dict[str, Floats]:
    """Return vocals, drums, bass and other, each (samples,); the first beat is a downbeat, each bar has a chord."""
    length = seconds or float(beat_seconds[-1]) + 0.5
    samples, gap = int(length * rate_hz), float(np.median(np.diff(beat_seconds)))
    kick, snare, hat = tone(33, rate_hz, 0.15), noise_burst(rate_hz, 0.12, 1), noise_burst(rate_hz, 0.03, 2)
    drums, bass, other, vocals = [], [], [], []
    for number, at in enumerate(beat_seconds):
        chord = Chord.parse(CHORDS[number // beats_per_bar % len(CHORDS)])
        downbeat = number % beats_per_bar == 0
        drums += [(at, 0.8 * kick if downbeat else 0.4 * snare), (at, 0.15 * hat), (at + 0.5 * gap, 0.15 * hat)]
        bass.append((at, (0.5 if downbeat else 0.3) * tone(36 + chord.root, rate_hz, 0.9 * gap)))
        if downbeat:
            held = gap * beats_per_bar
            other += [(at, 0.15 * tone(60 + pitch, rate_hz, held)) for pitch in chord.pitch_classes]
        vocals.append((at, 0.3 * tone(64 + chord.root, rate_hz, 0.8 * gap)))
    parts = {"vocals": vocals, "drums": drums, "bass": bass, "other": other}
    return {name: play(sounds, samples, rate_hz) for name, sounds in parts.items()}


def grid(bpm: float, count: int, start_seconds: float = 0.0) -> Floats:
    return np.asarray(start_seconds + np.arange(count, dtype=np.float64) * 60.0 / bpm, dtype=np.float64)


def write_stems(
    folder: Path, stems: Mapping[str, NDArray[np.floating[Any]]], rate_hz: int = 44_100, suffix: str = ".wav"
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, audio in stems.items():
        soundfile.write(folder / f"{name}{suffix}", audio, rate_hz)
    return folder


def stereo(audio: Floats) -> NDArray[np.float32]:
    return np.tile(audio.astype(np.float32), (2, 1))
