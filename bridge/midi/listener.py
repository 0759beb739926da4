"""All that MIDI says, from ports to calls: clock, chords and controls, each from the ports it may come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from bridge.midi import chords, clock, controls
from bridge.midi.control_map import ControlMap
from bridge.midi.messages import BeatAt, ControlCall, MidiMessage
from bridge.transport.host import HostTransport


@dataclass(frozen=True, slots=True)
class MidiRoles:
    """Who may say what.

    Attributes:
        clock_port: part of the name of the port whose clock is followed, or None to follow none.
        chord_port: part of the name of the port whose notes are chords, or None for no chords.
        control_maps: the desks; each names its own port.
        clock: how the clock is followed.
        chords: how chords are read.
    """

    clock_port: str | None = None
    chord_port: str | None = None
    control_maps: tuple[ControlMap, ...] = ()
    clock: clock.ClockSettings = field(default_factory=clock.ClockSettings)
    chords: chords.ChordSettings = field(default_factory=chords.ChordSettings)

    @property
    def ports(self) -> tuple[str, ...]:
        """The ports to open, by part of their names, each once."""
        named = (self.clock_port, self.chord_port, *(control_map.port for control_map in self.control_maps))
        return tuple(dict.fromkeys(name for name in named if name))


@dataclass(frozen=True, slots=True)
class MidiState:
    """What all the parsers know; `new_state` makes it."""

    clock: clock.ClockState
    chords: chords.ChordState
    controls: tuple[controls.ControlsState, ...]


def new_state(roles: MidiRoles) -> MidiState:
    """Return the state before the first message."""
    return MidiState(clock.NEW_CLOCK, chords.ChordState(), tuple(controls.ControlsState() for _ in roles.control_maps))


def step(
    messages: Sequence[MidiMessage],
    vanished: Sequence[str],
    now_seconds: float,
    state: MidiState,
    beat_at: BeatAt,
    roles: MidiRoles,
) -> tuple[tuple[ControlCall, ...], MidiState]:
    """Return the calls that have come up, in order of time, and the state behind them.

    Args:
        messages: `MidiPorts.take()`.
        vanished: `MidiPorts.take_vanished()`.
        now_seconds: the clock's time; step every 10 ms or so.
        state: `new_state(roles)`, or what the last step gave.
        beat_at: where Backline's transport is once the calls of the last step have been carried out.
        roles: who may say what.
    """
    clock_calls, clock_state = clock.step(_from(messages, roles.clock_port), state.clock, beat_at, roles.clock)
    chord_state = state.chords
    chord_calls, chord_state = chords.step(_from(messages, roles.chord_port), now_seconds, chord_state, roles.chords)
    for port in vanished:
        chord_state = chords.without_port(chord_state, port)
    calls = [*clock_calls, *chord_calls]
    control_states = []
    for control_map, control_state in zip(roles.control_maps, state.controls, strict=True):
        control_calls, new_control_state = controls.step(messages, control_state, control_map)
        calls += control_calls
        control_states.append(new_control_state)
    in_order = tuple(sorted(calls, key=lambda call: call.at_seconds))
    return in_order, MidiState(clock_state, chord_state, tuple(control_states))


def told(state: MidiState, address: str, value: float | str) -> MidiState:
    """Return `state` knowing that someone else, over OSC, set `address` to `value`."""
    return replace(state, controls=tuple(controls.told(one, address, value) for one in state.controls))


def beat_of(host: HostTransport) -> BeatAt:
    """Return where `host` is, in beats, at a time of the clock; what the MIDI clock and Link are compared with."""

    def beat_at(seconds: float) -> float | None:
        view = host.now_view(seconds)
        return view.timeline.beat_at_position(view.position_at(seconds)) if view.moving else None

    return beat_at


def _from(messages: Sequence[MidiMessage], port: str | None) -> tuple[MidiMessage, ...]:
    if port is None:
        return ()
    return tuple(message for message in messages if port.lower() in message.port.lower())
