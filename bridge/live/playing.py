"""What the player plays from: levels of the ladder, sources and what sounds, and places on rolls and loops."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol

from bridge.live.lane import LaneKey, Roll
from bridge.live.mixing_desk import GATE_RAMP_SAMPLES
from bridge.live.quantum import Gains, Quantum, Voice, touched
from bridge.transport.view import HostView, LoopRange

FADE_SAMPLES = 441
JOIN_SAMPLES = GATE_RAMP_SAMPLES
SAME_PLACE_SAMPLES = 0.25


class Level(Enum):
    """The ladder, from best to worst."""

    FRESH = "fresh"
    BACKUP = "backup"
    BAR_LOOP = "bar loop"
    SILENCE = "silence"
    RESTING = "resting"  # the transport stands still, or nothing is meant to sound yet


class Host(Protocol):
    """Where the song is."""

    def now_view(self, now_seconds: float, builds: bool = True) -> HostView:
        """Return what is known of the transport; see `bridge.transport.host.HostTransport.now_view`."""


@dataclass(frozen=True, slots=True)
class Front:
    """Where the player writes.

    Attributes:
        key: the lane.
        song_sample: position of the next sample to be written.
        moving: whether it moves.
    """

    key: LaneKey
    song_sample: float
    moving: bool


@dataclass(frozen=True, slots=True)
class Source:
    """What sounds: a roll, and how far from the song's position it is read (bars back, when a bar is looped)."""

    roll: Roll
    shift_samples: float
    level: Level


@dataclass(frozen=True, slots=True)
class Standby:
    """What is played should the player come late: what sounded goes on.

    Attributes:
        position: the output's, of its first sample.
        sounding: what goes on; None for silence.
        gains: of each stem.
    """

    position: int
    sounding: Sounding | None
    gains: Gains

    def still_goes_on(self, position: int, sounding: Sounding | None, gains: Gains) -> bool:
        """Return whether it, from the output's `position` on, is what goes on with `sounding` at `gains`."""
        if self.sounding is None or sounding is None:
            return self.sounding is sounding
        ahead = self.sounding.after(position - self.position)
        same_line = sounding.same_as(self.sounding.source) and sounding.step == ahead.step
        return same_line and gains == self.gains and abs(sounding.next_content - ahead.next_content) < 0.5

    def quantum(self, ahead_samples: int, samples: int) -> Quantum:
        """Return `samples` of it, from `ahead_samples` after its start on."""
        voices = (self.sounding.voice(ahead_samples),) if self.sounding else ()
        return Quantum(samples, voices, self.gains, self.gains)


@dataclass(frozen=True, slots=True)
class Sounding:
    """What sounded last, and where it would go on, on its roll's timeline."""

    source: Source
    next_content: float
    step: float

    def fade_out(self, samples: int, fade_samples: int) -> Voice | None:
        """Return the voice that lets it end, if it has enough sound left."""
        voice = Voice(self.source.roll.number, self.next_content, self.step, 1.0, 0.0, min(fade_samples, samples))
        return voice if self.source.roll.covers(*touched(voice, samples)) else None

    def voice(self, ahead_samples: int = 0) -> Voice:
        """Return the voice that goes on with it, `ahead_samples` later."""
        return Voice(self.source.roll.number, self.next_content + ahead_samples * self.step, self.step)

    def after(self, samples: int) -> Sounding:
        """Return what sounds after going on for `samples`."""
        return replace(self, next_content=self.next_content + samples * self.step)

    def same_as(self, source: Source) -> bool:
        """Return whether `source` only goes on with this."""
        return self.source.roll is source.roll and self.source.shift_samples == source.shift_samples


def moved(gains: Gains, wanted: Gains, samples: int) -> Gains:
    """Return `gains` on their way to `wanted`, no faster than a gate opens, however short a quantum is."""
    if gains == wanted:
        return gains
    share = samples / GATE_RAMP_SAMPLES
    most = [share * max(gain, to, 1.0) for gain, to in zip(gains, wanted, strict=True)]
    return tuple(gain + min(max(to - gain, -step), step) for gain, to, step in zip(gains, wanted, most, strict=True))


def on_roll(view: HostView, roll: Roll, start: float, step: float, samples: int) -> tuple[float, float]:
    """Return start and step on the timeline that `roll` was made for; as they are where both timelines agree."""
    if roll.timeline is view.timeline:
        return start, step
    end = start + samples * step
    first, last = (
        roll.timeline.position_at_beat(view.timeline.beat_at_position(position)) for position in (start, end)
    )
    if abs(first - start) < SAME_PLACE_SAMPLES and abs(last - end) < SAME_PLACE_SAMPLES:
        return start, step
    return first, (last - first) / samples


def early(loop: LoopRange) -> float:
    """Return how many samples before a loop's end its start is faded in."""
    return min(float(JOIN_SAMPLES), max(loop.start_sample, 0.0))


def shortest(error: float, view: HostView) -> float:
    """Return `error` as it is around the loop: just before its end is just before its start."""
    if view.loop is None:
        return error
    length = view.loop.length_samples
    return error - length * round(error / length) if length > 0 and abs(error) > length / 2 else error
