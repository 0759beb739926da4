"""Sound that is ready to be played: rolls, each the sound of one chunk and its backup, on lanes of the song.

A lane is one run through the song without a jump: locating begins another, and so does each pass through a loop. The
generator appends to a lane and prunes it; the player reads. A roll's samples are written once and then only counted
up, so reading needs no lock; the list of rolls is replaced, never changed.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.geometry import AUDIO_CHANNELS, LATENT_HOP_SAMPLES, STEMS
from engine.stem_decoder import LATE_SAMPLES, PIECE_FRAMES
from engine.timeline import Timeline

Array = NDArray[np.float32]

ENTRY_SAMPLES = 512  # a roll is faded in just before its chunk, where it still says the same as the one before it


class LaneKey(NamedTuple):
    """Which lane: the transport's epoch, and the pass through a loop within it."""

    epoch: int
    pass_number: int

    @property
    def next_pass(self) -> LaneKey:
        """The lane after the loop's end."""
        return LaneKey(self.epoch, self.pass_number + 1)


class Roll:
    """The sound of one chunk.

    Attributes:
        number: counts chunks.
        timeline: the tempo map that it was made for; its samples are positions on that.
        first_frame: the chunk's first frame.
        end_frame: frame after the chunk; what sounds later is its backup.
        start_sample: song position of the first sample there is.
    """

    def __init__(self, number: int, timeline: Timeline, first_frame: int, end_frame: int, frames: int) -> None:
        """Make room for `frames` frames from `first_frame` on, of which those before `end_frame` are the chunk."""
        self.number = number
        self.timeline = timeline
        self.first_frame = first_frame
        self.end_frame = end_frame
        self.start_sample = max(first_frame * LATENT_HOP_SAMPLES - LATE_SAMPLES, 0)
        self._most_samples = max((first_frame + frames) * LATENT_HOP_SAMPLES - LATE_SAMPLES - self.start_sample, 0)
        chunk_samples = (end_frame + PIECE_FRAMES - first_frame) * LATENT_HOP_SAMPLES
        self._audio = _empty(min(chunk_samples, self._most_samples))
        self._filled = 0

    @property
    def enter_sample(self) -> int:
        """Song position from which it takes over."""
        return max(self.first_frame * LATENT_HOP_SAMPLES - ENTRY_SAMPLES, self.start_sample)

    @property
    def fresh_end_sample(self) -> int:
        """Song position after the chunk."""
        return self.end_frame * LATENT_HOP_SAMPLES

    @property
    def end_sample(self) -> int:
        """Song position up to which there is sound so far."""
        return self.start_sample + self._filled

    def append(self, audio: Array) -> None:
        """Add (stems, 2, samples) at the end; what does not fit is left out.

        Room for the backup, ten times the chunk's, is made when it is decoded: that of most rolls never is.
        """
        count = min(audio.shape[2], self._most_samples - self._filled)
        if self._filled + count > self._audio.shape[2]:
            whole = _empty(self._most_samples)
            whole[:, :, : self._filled] = self.audio()
            self._audio = whole
        self._audio[:, :, self._filled : self._filled + count] = audio[:, :, :count]
        self._filled += count

    def covers(self, first: int, end: int) -> bool:
        """Return whether all of `first` to `end` is there."""
        return self.start_sample <= first and end <= self.end_sample

    def audio(self) -> Array:
        """Return what is there, (stems, 2, samples) from `start_sample` on."""
        filled = self._filled  # first: room only grows
        return self._audio[:, :, :filled]


def _empty(samples: int) -> Array:
    return np.empty((len(STEMS), AUDIO_CHANNELS, samples), np.float32)


class Lane:
    """The rolls of one run through the song, in the order in which they were made."""

    def __init__(self, key: LaneKey) -> None:
        """Make a lane without rolls."""
        self.key = key
        self.rolls: tuple[Roll, ...] = ()
        self._cut_frame: int | None = None

    def add(self, roll: Roll) -> None:
        """Put `roll` on top of those there are."""
        self.rolls = (*self.rolls, roll)
        self._cut_frame = None

    def remove(self, roll: Roll) -> None:
        """Take `roll` away again."""
        self.rolls = tuple(kept for kept in self.rolls if kept is not roll)

    def cut(self, frame: int) -> None:
        """Have what comes from `frame` on made anew; what is there stays until it is replaced."""
        if self.rolls and frame < self.rolls[-1].end_frame:
            self._cut_frame = frame if self._cut_frame is None else min(frame, self._cut_frame)

    def prune(self, before_sample: int) -> None:
        """Let go of rolls whose chunk ended before a song position, but for the last one."""
        if self.rolls:
            kept = tuple(roll for roll in self.rolls[:-1] if roll.end_sample > before_sample)
            self.rolls = (*kept, self.rolls[-1])

    @property
    def is_cut(self) -> bool:
        """Whether what is there is to be replaced from `fresh_end_frame` on."""
        return self._cut_frame is not None

    @property
    def fresh_end_frame(self) -> int | None:
        """The frame after the last chunk, or where it was cut; None if there is no roll."""
        if self._cut_frame is not None:
            return self._cut_frame
        return self.rolls[-1].end_frame if self.rolls else None

    def covered_until(self, sample: int) -> int:
        """Return up to where, from `sample` on, there is sound without a gap, whether fresh or backup."""
        reach = sample
        for roll in sorted(self.rolls, key=lambda roll: roll.enter_sample):
            if roll.enter_sample <= reach:
                reach = max(reach, roll.end_sample)
        return reach


class Lanes:
    """The lanes that there are, by key. The generator makes and prunes them, the player reads."""

    def __init__(self) -> None:
        """Start without any."""
        self._lanes: dict[LaneKey, Lane] = {}
        self._lock = threading.Lock()

    def get(self, key: LaneKey) -> Lane | None:
        """Return the lane of `key`, if there is one."""
        return self._lanes.get(key)

    def open(self, key: LaneKey) -> Lane:
        """Return the lane of `key`, made if need be."""
        with self._lock:
            return self._lanes.setdefault(key, Lane(key))

    def adopt(self, resting: LaneKey, key: LaneKey, place: float) -> None:
        """Let what was prepared while the transport stood at `place` be the lane of `key`, if there is none."""
        with self._lock:
            lane = self._lanes.get(resting)
            if lane is not None and key not in self._lanes and lane.covered_until(round(place)) > place:
                lane.key = key
                self._lanes[key] = self._lanes.pop(resting)

    def forget_after(self, key: LaneKey) -> None:
        """Let go of all lanes after `key`, to be made anew."""
        with self._lock:
            self._lanes = {kept: lane for kept, lane in self._lanes.items() if kept <= key}

    def keep_from(self, key: LaneKey) -> None:
        """Let go of all lanes before `key`."""
        with self._lock:
            self._lanes = {kept: lane for kept, lane in self._lanes.items() if kept >= key}
