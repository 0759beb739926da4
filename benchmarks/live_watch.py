"""Levels and chunks of a live run as they come, and what disturbs it: a band that is held up, a tempo that jumps."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable

from benchmarks.live_soak_report import LevelChange
from benchmarks.live_support import Watched
from bridge.live.playing import Level
from bridge.live.quantum import Quantum
from bridge.live.work import Delivery
from engine.band import Band
from engine.live_chunk import ChunkPlan, Score


class HeldUp:
    """A band that can be told to stand still for a while before its next chunk."""

    def __init__(self, band: Band) -> None:
        self.stall_seconds = 0.0
        self._band = band

    def __getattr__(self, name: str) -> object:
        return getattr(self._band, name)

    def make(self, plan: ChunkPlan, score: Score, progress: Callable[[float], None] | None = None) -> object:
        """Make a chunk, late if told."""
        seconds, self.stall_seconds = self.stall_seconds, 0.0
        time.sleep(seconds)
        return self._band.make(plan, score, progress)


class Watch:
    """What the generator's and the player's threads leave behind; each list has one writer."""

    def __init__(self) -> None:
        self.making_seconds = array("d")
        self.replayed = 0
        self.late: list[tuple[float, float]] = []
        self.levels: list[LevelChange] = []
        self.server: Watched | None = None
        self._late = 0
        self._last: tuple[Level, bool, int] | None = None

    def delivered(self, delivery: Delivery) -> None:
        """Take note of a chunk."""
        if delivery.chunk.sampled:
            self.making_seconds.append(delivery.seconds)
        else:
            self.replayed += 1
        assert self.server is not None
        late = self.server.session.generator.pace.late
        if late != self._late:
            slack = delivery.slack_seconds
            if slack is None or slack >= 0.0:  # this one is on time, but others before it were never made
                slack = float("nan")
            self.late.append((time.perf_counter(), slack))
            self._late = late

    def played(self, _quantum: Quantum, _place: float) -> None:
        """Take note of a change of level."""
        assert self.server is not None
        player = self.server.session.player
        now = player.level, player.front.moving, player.front.key.epoch
        if now != self._last:
            self._last = now
            self.levels.append(LevelChange(time.perf_counter(), *now))


def tempo_jump_midi(beats: int, bpm: float, then_bpm: float) -> bytes:
    """Return a MIDI file whose tempo is `bpm` and, from a beat on, `then_bpm`."""

    def tempo(delta: bytes, value: float) -> bytes:
        return delta + b"\xff\x51\x03" + round(60e6 / value).to_bytes(3, "big")

    ticks = beats * 96
    delta = bytes([0x80 | ticks >> 7, ticks & 0x7F])
    track = tempo(b"\x00", bpm) + tempo(delta, then_bpm) + b"\x00\xff\x2f\x00"
    return b"MThd\x00\x00\x00\x06\x00\x00\x00\x01\x00\x60MTrk" + len(track).to_bytes(4, "big") + track
