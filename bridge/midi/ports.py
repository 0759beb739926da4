"""The one live door to mido on python-rtmidi: input ports by part of their name, which may come and go.

rtmidi calls back in a thread of its own; there a message is stamped with the clock's time and put in a queue, and
nothing else happens. A supervising thread looks once a second which ports there are, opens those that are wanted and
closes those that are gone. No port, no driver and no permission are states that are reported and tried again, never
errors that end anything.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, cast

from mido.backends.backend import Backend

from bridge.clock import Clock
from bridge.midi.messages import MidiMessage

LOOK_SECONDS = 1.0
MAX_LOOK_SECONDS = 30.0  # between two looks where the driver itself is missing: each one makes ALSA complain to stderr
MAX_WAITING = 4096
NOT_LOOKED = "not looked for yet"
DEFAULT_BACKEND = "mido.backends.rtmidi"


class OpenPort(Protocol):
    """What mido gives for an open port."""

    def close(self) -> None:
        """Close it."""


class _Message(Protocol):
    def bytes(self) -> list[int]:
        """Return the message as it came."""


@dataclass(frozen=True, slots=True)
class PortFacts:
    """How a wanted port is.

    Attributes:
        wanted: the part of its name that was asked for.
        name: its whole name, while it is open.
        state: `open`, or `missing`: nobody by that name, or `failed`: the driver refuses.
        reason: why it is not open, and what to do; empty while it is.
        received: messages so far, over all the times that it was open.
        opened: how often it was opened.
    """

    wanted: str
    name: str | None
    state: Literal["open", "missing", "failed"]
    reason: str
    received: int
    opened: int


class _Slot:
    """One wanted port."""

    def __init__(self, wanted: str) -> None:
        self.wanted = wanted
        self.name: str | None = None
        self.port: OpenPort | None = None
        self.state: Literal["open", "missing", "failed"] = "missing"
        self.reason = NOT_LOOKED
        self.received = 0
        self.opened = 0


class MidiPorts:
    """Input ports that are opened as they appear.

    Args:
        clock: stamps the messages, and times the looking.
        wanted: for each port a part of its name, in any case; the first match not yet taken is opened.
        backend: mido's name of the driver, such as `mido.backends.rtmidi` or `mido.backends.rtmidi/UNIX_JACK`.
        on_change: told of each change, in one line for the user, from the supervising thread.
    """

    def __init__(
        self,
        clock: Clock,
        wanted: Sequence[str],
        backend: str = DEFAULT_BACKEND,
        on_change: Callable[[str], None] | None = None,
    ) -> None:
        empty = [name for name in wanted if not name.strip()]
        if empty:
            raise ValueError(f"a MIDI port's name is {empty[0]!r}; give a part of its name (see backline doctor)")
        self._clock = clock
        self._backend = Backend(backend, use_environ=False)
        self._slots = [_Slot(name) for name in wanted]
        self._on_change = on_change
        self._waiting: deque[MidiMessage] = deque()
        self._lock = threading.Lock()
        self._look_seconds = LOOK_SECONDS
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._dropped = 0
        self._vanished: list[str] = []

    def start(self) -> None:
        """Look for the ports from now on, in a thread."""
        if self._thread is None:
            self._stopping.clear()
            self._thread = threading.Thread(target=self._supervise, name="midi-ports", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the looking, and close every port."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        for slot in self._slots:
            self._close(slot, "stopped")

    def take(self) -> tuple[MidiMessage, ...]:
        """Return what has come since the last call, in order of arrival; from any thread."""
        with self._lock:
            messages = tuple(self._waiting)
            self._waiting.clear()
        return tuple(sorted(messages, key=lambda message: message.arrived_seconds))

    def take_vanished(self) -> tuple[str, ...]:
        """Return the names of ports that have vanished since the last call: notes held there will not be let go."""
        with self._lock:
            vanished, self._vanished = tuple(self._vanished), []
        return vanished

    @property
    def dropped(self) -> int:
        """Messages thrown away because nobody took them in time."""
        return self._dropped

    def facts(self) -> tuple[PortFacts, ...]:
        """Return how each wanted port is."""
        return tuple(
            PortFacts(slot.wanted, slot.name, slot.state, slot.reason, slot.received, slot.opened)
            for slot in self._slots
        )

    def look(self) -> None:
        """Open the wanted ports that have appeared, and close those that have vanished."""
        try:
            names = input_names(self._backend)
        except (OSError, ImportError) as error:
            self._look_seconds = min(2.0 * self._look_seconds, MAX_LOOK_SECONDS)
            for slot in self._slots:
                self._fail(slot, f"no MIDI driver ({error}); load one (snd-seq on Linux) or start JACK")
            return
        self._look_seconds = LOOK_SECONDS
        for slot in self._slots:
            if slot.name is not None and slot.name not in names:
                self._close(slot, f"{slot.name} has vanished; plug it in again")
        for slot in self._slots:
            if slot.name is None:
                self._open(slot, names)

    def _supervise(self) -> None:
        """Look, wait, and again."""
        self.look()
        while not self._clock.wait(self._stopping, self._look_seconds):
            self.look()

    def _open(self, slot: _Slot, names: Sequence[str]) -> None:
        """Open the first port by the slot's name that no other slot has."""
        taken = {other.name for other in self._slots}
        found = next((name for name in names if slot.wanted.lower() in name.lower() and name not in taken), None)
        if found is None:
            self._mark(
                slot, "missing", f"no MIDI input {slot.wanted!r} among: {', '.join(names) or 'none'}; plug it in"
            )
            return
        try:
            slot.port = cast("OpenPort", self._backend.open_input(found, callback=self._receiver(slot, found)))
        except OSError as error:
            self._fail(slot, f"{found} cannot be opened ({error}); close what else uses it")
            return
        slot.name, slot.opened = found, slot.opened + 1
        self._mark(slot, "open", "")

    def _receiver(self, slot: _Slot, name: str) -> Callable[[_Message], None]:
        """Return what rtmidi's thread calls with each message."""

        def receive(message: _Message) -> None:
            stamped = MidiMessage(bytes(message.bytes()), self._clock.now(), name)
            with self._lock:
                slot.received += 1
                if len(self._waiting) >= MAX_WAITING:
                    self._waiting.popleft()
                    self._dropped += 1
                self._waiting.append(stamped)

        return receive

    def _fail(self, slot: _Slot, reason: str) -> None:
        self._close(slot, reason)
        self._mark(slot, "failed", reason)

    def _close(self, slot: _Slot, reason: str) -> None:
        """Close the slot's port, if it is open."""
        port, name, slot.port, slot.name = slot.port, slot.name, None, None
        if port is None or name is None:
            return
        with self._lock:
            self._vanished.append(name)
        try:
            port.close()
        except OSError as error:  # it is gone; there is nothing more to close
            reason = f"{reason} ({error})"
        self._mark(slot, "missing", reason)

    def _mark(self, slot: _Slot, state: Literal["open", "missing", "failed"], reason: str) -> None:
        """Note the slot's state, and tell if it is another one."""
        changed = slot.state != state or (slot.opened == 0 and slot.reason == NOT_LOOKED)
        slot.state, slot.reason = state, reason
        if changed and self._on_change is not None:
            self._on_change(f"MIDI input {slot.wanted!r}: {slot.name if state == 'open' else reason}")


def input_names(backend: Backend | None = None) -> tuple[str, ...]:
    """Return the names of the MIDI inputs there are now.

    Raises:
        OSError: there is no MIDI driver, or it refuses.
    """
    names = (backend or Backend(DEFAULT_BACKEND, use_environ=False)).get_input_names()
    return tuple(dict.fromkeys(names))
