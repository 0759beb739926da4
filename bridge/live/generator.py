"""The generator: hears the vocal, decides which chunk is due, has the band make it, and puts its sound on a lane.

`step` does one thing and says how long nothing is due; a thread calls it again and again, a test calls it on a clock
of its own. Another thread calls `step_backup`. None of them waits for the player, nor the player
for them.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bridge.clock import Clock
from bridge.live.controls import Controls
from bridge.live.lane import ENTRY_SAMPLES, Lane, LaneKey, Lanes, Roll
from bridge.live.pace import Pace
from bridge.live.player import Player
from bridge.live.playing import Front, Host
from bridge.live.tempo_change import first_difference
from bridge.live.work import Change, Delivery, Musicians, Shape, VocalRunLike, down, up
from bridge.transport.view import HostView
from engine.geometry import LATENT_HOP_SAMPLES, LATENT_RATE_HZ, SAMPLE_RATE_HZ, STEMS
from engine.stem_decoder import PIECE_FRAMES, Piece
from engine.timeline import Timeline

Array = NDArray[np.float32]

IDLE_SECONDS = 0.02
HEARING_SECONDS = 0.2
BUSY_SHARE = 0.8  # of a chunk's time that may go into making the next one
REPLAY_LEAD_SECONDS = 0.12
PASSES_AHEAD = 3
TEMPO_AHEAD_SAMPLES = 600 * SAMPLE_RATE_HZ  # how far ahead a changed tempo map is compared
KEPT_BARS = 5


@dataclass(frozen=True, slots=True)
class _Target:
    """What comes next.

    Attributes:
        key: on which lane.
        first_frame: from where.
        slack_seconds: how long until it is played; 0 for what is wanted as soon as it can be made.
        missed: how many chunks' time went by since the one before.
    """

    key: LaneKey
    first_frame: int
    slack_seconds: float
    missed: int


@dataclass(slots=True)
class _Backup:
    """What is left to be decoded of the last roll; `begun` is whether any of it was."""

    lane: Lane
    roll: Roll
    pieces: Iterator[Piece]
    bar_samples: int
    begun: bool = False


class Abandoned(Exception):  # noqa: N818 - not an error: a newer wish came
    """The chunk in the making is not wanted any more."""


class Generator:
    """Makes the lanes; `step` belongs to one thread, `request` may be called from any.

    Attributes:
        controls: what holds now.
        pace: how fast it goes.
    """

    def __init__(
        self,
        clock: Clock,
        host: Host,
        player: Player,
        lanes: Lanes,
        band: Musicians,
        take_vocal: Callable[[float], tuple[VocalRunLike, ...]],
        controls: Controls,
        shape: Shape,
        pace: Pace,
        on_delivery: Callable[[Delivery], None] | None = None,
        on_trouble: Callable[[str], None] | None = None,
    ) -> None:
        """Make lanes for `player` with `band`; see the modules of each argument."""
        self.controls = controls
        self.pace = pace
        self.shape = shape
        self._clock, self._host, self._player, self._lanes = clock, host, player, lanes
        self._band, self._take_vocal = band, take_vocal
        self._on_delivery, self._on_trouble = on_delivery, on_trouble
        self._requests: deque[Change] = deque()
        self._backup: _Backup | None = None
        self._number = 0
        self._timeline: Timeline | None = None
        self._next_hearing_seconds = 0.0
        self.wake = threading.Event()

    @property
    def chunk_frames(self) -> int:
        """How many frames a chunk has now: the user's choice, else the measurement's, more if that is not kept up."""
        least = up(int(self.pace.recent_seconds / BUSY_SHARE * LATENT_RATE_HZ) + 1)
        return self.controls.chunk_frames or min(max(self.shape.chunk_frames, least), self.shape.window_frames // 4)

    def request(self, change: Change) -> None:
        """Have `change` made at the next occasion."""
        self._requests.append(change)
        self.wake.set()

    def effect_frame(self) -> int:
        """Return the first frame at which a request made now can be heard."""
        front = self._player.front
        lead = self.pace.lead_seconds if front.moving else 0.0
        return up(-(-round(front.song_sample + lead * SAMPLE_RATE_HZ) // LATENT_HOP_SAMPLES))

    def step(self) -> float:
        """Do what is due; return the seconds until something is due again."""
        now = self._clock.now()
        if now >= self._next_hearing_seconds:
            self._hear(now)
        while self._requests:
            self._carry_out(self._requests.popleft())
        front, view = self._player.front, self._host.now_view(now)
        self._follow_tempo(front, view)
        self._tidy(front, view)
        target = self._target(front, view)
        lead = self._lead_seconds
        if target is None or target.slack_seconds > lead:
            return IDLE_SECONDS if target is None else min(IDLE_SECONDS, target.slack_seconds - lead)
        self._hear(now)
        self._make(target, view)
        return 0.0

    def _hear(self, now: float) -> None:
        """Give the band what was sung; in pieces of some frames, as that is many times cheaper than by the block."""
        self._next_hearing_seconds = now + HEARING_SECONDS
        for run in self._take_vocal(now):
            self._band.hear(run.song_sample, run.audio, run.continues)

    @property
    def _lead_seconds(self) -> float:
        ahead = self.controls.lookahead_frames * LATENT_HOP_SAMPLES / SAMPLE_RATE_HZ
        return self.pace.lead_seconds + ahead

    def _carry_out(self, change: Change) -> None:
        self.controls = change.controls(self.controls)
        start = self.effect_frame() if change.start_frame is None else change.start_frame
        for stem in change.stems:
            for first, end in self.controls.free_ranges(stem, start, change.end_frame):
                self._band.forget((stem,), first, end)
        if change.stems:
            front = self._player.front
            self._lanes.forget_after(front.key)
            lane = self._lanes.get(front.key)
            if lane is not None and (change.end_frame is None or change.end_frame > self.effect_frame()):
                lane.cut(down(max(start, self.effect_frame())))

    def _follow_tempo(self, front: Front, view: HostView) -> None:
        """Have made anew what was made for a tempo that is not the song's any more."""
        before, self._timeline = self._timeline, view.timeline
        if before is None or before is view.timeline:
            return
        start = max(round(front.song_sample), 0)
        changed = first_difference(before, view.timeline, start, start + TEMPO_AHEAD_SAMPLES)
        if changed is None:
            return
        frame = max(_frame_of(changed), self.effect_frame())
        self._band.forget(STEMS, frame)
        self._lanes.forget_after(front.key)
        lane = self._lanes.get(front.key)
        if lane is not None:
            lane.cut(frame)

    def _tidy(self, front: Front, view: HostView) -> None:
        """Let go of what cannot be played any more."""
        self._lanes.keep_from(front.key)
        lane = self._lanes.get(front.key)
        if lane is not None:
            beat = view.timeline.beat_at_position(front.song_sample)
            bars = KEPT_BARS * view.timeline.beats_per_bar_at(beat)
            lane.prune(round(view.timeline.position_at_beat(beat - bars)))

    def _target(self, front: Front, view: HostView) -> _Target | None:
        """Return the chunk that is due next along the way that the song will take."""
        if front.key.epoch < 0:
            return None  # the player has not looked yet
        position, key, passed = front.song_sample, front.key, 0.0
        for _ in range(PASSES_AHEAD):
            loop = view.loop if view.loop is not None and position < view.loop.end_sample else None
            lane = self._lanes.get(key)
            soonest, due = self._due_frame(lane, position, front, key)
            first = self._where_wanted(soonest)
            if first is None:
                return None
            if loop is None or first * LATENT_HOP_SAMPLES < loop.end_sample:
                slack = (first * LATENT_HOP_SAMPLES - ENTRY_SAMPLES - position + passed) / SAMPLE_RATE_HZ
                if not front.moving:  # enough is made to begin with when it starts to move
                    return _Target(key, first, 0.0, 0) if slack < 2.0 * self._lead_seconds else None
                if due or first > soonest:
                    return _Target(key, first, slack, 0)
                missed = 0 if lane is None or lane.is_cut else self._missed(lane, first)
                return _Target(key, first, 0.0, missed)
            passed += loop.end_sample - position
            position, key = loop.start_sample, key.next_pass
        return None

    def _due_frame(self, lane: Lane | None, position: float, front: Front, key: LaneKey) -> tuple[int, bool]:
        """Return the frame at which a lane has to go on, and whether it is due at a certain moment, not at once."""
        made_until = lane.fresh_end_frame if lane is not None else None
        playing = front.moving and key == front.key
        if lane is None or made_until is None:
            return (self._soonest(position), False) if playing else (_frame_of(position), True)
        if lane.is_cut:
            return made_until, False
        done_at = position + self.pace.recent_seconds * SAMPLE_RATE_HZ
        if playing and done_at >= (made_until + self.chunk_frames) * LATENT_HOP_SAMPLES:
            return self._soonest(position), False  # the whole chunk would be over when it is made
        return made_until, True

    def _missed(self, lane: Lane, first_frame: int) -> int:
        """Return how many chunks are left out if `lane` goes on at `first_frame`."""
        made_until = lane.fresh_end_frame
        return 0 if made_until is None else max(first_frame - made_until, 0) // self.chunk_frames

    def _soonest(self, position: float) -> int:
        """Return the first frame that can be there in time: sooner if it only has to be decoded again."""
        replayed = self._frame_after(position, REPLAY_LEAD_SECONDS)
        if self._band.remembers(replayed, self.chunk_frames):
            return replayed
        return self._frame_after(position, self.pace.percentile(0.95))

    @staticmethod
    def _frame_after(position: float, seconds: float) -> int:
        samples = max(round(position + seconds * SAMPLE_RATE_HZ) + ENTRY_SAMPLES, 0)
        return up(-(-samples // LATENT_HOP_SAMPLES))

    def _where_wanted(self, frame: int) -> int | None:
        """Return the first frame from `frame` on at which any stem is meant to play."""
        wanted = self._player.desk.next_open(frame * LATENT_HOP_SAMPLES)
        return None if wanted is None else max(frame, down(wanted // LATENT_HOP_SAMPLES))

    def _make(self, target: _Target, view: HostView) -> None:
        start = self._clock.now()
        for _ in range(target.missed):
            self.pace.delivered(False)
        shape = replace(self.shape, chunk_frames=self.chunk_frames)
        bar_frames = _bar_frames(view.timeline, target.first_frame)
        plan = shape.plan(target.first_frame, bar_frames)
        try:
            chunk, pieces, entry = self._band.make(plan, self.controls.score(view.timeline), self._may_abandon)
        except Abandoned:
            self.pace.abandoned += 1
            return
        self._number += 1
        roll = Roll(self._number, view.timeline, plan.first_frame, chunk.plan.end_frame, chunk.plan.frames)
        lane = self._lanes.open(target.key)
        if not self._decode(roll, pieces, chunk.plan.chunk_frames // PIECE_FRAMES + 1, lane):
            self._band.forget(STEMS, plan.first_frame, plan.end_frame)
            return
        self._backup = _Backup(lane, roll, pieces, bar_frames * LATENT_HOP_SAMPLES)
        seconds = self._clock.now() - start
        if chunk.sampled:
            self.pace.took(seconds)
        self._deliver(Delivery(chunk, roll, entry, seconds, self._slack(target.key, roll)), target.slack_seconds > 0.0)

    def _decode(self, roll: Roll, pieces: Iterator[Piece], count: int, lane: Lane) -> bool:
        """Decode the chunk's pieces; the roll is on its lane from the first one on. False if there is no sound."""
        for done, piece in enumerate(pieces):
            if not np.isfinite(piece.audio).all():
                self._tell(f"the model gave no sound (NaN) at frame {roll.first_frame}; the chunk is left out")
                lane.remove(roll)
                self._band.settle_anew()
                return False
            roll.append(piece.audio)
            if done == 0:
                lane.add(roll)
            if done + 1 >= count:
                break
        return True

    def _slack(self, key: LaneKey, roll: Roll) -> float | None:
        front = self._player.front
        if front.key != key or not front.moving:
            return None
        return (roll.enter_sample - front.song_sample) / SAMPLE_RATE_HZ

    def _deliver(self, delivery: Delivery, due: bool) -> None:
        if due and delivery.slack_seconds is not None:
            self.pace.delivered(delivery.slack_seconds >= 0.0)
        if self._on_delivery is not None:
            self._on_delivery(delivery)

    def step_backup(self) -> float:
        """Decode one more piece of a backup if what there is lasts for less than half a bar; for a thread of its own.

        A backup lasts for a bar, and is decoded whole: sooner, nearly all of it would be thrown away for the next.

        Returns:
            The seconds until there may be more to do.
        """
        job, front = self._backup, self._player.front
        if job is None or not (job.begun or self._lasts_less_than(job, front)):
            return IDLE_SECONDS
        job.begun = True
        piece = next(job.pieces, None)
        if piece is None or not np.isfinite(piece.audio).all():
            if self._backup is job:
                self._backup = None
            return IDLE_SECONDS
        job.roll.append(piece.audio)
        return 0.0

    def _lasts_less_than(self, job: _Backup, front: Front) -> bool:
        lane = self._lanes.get(front.key)
        if lane is None or not front.moving or job.lane is not lane:
            return True
        position = round(front.song_sample)
        return lane.covered_until(position) - position < job.bar_samples // 2

    def _may_abandon(self, share: float) -> None:
        """Give up the chunk in the making if the user wants another and what is there lasts until that is made."""
        if not self._requests or share >= 1.0 or not any(change.stems for change in self._requests):
            return
        front = self._player.front
        lane = self._lanes.get(front.key)
        if lane is not None:
            left = lane.covered_until(round(front.song_sample)) - front.song_sample
            if left > 2.0 * self.pace.lead_seconds * SAMPLE_RATE_HZ:
                raise Abandoned

    def _tell(self, words: str) -> None:
        if self._on_trouble is not None:
            self._on_trouble(words)


def _bar_frames(timeline: Timeline, frame: int) -> int:
    """Return how many frames the bar at `frame` takes."""
    beat = timeline.beat_at_position(frame * LATENT_HOP_SAMPLES)
    bar = timeline.position_at_beat(beat + timeline.beats_per_bar_at(beat)) - timeline.position_at_beat(beat)
    return -(-round(bar) // LATENT_HOP_SAMPLES)


def _frame_of(position: float) -> int:
    """Return the chunk border at or before a song position."""
    return down(max(round(position), 0) // LATENT_HOP_SAMPLES)
