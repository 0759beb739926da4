"""Which chunk is due next, along the way that the song will take: on, round a loop, or back in where it was left."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.live.lane import ENTRY_SAMPLES, Lane, LaneKey, Lanes
from bridge.live.pace import Pace
from bridge.live.player import Player
from bridge.live.playing import Front
from bridge.live.work import Musicians, down, frame_of, up
from bridge.transport.view import HostView
from engine.geometry import LATENT_HOP_SAMPLES, SAMPLE_RATE_HZ

REPLAY_LEAD_SECONDS = 0.12
PASSES_AHEAD = 3


@dataclass(frozen=True, slots=True)
class Target:
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


class Due:
    """Finds what is due for one generator."""

    def __init__(self, player: Player, lanes: Lanes, band: Musicians, pace: Pace) -> None:
        """Look at what `lanes` hold for `player`, at what `band` remembers, and at its `pace`."""
        self._player, self._lanes, self._band, self._pace = player, lanes, band, pace
        self._entered: tuple[LaneKey, int] | None = None  # with the first frame that could be heard from there on

    def target(self, front: Front, view: HostView, chunk_frames: int, lead_seconds: float) -> Target | None:
        """Return the chunk that is due next; None if there is nothing to be made.

        Args:
            front: where the player writes.
            view: of the host's transport.
            chunk_frames: of the chunk.
            lead_seconds: how long before it is played a chunk is begun.
        """
        if front.key.epoch < 0:
            return None  # the player has not looked yet
        if front.moving and (self._entered is None or self._entered[0] != front.key):
            self._entered = front.key, _frame_after(front.song_sample, self._pace.soonest_seconds)
        position, key, passed = front.song_sample, front.key, 0.0
        for _ in range(PASSES_AHEAD):
            loop = view.loop if view.loop is not None and position < view.loop.end_sample else None
            lane = self._lanes.get(key)
            soonest, due = self._due_frame(lane, position, front, key, chunk_frames)
            first = self._where_wanted(soonest)
            if first is None:
                return None
            if loop is None or first * LATENT_HOP_SAMPLES < loop.end_sample:
                slack = (first * LATENT_HOP_SAMPLES - ENTRY_SAMPLES - position + passed) / SAMPLE_RATE_HZ
                if not front.moving:  # enough is made to begin with when it starts to move
                    return Target(key, first, 0.0, 0) if slack < 2.0 * lead_seconds else None
                if due or first > soonest:
                    return Target(key, first, slack, 0)
                missed = 0 if lane is None or lane.is_cut else self._missed(lane, first, chunk_frames)
                return Target(key, first, 0.0, missed)
            passed += loop.end_sample - position
            position, key = loop.start_sample, key.next_pass
        return None

    def _due_frame(
        self, lane: Lane | None, position: float, front: Front, key: LaneKey, chunk_frames: int
    ) -> tuple[int, bool]:
        """Return the frame at which a lane has to go on, and whether it is due at a certain moment, not at once."""
        made_until = lane.fresh_end_frame if lane is not None else None
        playing = front.moving and key == front.key
        if lane is None or made_until is None:
            return (self._soonest(position, chunk_frames), False) if playing else (frame_of(position), True)
        if lane.is_cut:
            return made_until, False
        done_at = position + self._pace.recent_seconds * SAMPLE_RATE_HZ
        if playing and done_at >= (made_until + chunk_frames) * LATENT_HOP_SAMPLES:
            return self._soonest(position, chunk_frames), False  # the whole chunk would be over when it is made
        return made_until, True

    def _soonest(self, position: float, chunk_frames: int) -> int:
        """Return the first frame that can be there in time: sooner if it only has to be decoded again."""
        replayed = _frame_after(position, REPLAY_LEAD_SECONDS)
        if self._band.remembers(replayed, chunk_frames):
            return replayed
        return _frame_after(position, self._pace.soonest_seconds)

    def _missed(self, lane: Lane, first_frame: int, chunk_frames: int) -> int:
        """Return how many chunks are left out if `lane` goes on at `first_frame`.

        Those are not that could not be there when the player came in, as when the song starts within the output's
        latency.
        """
        made_until = lane.fresh_end_frame
        if made_until is None:
            return 0
        if self._entered is not None and self._entered[0] == lane.key:
            made_until = max(made_until, self._entered[1])
        return max(first_frame - made_until, 0) // chunk_frames

    def _where_wanted(self, frame: int) -> int | None:
        """Return the first frame from `frame` on at which any stem is meant to play."""
        wanted = self._player.desk.next_open(frame * LATENT_HOP_SAMPLES)
        return None if wanted is None else max(frame, down(wanted // LATENT_HOP_SAMPLES))


def _frame_after(position: float, seconds: float) -> int:
    samples = max(round(position + seconds * SAMPLE_RATE_HZ) + ENTRY_SAMPLES, 0)
    return up(-(-samples // LATENT_HOP_SAMPLES))
