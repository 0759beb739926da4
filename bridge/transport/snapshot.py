"""What a host says about its transport, once a block: one snapshot, checked where it is made."""

from __future__ import annotations

import math
from dataclasses import dataclass

from engine.geometry import SAMPLE_RATE_HZ
from engine.timeline import MAX_BPM, MIN_BPM, check_time_signature

MIN_RATE_HZ, MAX_RATE_HZ = 8_000, 768_000
MAX_SONG_SAMPLE = 1 << 48
MAX_PPQ = 1e7


@dataclass(frozen=True, slots=True)
class TransportSnapshot:
    """The host's transport at the first sample of a block.

    Attributes:
        playing: whether the song moves.
        song_sample: song position in samples at `rate_hz`; may be negative in a pre-roll.
        rate_hz: the host's sample rate.
        ppq: the same position in quarter notes.
        bpm: tempo there, in quarter notes a minute.
        numerator: of the time signature there.
        denominator: of the time signature there.
        loop_on: whether the host repeats from the loop's end at its start.
        loop_start_ppq: start of the loop, in quarter notes.
        loop_end_ppq: end of the loop, in quarter notes; after the start where the loop is on.
        sequence: counts up by one a snapshot and may wrap at 2 ** 31 or 2 ** 32.

    Raises:
        ValueError: a value is out of its range.
    """

    playing: bool
    song_sample: int
    rate_hz: int
    ppq: float
    bpm: float
    numerator: int
    denominator: int
    loop_on: bool
    loop_start_ppq: float
    loop_end_ppq: float
    sequence: int

    def __post_init__(self) -> None:
        """Check every value."""
        _check("rate_hz", self.rate_hz, MIN_RATE_HZ, MAX_RATE_HZ, "the host's sample rate, such as 48000")
        _check("song_sample", self.song_sample, -MAX_SONG_SAMPLE, MAX_SONG_SAMPLE, "the song position in samples")
        _check("ppq", self.ppq, -MAX_PPQ, MAX_PPQ, "the song position in quarter notes")
        _check("bpm", self.bpm, MIN_BPM, MAX_BPM, "quarter notes a minute")
        _check("loop_start_ppq", self.loop_start_ppq, -MAX_PPQ, MAX_PPQ, "the loop's start in quarter notes")
        _check("loop_end_ppq", self.loop_end_ppq, -MAX_PPQ, MAX_PPQ, "the loop's end in quarter notes")
        check_time_signature(self.numerator, self.denominator)
        if self.loop_on and not self.loop_start_ppq < self.loop_end_ppq:
            raise ValueError(
                f"loop from beat {self.loop_start_ppq:g} to beat {self.loop_end_ppq:g} is empty; "
                "send a loop_end_ppq after loop_start_ppq, or loop_on 0"
            )

    @property
    def position_samples(self) -> float:
        """Song position in samples at 44.1 kHz."""
        return self.song_sample * SAMPLE_RATE_HZ / self.rate_hz


def _check(name: str, value: float, least: float, most: float, meaning: str) -> None:
    """Raise ValueError unless `value` is finite and from `least` to `most`."""
    if not (math.isfinite(value) and least <= value <= most):
        raise ValueError(f"{name} {value:g} is out of range; send {meaning}, from {least:g} to {most:g}")
