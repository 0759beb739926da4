"""Held notes as chords: what the player's hand rests on becomes `/backline/control/chord`.

Fingers do not land together, so a chord is read once the held notes have not changed for `settle_seconds`. They do not
leave together either, so letting go alone says nothing: a chord is read after a key was pressed, and until
`release_seconds` after that also when keys of the chord before are let go. Silence says nothing: the last chord stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bridge.midi.chord_names import chord_name
from bridge.midi.messages import (
    ALL_NOTES_OFF,
    ALL_SOUND_OFF,
    CONTROL_CHANGE,
    NOTE_OFF,
    NOTE_ON,
    ControlCall,
    MidiMessage,
)

ADDRESS = "/backline/control/chord"
DRUM_CHANNEL = 10
FROM_NOW_BEAT = -1.0


@dataclass(frozen=True, slots=True)
class ChordSettings:
    """How chords are read.

    Attributes:
        channel: 1 to 16, or None for every channel but the drums' (10).
        lowest_note: notes below are not part of a chord.
        highest_note: notes above are not part of a chord: the right hand's melody, for instance.
        settle_seconds: how long the held notes have to stay the same.
        release_seconds: how long after the last key pressed a key let go still counts.
    """

    channel: int | None = None
    lowest_note: int = 0
    highest_note: int = 127
    settle_seconds: float = 0.03
    release_seconds: float = 0.3

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.channel is not None and not 1 <= self.channel <= 16:
            raise ValueError(f"channel {self.channel} is not a MIDI channel; give 1 to 16, or None for any")
        if not 0 <= self.lowest_note <= self.highest_note <= 127:
            raise ValueError(
                f"notes {self.lowest_note} to {self.highest_note} are no range; give 0 <= lowest <= highest <= 127"
            )
        if not 0.0 <= self.settle_seconds <= self.release_seconds <= 2.0:
            raise ValueError(
                f"settle_seconds {self.settle_seconds} and release_seconds {self.release_seconds} do not fit; "
                "give 0 <= settle <= release <= 2 s"
            )


@dataclass(frozen=True, slots=True)
class ChordState:
    """What the hand holds, and what was made of it.

    Attributes:
        held: `(port, channel, note)` of the keys that are down.
        changed_seconds: when `held` last changed in a way that counts, or None once it was read.
        pressed_seconds: when a key was last pressed.
        chord: the name that was sent last.
        unnamed: how often held notes, at least three, made no chord.
        bad_messages: messages with wrong bytes.
    """

    held: frozenset[tuple[str, int, int]] = frozenset()
    changed_seconds: float | None = None
    pressed_seconds: float = float("-inf")
    chord: str | None = None
    unnamed: int = 0
    bad_messages: int = 0


def step(
    messages: Sequence[MidiMessage], now_seconds: float, state: ChordState, settings: ChordSettings | None = None
) -> tuple[tuple[ControlCall, ...], ChordState]:
    """Return the chords that have settled, and the state behind them.

    Args:
        messages: what has come since the last step, in order; other kinds of messages are passed over.
        now_seconds: the clock's time, not before the last message; a chord may settle without any message, so step
            every 10 ms or so.
        state: `ChordState()`, or what the last step gave.
        settings: how to read.
    """
    settings = settings or ChordSettings()
    calls: list[ControlCall] = []
    for message in messages:
        settled, state = _settled(message.arrived_seconds, state, settings)
        calls += settled
        state = _take(message, state, settings)
    settled, state = _settled(now_seconds, state, settings)
    return (*calls, *settled), state


def _settled(seconds: float, state: ChordState, settings: ChordSettings) -> tuple[tuple[ControlCall, ...], ChordState]:
    """Return the chord that has been held for long enough by `seconds`, if it is another than before."""
    changed_seconds = state.changed_seconds
    if changed_seconds is None or seconds - changed_seconds < settings.settle_seconds:
        return (), state
    state = replace(state, changed_seconds=None)
    notes = {note for _, _, note in state.held}
    name = chord_name(notes)
    if name is None:
        return (), replace(state, unnamed=state.unnamed + (len(notes) >= 3))
    if name == state.chord:
        return (), state
    call = ControlCall(ADDRESS, {"chord": name, "beat": FROM_NOW_BEAT}, changed_seconds)
    return (call,), replace(state, chord=name)


def _take(message: MidiMessage, state: ChordState, settings: ChordSettings) -> ChordState:
    """Return what is held after `message`."""
    channel = message.channel
    if message.kind not in (NOTE_ON, NOTE_OFF, CONTROL_CHANGE) or channel is None:
        return state
    if channel == DRUM_CHANNEL if settings.channel is None else channel != settings.channel:
        return state
    values = message.values()
    if values is None:
        return replace(state, bad_messages=state.bad_messages + 1)
    number, value = values
    if message.kind == CONTROL_CHANGE:
        return _all_off(message.port, channel, state) if number in (ALL_SOUND_OFF, ALL_NOTES_OFF) else state
    if not settings.lowest_note <= number <= settings.highest_note:
        return state
    key, seconds = (message.port, channel, number), message.arrived_seconds
    if message.kind == NOTE_ON and value > 0:
        return replace(state, held=state.held | {key}, changed_seconds=seconds, pressed_seconds=seconds)
    counts = state.changed_seconds is not None or seconds - state.pressed_seconds <= settings.release_seconds
    return replace(state, held=state.held - {key}, changed_seconds=seconds if counts else None)


def _all_off(port: str, channel: int, state: ChordState) -> ChordState:
    kept = frozenset(key for key in state.held if key[:2] != (port, channel))
    return replace(state, held=kept, changed_seconds=None)


def without_port(state: ChordState, port: str) -> ChordState:
    """Return `state` without the keys held on `port`, which has vanished and will never say that they were let go."""
    return replace(state, held=frozenset(key for key in state.held if key[0] != port))
