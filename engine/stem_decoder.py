"""Latents of a live song into sound, in pieces of four frames, from any frame on.

All sound is decoded in the same pieces, whatever the chunks, so what is decoded again from the same latents is the
same to the bit. The states at the borders of the last pieces are kept: a chunk that replaces the end of another one
goes on from the state in which that place was reached. Elsewhere the frames before are decoded first, to settle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.codec import DECODER_LOOKAHEAD_FRAMES, DecoderState
from engine.finish import finished_step
from engine.geometry import LATENT_HOP_SAMPLES, STEMS
from engine.window import Model

Array = NDArray[np.float32]

PIECE_FRAMES = 4
PIECE_SAMPLES = PIECE_FRAMES * LATENT_HOP_SAMPLES
LATE_SAMPLES = DECODER_LOOKAHEAD_FRAMES * LATENT_HOP_SAMPLES
SETTLING_FRAMES = 16


@dataclass(frozen=True, slots=True)
class Piece:
    """Some of the song's sound.

    Attributes:
        start_sample: song sample of the first.
        audio: (stems, 2, samples).
        state: the decoder's after it.
        end_frame: the frame up to which latents went in.
    """

    start_sample: int
    audio: Array
    state: DecoderState
    end_frame: int


def silent_state(model: Model, frame: int) -> DecoderState:
    """Return the decoder's state before `frame` if nothing sounded before it."""
    if frame == 0:
        return DecoderState.initial(model, len(STEMS))
    return DecoderState.after_silence(model, len(STEMS), frame)


def settled_state(model: Model, latents: Array, frame: int, style: str | None) -> DecoderState:
    """Return the state before `frame` after decoding `latents` (192, frames), which end there, out of silence."""
    state = silent_state(model, frame - latents.shape[1])
    for first in range(0, latents.shape[1], PIECE_FRAMES):
        state = decode_piece(model, latents[:, first : first + PIECE_FRAMES], state, style).state
    return state


def decode_piece(model: Model, latents: Array, state: DecoderState, style: str | None) -> Piece:
    """Decode the next piece, (192, 4) normalised latents, at the level at which it is played in `style`."""
    start_sample = max(state.frame * LATENT_HOP_SAMPLES - LATE_SAMPLES, 0)
    audio, after = finished_step(model, latents, state, style)
    return Piece(start_sample, audio, after, after.frame)


class StateShelf:
    """The decoder's states at the last borders of pieces, by frame, along the line that is played: 18 s, 25 MB."""

    def __init__(self, capacity: int = 96) -> None:
        """Keep up to `capacity` states."""
        self._capacity = capacity
        self._states: dict[int, DecoderState] = {}

    def at(self, frame: int) -> DecoderState | None:
        """Return the state before `frame`, if it is kept."""
        return self._states.get(frame)

    def keep(self, frame: int, state: DecoderState) -> None:
        """Keep the state before `frame`; later ones, of a line that this one leaves, are dropped."""
        for later in [kept for kept in self._states if kept >= frame]:
            del self._states[later]
        self._states[frame] = state
        while len(self._states) > self._capacity:
            del self._states[next(iter(self._states))]

    def clear(self) -> None:
        """Forget all, as on a jump."""
        self._states.clear()
