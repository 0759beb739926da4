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
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bridge.clock import Clock
from bridge.live.controls import Controls
from bridge.live.due import Due, Target
from bridge.live.lane import Lane, LaneKey, Lanes, Roll
from bridge.live.pace import Pace
from bridge.live.player import Player
from bridge.live.playing import Front, Host
from bridge.live.tempo_change import first_difference
from bridge.live.work import Change, Delivery, Musicians, Shape, VocalRunLike, down, frame_of, up
from bridge.transport.view import HostView
from engine.geometry import LATENT_HOP_SAMPLES, LATENT_RATE_HZ, SAMPLE_RATE_HZ, STEMS
from engine.stem_decoder import PIECE_FRAMES, Piece
from engine.timeline import Timeline

Array = NDArray[np.float32]

IDLE_SECONDS = 0.02
HEARING_SECONDS = 0.2
BUSY_SHARE = 0.8  # of a chunk's time that may go into making the next one
TEMPO_AHEAD_SAMPLES = 600 * SAMPLE_RATE_HZ  # how far ahead a changed tempo map is compared
KEPT_BARS = 5


class _Arrival(NamedTuple):
    """When a piece of a chunk was there.

    Attributes:
        seconds: on the clock.
        sounds_after_seconds: how long after the chunk's entry it sounds.
        slack_seconds: how long before it was wanted; None if nobody waits for it yet.
    """

    seconds: float
    sounds_after_seconds: float
    slack_seconds: float | None


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
        self._due = Due(player, lanes, band, pace)
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
        self.pace.stride_seconds = self._player.stride_seconds
        lead = self._lead_seconds
        target = self._due.target(front, view, self.chunk_frames, lead)
        if target is None or target.slack_seconds > lead:
            return IDLE_SECONDS if target is None else min(IDLE_SECONDS, target.slack_seconds - lead)
        self._hear(now)
        self._make(target, view, now)
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
        frame = max(frame_of(changed), self.effect_frame())
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

    def _make(self, target: Target, view: HostView, start: float) -> None:
        begun_in_time = target.slack_seconds > self.pace.percentile(0.95)
        for _ in range(target.missed):
            self.pace.delivered(False, begun_in_time=False)
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
        arrivals = self._decode(roll, pieces, chunk.plan.chunk_frames // PIECE_FRAMES + 1, lane)
        if not arrivals:
            self._band.forget(STEMS, plan.first_frame, plan.end_frame)
            return
        self._backup = _Backup(lane, roll, pieces, bar_frames * LATENT_HOP_SAMPLES)
        if chunk.sampled:
            self.pace.took(max(arrival.seconds - start - arrival.sounds_after_seconds for arrival in arrivals))
        slacks = [arrival.slack_seconds for arrival in arrivals if arrival.slack_seconds is not None]
        seconds = arrivals[-1].seconds - start
        delivery = Delivery(chunk, roll, entry, seconds, min(slacks, default=None))
        if target.slack_seconds > 0.0 and delivery.slack_seconds is not None:
            self.pace.delivered(delivery.slack_seconds >= 0.0, begun_in_time)
        if self._on_delivery is not None:
            self._on_delivery(delivery)

    def _decode(self, roll: Roll, pieces: Iterator[Piece], count: int, lane: Lane) -> list[_Arrival]:
        """Decode the chunk's pieces; the roll is on its lane from the first one on. Empty if there is no sound."""
        arrivals: list[_Arrival] = []
        for piece in islice(pieces, count):
            if not np.isfinite(piece.audio).all():
                self._tell(f"the model gave no sound (NaN) at frame {roll.first_frame}; the chunk is left out")
                lane.remove(roll)
                self._band.settle_anew()
                return []
            sounds_at = roll.end_sample if arrivals else roll.enter_sample
            roll.append(piece.audio)
            if not arrivals:
                lane.add(roll)
            arrivals.append(self._arrival(lane.key, sounds_at, roll))
        return arrivals

    def _arrival(self, key: LaneKey, sounds_at: int, roll: Roll) -> _Arrival:
        """Return when, and how long before it is wanted, the sound from `sounds_at` on is there."""
        front = self._player.front
        slack = (sounds_at - front.song_sample) / SAMPLE_RATE_HZ if front.key == key and front.moving else None
        return _Arrival(self._clock.now(), (sounds_at - roll.enter_sample) / SAMPLE_RATE_HZ, slack)

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
