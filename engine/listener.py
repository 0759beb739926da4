"""The vocal as it arrives: runs of audio by song position into what the song's memory holds of it.

Latent frame f covers samples [2048 f, 2048 (f + 1)) of the song however the audio is cut; it is there as soon as the
audio `features.LOOKAHEAD_SAMPLES` beyond its end is. A jump starts anew in silence, but the arousal and focus curves
go on from what was heard last, as a listener's do.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.attention_curves import CurveState
from engine.codec import EncoderState, encode_step
from engine.features import LOOKAHEAD_SAMPLES, FeatureState
from engine.geometry import AUDIO_CHANNELS, LATENT_HOP_SAMPLES
from engine.song_memory import SongMemory
from engine.window import Model, normalised

Array = NDArray[np.float32]


class Listener:
    """Encodes one vocal into one memory."""

    def __init__(self, model: Model, memory: SongMemory) -> None:
        """Listen with the encoder of `model`."""
        self._model = model
        self._memory = memory
        self._state = EncoderState.initial(model)
        self._next_sample = 0
        self._next_frame = 0

    @property
    def heard_end_frame(self) -> int:
        """The frame after the last one heard in the current run."""
        return self._next_frame

    def hear(self, song_sample: int, audio: Array, continues: bool) -> None:
        """Take in the next audio.

        Args:
            song_sample: song position of the first sample; negative positions, a count-in, are left out.
            audio: (2, samples) float32.
            continues: whether it follows on what came before; audio that does not begin where that ended starts anew.

        Raises:
            ValueError: the audio is not (2, samples).
        """
        if audio.ndim != 2 or audio.shape[0] != AUDIO_CHANNELS:
            raise ValueError(f"vocal has shape {audio.shape}, expected (2, samples)")
        if not continues or song_sample != self._next_sample:
            self._flush()
            audio = self._start(song_sample, audio)
        self._next_sample = max(song_sample, 0) + audio.shape[1]  # what was before the song is cut off already
        self._step(audio)

    def _start(self, song_sample: int, audio: Array) -> Array:
        """Begin a run on the frame that `song_sample` lies in; return the audio with silence from that frame on."""
        early = max(-song_sample, 0)
        start = song_sample + early
        self._next_frame = start // LATENT_HOP_SAMPLES
        self._state = EncoderState(_fresh(self._state.features.curves), self._model.encoder_states(1))
        lead = start - self._next_frame * LATENT_HOP_SAMPLES
        self._step(np.zeros((AUDIO_CHANNELS, lead), np.float32))
        return audio[:, early:]

    def _step(self, audio: Array) -> None:
        encoded, self._state = encode_step(self._model, audio, self._state)
        frames = encoded.pitch.shape[1]
        if frames:
            latents = normalised(self._model, encoded.latents)
            self._memory.write_vocal(self._next_frame, latents, encoded.pitch, encoded.curves)
            self._next_frame += frames

    def _flush(self) -> None:
        """Give the last frames of a run that ended, with silence after them."""
        if self._next_sample > self._next_frame * LATENT_HOP_SAMPLES:
            self._step(np.zeros((AUDIO_CHANNELS, LOOKAHEAD_SAMPLES), np.float32))


def _fresh(curves: CurveState) -> FeatureState:
    """Return the features' state after silence, with the curves as they stand."""
    return FeatureState(FeatureState.initial().pending, curves)
