"""The sound devices that `bridge.sound.portaudio.list_devices` finds: chosen by name, and listed in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from bridge.sound.output import SoundError

Direction: TypeAlias = Literal["input", "output"]


@dataclass(frozen=True, slots=True)
class SoundDevice:
    """A device as PortAudio lists it.

    Attributes:
        index: PortAudio's number, valid until the devices are listed anew.
        name: its name.
        host_api: the system's sound interface, such as ALSA, Core Audio or WASAPI.
        inputs: input channels.
        outputs: output channels.
        rate_hz: its own sample rate.
        default_input: whether the system records from it unless told otherwise.
        default_output: whether the system plays on it unless told otherwise.
    """

    index: int
    name: str
    host_api: str
    inputs: int
    outputs: int
    rate_hz: int
    default_input: bool
    default_output: bool


def find_device(name: str | None, direction: Direction, devices: tuple[SoundDevice, ...]) -> SoundDevice:
    """Return the device of that name, or the only one whose name holds it, or the system's default for None.

    Raises:
        SoundError: there is none, or several; the message lists those there are.
    """
    fitting = [device for device in devices if (device.outputs if direction == "output" else device.inputs) > 0]
    listed = ", ".join(repr(device.name) for device in fitting) or "none at all"
    if name is None:
        defaults = [d for d in fitting if (d.default_output if direction == "output" else d.default_input)]
        found = defaults[:1] or fitting[:1]
        if not found:
            raise SoundError(f"there is no sound device for {direction}; plug one in or run without a sound device")
        return found[0]
    exact = [device for device in fitting if device.name == name]
    part = exact or [device for device in fitting if name.casefold() in device.name.casefold()]
    if not part:
        raise SoundError(f"no sound device for {direction} is called {name!r}; there are: {listed}")
    if len(part) > 1 and not exact:
        raise SoundError(
            f"{name!r} fits several sound devices: {', '.join(repr(d.name) for d in part)}; give the whole name"
        )
    return part[0]


def device_lines(devices: tuple[SoundDevice, ...]) -> tuple[str, ...]:
    """Return a line for each device, `*` where it is the system's default; one line that says so if there is none."""
    if not devices:
        return ("no sound devices; Backline keeps time without one and can write what would have sounded to a file",)
    width = max(len(device.name) for device in devices)
    return tuple(_line(device, width) for device in devices)


def _line(device: SoundDevice, width: int) -> str:
    ways = [
        f"{channels} {way}{'*' if default else ''}"
        for channels, way, default in (
            (device.outputs, "out", device.default_output),
            (device.inputs, "in", device.default_input),
        )
        if channels
    ]
    return f"{device.name:<{width}}  {device.host_api}, {', '.join(ways) or 'no channels'}, {device.rate_hz} Hz"
