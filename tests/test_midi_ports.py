"""MIDI ports that come and go: mido's own backend interface with a pretended driver, and a real JACK."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import mido
import pytest

from bridge.clock import ManualClock, SystemClock
from bridge.midi import chords, clock, listener
from bridge.midi.control_map import load_control_map
from bridge.midi.messages import ControlCall, MidiMessage
from bridge.midi.ports import MAX_LOOK_SECONDS, MAX_WAITING, MidiPorts, PortFacts
from tests.midi_support import FollowedTransport, message, tick_times
from tests.pulse_support import in_real_time

DRIVER = "pretended_midi_driver"


class Driver:
    """What is plugged in, and what happens when it is opened."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.open: dict[str, Callable[[mido.Message], None]] = {}
        self.missing = False
        self.busy = False

    def get_devices(self, **kwargs: Any) -> list[dict[str, Any]]:
        if self.missing:
            raise OSError("error creating ALSA sequencer client object")
        return [{"name": name, "is_input": True, "is_output": False} for name in self.names]

    def Input(self, name: str, callback: Callable[[mido.Message], None], **kwargs: Any) -> object:  # noqa: N802
        if self.busy:
            raise OSError("device busy")
        self.open[name] = callback
        return SimpleNamespace(close=lambda: self.open.pop(name))

    def send(self, name: str, *messages: mido.Message) -> None:
        for each in messages:
            self.open[name](each)


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    it = Driver()
    module = ModuleType(DRIVER)
    module.get_devices, module.Input = it.get_devices, it.Input  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, DRIVER, module)
    return it


class Desk:
    """Ports on the pretended driver, and what was told of them."""

    def __init__(self, *wanted: str) -> None:
        self.clock = ManualClock(10.0)
        self.told: list[str] = []
        self.ports = MidiPorts(self.clock, wanted, DRIVER, self.told.append)

    def facts(self) -> PortFacts:
        return self.ports.facts()[0]


def test_messages_come_with_the_time_at_which_they_arrived(driver: Driver) -> None:
    driver.names = ["Through 14:0", "nanoKONTROL2 28:0"]
    desk = Desk("nanokontrol")
    desk.ports.look()
    driver.send("nanoKONTROL2 28:0", mido.Message("control_change", channel=2, control=7, value=9))
    desk.clock.advance(0.25)
    driver.send("nanoKONTROL2 28:0", mido.Message("clock"), mido.Message("songpos", pos=130))
    name = "nanoKONTROL2 28:0"
    assert desk.ports.take() == (
        MidiMessage(b"\xb2\x07\x09", 10.0, name),
        MidiMessage(b"\xf8", 10.25, name),
        MidiMessage(b"\xf2\x02\x01", 10.25, name),
    )
    assert desk.ports.take() == ()
    assert desk.facts() == PortFacts("nanokontrol", name, "open", "", 3, 1)
    assert desk.told == ["MIDI input 'nanokontrol': nanoKONTROL2 28:0"]


def test_a_port_that_comes_goes_and_comes_back_is_followed_and_told_each_time(driver: Driver) -> None:
    desk = Desk("keys")
    desk.ports.look()
    desk.ports.look()
    assert desk.facts().state == "missing"
    assert desk.told == ["MIDI input 'keys': no MIDI input 'keys' among: none; plug it in"]
    driver.names = ["Stage Keys 20:0"]
    desk.ports.look()
    assert desk.facts().state == "open"
    driver.names = []
    desk.ports.look()
    assert desk.facts().state == "missing"
    assert desk.ports.take_vanished() == ("Stage Keys 20:0",)
    assert desk.ports.take_vanished() == ()
    assert driver.open == {}
    driver.names = ["Stage Keys 24:0"]
    desk.ports.look()
    assert (desk.facts().state, desk.facts().name, desk.facts().opened) == ("open", "Stage Keys 24:0", 2)
    assert len(desk.told) == 4


def test_no_driver_is_reported_and_tried_again_less_and_less_often(driver: Driver) -> None:
    driver.missing = True
    desk = Desk("keys")
    desk.ports.look()
    assert desk.facts().state == "failed"
    assert "no MIDI driver (error creating ALSA sequencer client object); load one" in desk.facts().reason
    for _ in range(10):
        desk.ports.look()
    assert desk.ports._look_seconds == MAX_LOOK_SECONDS
    assert len(desk.told) == 1
    driver.missing, driver.names = False, ["keys"]
    desk.ports.look()
    assert desk.facts().state == "open"
    driver.missing = True
    desk.ports.look()
    assert desk.facts().state == "failed"
    assert desk.ports.take_vanished() == ("keys",)


def test_a_busy_port_is_reported_and_tried_again(driver: Driver) -> None:
    driver.names, driver.busy = ["keys"], True
    desk = Desk("keys")
    desk.ports.look()
    assert desk.facts().reason == "keys cannot be opened (device busy); close what else uses it"
    driver.busy = False
    desk.ports.look()
    assert desk.facts().state == "open"


def test_two_of_a_kind_are_opened_one_each(driver: Driver) -> None:
    driver.names = ["keys 20:0", "keys 24:0"]
    desk = Desk("keys", "keys")
    desk.ports.look()
    assert [facts.name for facts in desk.ports.facts()] == ["keys 20:0", "keys 24:0"]


def test_a_flood_that_nobody_takes_is_bounded_and_counted(driver: Driver) -> None:
    driver.names = ["keys"]
    desk = Desk("keys")
    desk.ports.look()
    driver.send("keys", *[mido.Message("clock")] * (MAX_WAITING + 5))
    assert len(desk.ports.take()) == MAX_WAITING
    assert desk.ports.dropped == 5
    assert desk.facts().received == MAX_WAITING + 5


def test_the_supervisor_looks_by_itself_and_ends(driver: Driver) -> None:
    changed = threading.Event()
    ports = MidiPorts(SystemClock(), ["keys"], DRIVER, lambda line: changed.set())
    driver.names = ["keys"]
    ports.start()
    assert changed.wait(5.0)
    ports.stop()
    assert ports.facts()[0].state == "missing"
    assert driver.open == {}
    assert not [thread for thread in threading.enumerate() if thread.name == "midi-ports"]


def test_a_nameless_port_is_refused() -> None:
    with pytest.raises(ValueError, match="give a part of its name"):
        MidiPorts(ManualClock(), [" "], DRIVER)


def test_each_role_hears_its_own_port() -> None:
    roles = listener.MidiRoles("daw", "keys", (load_control_map("akai-midimix"), load_control_map("generic-8-fader")))
    assert roles.ports == ("daw", "keys", "MIDI Mix")
    state = listener.new_state(roles)
    transport = FollowedTransport()
    ticks = [message(float(t), 0xF8, port="DAW out") for t in tick_times(100.0, 30)]
    strange = [message(t.arrived_seconds + 0.001, 0xF8, port="keys") for t in ticks]
    chord = [message(0.1, 0x90, note, 80, port="keys") for note in (57, 60, 64)]
    fader = [message(0.2, 0xB0, 19, 127, port="MIDI Mix")]
    merged = sorted([*ticks, *strange, *chord, *fader], key=lambda each: each.arrived_seconds)
    calls, state = listener.step(merged, (), 1.0, state, transport.beat_at, roles)
    assert [(call.address, call.arguments) for call in calls] == [
        ("/backline/control/chord", {"chord": "Am", "beat": -1.0}),
        ("/backline/stem/drums/gain", {"db": 6.0}),
        ("/backline/tempo", {"bpm": 100.0}),
    ]
    _, state = listener.step((), ("keys",), 1.1, state, transport.beat_at, roles)
    assert not state.chords.held
    state = listener.told(state, "/backline/stem/drums/mute", 1)
    (call,), _ = listener.step([message(2.0, 0x90, 1, 127, port="MIDI Mix")], (), 2.0, state, transport.beat_at, roles)
    assert call == ControlCall("/backline/stem/drums/mute", {"on": 0}, 2.0)


@pytest.fixture
def jack(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A JACK server of our own, without a sound card."""
    jackd = shutil.which("jackd")
    if jackd is None:
        pytest.skip("no jackd here; apt-get install jackd2")
    name = f"backline{os.getpid()}"
    monkeypatch.setenv("JACK_DEFAULT_SERVER", name)
    monkeypatch.setenv("JACK_NO_START_SERVER", "1")
    command = [jackd, "--no-realtime", "--no-mlock", "-n", name, "-d", "dummy", "-r", "44100", "-p", "256"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        time.sleep(1.0)
        if server.poll() is not None:
            pytest.skip("jackd does not start here")
        yield "mido.backends.rtmidi/UNIX_JACK"
        server.terminate()


def performed(daw: mido.ports.BaseOutput, ports: MidiPorts, system_clock: SystemClock) -> tuple[MidiMessage, ...]:
    """Send nine notes and a bar of MIDI clock; return what arrives of these 106 messages."""
    for note in (57, 60, 64) * 3:
        system_clock.sleep(0.005)
        daw.send(mido.Message("note_on", note=note, velocity=80))
    start_seconds = system_clock.now() + 0.05
    for tick_seconds in tick_times(150.0, 97, start_seconds):
        system_clock.sleep(tick_seconds - system_clock.now())
        daw.send(mido.Message("clock"))
    system_clock.sleep(0.1)
    return ports.take()


@in_real_time
@pytest.mark.slow
def test_real_ports_through_jack_carry_clock_and_chords_and_come_back(jack: str) -> None:
    backend = mido.Backend(jack, use_environ=False)
    system_clock, transport = SystemClock(), FollowedTransport()
    daw = backend.open_output("clock", virtual=True, client_name="daw")
    ports = MidiPorts(system_clock, ["daw"], jack)
    ports.look()
    assert ports.facts()[0].state == "open"
    for _ in range(100):  # JACK carries nothing until it has taken note of the connection
        daw.send(mido.Message("program_change", program=1))
        system_clock.sleep(0.02)
        if ports.take():
            break
    system_clock.sleep(0.05)
    ports.take()
    messages = performed(daw, ports, system_clock)
    assert len(messages) >= 90  # without real-time priority JACK loses one now and then
    calls, clock_state = clock.step(messages, clock.NEW_CLOCK, transport.beat_at)
    assert clock_state.bpm == pytest.approx(150.0, rel=0.1)  # where ticks are lost; test_midi_clock is exact
    calls, _ = chords.step(messages, system_clock.now(), chords.ChordState())
    assert [call.arguments["chord"] for call in calls] == ["Am"]
    daw.close()
    system_clock.sleep(0.3)
    ports.look()
    assert ports.facts()[0].state == "missing"
    daw = backend.open_output("clock", virtual=True, client_name="daw")
    ports.look()
    assert (ports.facts()[0].state, ports.facts()[0].opened) == ("open", 2)
    ports.stop()
    daw.close()
