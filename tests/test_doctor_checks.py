"""What the doctor makes of what it measured: each judgement on facts given, each look at things made for the test."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.bounce import factory_bundle
from bridge.clock import ManualClock
from bridge.doctor import machine, model, network, sound, speed
from bridge.doctor.finding import Request, Verdict
from bridge.live.settings import LiveSettings, Speed, Way, settings_for, ways_of
from bridge.sound.devices import SoundDevice
from bridge.sound.measure import ImpulseMeasurement, LatencyMeasurement, UnderrunMeasurement
from bridge.sound.output import LatencyTerms, SoundFacts
from engine.manifest import SamplingFacts, read_manifest

WAYS = ways_of(SamplingFacts())
FACTS = SoundFacts("Card", 48_000, 256, "open", 0, 0, 0.05, LatencyTerms(0.05, 0.0, 0.006, 0.02, 0.076), 1.0)
CARD = SoundDevice(0, "Card", "ALSA", 2, 2, 48_000, False, True)
MONITOR = SoundDevice(1, "Monitor of Card", "ALSA", 2, 0, 48_000, False, False)


def test_an_old_python_and_missing_packages_are_told_with_the_remedy() -> None:
    assert machine.judge_python((3, 11, 7), (), ()).verdict is Verdict.OK
    assert machine.judge_python((3, 10, 1), (), ()).verdict is Verdict.BAD
    lacking = machine.judge_python((3, 12, 0), ("rtmixer",), ("aalink",))
    assert (lacking.verdict, lacking.remedy) == (Verdict.BAD, "pip install rtmixer, aalink")
    assert machine.judge_python((3, 12, 0), (), ("aalink",)).verdict is Verdict.WARNING
    assert machine.missing({"json": "json", "no_such_module_here": "nothing"}) == ("nothing",)


@pytest.mark.parametrize(
    ("cores", "load", "governor", "memory_bytes", "advice"),
    [
        (4, 0.3, "performance", 8e9, ""),
        (4, None, "", None, ""),
        (1, 0.1, "", 8e9, "give Backline two cores"),
        (4, 2.1, "", 8e9, "close what else runs"),
        (4, 0.1, "", 5e8, "free a gigabyte"),
    ],
)
def test_processors_load_and_memory(
    cores: int, load: float | None, governor: str, memory_bytes: float | None, advice: str
) -> None:
    memory = None if memory_bytes is None else int(memory_bytes)
    found = machine.judge_processors(cores, 8, load, governor, memory)
    assert found.verdict is (Verdict.WARNING if advice else Verdict.OK)
    assert found.remedy.startswith(advice)


def test_a_containers_quota_limits_the_cores(tmp_path: Path) -> None:
    quota = tmp_path / "cpu.max"
    free = machine.usable_cores(tmp_path / "none")
    quota.write_text("100000 100000\n")
    assert machine.usable_cores(quota) == 1
    quota.write_text("50000 100000\n")
    assert machine.usable_cores(quota) == 1
    quota.write_text("max 100000\n")
    assert machine.usable_cores(quota) == free


def test_free_memory_is_read_in_bytes(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  4000 kB\nMemAvailable:  2000 kB\n")
    assert machine.available_memory_bytes(meminfo) == 2_048_000
    assert machine.available_memory_bytes(tmp_path / "none") is None


@pytest.mark.parametrize(
    ("allowed", "verdict"),
    [
        (machine.Precedence("Linux", None, -20, None), Verdict.OK),
        (machine.Precedence("Linux", 95, -10, None), Verdict.OK),
        (machine.Precedence("Linux", 95, 0, None), Verdict.WARNING),
        (machine.Precedence("Linux", 0, -20, 65_536), Verdict.WARNING),
        (machine.Precedence("Darwin", 0, 0, None), Verdict.OK),
    ],
)
def test_precedence_is_wanted_for_sound(allowed: machine.Precedence, verdict: Verdict) -> None:
    found = machine.judge_precedence(allowed)
    assert found.verdict is verdict
    assert ("@audio - rtprio 95" in found.remedy) == (verdict is Verdict.WARNING)


def test_threads_that_wake_up_late_are_told_against_the_ring() -> None:
    assert machine.oversleeps(ManualClock(), 5) == pytest.approx([0.0] * 5, abs=1e-12)
    assert machine.judge_naps([0.0001, 0.009]).verdict is Verdict.OK
    assert machine.judge_naps([0.0001, 0.02]).verdict is Verdict.WARNING
    late = machine.judge_naps([0.0001, 0.0002, 0.041])
    assert (late.verdict, late.words) == (
        Verdict.BAD,
        "threads wake up 0.2 ms late, at most 41.0 ms; the ring holds 50 ms",
    )


@pytest.fixture
def taken() -> Iterator[int]:
    """Yield a port that UDP and TCP sockets hold."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
    ):
        tcp.bind((network.HOST, 0))
        tcp.listen()
        port: int = tcp.getsockname()[1]
        udp.bind((network.HOST, port))
        yield port


def test_a_port_that_is_taken_is_told(taken: int) -> None:
    over_udp, over_tcp = network.check_udp(taken), network.check_tcp(taken)
    assert (over_udp.verdict, over_tcp.verdict) == (Verdict.BAD, Verdict.WARNING)
    assert over_udp.words == f"port {taken} of 127.0.0.1 cannot be had: another program holds it"


def test_a_port_that_was_free_still_is_after_looking() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((network.HOST, 0))
        port: int = probe.getsockname()[1]
    for _ in range(2):
        assert network.check_udp(port).verdict is Verdict.OK


def test_a_small_receive_buffer_is_told() -> None:
    assert network.judge_buffer(network.buffer_bytes(4_096)).verdict is Verdict.WARNING
    assert network.judge_buffer(425_984).verdict is Verdict.OK


def test_a_damaged_bundle_is_told_with_its_error(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(factory_bundle(), bundle)
    graph = bundle / "encoder.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"!")
    damaged, _ = model.check(Request(bundle))
    assert (damaged.name, damaged.verdict) == ("bundle", Verdict.BAD)
    assert "encoder.onnx" in damaged.words


def test_a_bundle_that_does_not_stream_or_hear_chords_is_told() -> None:
    folder = factory_bundle()
    manifest = read_manifest(folder)
    assert model.judge_bundle(folder, manifest).verdict is Verdict.OK
    assert model.judge_bundle(folder, replace(manifest, harmony=None)).verdict is Verdict.WARNING
    whole = replace(manifest, codec=replace(manifest.codec, kind="oobleck"))
    assert model.judge_bundle(folder, whole).verdict is Verdict.BAD


def test_a_provider_that_is_built_in_and_not_there_is_no_fault() -> None:
    found = model.judge_providers(("cpu", "cuda"), {"cpu": "", "cuda": "no such device"})
    assert (found.verdict, found.figures["running_providers"]) == (Verdict.OK, ["cpu"])
    assert model.judge_providers(("cpu",), {"cpu": "broken"}).verdict is Verdict.BAD


def test_no_device_is_a_warning() -> None:
    assert sound.judge_devices((), None).verdict is Verdict.WARNING
    found = sound.judge_devices((CARD, MONITOR), CARD)
    assert (found.verdict, found.words) == (Verdict.OK, "1 of 2 can play; Card (ALSA, 48000 Hz) is used")


def test_a_loopback_is_found_by_its_name_unless_one_is_named() -> None:
    assert sound.loopback_among((CARD, MONITOR), None) == "Monitor of Card"
    assert sound.loopback_among((CARD, MONITOR), "Card") == "Card"
    assert sound.loopback_among((CARD, replace(MONITOR, inputs=0, outputs=2)), None) is None


@pytest.mark.parametrize(
    ("facts", "underruns", "verdict"),
    [
        (FACTS, 0, Verdict.OK),
        (FACTS, 1, Verdict.BAD),
        (replace(FACTS, state="lost"), 0, Verdict.BAD),
        (replace(FACTS, latency=LatencyTerms(0.05, 0.0, 0.006, 0.2, 0.256)), 0, Verdict.WARNING),
        (replace(FACTS, state="null"), 0, Verdict.OK),
    ],
)
def test_underruns_and_long_latency_are_told(facts: SoundFacts, underruns: int, verdict: Verdict) -> None:
    found = sound.judge_playing(facts, UnderrunMeasurement(256, 5.0, underruns, 441 * underruns))
    assert found.verdict is verdict
    assert bool(found.remedy) == (verdict is not Verdict.OK)
    assert found.figures["sounding_seconds"] == facts.latency.total_seconds


def test_a_latency_that_is_not_as_reported_is_told() -> None:
    good = LatencyMeasurement((ImpulseMeasurement(0.080, 0.0815),), 0, 0, 256, 48_000)
    assert sound.judge_latency(good).verdict is Verdict.OK
    found = sound.judge_latency(LatencyMeasurement((ImpulseMeasurement(0.080, 0.100),), 0, 0, 256, 48_000))
    assert found.verdict is Verdict.WARNING
    assert found.words == "reported 80.0 ms, measured 100.0 ms, off by at most 20.0 ms"
    assert sound.judge_latency(replace(good, missed=1)).verdict is Verdict.WARNING


def options(*p95_seconds: float, threads: int = 1) -> list[LiveSettings]:
    return [
        settings_for(Speed(way, threads, seconds, seconds), 0.08)
        for way, seconds in zip(WAYS, p95_seconds, strict=False)
    ]


@pytest.mark.parametrize(
    ("p95_seconds", "verdict", "words"),
    [
        ((0.09, 0.05), Verdict.OK, f"safe: {WAYS[0]}, 1 thread, chunk 4 frames (186 ms)"),
        ((0.50, 0.05), Verdict.OK, f"safe: {WAYS[1]}"),
        ((0.50, 0.40), Verdict.WARNING, f"safe: {WAYS[1]}, 1 thread, chunk 20"),
        ((9.00, 8.00), Verdict.BAD, "no way can be kept up; the nearest is 2 steps"),
    ],
)
def test_what_is_safe_follows_from_what_was_measured(
    p95_seconds: tuple[float, ...], verdict: Verdict, words: str
) -> None:
    found = speed.judge(options(*p95_seconds), "cpu", 2, WAYS)
    assert found.verdict is verdict
    assert found.words.startswith(words)
    assert (found.figures["safe"] is None) == (verdict is Verdict.BAD)
    assert (found.remedy == "") == (verdict is Verdict.OK)


def test_what_takes_all_cores_is_not_called_safe_but_told() -> None:
    measured = [*options(0.4, 0.4), *options(0.05, threads=2)]
    found = speed.judge(measured, "cpu", 2, WAYS)
    assert found.verdict is Verdict.WARNING
    assert found.words.startswith(f"safe: {WAYS[0]}, 1 thread")
    assert f"--threads 2 may do: {WAYS[0]}" in found.remedy
    assert speed.judge(measured, "cpu", 4, WAYS).verdict is Verdict.OK
    assert speed.judge(measured, "cuda", 2, WAYS).verdict is Verdict.OK


def test_ways_for_which_there_was_no_time_are_told() -> None:
    assert "(2 of 3 ways were not measured: time was up)" in speed.judge(options(0.1), "cpu", 2, WAYS).words


@pytest.mark.parametrize(
    ("cores", "threads"),
    [(1, (1,)), (2, (1, 2)), (3, (1, 2, 3)), (4, (1, 3, 4)), (8, (1, 4, 7)), (16, (1, 4, 8)), (64, (1, 4, 8))],
)
def test_threads_leave_the_sound_a_core_where_there_are_enough(cores: int, threads: tuple[int, ...]) -> None:
    assert speed.thread_counts(cores) == threads


def test_measuring_ends_when_its_time_is_up_but_measures_one(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock()

    def slow(_models: object, ways: Sequence[Way], *_: object) -> Iterator[LiveSettings]:
        clock.advance(10.0)
        yield settings_for(Speed(ways[0], 1, 0.1, 0.1), 0.08)

    monkeypatch.setattr(speed, "measured_options", slow)
    models: list[Any] = [(1, None), (2, None)]

    def measured(budget_seconds: float) -> list[LiveSettings]:
        return list(speed.measured_within(models, WAYS, clock, 0.08, budget_seconds))

    assert [len(measured(budget)) for budget in (1.0, 25.0, 1000.0)] == [2, 4, 2 * len(WAYS)]
