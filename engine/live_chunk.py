"""One chunk of live accompaniment: the song's memory and what is wanted in, latents out, a backup beyond the chunk.

Everything before the chunk is known, and so is what a loop or a lock holds after it; frames that are known come back
as they are. If nothing of the chunk has to be made, as on the second pass of a loop, nothing is sampled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engine.geometry import LATENT_CHANNELS, STEMS
from engine.noise import check_seed, latent_noise
from engine.planner import FRAMES_MULTIPLE
from engine.sampler import Known
from engine.song_memory import SongMemory
from engine.timeline import Timeline
from engine.window import Model, Place, sample_window, window_conditions
from engine.wish import Wish

Array = NDArray[np.float32]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ChunkPlan:
    """Which frames a chunk is made of; all multiples of 4.

    Attributes:
        first_frame: the chunk's first frame, 0 or later.
        chunk_frames: how many frames are to be played.
        backup_frames: how many more are made in case that the next chunk is late.
        past_frames: how many frames before the chunk the model sees.

    Raises:
        ValueError: a number is negative or no multiple of 4, or the chunk is empty.
    """

    first_frame: int
    chunk_frames: int
    backup_frames: int
    past_frames: int

    def __post_init__(self) -> None:
        """Check each number."""
        numbers = (self.first_frame, self.chunk_frames, self.backup_frames, self.past_frames)
        if self.chunk_frames < 1 or any(number < 0 or number % FRAMES_MULTIPLE for number in numbers):
            raise ValueError(f"{self} must be made of multiples of {FRAMES_MULTIPLE}, and its chunk not be empty")

    @property
    def end_frame(self) -> int:
        """Frame after the chunk."""
        return self.first_frame + self.chunk_frames

    @property
    def frames(self) -> int:
        """Frames of the chunk and its backup."""
        return self.chunk_frames + self.backup_frames

    @property
    def window_start(self) -> int:
        """First frame that the model sees; the window is of one length, so at the song's start it sees more future."""
        return max(self.first_frame - self.past_frames, 0)

    @property
    def window_frames(self) -> int:
        """Frames that the model sees."""
        return self.past_frames + self.frames


@dataclass(frozen=True, slots=True)
class Reseed:
    """Another seed for some stems in a range of frames, `end_frame` None for ever."""

    stems: tuple[str, ...]
    start_frame: int
    end_frame: int | None
    seed: int

    def __post_init__(self) -> None:
        """Check the seed."""
        check_seed(self.seed)

    def covers(self, stem: str, frame: int) -> bool:
        """Return whether `stem` has this seed at `frame`."""
        return stem in self.stems and self.start_frame <= frame and (self.end_frame is None or frame < self.end_frame)


@dataclass(frozen=True, slots=True)
class Score:
    """What holds while a chunk is made.

    Attributes:
        timeline: the song's tempos and time signatures as far as they are known.
        wish: what is wanted.
        reseeds: what was re-rolled; later ones hold where they overlap; elsewhere the seed is the wish's.
    """

    timeline: Timeline
    wish: Wish
    reseeds: tuple[Reseed, ...] = ()

    def seed_of(self, stem: str, frame: int) -> int:
        """Return the seed of `stem` at `frame`."""
        return next((r.seed for r in reversed(self.reseeds) if r.covers(stem, frame)), self.wish.seed)


@dataclass(frozen=True, slots=True)
class MadeChunk:
    """A chunk's latents and what they came from.

    Attributes:
        plan: which frames.
        latents: (192, frames) normalised, of chunk and backup.
        sampled: whether anything was made anew.
        visible_end_frame: frame after the last of the vocal that was known.
        conditions_sha256: of conditions and noise; empty if nothing was sampled.
        score: what it was made for, with the chords that were read off the vocal.
    """

    plan: ChunkPlan
    latents: Array
    sampled: bool
    visible_end_frame: int
    conditions_sha256: str
    score: Score


def make_chunk(
    model: Model,
    memory: SongMemory,
    plan: ChunkPlan,
    score: Score,
    progress: Callable[[float], None] | None = None,
) -> MadeChunk:
    """Make what of `plan` is not there yet, and remember the chunk, without its backup.

    Args:
        model: the bundle.
        memory: what was heard and made so far.
        plan: which frames.
        score: what for.
        progress: called after each step of the sampler; what it raises abandons the chunk and leaves no trace.
    """
    start, frames = plan.window_start, plan.window_frames
    columns = slice(plan.first_frame - start, plan.first_frame - start + plan.frames)
    remembered = memory.read(start, frames)
    visible = np.flatnonzero(remembered.heard.visible) if remembered.heard.visible is not None else np.arange(frames)
    visible_end = start + int(visible[-1]) + 1 if len(visible) else start
    ready: Bools = np.all(remembered.made[:, columns], axis=0)
    ready_frames = _leading(ready) // FRAMES_MULTIPLE * FRAMES_MULTIPLE
    if ready_frames > plan.chunk_frames:  # what is decoded last is heard a little later, so something must follow
        kept = replace(plan, backup_frames=ready_frames - plan.chunk_frames)
        latents = remembered.latents[:, columns.start : columns.start + ready_frames]
        return MadeChunk(kept, latents, False, visible_end, "", score)
    known = Known(remembered.latents, remembered.made)
    conditions = window_conditions(remembered.heard, Place(start, score.timeline), score.wish, known)
    noise = window_noise(score, start, frames)
    latents = sample_window(model, conditions, noise, score.wish, known, progress)[:, columns]
    memory.write_made(plan.first_frame, latents[:, : plan.chunk_frames])
    digest = hashlib.sha256(conditions.tobytes() + noise.tobytes()).hexdigest()
    return MadeChunk(plan, latents, True, visible_end, digest, score)


def window_noise(score: Score, start_frame: int, frames: int) -> Array:
    """Return the noise (192, frames) of a window: the wish's seed, but for what was re-rolled."""
    noise = latent_noise(score.wish.seed, start_frame, frames)
    for reseed in score.reseeds:
        first = max(reseed.start_frame - start_frame, 0)
        last = frames if reseed.end_frame is None else min(reseed.end_frame - start_frame, frames)
        if first < last:
            other = latent_noise(reseed.seed, start_frame, frames)
            for stem in reseed.stems:
                row = STEMS.index(stem) * LATENT_CHANNELS
                noise[row : row + LATENT_CHANNELS, first:last] = other[row : row + LATENT_CHANNELS, first:last]
    return noise


def _leading(flags: Bools) -> int:
    """Return how many of `flags` are true before the first that is not."""
    return len(flags) if flags.all() else int(flags.argmin())
