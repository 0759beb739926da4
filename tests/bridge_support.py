"""What the bridge's tests share: a stand-in for the engine, vocals to sing with, and files read without the bridge."""

from __future__ import annotations

import wave
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pedalboard.io import AudioFile

from bridge.cli import main
from engine.bundle import SamplingFacts
from engine.timeline import Timeline
from engine.wish import Kept, Wish

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class FakeBundle:
    """As much of a bundle as the bridge touches."""

    sampling: SamplingFacts = field(default_factory=lambda: SamplingFacts(steps=6, guidance_scale=1.5))


@dataclass(slots=True)
class Call:
    """What the stand-in for the engine was asked."""

    vocal: Array
    timeline: Timeline
    wish: Wish
    kept: Kept | None


class Studio:
    """The command line over a stand-in for the engine that plays noise, the same for the same seed and stem.

    Args:
        folder: where files go.
        monkeypatch: puts the stand-in in place.
        level: peak of the noise.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, level: float = 0.2) -> None:
        self.folder = folder
        self.level = level
        self.calls: list[Call] = []
        self.bundle = folder / "bundle"
        self.bundle.mkdir()
        (self.bundle / "manifest.json").write_text("{}", encoding="utf-8")
        monkeypatch.setattr("bridge.bounce.accompany", self._accompany)
        monkeypatch.setattr("bridge.bounce.Bundle.load", lambda *_, **__: FakeBundle())
        monkeypatch.setenv("BACKLINE_BUNDLE", str(self.bundle))

    def bounce(self, *words: object, out: str = "out", tempo: object = 120) -> int:
        """Run `backline bounce` with `--tempo` and `-o`, and return the exit code."""
        timing = [] if tempo is None else ["--tempo", str(tempo)]
        return main(["bounce", *map(str, words), *timing, "-o", str(self.folder / out)])

    def sing(self, name: str = "vocal.wav", seconds: float = 1.0, **how: Any) -> Path:
        """Write a vocal and return its path; see `voice` and `write`."""
        keys = ("rate", "channels", "level")
        audio = voice(seconds, **{key: how.pop(key) for key in keys if key in how} | {"rate": how.get("rate", 44_100)})
        return write(self.folder / name, audio, how.get("rate", 44_100), how.get("bits", 16))

    def leftovers(self) -> list[str]:
        """Return what lies in the folder besides inputs: anything that a failed command left."""
        return sorted(path.name for path in self.folder.iterdir() if path.name.startswith((".", "out")))

    def _accompany(
        self,
        _bundle: object,
        vocal: Array,
        timeline: Timeline,
        wish: Wish,
        kept: Kept | None = None,
        progress: Callable[[str, float], None] | None = None,
    ) -> dict[str, Array]:
        self.calls.append(Call(vocal, timeline, wish, kept))
        stems = dict(kept.stems) if kept else {}
        for number, stem in enumerate(wish.stems):
            noise = np.random.default_rng((wish.seed, number)).uniform(-self.level, self.level, vocal.shape)
            fresh = noise.astype(np.float32)
            if kept and stem in stems:
                start, end = kept.within(vocal.shape[1]).sample_range
                fresh = np.concatenate((stems[stem][:, :start], fresh[:, start:end], stems[stem][:, end:]), axis=1)
            stems[stem] = fresh
        if progress:
            progress("decode", 1.0)
        return stems


def voice(seconds: float, rate: int = 44_100, channels: int = 2, level: float = 0.3) -> Array:
    """Return (channels, samples): a tone with vibrato, another in each channel."""
    time = np.arange(round(seconds * rate)) / rate
    pitches = 200.0 + 30.0 * np.arange(channels)[:, None]
    return level * np.sin(2 * np.pi * pitches * time + 0.3 * np.sin(2 * np.pi * 5.0 * time))


def write(path: Path, audio: Array, rate: int = 44_100, bits: int = 16) -> Path:
    """Write (channels, samples) to a file of the format of the path's suffix and return the path."""
    if path.suffix == ".wav" and bits in (16, 24):
        return write_wave(path, np.rint(np.clip(audio, -1, 1) * (2 ** (bits - 1) - 1)).astype(np.int64), rate, bits)
    quality: dict[str, Any] = {} if path.suffix in (".mp3", ".ogg") else {"bit_depth": bits}
    with AudioFile(str(path), "w", samplerate=rate, num_channels=audio.shape[0], **quality) as file:
        file.write(audio.astype(np.float32))
    return path


def write_wave(path: Path, integers: Array, rate: int, bits: int) -> Path:
    """Write (channels, samples) integers as WAV by Python's own writer, and return the path."""
    with wave.open(str(path), "wb") as file:
        file.setparams((integers.shape[0], bits // 8, rate, 0, "NONE", ""))
        raw = np.ascontiguousarray(integers.T).astype("<i4").view(np.uint8).reshape(-1, 4)[:, : bits // 8]
        file.writeframes(raw.tobytes())
    return path


def read_wave(path: Path) -> Array:
    """Return the (channels, samples) integers of a 16 or 24-bit WAV file, by Python's own reader."""
    with wave.open(str(path), "rb") as file:
        size, channels = file.getsampwidth(), file.getnchannels()
        raw = np.frombuffer(file.readframes(file.getnframes()), np.uint8).reshape(-1, size)
    integers = np.zeros((len(raw), 4), np.uint8)
    integers[:, 4 - size :] = raw
    return (integers.view("<i4")[:, 0] >> (8 * (4 - size))).reshape(-1, channels).T.astype(np.int64)
