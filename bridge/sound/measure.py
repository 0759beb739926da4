"""Measuring an output: does its latency hold what it says, and does its ring run dry?

The latency is measured with impulses that go through the very output and come back on an input (a loop-back cable, or
the monitor of PulseAudio's sink). When each was heard is compared with the time that the output had promised.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Final

import numpy as np

from bridge.clock import Clock
from bridge.sound.input import DeviceInput, InputBlock
from bridge.sound.output import SoundError, SoundOut
from engine.geometry import AUDIO_CHANNELS, SAMPLE_RATE_HZ

IMPULSE_LEVEL: Final = 0.8
SETTLE_SECONDS: Final = 2.5  # PulseAudio's own estimates need about 1.5 s
_IMPULSE_SAMPLES: Final = 32
_BETWEEN_SECONDS: Final = 0.25
_AFTER_UNDERRUN_SECONDS: Final = 0.5
_LONGEST_SECONDS: Final = 1.0  # from an impulse's promised time until it must have been heard
_STEP_SECONDS: Final = 0.004
_LEAST_PEAK: Final = 0.02


@dataclass(frozen=True, slots=True)
class ImpulseMeasurement:
    """One impulse, timed from the moment it was written.

    Attributes:
        reported_seconds: latency promised.
        measured_seconds: latency found.
    """

    reported_seconds: float
    measured_seconds: float

    @property
    def error_seconds(self) -> float:
        """Measured less reported."""
        return self.measured_seconds - self.reported_seconds


@dataclass(frozen=True, slots=True)
class LatencyMeasurement:
    """The latency reported and the one measured.

    Attributes:
        impulses: each one that was heard.
        missed: how many were not.
        disturbed: how many were left out because the output ran dry meanwhile.
        block_samples: the output's block.
        rate_hz: the output's rate.
    """

    impulses: tuple[ImpulseMeasurement, ...]
    missed: int
    disturbed: int
    block_samples: int
    rate_hz: int

    @property
    def reported_seconds(self) -> float:
        """The median of what was promised."""
        return median(impulse.reported_seconds for impulse in self.impulses)

    @property
    def measured_seconds(self) -> float:
        """The median of what was found."""
        return median(impulse.measured_seconds for impulse in self.impulses)

    @property
    def largest_error_seconds(self) -> float:
        """The largest difference of the two, of either sign, over all impulses."""
        return max(abs(impulse.error_seconds) for impulse in self.impulses)

    @property
    def equal_to_the_block(self) -> bool:
        """Whether every impulse was heard, within one block of the time promised for it."""
        return self.missed == 0 and self.largest_error_seconds <= self.block_samples / self.rate_hz


@dataclass(frozen=True, slots=True)
class UnderrunMeasurement:
    """What an output lost while it was fed with silence.

    Attributes:
        block_samples: its block.
        seconds: for how long.
        underruns: how often it stopped.
        silent_samples: how much it left out, at 44.1 kHz.
    """

    block_samples: int
    seconds: float
    underruns: int
    silent_samples: int


def measure_latency(
    output: SoundOut,
    loopback: DeviceInput,
    clock: Clock,
    impulses: int = 8,
    settle_seconds: float = SETTLE_SECONDS,
) -> LatencyMeasurement:
    """Play impulses on `output` and find them on `loopback`, both open and used by nobody else.

    Raises:
        SoundError: not one impulse came back.
    """
    _feed(output, loopback, clock, settle_seconds)
    found: list[ImpulseMeasurement] = []
    missed = disturbed = 0
    while len(found) + missed < impulses and disturbed <= 2 * impulses:
        _feed(output, loopback, clock, _BETWEEN_SECONDS)
        underruns = output.facts().underruns
        measured = _one_impulse(output, loopback, clock)
        if output.facts().underruns != underruns:
            disturbed += 1
            _feed(output, loopback, clock, _AFTER_UNDERRUN_SECONDS)
        elif measured is None:
            missed += 1
        else:
            found.append(measured)
    if not found:
        raise SoundError(
            f"of {impulses} impulses none came back on {loopback.facts().name} ({disturbed} were lost to underruns); "
            "connect the output to that input, or name its monitor as the input"
        )
    facts = output.facts()
    return LatencyMeasurement(tuple(found), missed, disturbed, facts.block_samples, facts.rate_hz)


def measure_underruns(output: SoundOut, clock: Clock, seconds: float) -> UnderrunMeasurement:
    """Feed the open `output` with silence for `seconds` and count what it lost."""
    _feed(output, None, clock, 0.1)
    before = output.facts()
    _feed(output, None, clock, seconds)
    after = output.facts()
    return UnderrunMeasurement(
        block_samples=after.block_samples,
        seconds=seconds,
        underruns=after.underruns - before.underruns,
        silent_samples=after.silent_samples - before.silent_samples,
    )


def _feed(output: SoundOut, loopback: DeviceInput | None, clock: Clock, seconds: float) -> None:
    """Keep the output's ring full of silence, and the input's empty."""
    until_seconds = clock.now() + seconds
    while clock.now() < until_seconds:
        output.write(np.zeros((AUDIO_CHANNELS, output.writable_samples()), np.float32))
        if loopback is not None:
            loopback.read()
        clock.sleep(_STEP_SECONDS)


def _one_impulse(output: SoundOut, loopback: DeviceInput, clock: Clock) -> ImpulseMeasurement | None:
    while output.writable_samples() < _IMPULSE_SAMPLES:
        clock.sleep(_STEP_SECONDS)
    impulse = np.zeros((AUDIO_CHANNELS, output.writable_samples()), np.float32)
    impulse[:, 0] = IMPULSE_LEVEL
    promised_seconds = output.next_sample_seconds()
    output.write(impulse)
    written_seconds = clock.now()
    until_seconds = promised_seconds + _LONGEST_SECONDS
    blocks: list[InputBlock] = []
    while clock.now() < until_seconds:
        output.write(np.zeros((AUDIO_CHANNELS, output.writable_samples()), np.float32))
        block = loopback.read()
        if block is not None:
            blocks.append(block)
            heard_seconds = impulse_seconds(blocks)
            if heard_seconds is not None:
                return ImpulseMeasurement(promised_seconds - written_seconds, heard_seconds - written_seconds)
        clock.sleep(_STEP_SECONDS)
    return None


def impulse_seconds(blocks: list[InputBlock]) -> float | None:
    """Return when the largest sample of `blocks` was captured, or None where all is (nearly) silent.

    The newest millisecond is not looked at, for an impulse that was resampled rises over several samples.
    """
    if not blocks:
        return None
    level = np.concatenate([np.abs(block.audio).max(axis=0) for block in blocks])
    settled = level.size - round(SAMPLE_RATE_HZ / 1000)
    peak = int(level.argmax())
    if level[peak] < _LEAST_PEAK or peak >= settled:
        return None
    for block in blocks:
        if peak < block.audio.shape[1]:
            return block.captured_seconds + peak / block.rate_hz
        peak -= block.audio.shape[1]
    return None
