"""A band that plays one click on each beat, exactly: what shows where the sound lies against the host's grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from bridge.clock import Clock
from engine.band import Entry
from engine.codec import DecoderState
from engine.geometry import ACCOMPANIMENT_CHANNELS, AUDIO_CHANNELS, LATENT_HOP_SAMPLES, STEMS
from engine.live_chunk import ChunkPlan, MadeChunk, Score
from engine.stem_decoder import LATE_SAMPLES, PIECE_FRAMES, Piece
from engine.timeline import Timeline

Array = NDArray[np.float32]

CLICK = 0.5
_NO_STATE = DecoderState({}, 0, np.zeros((0, 2, 0), np.float32), np.zeros((0, 2, 0), np.float32))


class ClickBand:
    """Plays a click of one sample on each beat of the timeline it is given, on all stems.

    Args:
        clock: the time; making a chunk takes `seconds` of it.
        seconds: how long making a chunk takes.
        downbeat: amplitude of a bar's first click; others have `CLICK`.
    """

    def __init__(self, clock: Clock, seconds: float = 0.0, downbeat: float = CLICK) -> None:
        self.seconds = seconds
        self.heard: list[tuple[int, int, bool]] = []
        self._clock = clock
        self._downbeat = downbeat
        self._made: set[int] = set()

    def hear(self, song_sample: int, audio: Array, continues: bool) -> None:
        """Take note of what was sung."""
        self.heard.append((song_sample, audio.shape[1], continues))

    def forget(self, stems: tuple[str, ...], start_frame: int, end_frame: int | None = None) -> None:
        """Forget what was made; it is the same on all stems."""
        if not stems:
            return
        self._made = {frame for frame in self._made if frame < start_frame or (end_frame and frame >= end_frame)}

    def settle_anew(self) -> None:
        """Do nothing: clicks have no past."""

    def remembers(self, start_frame: int, frames: int) -> bool:
        """Return whether these frames were made."""
        return all(frame in self._made for frame in range(start_frame, start_frame + frames))

    def make(
        self, plan: ChunkPlan, score: Score, progress: Callable[[float], None] | None = None
    ) -> tuple[MadeChunk, Iterator[Piece], Entry]:
        """Make a chunk of clicks."""
        sampled = not self.remembers(plan.first_frame, plan.chunk_frames)
        if sampled:
            self._clock.sleep(self.seconds)
        if progress is not None:
            progress(1.0)
        self._made.update(range(plan.first_frame, plan.end_frame))
        latents = np.zeros((ACCOMPANIMENT_CHANNELS, plan.frames), np.float32)
        chunk = MadeChunk(plan, latents, sampled, plan.first_frame, "", score)
        return chunk, self._pieces(plan, score.timeline), Entry(True, np.zeros((0, 0), np.float32))

    def _pieces(self, plan: ChunkPlan, timeline: Timeline) -> Iterator[Piece]:
        start = max(plan.first_frame * LATENT_HOP_SAMPLES - LATE_SAMPLES, 0)
        for frame in range(plan.first_frame, plan.first_frame + plan.frames, PIECE_FRAMES):
            end = (frame + PIECE_FRAMES) * LATENT_HOP_SAMPLES - LATE_SAMPLES
            yield Piece(start, self._clicks(timeline, start, end), _NO_STATE, frame + PIECE_FRAMES)
            start = end

    def _clicks(self, timeline: Timeline, start: int, end: int) -> Array:
        audio = np.zeros((len(STEMS), AUDIO_CHANNELS, end - start), np.float32)
        beat = int(np.ceil(timeline.beat_at_sample(start) - 1e-3))
        while (sample := timeline.sample_at_beat(beat)) < end:
            if sample >= start:
                on_bar = timeline.bar_at_beat(beat) != timeline.bar_at_beat(beat - 1e-6)
                audio[:, :, sample - start] = self._downbeat if on_bar else CLICK
            beat += 1
        return audio
