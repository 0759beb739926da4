"""The live composition: what was sung goes in as it arrives, and chunks of accompaniment come out, as sound.

The order is that of the data: vocal -> latents in memory -> harmony -> conditions -> sampler -> latents in memory ->
decoder -> three stereo stems by song position.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engine.codec import DecoderState
from engine.geometry import STEMS
from engine.listener import Listener
from engine.live_chunk import ChunkPlan, MadeChunk, Score, make_chunk
from engine.live_harmony import LiveHarmony
from engine.song_memory import DEFAULT_PAGES, SongMemory
from engine.stem_decoder import PIECE_FRAMES, SETTLING_FRAMES, Piece, StateShelf, decode_piece, settled_state
from engine.window import Model

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Entry:
    """How the decoder came to a chunk: on from the piece before it, or out of silence over some settling frames.

    Attributes:
        continues: whether the state that was kept at the chunk's first frame is used.
        settling: (192, frames) latents decoded first, if not.
    """

    continues: bool
    settling: Array


class Band:
    """The musicians: one song's memory, and the model that plays. For one thread."""

    def __init__(self, model: Model, pages: int = DEFAULT_PAGES) -> None:
        """Play with `model`, remembering up to `pages` pages of the song."""
        self._model = model
        self._memory = SongMemory(pages)
        self._listener = Listener(model, self._memory)
        self._harmony = LiveHarmony(model.harmony, self._memory)
        self._states = StateShelf()

    def hear(self, song_sample: int, audio: Array, continues: bool) -> None:
        """Take in the next of the vocal; see `engine.listener.Listener.hear`."""
        self._listener.hear(song_sample, audio, continues)

    @property
    def heard_end_frame(self) -> int:
        """The frame after the last one heard."""
        return self._listener.heard_end_frame

    def forget(self, stems: tuple[str, ...], start_frame: int, end_frame: int | None = None) -> None:
        """Let `stems` be made anew from `start_frame` to `end_frame`, or to the end."""
        self._memory.forget_made(stems, start_frame, end_frame)

    def settle_anew(self) -> None:
        """Forget how the decoder came to where it is, as after sound that was none."""
        self._states.clear()

    def remembers(self, start_frame: int, frames: int) -> bool:
        """Return whether all stems of these frames were made."""
        return bool(self._memory.read(start_frame, frames).made.all())

    def make(
        self, plan: ChunkPlan, score: Score, progress: Callable[[float], None] | None = None
    ) -> tuple[MadeChunk, Iterator[Piece], Entry]:
        """Make a chunk.

        Args:
            plan: which frames.
            score: what for.
            progress: see `engine.live_chunk.make_chunk`.

        Returns:
            The latents; the sound, decoded piece by piece as it is asked for, that of the chunk first and then its
            backup's, each `stem_decoder.LATE_SAMPLES` late; and how the decoder came there.
        """
        wish = self._harmony.harmonised(score.wish, score.timeline, plan.first_frame)
        chunk = make_chunk(self._model, self._memory, plan, replace(score, wish=wish), progress)
        state, entry = self._enter(plan.first_frame, score.wish.style)
        return chunk, self._pieces(chunk, state), entry

    def _enter(self, first_frame: int, style: str | None) -> tuple[DecoderState, Entry]:
        """Return the decoder's state at a chunk's first frame."""
        state = self._states.at(first_frame)
        if state is not None:
            return state, Entry(True, np.zeros((0, 0), np.float32))
        settling = self._memory.read(first_frame - min(SETTLING_FRAMES, first_frame), min(SETTLING_FRAMES, first_frame))
        self._states.clear()
        state = settled_state(self._model, settling.latents, first_frame, style)
        return state, Entry(False, settling.latents)

    def _pieces(self, chunk: MadeChunk, state: DecoderState) -> Iterator[Piece]:
        """Yield the sound, and keep the states within the chunk and at its end."""
        first, end = chunk.plan.first_frame, chunk.plan.end_frame
        self._states.keep(first, state)
        for at in range(0, chunk.plan.frames, PIECE_FRAMES):
            piece = decode_piece(self._model, chunk.latents[:, at : at + PIECE_FRAMES], state, chunk.score.wish.style)
            state = piece.state
            if piece.end_frame <= end:
                self._states.keep(piece.end_frame, state)
            yield piece


def stems_of(piece: Piece) -> dict[str, Array]:
    """Return a piece's stems by name, each (2, samples)."""
    return dict(zip(STEMS, piece.audio, strict=True))
