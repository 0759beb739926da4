"""The sound of a take's rolls, decoded again from their latents in the order and the pieces in which it was then.

The decoder's states are kept along the way as `engine.band.Band` keeps them, so each roll begins in the same state
and all samples come out the same to the bit, as the checksum of each roll tells.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bridge.live.quantum import RollAudio, render
from bridge.live.take_index import LoggedRoll, Part, TakeIndex, quanta
from bridge.live.take_records import FRAME_BYTES, LATENTS_FILE, LatentsPlace
from bridge.live.take_writer import audio_crc32
from engine.codec import DecoderState
from engine.geometry import ACCOMPANIMENT_CHANNELS, AUDIO_CHANNELS, STEMS
from engine.stem_decoder import PIECE_FRAMES, StateShelf, decode_piece, settled_state
from engine.window import Model

Array = NDArray[np.float32]


class TakeEnds(Exception):  # noqa: N818 - what was rendered before stands
    """From here on the take cannot be rendered; the message says why."""


@dataclass(slots=True)
class RollDecoder:
    """Gives the sound of rolls by number; holds no more of them than are still to be played.

    Attributes:
        model: the bundle that played.
        index: the take.
        differing: numbers of the rolls that do not sound the same to the bit.
    """

    model: Model
    index: TakeIndex
    differing: list[int] = field(default_factory=list)
    _shelf: StateShelf = field(default_factory=StateShelf)
    _waiting: deque[LoggedRoll] = field(default_factory=deque)
    _sounds: dict[int, Array] = field(default_factory=dict)

    def begin(self, part: Part) -> None:
        """Make ready for the rolls of `part`: from the last entry out of silence before the first one of them."""
        rolls = [self.index.rolls[number] for number in sorted(self.index.rolls)]
        first = 0
        for at, roll in enumerate(rolls):
            if part.first_roll is not None and roll.chunk.number <= part.first_roll and roll.chunk.settling is not None:
                first = at
        self._waiting = deque(rolls[first:])

    def audio_of(self, number: int) -> tuple[int, Array]:
        """Return the song position of a roll's first sample and its audio; see `bridge.live.quantum.RollAudio`.

        Raises:
            TakeEnds: it cannot be decoded.
        """
        while number not in self._sounds:
            if not self._waiting or self._waiting[0].chunk.number > number:
                raise TakeEnds(f"chunk {number} is not in the log")
            self._decode(self._waiting.popleft())
        return self.index.rolls[number].start_sample, self._sounds[number]

    def release(self, quantum_number: int) -> None:
        """Let go of the rolls that are not played after a quantum."""
        for number in [number for number in self._sounds if self.index.rolls[number].last_use <= quantum_number]:
            del self._sounds[number]

    def _decode(self, roll: LoggedRoll) -> None:
        """Decode all of a roll, and keep the decoder's states of its chunk."""
        chunk = roll.chunk
        end_frame = chunk.first_frame + chunk.chunk_frames
        state = self._entry_state(roll)
        self._shelf.keep(chunk.first_frame, state)
        sound = np.empty((len(STEMS), AUDIO_CHANNELS, max(roll.end_sample - roll.start_sample, 0)), np.float32)
        filled = 0
        latents = np.concatenate([self._latents(place) for place in roll.places], axis=1)
        for at in range(0, latents.shape[1], PIECE_FRAMES):
            piece = decode_piece(self.model, latents[:, at : at + PIECE_FRAMES], state, chunk.style)
            state = piece.state
            if piece.end_frame <= end_frame:
                self._shelf.keep(piece.end_frame, state)
            sound[:, :, filled : filled + piece.audio.shape[2]] = piece.audio
            filled += piece.audio.shape[2]
        if audio_crc32(sound[:, :, : chunk.audio_samples]) != chunk.audio_crc32:
            self.differing.append(chunk.number)
        if roll.last_use >= 0:
            self._sounds[chunk.number] = sound

    def _entry_state(self, roll: LoggedRoll) -> DecoderState:
        chunk = roll.chunk
        if chunk.settling is not None:
            self._shelf.clear()
            return settled_state(self.model, self._latents(chunk.settling), chunk.first_frame, chunk.style)
        state = self._shelf.at(chunk.first_frame)
        if state is None:
            raise TakeEnds(f"chunk {chunk.number} goes on from a chunk that is not in the log")
        return state

    def _latents(self, place: LatentsPlace) -> Array:
        """Return latents (192, frames)."""
        path = self.index.folder / LATENTS_FILE
        with path.open("rb") as file:
            file.seek(place.offset)
            data = file.read(place.frames * FRAME_BYTES)
        if len(data) < place.frames * FRAME_BYTES:
            raise TakeEnds(f"{path.name} is cut off")
        return np.frombuffer(data, "<f4").reshape(ACCOMPANIMENT_CHANNELS, place.frames).astype(np.float32)


def heard_stems(decoder: RollDecoder, part: Part) -> Iterator[Array]:
    """Yield the stems (stems, 2, samples) of a part as they were played, a quantum at a time.

    Raises:
        TakeEnds: from there on it cannot be rendered.
    """
    decoder.begin(part)
    audio_of: RollAudio = decoder.audio_of
    for number, quantum in enumerate(quanta(decoder.index, part), part.first_quantum):
        yield render(quantum, audio_of)
        decoder.release(number)


def heard_mix(stems: Array) -> Array:
    """Return the mix (2, samples) that the sound card got for stems (stems, 2, samples); see `bridge.live.player`."""
    return np.clip(stems.sum(axis=0), -1.0, 1.0)
