"""The clocks: real time passes, manual time passes only when told to."""

from __future__ import annotations

import threading

import pytest

from bridge.clock import Clock, ManualClock, SystemClock


@pytest.mark.parametrize("clock", [SystemClock(), ManualClock(5.0)])
def test_sleep_takes_at_least_its_seconds_on_either_clock(clock: Clock) -> None:
    before = clock.now()
    clock.sleep(0.01)
    assert clock.now() - before >= 0.0099
    middle = clock.now()
    clock.sleep(-1.0)
    assert middle <= clock.now() < middle + 0.5


@pytest.mark.parametrize("clock", [SystemClock(), ManualClock()])
def test_wait_returns_at_once_for_a_set_event_and_false_after_the_timeout(clock: Clock) -> None:
    event = threading.Event()
    before = clock.now()
    assert not clock.wait(event, 0.01)
    assert clock.now() - before >= 0.0099
    assert not clock.wait(event, -1.0)
    event.set()
    middle = clock.now()
    assert clock.wait(event, 60.0)
    assert clock.now() - middle < 5.0


def test_manual_time_stands_until_it_is_moved_and_never_goes_back() -> None:
    clock = ManualClock(10.0)
    assert clock.now() == 10.0
    clock.advance(0.5)
    clock.advance_to(12.25)
    assert clock.now() == 12.25
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance_to(12.0)
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(-0.1)
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(float("nan"))
    assert clock.now() == 12.25


def test_another_thread_sleeps_until_the_driver_has_moved_the_time() -> None:
    clock = ManualClock()
    woken = threading.Event()

    def sleeper() -> None:
        clock.sleep(1.0)
        woken.set()

    thread = threading.Thread(target=sleeper, daemon=True)
    thread.start()
    assert not woken.wait(0.02)
    while not woken.wait(0.001):
        clock.advance(0.1)
        assert clock.now() < 1000.0
    thread.join(1.0)
    assert not thread.is_alive()
    assert clock.now() >= 1.0


def test_another_thread_waits_for_the_event_without_moving_the_time() -> None:
    clock = ManualClock()
    event = threading.Event()
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(clock.wait(event, 100.0)), daemon=True)
    thread.start()
    event.set()
    thread.join(1.0)
    assert answers == [True]
    assert clock.now() == 0.0
