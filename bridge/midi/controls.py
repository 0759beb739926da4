"""Control changes and notes from a desk, turned into calls by a control map."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from bridge.midi.control_map import MOVING_KINDS, Control, ControlMap
from bridge.midi.messages import CONTROL_CHANGE, NOTE_ON, CallValue, ControlCall, MidiMessage
from bridge.osc.contract import BY_ADDRESS

PRESSED = 64
COARSE_STEPS = 127
FINE_STEPS = 16_383
CLICKS_OF_TRAVEL = 100  # of an endless knob, unless its map gives a step
TAPER_DB = 60.0  # gain grows with the cube of the travel, as on a mixing desk

Values = Mapping[str, CallValue]


@dataclass(frozen=True, slots=True)
class ControlsState:
    """What is known of a desk and of what it drives.

    Attributes:
        values: the latest value of the first argument, by address: what was sent, or told by `told`.
        pressed: names of the buttons that are down.
        coarse: upper seven bits of fine controls, by name.
        unmapped: control changes and notes that no control listens to.
        bad_messages: messages with wrong bytes.
    """

    values: Values = field(default_factory=lambda: MappingProxyType({}))
    pressed: frozenset[str] = frozenset()
    coarse: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    unmapped: int = 0
    bad_messages: int = 0


def told(state: ControlsState, address: str, value: CallValue) -> ControlsState:
    """Return `state` knowing that someone else set `address` to `value`: toggles and endless knobs go on from there."""
    return replace(state, values=MappingProxyType({**state.values, address: value}))


def step(
    messages: Sequence[MidiMessage], state: ControlsState, control_map: ControlMap
) -> tuple[tuple[ControlCall, ...], ControlsState]:
    """Return the calls that `messages` amount to, and the state behind them.

    Of several values that one knob or fader went through since the last step, only the last is sent; values that change
    nothing are not sent.

    Args:
        messages: what has come since the last step, in order, from any port; those of other ports are passed over.
        state: `ControlsState()`, or what the last step gave.
        control_map: which control does what.
    """
    calls: dict[object, ControlCall] = {}
    for message in messages:
        if message.kind not in (CONTROL_CHANGE, NOTE_ON, NOTE_ON - 0x10) or not control_map.listens_to(message.port):
            continue
        if message.values() is None:
            state = replace(state, bad_messages=state.bad_messages + 1)
            continue
        listening = [control for control in control_map.control if control.listens_to(message)]
        if not listening:
            state = replace(state, unmapped=state.unmapped + 1)
        for control in listening:
            call, state = _take(control, message, state)
            if call is not None:
                key = control.name if control.kind in (*MOVING_KINDS, "select") else len(calls)
                calls.pop(key, None)  # the later one also takes its place in the order
                calls[key] = call
    return tuple(calls.values()), state


def _take(control: Control, message: MidiMessage, state: ControlsState) -> tuple[ControlCall | None, ControlsState]:
    """Return what `control` does on `message`."""
    if control.kind in ("toggle", "hold", "trigger"):
        return _button(control, message, state)
    number, value = message.values() or (0, 0)
    if control.kind == "relative":
        return _set(control, _nudged(control, value, state), message, state)
    travel = value / COARSE_STEPS
    if control.fine:
        upper = value if number == control.cc else state.coarse.get(control.name, 0)
        lower = 0 if number == control.cc else value
        travel = (upper * 128 + lower) / FINE_STEPS
        state = replace(state, coarse=MappingProxyType({**state.coarse, control.name: upper}))
    if control.kind == "select":
        chosen = control.values[min(int(travel * len(control.values)), len(control.values) - 1)]
        return _set(control, chosen, message, state)
    return _set(control, _fader(control, travel) if control.kind == "fader" else _knob(control, travel), message, state)


def _button(control: Control, message: MidiMessage, state: ControlsState) -> tuple[ControlCall | None, ControlsState]:
    """Return what pressing or letting go of a button does."""
    value = (message.values() or (0, 0))[1]
    down = value >= PRESSED if message.kind == CONTROL_CHANGE else message.kind == NOTE_ON and value > 0
    was_down = control.name in state.pressed
    names = state.pressed | {control.name} if down else state.pressed - {control.name}
    state = replace(state, pressed=names)
    if control.kind == "hold":
        return _set(control, int(down), message, state)
    if not down or was_down:
        return None, state
    if control.kind == "toggle":
        return _set(control, int(not state.values.get(control.address, 0)), message, state)
    return ControlCall(control.address, _arguments(control, None), message.arrived_seconds), state


def _set(
    control: Control, value: CallValue, message: MidiMessage, state: ControlsState
) -> tuple[ControlCall | None, ControlsState]:
    """Return the call that sets the first argument to `value`, or none where it has that value already."""
    argument = BY_ADDRESS[control.address].arguments[0]
    if argument.type_tag in "ih" and not isinstance(value, str):
        value = round(value)
    if state.values.get(control.address) == value:
        return None, state
    call = ControlCall(control.address, _arguments(control, value), message.arrived_seconds)
    return call, told(state, control.address, value)


def _arguments(control: Control, value: CallValue | None) -> dict[str, CallValue]:
    """Return all arguments of the call: the driven one, those of the map, and the contract's defaults."""
    arguments = BY_ADDRESS[control.address].arguments
    given: dict[str, CallValue] = {} if value is None else {arguments[0].name: value}
    given |= control.arguments
    for argument in arguments:
        default = argument.default
        if argument.name not in given and isinstance(default, (int, float, str)):
            given[argument.name] = default
    return {argument.name: given[argument.name] for argument in arguments}


def _knob(control: Control, travel: float) -> float:
    bottom, top = control.range
    return bottom + (top - bottom) * travel


def _fader(control: Control, travel: float) -> float:
    """Return decibels: silence at the bottom, the maximum at the top, cubic in between, never below the minimum."""
    bottom_db, top_db = control.range
    if travel <= 0.0:
        return float(BY_ADDRESS[control.address].arguments[0].minimum or bottom_db)
    return max(bottom_db, top_db + TAPER_DB * math.log10(travel))


def _nudged(control: Control, value: int, state: ControlsState) -> float:
    """Return where an endless knob's clicks lead from the present value, which is taken as the middle if not known."""
    bottom, top = sorted(control.range)
    clicks = {
        "twos": value - 128 if value > 63 else value,
        "offset": value - 64,
        "sign": 64 - value if value > 63 else value,
    }[control.encoding]
    present = state.values.get(control.address)
    start = float(present) if isinstance(present, (int, float)) else (bottom + top) / 2.0
    step_size = control.step or (top - bottom) / CLICKS_OF_TRAVEL
    return min(max(start + clicks * step_size, bottom), top)
