"""The output without a device keeps time to the sample."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.clock import ManualClock
from bridge.sound.event_queue import MOST_EVENTS, EventQueue
from bridge.sound.null import NullOutput
from bridge.sound.output import Audio, SoundEvent

RATE_HZ = 44_100
RING = round(0.06 * RATE_HZ)


def silence(samples: int) -> Audio:
    return np.zeros((2, samples), np.float32)


def opened(clock: ManualClock, ring_seconds: float = 0.06) -> NullOutput:
    output = NullOutput(clock, ring_seconds=ring_seconds)
    output.open()
    return output


def test_an_hour_of_blocks_is_heard_on_time_to_the_sample() -> None:
    clock = ManualClock(start_seconds=1234.567)
    output = opened(clock)
    output.write(silence(RING))
    step_samples, written = 1_000, RING
    for step in range(1, RATE_HZ * 3600 // (step_samples * 100)):
        clock.advance_to(1234.567 + step * step_samples / RATE_HZ)
        assert output.writable_samples() == step_samples
        assert output.next_sample_seconds() == 1234.567 + written / RATE_HZ
        output.write(silence(step_samples))
        written += step_samples
        assert output.write_position() == written
        assert output.heard_position() == step * step_samples
    assert output.facts().underruns == 0


def test_what_was_written_first_is_heard_at_once() -> None:
    clock = ManualClock(10.0)
    output = opened(clock)
    clock.advance(100 / RATE_HZ)
    assert output.next_sample_seconds() == pytest.approx(clock.now(), abs=1e-9)
    output.write(silence(64))
    assert output.next_sample_seconds() == pytest.approx(10.0 + 164 / RATE_HZ, abs=1e-12)
    assert (output.write_position(), output.heard_position()) == (64, 0)


def test_a_ring_that_runs_dry_is_one_underrun_and_the_grid_holds() -> None:
    clock = ManualClock()
    output = opened(clock)
    output.write(silence(441))
    clock.advance_to(441 / RATE_HZ)
    assert output.facts().underruns == 0, "the last sample was just taken, none was missed"
    clock.advance_to(1000.5 / RATE_HZ)
    assert output.facts().underruns == 1
    clock.advance_to(2000.5 / RATE_HZ)
    assert output.facts().underruns == 1, "one gap is one underrun"
    assert output.next_sample_seconds() == 2001 / RATE_HZ
    output.write(silence(10))
    facts = output.facts()
    assert (facts.underruns, facts.silent_samples) == (1, 2001 - 441)
    assert output.write_position() == 2011
    assert output.next_sample_seconds() == 2011 / RATE_HZ


def test_latency_is_what_waits_in_the_ring() -> None:
    clock = ManualClock(5.0)
    output = opened(clock)
    output.write(silence(2205))
    latency = output.facts().latency
    assert latency.total_seconds == latency.ring_seconds == 2205 / RATE_HZ
    assert output.next_sample_seconds() - clock.now() == pytest.approx(latency.total_seconds, abs=1e-12)
    assert output.facts().state == "null"


def test_more_than_fits_is_refused_with_the_room_there_is() -> None:
    output = opened(ManualClock())
    with pytest.raises(ValueError, match=rf"{RING + 1} samples and room for {RING}; write no more"):
        output.write(silence(RING + 1))
    with pytest.raises(ValueError, match=r"float64 of shape \(2, 4\); expected float32"):
        output.write(np.zeros((2, 4)))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"shape \(4, 2\).*channels first"):
        output.write(np.zeros((4, 2), np.float32))


def test_a_ring_of_less_than_two_blocks_is_refused() -> None:
    with pytest.raises(ValueError, match=r"ring_seconds: 0\.01; expected 0\.0116"):
        NullOutput(ManualClock(), block_samples=256, ring_seconds=0.01)
    with pytest.raises(ValueError, match="block_samples: 4"):
        NullOutput(ManualClock(), block_samples=4)


def test_it_is_used_between_open_and_close_only() -> None:
    output = NullOutput(ManualClock())
    with pytest.raises(ValueError, match="call open"):
        output.writable_samples()
    output.open()
    with pytest.raises(ValueError, match="open already"):
        output.open()
    assert [event.state for event in output.events()] == ["null"]
    assert output.events() == ()
    output.close()
    with pytest.raises(ValueError, match="call open"):
        output.write(silence(1))


def test_events_are_bounded_and_say_what_was_dropped() -> None:
    queue = EventQueue()
    for number in range(MOST_EVENTS + 3):
        queue.put(SoundEvent(float(number), "lost", str(number)))
    events = queue.drain()
    assert events[0].words.startswith("3 earlier")
    assert [event.words for event in events[1:]] == [str(number) for number in range(3, MOST_EVENTS + 3)]
    assert queue.drain() == ()
