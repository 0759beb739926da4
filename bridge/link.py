"""The one door to aalink: a peer of the local network's Ableton Link session, and what it says as transport calls.

aalink lives in an asyncio loop, which runs in a thread of its own; what follows from each reading of the session is
worked out in `bridge.link_following`.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

import aalink

from bridge.clock import Clock
from bridge.link_following import LinkReading, LinkSettings, LinkState, step
from bridge.midi.messages import BeatAt, ControlCall

POLL_SECONDS = 0.02
WAITING_POLL_SECONDS = 0.005
STOP_SECONDS = 5.0
MAX_WAITING = 1024


@dataclass(frozen=True, slots=True)
class LinkFacts:
    """How the session is.

    Attributes:
        state: `off`, `alone`, `following`, or `failed`.
        reason: why it failed, and what to do; else empty.
        reading: the latest one, or None before the first.
        locates: how often the position was corrected.
        out_of_range: tempos that a song cannot have.
        dropped: calls thrown away because nobody took them.
    """

    state: Literal["off", "alone", "following", "failed"]
    reason: str
    reading: LinkReading | None
    locates: int
    out_of_range: int
    dropped: int


class LinkSession(Protocol):
    """What is used of aalink's `Link`, so that a test can stand in for the network."""

    enabled: bool
    quantum: float
    start_stop_sync_enabled: bool

    @property
    def beat(self) -> float:
        """Beat now."""

    @property
    def tempo(self) -> float:
        """Beats a minute."""

    @property
    def playing(self) -> bool:
        """Whether the session plays."""

    @property
    def num_peers(self) -> int:
        """How many others there are."""

    def request_beat_at_start_playing_time(self, beat: float, /) -> None:
        """Count such that the session's start is `beat`, on a downbeat."""

    def add_start_stop_callback(self, callback: Callable[[bool], None], /) -> None:
        """Call when the session starts or stops."""

    def add_tempo_callback(self, callback: Callable[[float], None], /) -> None:
        """Call when the tempo changes."""

    def add_num_peers_callback(self, callback: Callable[[int], None], /) -> None:
        """Call when peers come or go."""


def join_session(bpm: float) -> LinkSession:
    """Return a peer of the local network's Link session; it has to be made in a running asyncio loop."""
    session: LinkSession = aalink.Link(bpm)
    return session


@dataclass(slots=True)
class _Shared:
    """What the session's thread and the others both touch, under `lock`."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    calls: deque[ControlCall] = field(default_factory=deque)
    reading: LinkReading | None = None
    state: LinkState = field(default_factory=LinkState)
    failure: str = ""
    dropped: int = 0


class LinkFollower:
    """A peer that follows the Link session, in a thread of its own.

    Args:
        clock: stamps the readings. The thread itself runs in real time, as the session does.
        beat_at: where Backline's transport is; called from the session's thread.
        settings: how to follow.
        join: makes the peer.
    """

    def __init__(
        self,
        clock: Clock,
        beat_at: BeatAt,
        settings: LinkSettings | None = None,
        join: Callable[[float], LinkSession] = join_session,
    ) -> None:
        self._clock = clock
        self._beat_at = beat_at
        self._settings = settings or LinkSettings()
        self._join = join
        self._shared = _Shared()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    def start(self) -> None:
        """Join the session."""
        if self._thread is None:
            self._stopping.clear()
            self._shared = _Shared()
            self._thread = threading.Thread(target=self._run, name="link", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Leave the session."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)
            self._thread = None

    def take(self) -> tuple[ControlCall, ...]:
        """Return the calls that have come up since the last time; from any thread."""
        with self._shared.lock:
            calls = tuple(self._shared.calls)
            self._shared.calls.clear()
        return calls

    def facts(self) -> LinkFacts:
        """Return how the session is."""
        with self._shared.lock:
            shared = self._shared
            state: Literal["off", "alone", "following", "failed"] = "off"
            if shared.failure:
                state = "failed"
            elif self._thread is not None:
                state = "following" if shared.reading is not None and shared.reading.peers else "alone"
            counts = (shared.state.locates, shared.state.out_of_range, shared.dropped)
            return LinkFacts(state, shared.failure, shared.reading, *counts)

    def _run(self) -> None:
        try:
            asyncio.run(self._follow())
        except Exception as error:  # the thread's end is reported, whatever it was
            with self._shared.lock:
                self._shared.failure = (
                    f"Link has ended ({error!r}); check the network and start again, or leave Link off"
                )

    async def _follow(self) -> None:
        """Read the session whenever it changes, and otherwise often enough."""
        session = self._join(self._settings.first_bpm)
        changed = asyncio.Event()

        session.quantum = self._settings.quantum_beats
        session.start_stop_sync_enabled = self._settings.follow_start_stop
        session.add_start_stop_callback(_waker(changed))
        session.add_tempo_callback(_waker(changed))
        session.add_num_peers_callback(_waker(changed))
        session.enabled = True
        try:
            while not self._stopping.is_set():
                waiting = self._read(session)
                changed.clear()
                try:
                    await asyncio.wait_for(changed.wait(), WAITING_POLL_SECONDS if waiting else POLL_SECONDS)
                except TimeoutError:
                    continue
        finally:
            session.enabled = False

    def _read(self, session: LinkSession) -> bool:
        """Take one reading and what follows from it; tell whether a start is being waited for."""
        if session.playing and not self._shared.state.playing:
            session.request_beat_at_start_playing_time(0.0)  # beat 0: the first downbeat from the session's start on
        before_seconds = self._clock.now()
        beat = session.beat
        after_seconds = self._clock.now()
        middle_seconds = (before_seconds + after_seconds) / 2.0
        reading = LinkReading(middle_seconds, beat, session.tempo, session.playing, session.num_peers)
        shared = self._shared
        with shared.lock:
            if shared.calls:  # the transport does not know of them yet, so its position says nothing
                beat_at: BeatAt = _not_moving
            else:
                beat_at = self._beat_at
            calls, shared.state = step(reading, shared.state, beat_at, self._settings)
            shared.reading = reading
            for call in calls:
                if len(shared.calls) >= MAX_WAITING:
                    shared.calls.popleft()
                    shared.dropped += 1
                shared.calls.append(call)
        return shared.state.waiting_for_beat is not None


def _not_moving(seconds: float) -> None:
    del seconds


def _waker(event: asyncio.Event) -> Callable[[object], None]:
    """Return a callback that sets `event`, whatever it is told."""

    def wake(news: object) -> None:
        del news
        event.set()

    return wake
