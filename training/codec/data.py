"""Clips for the codec's training, read at random from prepared songs (see `training.codec.prepare`)."""

import json
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from engine.geometry import LATENT_HOP_SAMPLES

DRUMS = 1
PART_SHARE = (0.2, 0.2, 0.3, 0.3)  # vocals, drums, bass, other

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Clips:
    """A batch of clips.

    Attributes:
        features: (batch, FEATURE_CHANNELS, frames).
        curves: (batch, 2, frames).
        partials: (batch, frames, 2, OSCILLATORS), zeros for drums.
        part: (batch,) index in vocals, drums, bass, other.
        audio: (batch, 2, frames x 2048) in [-1, 1], or empty.
    """

    features: Tensor
    curves: Tensor
    partials: Tensor
    part: Tensor
    audio: Tensor

    def to(self, device: torch.device) -> "Clips":
        """Return the batch on `device`."""
        return Clips(*(getattr(self, field.name).to(device) for field in fields(self)))


class PreparedSongs:
    """The prepared songs of one split; new ones are found by `refresh`."""

    def __init__(self, folder: Path, split: str) -> None:
        self.folder = folder
        self.split = split
        self.songs: list[Path] = []
        self._seen: set[Path] = set()
        self._arrays: dict[Path, dict[str, np.ndarray]] = {}
        self.refresh()

    def refresh(self) -> None:
        """Add the songs that were prepared since the last look."""
        for path in sorted(self.folder.glob("*/song.json")):
            if path.parent.name.startswith(".") or path.parent in self._seen:
                continue
            self._seen.add(path.parent)
            if json.loads(path.read_text())["split"] == self.split:
                self.songs.append(path.parent)

    def array(self, song: Path, name: str) -> np.ndarray:
        """Return one array of a song, mapped into memory."""
        arrays = self._arrays.setdefault(song, {})
        if name not in arrays:
            arrays[name] = np.load(song / f"{name}.npy", mmap_mode="r")
        return arrays[name]

    def clips(self, rng: np.random.Generator, batch: int, frames: int, with_audio: bool) -> Clips:
        """Draw a batch of random clips of `frames` latent frames."""
        drawn = [self._draw(rng, frames, with_audio) for _ in range(batch)]
        features, curves, partials, part, audio = zip(*drawn, strict=True)
        return Clips(
            torch.from_numpy(np.stack(features).astype(np.float32)).transpose(1, 2),
            torch.from_numpy(np.stack(curves).astype(np.float32)).transpose(1, 2),
            torch.from_numpy(np.stack(partials).astype(np.float32)),
            torch.tensor(part),
            torch.from_numpy(np.stack(audio).astype(np.float32) / 32_767) if with_audio else torch.zeros(0),
        )

    def _draw(self, rng: np.random.Generator, frames: int, with_audio: bool) -> tuple[Any, ...]:
        song = self.songs[int(rng.integers(len(self.songs)))]
        part = int(rng.choice(len(PART_SHARE), p=PART_SHARE))
        features = self.array(song, "features")
        first = int(rng.integers(features.shape[1] - frames))
        span = slice(first, first + frames)
        partials = self.array(song, "partials")[part, span]
        if part == DRUMS:
            partials = np.zeros_like(partials)
        sound = np.zeros(0)
        if with_audio:
            samples = slice(first * LATENT_HOP_SAMPLES, (first + frames) * LATENT_HOP_SAMPLES)
            sound = np.array(self.array(song, "audio")[part, :, samples])
        return np.array(features[part, span]), np.array(self.array(song, "curves")[part, span]), partials, part, sound


def prefetched(make: Callable[[], Item], depth: int = 4) -> Iterator[Item]:
    """Yield what `make` returns for ever, made ahead in a thread, so that the step never waits for the disk."""
    ready: queue.Queue[Item] = queue.Queue(depth)

    def work() -> None:
        while True:
            ready.put(make())

    threading.Thread(target=work, daemon=True).start()
    while True:
        yield ready.get()
