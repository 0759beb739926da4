"""A DAW's transport made from a script, exactly: for tests, benchmarks and for trying Backline without a DAW.

Positions are worked out in closed form (rational numbers for steps, logarithms for ramps), never block by block, so
the simulator's beat 2000 is as exact as its beat 1.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import Literal

from bridge.transport.snapshot import TransportSnapshot
from engine.timeline import Timeline

ActionKind = Literal["play", "stop", "locate", "loop", "loop_off"]
SLOPE_LEAST = 1e-9


@dataclass(frozen=True, slots=True)
class ScriptTempo:
    """A point of the script's tempo track.

    Attributes:
        beat: where, in quarter notes.
        bpm: the tempo from there on.
        ramp: whether it moves to the next point's tempo, linearly over the beats; else it stays.
    """

    beat: float
    bpm: float
    ramp: bool = False


@dataclass(frozen=True, slots=True)
class ScriptAction:
    """Something that the user does; it happens at the first block that starts at or after its time.

    Attributes:
        seconds: when, after the start.
        kind: what.
        beat: for `locate` where to, for `loop` its start.
        end_beat: for `loop` its end.
    """

    seconds: float
    kind: ActionKind
    beat: float = 0.0
    end_beat: float = 0.0


@dataclass(frozen=True, slots=True)
class HostScript:
    """What the simulated host plays.

    Attributes:
        tempos: the tempo track, rising, the first at beat 0, which is sample 0.
        time_signatures: `(beat, numerator, denominator)` as a `Timeline` takes them.
        actions: in the order of time; a script without any plays from the start.
        rate_hz: the host's sample rate.
        block_samples: the host's block.
        clock_ratio: how fast the host's sample clock is; 1.0002 is 200 ppm fast.

    Raises:
        ValueError: the tempo track or the actions are out of order.
    """

    tempos: tuple[ScriptTempo, ...] = (ScriptTempo(0.0, 120.0),)
    time_signatures: tuple[tuple[float, int, int], ...] = ((0.0, 4, 4),)
    actions: tuple[ScriptAction, ...] = (ScriptAction(0.0, "play"),)
    rate_hz: int = 48_000
    block_samples: int = 512
    clock_ratio: float = 1.0

    def __post_init__(self) -> None:
        """Check the order of the points and the actions, and the signatures."""
        Timeline([(point.beat, point.bpm) for point in self.tempos], self.time_signatures)
        for before, after in pairwise(self.actions):
            if after.seconds < before.seconds:
                raise ValueError(f"action at {after.seconds:g} s comes after one at {before.seconds:g} s; sort them")
        if self.block_samples < 1 or self.rate_hz < 1 or not self.clock_ratio > 0:
            raise ValueError(
                f"block of {self.block_samples} samples at {self.rate_hz} Hz times {self.clock_ratio} is no clock; "
                "give values above 0"
            )


@dataclass(frozen=True, slots=True)
class HostBlock:
    """One block of the simulated host.

    Attributes:
        snapshot: what the host says at its start.
        seconds: the exact time of its first sample.
    """

    snapshot: TransportSnapshot
    seconds: float


@dataclass(slots=True)
class _Transport:
    """The simulated host's state."""

    playing: bool = False
    sample: int = 0
    loop: tuple[float, float] | None = None
    next_action: int = field(default=0)


class HostSimulator:
    """Runs a `HostScript`.

    Args:
        script: what happens.
        start_seconds: the clock's time of the first block.
    """

    def __init__(self, script: HostScript, start_seconds: float = 0.0) -> None:
        self.script = script
        self._start_seconds = start_seconds
        self._beats = [_exact(point.beat) for point in script.tempos]
        self._samples = [Fraction(0)]
        for i in range(len(script.tempos) - 1):
            self._samples.append(self._samples[i] + self._samples_within(i, self._beats[i + 1] - self._beats[i]))
        self._signatures = Timeline(((0.0, 120.0),), script.time_signatures)
        self._state = _Transport()
        self._blocks = 0

    def blocks(self, count: int) -> Iterator[HostBlock]:
        """Run `count` blocks on."""
        for _ in range(count):
            yield self.step()

    def step(self) -> HostBlock:
        """Return the next block, and let the song move over it."""
        seconds = self.block_seconds(self._blocks)
        self._act(self._blocks * self.script.block_samples / (self.script.rate_hz * self.script.clock_ratio))
        block = HostBlock(self._snapshot(), seconds)
        if self._state.playing:
            self._state.sample = self.sample_after(self._state.sample, self.script.block_samples, self._state.loop)
        self._blocks += 1
        return block

    def block_seconds(self, block: int) -> float:
        """Return the exact time of the first sample of block `block`."""
        return self._start_seconds + block * self.script.block_samples / (self.script.rate_hz * self.script.clock_ratio)

    def sample_after(self, sample: int, samples: int, loop: tuple[float, float] | None) -> int:
        """Return the host's sample `samples` after `sample`, with loop wraps applied."""
        after = sample + samples
        if loop is not None:
            start, end = (round(self.sample_at_beat(beat)) for beat in loop)
            if sample < end <= after:
                return start + (after - end) % (end - start)
        return after

    def sample_at_beat(self, beat: float | Fraction) -> Fraction:
        """Return the host's sample at `beat`, not rounded."""
        position = _exact(beat)
        i = max(bisect_right(self._beats, position) - 1, 0)
        return self._samples[i] + self._samples_within(i, position - self._beats[i])

    def beat_at(self, sample: float | Fraction) -> float:
        """Return the beat at the host's `sample`."""
        position = Fraction(sample)
        i = max(bisect_right(self._samples, position) - 1, 0)
        bpm, slope = self._line(i)
        past = position - self._samples[i]
        if abs(slope) < SLOPE_LEAST or past < 0:
            return float(self._beats[i] + past * _exact(bpm) / (60 * self.script.rate_hz))
        minutes = float(past) / (60.0 * self.script.rate_hz)
        return float(self._beats[i]) + bpm / slope * math.expm1(slope * minutes)

    def bpm_at(self, beat: float) -> float:
        """Return the tempo at `beat`."""
        i = max(bisect_right(self._beats, _exact(beat)) - 1, 0)
        bpm, slope = self._line(i)
        return bpm + slope * max(beat - float(self._beats[i]), 0.0)

    def timeline(self) -> Timeline:
        """Return the script's own timeline at 44.1 kHz.

        Raises:
            ValueError: the script has ramps, which a timeline cannot hold.
        """
        if any(abs(self._line(i)[1]) >= SLOPE_LEAST for i in range(len(self._beats))):
            raise ValueError("the script's tempo ramps, which no Timeline of steps holds; compare sample_at_beat")
        return Timeline([(point.beat, point.bpm) for point in self.script.tempos], self.script.time_signatures)

    def _line(self, i: int) -> tuple[float, float]:
        """Return the tempo at point `i` and its change a beat after it."""
        point = self.script.tempos[i]
        if not point.ramp or i + 1 == len(self.script.tempos):
            return point.bpm, 0.0
        after = self.script.tempos[i + 1]
        return point.bpm, (after.bpm - point.bpm) / (after.beat - point.beat)

    def _samples_within(self, i: int, beats: Fraction) -> Fraction:
        """Return how many of the host's samples `beats` take from point `i` on."""
        bpm, slope = self._line(i)
        per_minute = 60 * self.script.rate_hz
        if abs(slope) < SLOPE_LEAST or beats < 0:
            return beats * per_minute / _exact(bpm)
        return Fraction(per_minute / slope * math.log1p(slope * float(beats) / bpm))

    def _act(self, seconds: float) -> None:
        """Do what is due at `seconds` after the start."""
        actions = self.script.actions
        state = self._state
        while state.next_action < len(actions) and actions[state.next_action].seconds <= seconds + 1e-9:
            action = actions[state.next_action]
            state.next_action += 1
            if action.kind in ("play", "stop"):
                state.playing = action.kind == "play"
            elif action.kind == "locate":
                state.sample = round(self.sample_at_beat(action.beat))
            else:
                state.loop = (action.beat, action.end_beat) if action.kind == "loop" else None

    def _snapshot(self) -> TransportSnapshot:
        """Return what the host says now."""
        state = self._state
        beat = self.beat_at(state.sample)
        numerator, denominator = self._signatures.time_signature_at_beat(beat)
        start, end = state.loop if state.loop is not None else (0.0, 0.0)
        return TransportSnapshot(
            playing=state.playing,
            song_sample=state.sample,
            rate_hz=self.script.rate_hz,
            ppq=beat,
            bpm=self.bpm_at(beat),
            numerator=numerator,
            denominator=denominator,
            loop_on=state.loop is not None,
            loop_start_ppq=start,
            loop_end_ppq=end,
            sequence=self._blocks,
        )


def _exact(value: float | Fraction) -> Fraction:
    """Return `value` as a fraction; a float is taken as the shortest decimal that prints it."""
    return value if isinstance(value, Fraction) else Fraction(repr(float(value)))
