"""The doctor at a real PortAudio device: PulseAudio's null sink and its monitor; and where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.doctor import sound
from bridge.doctor.finding import Request, Verdict
from bridge.doctor.runner import Check, run_check
from tests.pulse_support import LOOPBACK_NAME, OUTPUT_NAME, needs_pulse, private_pulse


@needs_pulse
@pytest.mark.slow
def test_a_card_is_listed_played_on_and_its_latency_measured() -> None:
    with private_pulse():
        request = Request(Path("unused"), device=OUTPUT_NAME, loopback=LOOPBACK_NAME, seconds=1.0)
        devices, playing, latency = run_check(Check("sound", "bridge.doctor.sound:check", 40.0), request)
        assert devices.verdict is Verdict.OK
        assert OUTPUT_NAME in devices.words
        assert playing.figures["name"] == OUTPUT_NAME
        assert playing.figures["state"] == "open"
        assert latency.name == "output latency"
        impulses = latency.figures["impulses"]
        assert isinstance(impulses, int)
        assert impulses > 0
        (unknown, nowhere) = run_check(
            Check("sound", "bridge.doctor.sound:check", 40.0), Request(Path("unused"), device="No such", seconds=1.0)
        )
        assert (unknown.verdict, nowhere.figures["state"]) == (Verdict.BAD, "null")
        assert "no sound device for output is called 'No such'; there are: " in unknown.words
        assert OUTPUT_NAME in unknown.words


def test_without_a_device_the_clock_is_fed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sound, "list_devices", lambda: ())
    devices, playing = sound.check(Request(Path("unused"), seconds=1.0))
    assert devices.verdict is Verdict.WARNING
    assert playing.figures["state"] == "null"
    assert playing.figures["seconds"] == 1.0


def test_no_device_can_be_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    def never() -> tuple[()]:
        raise AssertionError("devices were listed, and none was wanted")

    monkeypatch.setattr(sound, "list_devices", never)
    devices, playing = sound.check(Request(Path("unused"), device="null", seconds=1.0))
    assert (devices.verdict, playing.figures["state"]) == (Verdict.OK, "null")
