"""Python and its packages, processors and load, precedence over other programs, and how exactly threads wake up."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

from bridge.clock import Clock, SystemClock
from bridge.doctor.finding import Figures, Finding, Request, Verdict
from bridge.sound.output import DEVICE_LATENCY_SECONDS, MOST_DEVICE_LATENCY_SECONDS, RING_SECONDS

LEAST_PYTHON: Final = (3, 11)
LEAST_MEMORY_BYTES: Final = 1_000_000_000
BUSY_SHARE: Final = 0.5
NEEDED: Final = {"sounddevice": "sounddevice", "rtmixer": "rtmixer", "pythonosc": "python-osc", "soxr": "soxr"}
OPTIONAL: Final = {"aalink": "aalink", "mido": "mido", "rtmidi": "python-rtmidi"}
WANTED_NICENESS: Final = -10
_NAPS: Final = 120
_NAP_SECONDS: Final = 0.004
_LATE_SECONDS: Final = 0.01


@dataclass(frozen=True, slots=True)
class Precedence:
    """What the system lets this user take.

    Attributes:
        system: as `platform.system()` names it.
        realtime: highest real-time priority; None for no limit.
        niceness: lowest niceness.
        locked_bytes: memory that may be locked; None for no limit.
    """

    system: str
    realtime: int | None
    niceness: int
    locked_bytes: int | None


def check(_request: Request) -> tuple[Finding, ...]:
    """Look at the machine."""
    cores = usable_cores()
    return (
        judge_python(sys.version_info[:3], missing(NEEDED), missing(OPTIONAL)),
        judge_processors(cores, os.cpu_count() or 1, load(), governor(), available_memory_bytes()),
        judge_precedence(precedence()),
        judge_naps(oversleeps(SystemClock())),
    )


def missing(modules: dict[str, str]) -> tuple[str, ...]:
    """Return which of the packages, given by the modules they hold, are not installed."""
    return tuple(package for module, package in modules.items() if importlib.util.find_spec(module) is None)


def judge_python(version: tuple[int, ...], lacking: tuple[str, ...], optional: tuple[str, ...]) -> Finding:
    """Judge Python and the packages around it."""
    words = f"Python {'.'.join(map(str, version))} on {platform.system()} {platform.machine()}"
    figures: Figures = {
        "python": ".".join(map(str, version)),
        "missing": [*lacking, *optional],
        "packages": _versions(),
    }
    if version[:2] < LEAST_PYTHON:
        remedy = f"install Python {'.'.join(map(str, LEAST_PYTHON))} or later"
        return Finding("python", Verdict.BAD, f"{words} is too old", remedy, figures)
    if lacking or optional:
        gone = ", ".join((*lacking, *optional))
        verdict = Verdict.BAD if lacking else Verdict.WARNING
        return Finding("python", verdict, f"{words}; not installed: {gone}", f"pip install {gone}", figures)
    return Finding("python", Verdict.OK, words, figures=figures)


def _versions() -> dict[str, str]:
    names = ("backline", "numpy", "onnxruntime", "onnxruntime-gpu", *NEEDED.values(), *OPTIONAL.values())
    found: dict[str, str] = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def usable_cores(quota_file: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Return how many cores this process may use at once, a container's quota considered."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    try:
        quota, period = quota_file.read_text(encoding="ascii").split()
        return cores if quota == "max" else max(min(cores, int(quota) // int(period)), 1)
    except (OSError, ValueError):  # no such limit on this system
        return cores


def load() -> float | None:
    """Return how many programs wanted to run within the last minute; None where nobody knows."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def governor(file: Path = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")) -> str:
    """Return what governs the processors' frequency; empty where nobody knows."""
    try:
        return file.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def available_memory_bytes(file: Path = Path("/proc/meminfo")) -> int | None:
    """Return how much memory is free for programs; None where nobody knows."""
    try:
        lines = dict(line.split(":", 1) for line in file.read_text(encoding="ascii").splitlines() if ":" in line)
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None


def judge_processors(
    cores: int, installed: int, load_now: float | None, governed: str, memory_bytes: int | None
) -> Finding:
    """Judge cores, load, frequency and memory."""
    words = f"{cores} of {installed} cores usable"
    words += "" if load_now is None else f", {load_now:.1f} of them busy within the last minute"
    words += "" if memory_bytes is None else f", {memory_bytes / 1e9:.1f} GB of memory free"
    figures: Figures = {
        "usable_cores": cores,
        "installed_cores": installed,
        "load": load_now,
        "governor": governed,
        "available_memory_bytes": memory_bytes,
    }
    remedies = []
    if cores < 2:
        remedies.append("give Backline two cores: with one, sound and generation wait for each other")
    if load_now is not None and load_now > BUSY_SHARE * cores:
        remedies.append("close what else runs; figures measured now are worse than they could be")
    if governed == "powersave" and not Path("/sys/devices/system/cpu/intel_pstate").exists():
        remedies.append("set the processors' governor to performance (cpupower frequency-set -g performance)")
    if memory_bytes is not None and memory_bytes < LEAST_MEMORY_BYTES:
        remedies.append("free a gigabyte of memory")
    return Finding("processors", Verdict.WARNING if remedies else Verdict.OK, words, "; ".join(remedies), figures)


def precedence() -> Precedence:
    """Return what the system lets this user take."""
    system = platform.system()
    if system != "Linux":
        return Precedence(system, None, -20, None)
    import resource  # only Unix has it

    def of(limit: int) -> int | None:
        soft = resource.getrlimit(limit)[0]
        return None if soft == resource.RLIM_INFINITY else soft

    if os.geteuid() == 0 and not _limited_root():
        return Precedence(system, None, -20, None)
    nice = of(resource.RLIMIT_NICE)
    return Precedence(
        system, of(resource.RLIMIT_RTPRIO), -20 if nice is None else min(20 - nice, 0), of(resource.RLIMIT_MEMLOCK)
    )


def _limited_root() -> bool:
    """Return whether root lacks its right to precedence, as in most containers."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        effective = next(int(line.split()[1], 16) for line in lines if line.startswith("CapEff"))
    except (OSError, StopIteration, ValueError):
        return False
    return not effective >> 23 & 1  # CAP_SYS_NICE


def judge_precedence(allowed: Precedence) -> Finding:
    """Judge whether the threads of sound may go before others."""
    figures: Figures = {
        "system": allowed.system,
        "realtime_priority": allowed.realtime,
        "niceness": allowed.niceness,
        "locked_bytes": allowed.locked_bytes,
    }
    if allowed.system != "Linux":
        return Finding("precedence", Verdict.OK, f"{allowed.system} gives it to threads of sound", figures=figures)
    if allowed.realtime is None:
        return Finding("precedence", Verdict.OK, "nothing holds threads of sound back", figures=figures)
    words = f"real-time priority up to {allowed.realtime}, niceness down to {allowed.niceness}"
    if allowed.realtime > 0 and allowed.niceness <= WANTED_NICENESS:
        return Finding("precedence", Verdict.OK, words, figures=figures)
    remedy = (
        "other programs may hold up the sound: in /etc/security/limits.d/audio.conf write '@audio - rtprio 95' and "
        f"'@audio - nice {WANTED_NICENESS}', join the group audio, and log in anew"
    )
    return Finding("precedence", Verdict.WARNING, words, remedy, figures)


def oversleeps(clock: Clock, naps: int = _NAPS) -> list[float]:
    """Return by how many seconds a thread that sleeps as the player does woke up late, each time."""
    late = []
    for _ in range(naps):
        start = clock.now()
        clock.sleep(_NAP_SECONDS)
        late.append(clock.now() - start - _NAP_SECONDS)
    return late


def judge_naps(late_seconds: list[float]) -> Finding:
    """Judge whether the player's thread wakes up in time to keep the ring filled."""
    most, middle = max(late_seconds), sorted(late_seconds)[len(late_seconds) // 2]
    figures: Figures = {"median_seconds": middle, "most_seconds": most, "naps": len(late_seconds)}
    words = f"threads wake up {1e3 * middle:.1f} ms late, at most {1e3 * most:.1f} ms"
    held_ms = 1e3 * min(max(DEVICE_LATENCY_SECONDS, 4 * most), MOST_DEVICE_LATENCY_SECONDS)
    remedy = (
        "close what else runs, plug in the power supply, allow precedence (see there); where it stays so, "
        f"have the driver hold more: backline serve --device-latency {held_ms:.0f}"
    )
    if most > RING_SECONDS / 2:
        return Finding("timing", Verdict.BAD, f"{words}; the ring holds {1e3 * RING_SECONDS:.0f} ms", remedy, figures)
    if most > _LATE_SECONDS:
        return Finding("timing", Verdict.WARNING, words, remedy, figures)
    return Finding("timing", Verdict.OK, words, figures=figures)
