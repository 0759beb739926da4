"""What of a song a simulated host plays, as blocks: straight through, in a loop, or over and over."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from bridge.send.player import PlayedBlock
from bridge.transport.simulation import HostScript, HostSimulator, ScriptAction, ScriptTempo
from engine.timeline import Timeline

MOST_BEATS = 1e5


@dataclass(frozen=True, slots=True)
class SongPart:
    """What to play.

    Attributes:
        timeline: the song's tempos and time signatures; its beat 0 is the host's sample 0.
        rate_hz: the host's sample rate.
        block_samples: the host's block.
        end_sample: host sample after the vocal's last.
        from_beat: where to start.
        loop: first beat and end of what the host repeats, if it loops.
        repeat: locate back to `from_beat` where the vocal ends.
        seconds: how much to play in all; None for as long as the vocal, or without end in a loop or with `repeat`.

    Raises:
        ValueError: there is nothing to play, or the loop is empty or out of reach.
    """

    timeline: Timeline
    rate_hz: int
    block_samples: int
    end_sample: int
    from_beat: float = 0.0
    loop: tuple[float, float] | None = None
    repeat: bool = False
    seconds: float | None = None

    def __post_init__(self) -> None:
        """Check that there is something to play."""
        beats = (self.from_beat, *(self.loop or ()))
        if not all(abs(beat) <= MOST_BEATS for beat in beats):
            raise ValueError(f"beats {', '.join(f'{beat:g}' for beat in beats)}: expected at most {MOST_BEATS:g} each")
        if self.seconds is not None and not 0.0 < self.seconds < math.inf:
            raise ValueError(f"{self.seconds:g} seconds are nothing to play; give more than 0")
        if self.loop is not None:
            self._check_loop(*self.loop)
        elif self.pass_blocks < 1 and (self.repeat or self.seconds is None):
            end_beat = self.simulator().beat_at(self.end_sample)
            raise ValueError(f"the vocal ends at beat {end_beat:.2f}; start before it, not at beat {self.from_beat:g}")

    @property
    def pass_blocks(self) -> int:
        """How many blocks it takes from `from_beat` to the vocal's end; 0 or below where it starts after that."""
        return -((round(self.simulator().sample_at_beat(self.from_beat)) - self.end_sample) // self.block_samples)

    @property
    def total_blocks(self) -> int | None:
        """How many blocks to play in all; None for no end."""
        if self.seconds is not None:
            return math.ceil(self.seconds * self.rate_hz / self.block_samples - 1e-9)
        return None if self.loop is not None or self.repeat else self.pass_blocks

    def simulator(self) -> HostSimulator:
        """Return a host that is about to play from `from_beat`."""
        actions = [ScriptAction(0.0, "locate", self.from_beat), ScriptAction(0.0, "play")]
        if self.loop is not None:
            actions.insert(0, ScriptAction(0.0, "loop", *self.loop))
        script = HostScript(
            tempos=tuple(ScriptTempo(beat, bpm) for beat, bpm in self.timeline.tempos),
            time_signatures=tuple(self.timeline.time_signatures),
            actions=tuple(actions),
            rate_hz=self.rate_hz,
            block_samples=self.block_samples,
        )
        return HostSimulator(script)

    def _check_loop(self, start_beat: float, end_beat: float) -> None:
        """Refuse a loop that is empty or that the host never comes to."""
        if self.repeat:
            raise ValueError("a loop never comes to the vocal's end; leave --repeat or --loop out")
        if not start_beat < end_beat:
            raise ValueError(f"a loop from beat {start_beat:g} to beat {end_beat:g} is empty; give a later end")
        if self.from_beat >= end_beat:
            raise ValueError(f"the loop ends at beat {end_beat:g}; start before it, not at beat {self.from_beat:g}")


def host_blocks(part: SongPart) -> Iterator[PlayedBlock]:
    """Yield the blocks of a host that plays `part`."""
    simulator, pass_blocks, total = part.simulator(), part.pass_blocks, part.total_blocks
    loop = None
    if part.loop is not None:
        start, end = (round(simulator.sample_at_beat(beat)) for beat in part.loop)
        loop = start, end
    for block in count() if total is None else range(total):
        if part.repeat and block % pass_blocks == 0:
            simulator = part.simulator()
        yield PlayedBlock(simulator.step().snapshot, part.block_samples, loop)
