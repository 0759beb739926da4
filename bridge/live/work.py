"""What the generator works with: who plays, how large chunks are, what the user changes, what was delivered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bridge.live.controls import Controls
from bridge.live.lane import Roll
from engine.band import Entry
from engine.geometry import LATENT_HOP_SAMPLES, STEMS
from engine.live_chunk import ChunkPlan, MadeChunk, Score
from engine.planner import FRAMES_MULTIPLE
from engine.stem_decoder import Piece

Array = NDArray[np.float32]

MORE_BACKUP_FRAMES = 12  # so that not every chunk's backup has to be decoded


class Musicians(Protocol):
    """Who plays: `engine.band.Band`, or a click in its place."""

    def hear(self, song_sample: int, audio: Array, continues: bool) -> None:
        """Take in the next of the vocal."""

    def forget(self, stems: tuple[str, ...], start_frame: int, end_frame: int | None = None) -> None:
        """Let stems be made anew."""

    def settle_anew(self) -> None:
        """Forget how the decoder came to where it is."""

    def remembers(self, start_frame: int, frames: int) -> bool:
        """Return whether all stems of these frames were made."""

    def make(
        self, plan: ChunkPlan, score: Score, progress: Callable[[float], None] | None = None
    ) -> tuple[MadeChunk, Iterator[Piece], Entry]:
        """Make a chunk; see `engine.band.Band.make`."""


class VocalRunLike(Protocol):
    """A run of the vocal; see `bridge.hearing.vocal_buffer.VocalRun`."""

    @property
    def song_sample(self) -> int:
        """Position of the first sample."""

    @property
    def audio(self) -> Array:
        """(2, samples)."""

    @property
    def continues(self) -> bool:
        """Whether it follows on the one before."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How large chunks are, in frames; multiples of 4.

    Attributes:
        chunk_frames: what is played of each.
        window_frames: what the model sees of past, chunk and backup.
    """

    chunk_frames: int
    window_frames: int

    def plan(self, first_frame: int, bar_frames: int) -> ChunkPlan:
        """Return the plan of a chunk with a backup of a bar and a bit, as far as half the window allows."""
        backup = min(up(bar_frames) + MORE_BACKUP_FRAMES, self.window_frames // 2 // FRAMES_MULTIPLE * FRAMES_MULTIPLE)
        past = self.window_frames - self.chunk_frames - backup
        return ChunkPlan(first_frame, self.chunk_frames, backup, past)


@dataclass(frozen=True, slots=True)
class Change:
    """A wish of the user's: new controls, and what has to be made anew for them.

    Attributes:
        controls: from a controls value to the next.
        stems: what to make anew; empty for nothing.
        start_frame: from where; None for as soon as possible.
        end_frame: up to where; None for the end.
    """

    controls: Callable[[Controls], Controls]
    stems: tuple[str, ...] = STEMS
    start_frame: int | None = None
    end_frame: int | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """What was made, for whoever keeps a record.

    Attributes:
        chunk: the latents and what they came from.
        roll: the sound.
        entry: how the decoder came to it.
        seconds: how long it took to the end of the chunk's sound.
        slack_seconds: how long before it was needed each piece was there at least; negative: late; None: nobody waits
            for it yet.
    """

    chunk: MadeChunk
    roll: Roll
    entry: Entry
    seconds: float
    slack_seconds: float | None


def up(frame: int) -> int:
    """Return the next border of chunks: frames come in fours."""
    return -(-frame // FRAMES_MULTIPLE) * FRAMES_MULTIPLE


def down(frame: int) -> int:
    """Return the last border of chunks."""
    return frame // FRAMES_MULTIPLE * FRAMES_MULTIPLE


def frame_of(position: float) -> int:
    """Return the border of chunks at or before a song position in samples."""
    return down(max(round(position), 0) // LATENT_HOP_SAMPLES)
