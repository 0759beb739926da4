"""The sound devices, what one of them loses while it plays silence, and its latency where sound comes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

from bridge.clock import Clock, SystemClock
from bridge.doctor.finding import Figures, Finding, Request, Verdict
from bridge.sound.device import DeviceOutput
from bridge.sound.devices import SoundDevice, find_device
from bridge.sound.input import DeviceInput
from bridge.sound.measure import LatencyMeasurement, UnderrunMeasurement, measure_latency, measure_underruns
from bridge.sound.null import NullOutput
from bridge.sound.output import SoundError, SoundFacts, SoundOut
from bridge.sound.portaudio import list_devices

NO_DEVICE: Final = "null"
LOOPBACK_WORDS: Final = ("loopback", "loop-back", "monitor of", ".monitor")
LONG_LATENCY_SECONDS: Final = 0.15
_PLAYING: Final = "sound output"
_LATENCY: Final = "output latency"
_NO_DEVICE: Final = (
    "plug a sound card in; without one Backline keeps time and writes to a file (backline serve --output)"
)


def check(request: Request) -> tuple[Finding, ...]:
    """Look at the devices and play on one."""
    clock = SystemClock()
    if request.device == NO_DEVICE:
        return (Finding("sound devices", Verdict.OK, "none is wanted"), _play_nowhere(clock, request.seconds))
    try:
        devices = list_devices()
        device = find_device(request.device, "output", devices) if devices or request.device else None
    except SoundError as error:
        verdict = Verdict.BAD if request.device else Verdict.WARNING
        return (Finding("sound devices", verdict, str(error), _NO_DEVICE), _play_nowhere(clock, request.seconds))
    found = judge_devices(devices, device)
    if device is None:
        return (found, _play_nowhere(clock, request.seconds))
    return (found, *_play(clock, request, device, loopback_among(devices, request.loopback)))


def judge_devices(devices: Sequence[SoundDevice], chosen: SoundDevice | None) -> Finding:
    """Judge what there is to play on.

    Args:
        devices: all there are.
        chosen: the one to play on.
    """
    figures: Figures = {
        "devices": [asdict(device) for device in devices],
        "output": chosen.name if chosen is not None else None,
    }
    if chosen is None:
        return Finding("sound devices", Verdict.WARNING, "there is none", _NO_DEVICE, figures)
    outputs = sum(device.outputs > 0 for device in devices)
    words = f"{outputs} of {len(devices)} can play; {chosen.name} ({chosen.host_api}, {chosen.rate_hz} Hz) is used"
    return Finding("sound devices", Verdict.OK, words, figures=figures)


def loopback_among(devices: Sequence[SoundDevice], wanted: str | None) -> str | None:
    """Return the input on which the output may come back: the one that is named, else one whose name says so."""
    if wanted is not None:
        return wanted
    names = [device.name for device in devices if device.inputs > 0]
    return next((name for name in names if any(word in name.casefold() for word in LOOPBACK_WORDS)), None)


def judge_playing(facts: SoundFacts, lost: UnderrunMeasurement) -> Finding:
    """Judge what an output lost while it played silence."""
    terms = asdict(facts.latency)
    figures: Figures = {
        "name": facts.name,
        "state": facts.state,
        "rate_hz": facts.rate_hz,
        "block_samples": facts.block_samples,
        "seconds": lost.seconds,
        "underruns": lost.underruns,
        "silent_samples": lost.silent_samples,
        "sounding_seconds": facts.latency.total_seconds,
        "latency": terms,
        "clock_ratio": facts.clock_ratio,
    }
    where = "the clock, for want of a device," if facts.state == "null" else facts.name
    words = (
        f"{where} took {lost.seconds:g} s of silence with {lost.underruns} underruns;"
        f" latency {1e3 * facts.latency.total_seconds:.0f} ms"
    )
    if facts.state == "lost":
        remedy = "check the device and its cable, and that nothing else takes it"
        return Finding(_PLAYING, Verdict.BAD, f"{facts.name} went away while it played", remedy, figures)
    if lost.underruns:
        remedy = (
            "close what else runs, allow precedence (see there), or give it room: backline serve --block 512 --ring 120"
        )
        return Finding(_PLAYING, Verdict.BAD, words, remedy, figures)
    if facts.latency.total_seconds > LONG_LATENCY_SECONDS:
        remedy = "name the card itself in place of a sound server (--device), or give it smaller buffers"
        return Finding(_PLAYING, Verdict.WARNING, words, remedy, figures)
    return Finding(_PLAYING, Verdict.OK, words, figures=figures)


def judge_latency(measured: LatencyMeasurement) -> Finding:
    """Judge whether the output's latency is what it says."""
    figures: Figures = {
        "reported_seconds": measured.reported_seconds,
        "measured_seconds": measured.measured_seconds,
        "largest_error_seconds": measured.largest_error_seconds,
        "impulses": len(measured.impulses),
        "missed": measured.missed,
        "disturbed": measured.disturbed,
        "block_seconds": measured.block_samples / measured.rate_hz,
    }
    words = (
        f"reported {1e3 * measured.reported_seconds:.1f} ms, measured {1e3 * measured.measured_seconds:.1f} ms, "
        f"off by at most {1e3 * measured.largest_error_seconds:.1f} ms"
    )
    words += f", {measured.missed} impulses not heard" if measured.missed else ""
    if measured.equal_to_the_block:
        return Finding(_LATENCY, Verdict.OK, words, figures=figures)
    off_ms = 1e3 * (measured.measured_seconds - measured.reported_seconds)
    remedy = (
        "the driver's time stamps are wrong by that much, or the input adds latency of its own: "
        f"backline serve --offset {-off_ms:.0f} makes up for it, or use another driver"
    )
    return Finding(_LATENCY, Verdict.WARNING, words, remedy, figures)


def _play_nowhere(clock: Clock, seconds: float) -> Finding:
    output = NullOutput(clock)
    output.open()
    try:
        return _listen(output, clock, seconds)
    finally:
        output.close()


def _play(clock: Clock, request: Request, device: SoundDevice, loopback: str | None) -> list[Finding]:
    """Play on `device`, and measure its latency on `loopback` if there is one."""
    output = DeviceOutput(clock, device.name)
    try:
        output.open()
        found = [_listen(output, clock, request.seconds)]
        if loopback is not None:
            found.append(_measure(output, clock, loopback, request.loopback is not None))
    except SoundError as error:
        remedy = "close what else uses the device, or name another one (--device)"
        return [Finding(_PLAYING, Verdict.BAD, str(error), remedy)]
    finally:
        output.close()
    if loopback is None:
        words = "not measured: no input is known on which the output comes back"
        remedy = "to measure it, connect the output to an input with a cable and name that (--loopback)"
        found.append(Finding(_LATENCY, Verdict.OK, words, remedy))
    return found


def _listen(output: SoundOut, clock: Clock, seconds: float) -> Finding:
    lost = measure_underruns(output, clock, seconds)
    return judge_playing(output.facts(), lost)


def _measure(output: SoundOut, clock: Clock, loopback: str, named: bool) -> Finding:
    """Measure the latency with impulses; that none comes back is bad only where the user named the input."""
    recorded = DeviceInput(clock, loopback)
    try:
        recorded.open()
        return judge_latency(measure_latency(output, recorded, clock))
    except SoundError as error:
        verdict = Verdict.BAD if named else Verdict.OK
        return Finding(_LATENCY, verdict, f"not measured: {error}", "name the input with --loopback")
    finally:
        recorded.close()
