"""Real sound through PortAudio, ALSA and a private PulseAudio: heard when promised, lost when killed, found again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from pedalboard.io import AudioFile

from bridge.clock import SystemClock
from bridge.sound.device import DeviceOutput
from bridge.sound.file import FileTee
from bridge.sound.input import DeviceInput
from bridge.sound.measure import measure_latency, measure_underruns
from bridge.sound.output import SoundError, SoundOut, ring_seconds_for
from bridge.sound.portaudio import list_devices
from tests.pulse_support import LOOPBACK_NAME, OUTPUT_NAME, PrivatePulse, in_real_time, needs_pulse, private_pulse

pytestmark = [needs_pulse, in_real_time]


@pytest.fixture
def pulse() -> Iterator[PrivatePulse]:
    with private_pulse() as running:
        yield running


def feed(output: SoundOut, seconds: float, until: Callable[[], bool] = lambda: False) -> float:
    """Keep the ring full for `seconds` or until something holds; return how long that took."""
    start = time.monotonic()
    while time.monotonic() - start < seconds and not until():
        output.write(np.zeros((2, output.writable_samples()), np.float32))
        time.sleep(0.004)
    return time.monotonic() - start


def test_the_latency_reported_is_the_latency_measured(pulse: PrivatePulse) -> None:
    clock = SystemClock()
    loopback = DeviceInput(clock, LOOPBACK_NAME)
    output = DeviceOutput(clock, OUTPUT_NAME, 512, ring_seconds=0.2, device_latency_seconds=0.1)
    output.open()
    loopback.open()
    try:
        measured = measure_latency(output, loopback, clock, impulses=4, settle_seconds=0.5)
    finally:
        loopback.close()
        output.close()
    assert measured.equal_to_the_block, measured
    assert 0.2 < measured.measured_seconds < 0.5


def test_a_ring_that_is_fed_does_not_run_dry_and_one_that_is_not_does(pulse: PrivatePulse) -> None:
    clock = SystemClock()
    output = DeviceOutput(clock, OUTPUT_NAME, block_samples=512, ring_seconds=0.5, device_latency_seconds=0.2)
    output.open()
    try:
        assert measure_underruns(output, clock, 0.8).silent_samples == 0
        time.sleep(0.8)
        feed(output, 0.2)
        facts = output.facts()
    finally:
        output.close()
    assert facts.underruns >= 1  # a machine that is overloaded adds the driver's own
    assert facts.silent_samples / facts.rate_hz == pytest.approx(0.3, abs=0.15)
    assert abs(facts.clock_ratio - 1.0) < 1e-3


@pytest.mark.parametrize("device_latency_seconds", [0.04, 0.16])
def test_the_ring_holds_what_the_driver_takes_at_once(pulse: PrivatePulse, device_latency_seconds: float) -> None:
    output = DeviceOutput(
        SystemClock(),
        OUTPUT_NAME,
        ring_seconds=ring_seconds_for(device_latency_seconds),
        device_latency_seconds=device_latency_seconds,
    )
    standby = np.zeros((2, 8820), np.float32)
    output.open()
    try:
        end = time.monotonic() + 2.0
        while time.monotonic() < end:
            output.write(np.zeros((2, output.writable_samples()), np.float32))
            output.stand_by(standby)
            time.sleep(0.004)
        stood_in_seconds = output.stood_in_samples() / 44_100
    finally:
        output.close()
    assert stood_in_seconds < 0.1  # of 2 s; with 50 ms in the ring and 160 in the driver it is 0.4


def test_what_sounded_while_the_computer_stood_still_is_filled_up_from_the_ring(pulse: PrivatePulse) -> None:
    latency_seconds, still_seconds = 0.6, 0.4
    output = DeviceOutput(
        SystemClock(),
        OUTPUT_NAME,
        ring_seconds=ring_seconds_for(latency_seconds),
        device_latency_seconds=latency_seconds,
    )
    output.open()
    try:
        feed(output, 1.5)
        before = output.facts()
        pulse.hang()
        time.sleep(still_seconds)  # nobody writes meanwhile, either
        pulse.go_on()
        feed(output, 1.0)
        after = output.facts()
    finally:
        output.close()
    assert before.state == after.state == "open"
    assert after.underruns == before.underruns
    assert after.silent_samples == before.silent_samples


def test_a_killed_sound_server_is_noticed_survived_and_found_again(pulse: PrivatePulse) -> None:
    output = DeviceOutput(SystemClock(), OUTPUT_NAME)
    output.open()
    try:
        feed(output, 0.3)
        pulse.kill()
        assert feed(output, 2.0, lambda: output.facts().state == "lost") < 1.0
        before = output.heard_position()
        assert feed(output, 0.5) < 0.6, "nothing blocks meanwhile"
        assert output.heard_position() - before == pytest.approx(0.5 * 44_100, abs=0.05 * 44_100)
        pulse.start()
        feed(output, 6.0, lambda: output.facts().state == "open")
        feed(output, 0.2)
        assert output.facts().state == "open"
        assert output.facts().name == OUTPUT_NAME
        assert [event.state for event in output.events()] == ["open", "lost", "open"]
    finally:
        output.close()


def test_a_sound_server_that_hangs_is_noticed_and_blocks_nobody(pulse: PrivatePulse) -> None:
    output = DeviceOutput(SystemClock(), OUTPUT_NAME)
    output.open()
    try:
        feed(output, 0.2)
        pulse.hang()
        assert feed(output, 2.0, lambda: output.facts().state == "lost") < 1.0
        assert "takes no more samples" in output.events()[-1].words
        assert feed(output, 0.3) < 0.4
    finally:
        pulse.kill()
        output.close()


def test_a_file_beside_the_card_holds_what_the_card_was_given(pulse: PrivatePulse, tmp_path: Path) -> None:
    clock = SystemClock()
    card = DeviceOutput(clock, OUTPUT_NAME, ring_seconds=0.5, device_latency_seconds=0.2)
    output = FileTee(card, tmp_path / "heard.wav", clock)
    sent: list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]] = []
    output.open()
    random = np.random.default_rng(1)
    until = time.monotonic() + 0.8
    while time.monotonic() < until:
        sent.append(random.uniform(-0.1, 0.1, (2, output.writable_samples())).astype(np.float32))
        output.write(sent[-1])
        time.sleep(0.004)
    underruns = output.facts().underruns
    output.close()
    with AudioFile(str(tmp_path / "heard.wav")) as file:
        heard = file.read(file.frames)
    whole = np.concatenate(sent, axis=1)
    assert underruns == 0
    assert whole.shape[1] - 0.6 * 44_100 < heard.shape[1] <= whole.shape[1]
    np.testing.assert_array_equal(heard, whole[:, : heard.shape[1]])


def test_a_name_that_no_device_has_is_refused_with_those_there_are(pulse: PrivatePulse) -> None:
    assert {OUTPUT_NAME, LOOPBACK_NAME} <= {device.name for device in list_devices()}
    with pytest.raises(SoundError, match=rf"called 'tape machine'; there are: .*'{OUTPUT_NAME}'"):
        DeviceOutput(SystemClock(), "tape machine").open()
