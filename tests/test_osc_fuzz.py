"""The fuzzer itself: what it sends, and that it finds what it is for."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import pytest

from benchmarks.osc_fuzz import ALLOWED_GROWTH_BYTES, Result, datagrams, faults, fuzz, mutated, valid_datagrams
from bridge.clock import SystemClock
from bridge.osc.service import OscService
from bridge.osc.wire import decode
from tests.osc_support import Desk, Recorder

GOOD = Result(sent=100, pings=4, pongs=4, worst_ping_seconds=0.001, rss_before_bytes=10, rss_after_bytes=10)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def service(recorder: Recorder) -> Iterator[OscService]:
    made = OscService(SystemClock(), recorder.handlers(), port=0, tcp_port=0)
    made.start()
    yield made
    made.stop()


def test_valid_datagrams_are_valid_and_mutated_ones_differ() -> None:
    chance = random.Random(1)
    desk = Desk()
    for datagram in valid_datagrams():
        assert decode(datagram)
        desk.receive(datagram)
        assert any(mutated(datagram, chance) != datagram for _ in range(5))
    assert desk.stats().malformed + desk.stats().oversized == 0
    assert desk.stats().handled > desk.stats().errors


def test_the_core_survives_thousands_of_them() -> None:
    desk = Desk()
    for datagram in islice(datagrams(random.Random(2)), 1_500):
        desk.receive(datagram)
        desk.clock.advance(0.02)
        desk.core.run_due(desk.clock.now())
        desk.step()
    stats = desk.stats()
    assert stats.received == 1_500
    assert min(stats.handled, stats.errors, stats.malformed, stats.oversized, stats.foreign) > 0
    assert desk.core.dispatcher.last_failure == ""


def test_a_second_of_fuzzing_a_running_service(service: OscService) -> None:
    result = fuzz(service, seconds=1.0, seed=3)
    assert result.sent > 50
    assert result.pings == result.pongs > 1
    found = faults(service, replace(result, rss_after_bytes=0))
    for expected in ("never came up", "counted lost"):  # in so short a time
        found = [fault for fault in found if expected not in fault]
    assert found == []


def test_growth_silence_and_failures_are_found(service: OscService) -> None:
    grown = replace(GOOD, rss_after_bytes=GOOD.rss_before_bytes + ALLOWED_GROWTH_BYTES + 1)
    assert any("memory grew by 8.0 MiB" in fault for fault in faults(service, grown))
    assert any("1 of 4 pings" in fault for fault in faults(service, replace(GOOD, pongs=3)))
    assert any("never came up" in fault for fault in faults(service, GOOD))
