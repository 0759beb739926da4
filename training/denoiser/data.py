"""Batches of training windows: each is a function of (songs, seed, rank, step) alone, made ahead in a thread."""

import contextlib
import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from engine.conditions import LAYOUT
from engine.schedule import TIMESTEPS, timestep_pairs
from training.denoiser.config import DataConfig
from training.denoiser.songs import LatentsError, LatentSong
from training.denoiser.sounds import NOISE_STD
from training.denoiser.tasks import draw_hiding, hide

SONG_START_SHARE = 0.1
SAMPLER_SHARE = 0.75
HARMONY_PARTS = (LAYOUT.chord.content, LAYOUT.key.content, LAYOUT.chord.flag)

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step learns from.

    Attributes:
        clean: x_0, (batch, 192, frames) float32.
        noise: standard normal, like `clean`.
        timestep: (batch,) int64 in 0 to 799.
        conditions: (batch, CONDITION_CHANNELS, frames) float32.
        style: (batch, styles + SOUND_CHANNELS) float32, the sounds behind the style.
        generated: (batch, stems, frames) float32, 1 where the accompaniment is to be made, 0 where it is known.
        harmony: (batch, 24 chord + 24 key + 1 flag, frames) float32, the song's own, whether given or hidden.
    """

    clean: Floats
    noise: Floats
    timestep: NDArray[np.int64]
    conditions: Floats
    style: Floats
    generated: Floats
    harmony: Floats


def make_batch(songs: Sequence[LatentSong], data: DataConfig, rng: np.random.Generator) -> Batch:
    """Cut, noise and partly hide a batch of windows of one length, drawn by `rng`.

    Raises:
        LatentsError: no song is as long as the shortest window.
    """
    frames, usable = _draw_length(songs, data, rng)
    count = data.windows_of(frames)
    weights = np.array([song.frames for song in usable], dtype=np.float64)
    chosen = [usable[index] for index in rng.choice(len(usable), size=count, p=weights / weights.sum())]
    starts = [_draw_start(song.frames - frames, rng) for song in chosen]
    windows = [(song, slice(start, start + frames)) for song, start in zip(chosen, starts, strict=True)]
    conditions = np.stack([song.packed[:, window] for song, window in windows]).astype(np.float32)
    vocal_curves = np.stack([song.vocal_curves[:, window] for song, window in windows]).astype(np.float32)
    clean = conditions[:, LAYOUT.known.content].copy()
    harmony = np.concatenate([conditions[:, part] for part in HARMONY_PARTS], axis=1)
    _add_vocal_noise(conditions, data.vocal_noise, rng)
    hiding = draw_hiding(rng, count, frames)
    hide(conditions, vocal_curves, hiding)
    style = np.stack([song.style for song in chosen]).astype(np.float32)
    style[hiding.style_dropped] = 0.0
    noise = rng.standard_normal(clean.shape, dtype=np.float32)
    timestep = _draw_timesteps(count, data.sampler_steps, rng)
    sounds = _blurred(np.stack([song.sounds for song in chosen]), rng)
    sounds[hiding.sounds_dropped] = 0.0
    return Batch(
        clean=clean,
        noise=noise,
        timestep=timestep,
        conditions=conditions,
        style=np.concatenate([style, sounds], axis=1),
        generated=(~hiding.known).astype(np.float32),
        harmony=harmony,
    )


def _draw_length(
    songs: Sequence[LatentSong], data: DataConfig, rng: np.random.Generator
) -> tuple[int, list[LatentSong]]:
    """Return a window length and the songs that are long enough; the shortest length where none is."""
    shares = np.array(data.window_shares) / sum(data.window_shares)
    for frames in (int(rng.choice(data.window_frames, p=shares)), data.window_frames[0]):
        usable = [song for song in songs if song.frames >= frames]
        if usable:
            return frames, usable
    raise LatentsError(f"no song is {data.window_frames[0]} frames long; use longer songs or shorter window_frames")


def _draw_start(last_start: int, rng: np.random.Generator) -> int:
    return 0 if rng.random() < SONG_START_SHARE else int(rng.integers(0, last_start + 1))


def _add_vocal_noise(conditions: Floats, largest_std: float, rng: np.random.Generator) -> None:
    vocal = conditions[:, LAYOUT.vocal_latents.content]
    std = rng.random((len(vocal), 1, 1), dtype=np.float32) * np.float32(largest_std)
    vocal += std * rng.standard_normal(vocal.shape, dtype=np.float32)


def _blurred(sounds: Floats, rng: np.random.Generator) -> Floats:
    """Return `sounds` (windows, SOUND_CHANNELS) with noise, so that they do not tell one song from all others."""
    noise = NOISE_STD * rng.standard_normal(sounds.shape, dtype=np.float32) * sounds[:, -1:]
    noise[:, -1] = 0.0
    return sounds + noise


def _draw_timesteps(count: int, sampler_steps: Sequence[int], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return a timestep for each of `count` windows: any, or mostly those of samplers of `sampler_steps` steps."""
    timesteps = _stratified_timesteps(count, rng)
    if sampler_steps:
        asked = [timestep for steps in sampler_steps for timestep, _ in timestep_pairs(steps)]
        chosen = rng.choice(asked, size=count)
        timesteps = np.where(rng.random(count) < SAMPLER_SHARE, chosen, timesteps)
    return timesteps


def _stratified_timesteps(count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return one timestep from each of `count` equal ranges, in random order, so that every batch sees all levels."""
    uniform = (rng.permutation(count) + rng.random(count)) / count
    return np.minimum((uniform * TIMESTEPS).astype(np.int64), TIMESTEPS - 1)


def batch_generator(seed: int, rank: int, step: int) -> np.random.Generator:
    """Return the random generator of one step in one process."""
    return np.random.default_rng((seed, rank, step))


class BatchStream:
    """The batches of step `start_step` and later, made ahead in a thread; use as a context manager, then iterate."""

    def __init__(
        self, songs: Sequence[LatentSong], data: DataConfig, seed: int, rank: int = 0, start_step: int = 0
    ) -> None:
        """Prepare the stream; the thread starts when the context is entered."""
        self._songs, self._data, self._seed, self._rank, self._step = songs, data, seed, rank, start_step
        self._queue: queue.Queue[Batch | Exception] = queue.Queue(maxsize=max(1, data.prefetch))
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._fill, name="batches", daemon=True)

    def __enter__(self) -> "BatchStream":
        """Start to make batches."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the thread."""
        self._stopped.set()
        self._thread.join(timeout=10.0)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches in order, without end; an error in the thread is raised here."""
        while True:
            item = self._queue.get()
            if isinstance(item, Exception):
                raise item
            yield item

    def _fill(self) -> None:
        while not self._stopped.is_set():
            try:
                item: Batch | Exception = make_batch(
                    self._songs, self._data, batch_generator(self._seed, self._rank, self._step)
                )
            except Exception as error:
                item = error
            self._step += 1
            self._put(item)
            if isinstance(item, Exception):
                return

    def _put(self, item: Batch | Exception) -> None:
        while not self._stopped.is_set():
            with contextlib.suppress(queue.Full):
                self._queue.put(item, timeout=0.2)
                return
