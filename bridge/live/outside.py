"""MIDI and Ableton Link beside OSC: what they say goes through the same handlers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping

from bridge.clock import Clock
from bridge.link import LinkFollower
from bridge.midi import listener
from bridge.midi.messages import BeatAt, ControlCall
from bridge.midi.ports import MidiPorts
from bridge.osc.calls import Call, CommandError, Handler
from bridge.osc.peers import ClientAddress

STEP_SECONDS = 0.005
INSIDE = ClientAddress("inside", 0, "udp")


class Outside:
    """Follows ports and peers in a thread of its own, from `start` to `stop`.

    Args:
        clock: the time.
        handlers: by OSC address.
        beat_at: where the transport is.
        tell: told of what is refused and of ports that come and go.
    """

    def __init__(
        self, clock: Clock, handlers: Mapping[str, Handler], beat_at: BeatAt, tell: Callable[[str], None]
    ) -> None:
        self._clock, self._handlers, self._beat_at, self._tell = clock, handlers, beat_at, tell
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._closers: list[Callable[[], None]] = []

    def start(self, roles: listener.MidiRoles, link: bool) -> None:
        """Begin to follow what is wanted; nothing, where nothing is."""
        ports = MidiPorts(self._clock, roles.ports) if roles.ports else None
        follower = LinkFollower(self._clock, self._beat_at) if link else None
        for source in (ports, follower):
            if source is not None:
                source.start()
                self._closers.append(source.stop)
        if self._closers:
            self._thread = threading.Thread(
                target=self._follow, args=(ports, roles, follower), name="outside", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(2.0)
        for close in self._closers:
            close()
        self._closers.clear()

    def _follow(self, ports: MidiPorts | None, roles: listener.MidiRoles, follower: LinkFollower | None) -> None:
        state = listener.new_state(roles)
        known: dict[str, str] = {}
        while not self._stopping.wait(STEP_SECONDS):
            if follower is not None:
                self._carry_out(follower.take())
            if ports is None:
                continue
            now = self._clock.now()
            calls, state = listener.step(ports.take(), ports.take_vanished(), now, state, self._beat_at, roles)
            self._carry_out(calls)
            for facts in ports.facts():
                if known.get(facts.wanted) != facts.state:
                    known[facts.wanted] = facts.state
                    self._tell(f"MIDI {facts.name or facts.wanted}: {facts.state} {facts.reason}".strip())

    def _carry_out(self, calls: Iterable[ControlCall]) -> None:
        for call in calls:
            try:
                self._handlers[call.address](Call(call.address, call.arguments, INSIDE, None, call.at_seconds))
            except CommandError as error:
                self._tell(f"{call.address}: {error.message}")
            except (KeyError, ValueError) as error:
                self._tell(f"{call.address} {dict(call.arguments)}: {error}")
