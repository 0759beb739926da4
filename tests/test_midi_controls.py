"""Faders, knobs and buttons by a control map: what they send, what a wrong map is told, and learning."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.errors import UserError
from bridge.midi import control_map as control_map_module
from bridge.midi.control_map import (
    ControlMap,
    control_map_files,
    load_control_map,
    parse_control_map,
)
from bridge.midi.controls import ControlsState, step, told
from bridge.midi.learning import control_map_text, learnt
from bridge.osc.contract import BY_ADDRESS
from tests.midi_support import message

DESK = """\
title = "Desk"
port = "nano"

[[control]]
name = "drums"
cc = 0
address = "/backline/stem/drums/gain"
kind = "fader"

[[control]]
name = "arousal"
cc = 1
channel = 2
fine = true
address = "/backline/control/arousal"

[[control]]
name = "steps"
cc = 3
address = "/backline/control/steps"
minimum = 1
maximum = 9

[[control]]
name = "guidance"
cc = 4
address = "/backline/control/guidance"
kind = "relative"
step = 0.5

[[control]]
name = "mute"
note = 36
address = "/backline/stem/bass/mute"
kind = "toggle"

[[control]]
name = "solo"
cc = 20
address = "/backline/stem/bass/solo"
kind = "hold"

[[control]]
name = "reroll"
note = 40
address = "/backline/generate/reroll"
kind = "trigger"
arguments = { from_beat = 16.0, to_beat = 32.0, stems = "drums" }

[[control]]
name = "style"
cc = 5
address = "/backline/control/style"
kind = "select"
values = ["", "pop", "rock", "funk"]
"""
PORT = "nanoKONTROL2 MIDI 1"


class Desk:
    def __init__(self, text: str = DESK) -> None:
        self.map = parse_control_map(text, "desk.toml")
        self.state = ControlsState()

    def send(self, *data: tuple[int, int, int], port: str = PORT) -> list[tuple[str, dict[str, object]]]:
        messages = [message(1.0, *each, port=port) for each in data]
        calls, self.state = step(messages, self.state, self.map)
        for call in calls:
            assert list(call.arguments) == [argument.name for argument in BY_ADDRESS[call.address].arguments]
        return [(call.address, dict(call.arguments)) for call in calls]


@pytest.mark.parametrize(
    ("value", "gain_db"), [(127, 6.0), (101, 0.03), (64, -11.86), (1, -60.0), (0, -120.0)], ids=str
)
def test_a_fader_has_an_audio_taper_and_silence_at_the_bottom(value: int, gain_db: float) -> None:
    ((address, arguments),) = Desk().send((0xB0, 0, value))
    assert address == "/backline/stem/drums/gain"
    assert arguments["db"] == pytest.approx(gain_db, abs=0.01)


def test_a_fine_knob_has_fourteen_bits_and_its_own_channel() -> None:
    desk = Desk()
    assert desk.send((0xB0, 1, 64)) == []
    ((_, arguments),) = desk.send((0xB1, 1, 64), (0xB1, 33, 5))
    assert arguments["arousal"] == pytest.approx((64 * 128 + 5) / 16383)
    ((_, arguments),) = desk.send((0xB1, 33, 6))
    assert arguments["arousal"] == pytest.approx((64 * 128 + 6) / 16383)
    ((_, arguments),) = desk.send((0xB1, 1, 127), (0xB1, 33, 127))
    assert arguments["arousal"] == 1.0


def test_a_whole_number_is_sent_where_the_contract_wants_one() -> None:
    desk = Desk()
    assert desk.send((0xB0, 3, 127)) == [("/backline/control/steps", {"steps": 9})]
    assert desk.send((0xB0, 3, 126)) == []  # still nine
    assert desk.send((0xB0, 3, 0)) == [("/backline/control/steps", {"steps": 1})]


def test_an_endless_knob_goes_on_from_what_was_set_elsewhere() -> None:
    desk = Desk()
    desk.state = told(desk.state, "/backline/control/guidance", 2.0)
    assert desk.send((0xB0, 4, 1)) == [("/backline/control/guidance", {"guidance": 2.5})]
    assert desk.send((0xB0, 4, 126)) == [("/backline/control/guidance", {"guidance": 1.5})]
    assert desk.send(*[(0xB0, 4, 64)] * 9) == [("/backline/control/guidance", {"guidance": 0.0})]


@pytest.mark.parametrize(("encoding", "value"), [("twos", 127), ("offset", 63), ("sign", 65)])
def test_every_way_to_say_down_is_understood(encoding: str, value: int) -> None:
    desk = Desk(DESK.replace("step = 0.5", f'step = 0.5\nencoding = "{encoding}"'))
    desk.state = told(desk.state, "/backline/control/guidance", 2.0)
    assert desk.send((0xB0, 4, value)) == [("/backline/control/guidance", {"guidance": 1.5})]


def test_a_toggle_flips_what_is_so_whoever_made_it_so() -> None:
    desk = Desk()
    assert desk.send((0x90, 36, 100)) == [("/backline/stem/bass/mute", {"on": 1})]
    assert desk.send((0x80, 36, 0)) == []
    assert desk.send((0x90, 36, 100), (0x90, 36, 0)) == [("/backline/stem/bass/mute", {"on": 0})]
    desk.state = told(desk.state, "/backline/stem/bass/mute", 1)
    assert desk.send((0x90, 36, 1)) == [("/backline/stem/bass/mute", {"on": 0})]


def test_hold_is_on_while_pressed() -> None:
    desk = Desk()
    assert desk.send((0xB0, 20, 127), (0xB0, 20, 127)) == [("/backline/stem/bass/solo", {"on": 1})]
    assert desk.send((0xB0, 20, 0)) == [("/backline/stem/bass/solo", {"on": 0})]


def test_a_trigger_sends_its_arguments_at_each_press() -> None:
    wanted = ("/backline/generate/reroll", {"from_beat": 16.0, "to_beat": 32.0, "stems": "drums"})
    assert Desk().send((0x90, 40, 99), (0x80, 40, 0), (0x90, 40, 99)) == [wanted, wanted]


@pytest.mark.parametrize(("value", "style"), [(31, None), (32, "pop"), (64, "rock"), (127, "funk")])
def test_select_divides_the_travel(value: int, style: str | None) -> None:
    desk = Desk()
    desk.send((0xB0, 5, 0))
    assert desk.send((0xB0, 5, value)) == ([("/backline/control/style", {"style": style})] if style else [])


def test_of_a_sweep_in_one_step_only_the_end_is_sent() -> None:
    calls = Desk().send(*((0xB0, 0, value) for value in range(128)))
    assert calls == [("/backline/stem/drums/gain", {"db": 6.0})]


def test_other_ports_other_messages_and_strangers() -> None:
    desk = Desk()
    assert desk.send((0xB0, 0, 100), port="keys") == []
    assert desk.send((0xB0, 99, 100), (0xE0, 0, 64)) == []
    assert desk.state.unmapped == 1
    _, state = step([message(0.0, 0xB0, 0, port=PORT)], desk.state, desk.map)
    assert state.bad_messages == 1


@pytest.mark.parametrize(
    ("old", "new", "told_so"),
    [
        ("cc = 0\n", "cc = 128\n", r"line 6: control\.1\.cc: .*127, got 128"),
        ("channel = 2", "channel = 0", r"line 13: control\.2\.channel: .*greater than or equal to 1, got 0"),
        ("cc = 3\n", "ccc = 3\n", r"line 19: control\.3\.ccc: Extra inputs are not permitted"),
        ("/backline/stem/drums/gain", "/backline/stem/keys/gain", r"line 4: control\.1: address .*keys.*docs/osc\.md"),
        ("/backline/stem/drums/gain", "/backline/vocal", r"control\.1: address '/backline/vocal' is not one that"),
        ('kind = "toggle"', 'kind = "relative"', r"control\.5: a note cannot drive kind 'relative'"),
        ('kind = "hold"', 'kind = "knob"', r"control\.6: kind 'knob' does not suit .*solo; use one of: toggle, hold"),
        ('kind = "fader"', 'kind = "hold"', r"control\.1: kind 'hold' does not suit .*; use one of: knob, relative"),
        ("maximum = 9", "maximum = 900", r"control\.3: steps 900 is out of range; give 1 to 800"),
        ('"pop", ', '"polka", ', r"control\.8: style 'polka' is not one of: '', 'ballad'"),
        ("to_beat = 32.0, ", "", r"control\.7: /backline/generate/reroll needs to_beat; give them under arguments"),
        ("to_beat = 32.0", 'to_beat = "end"', r"control\.7: to_beat 'end' is of the wrong type; give a number"),
        ("to_beat", "to_bar", r"control\.7: arguments\.to_bar is not one of: from_beat, to_beat, stems"),
        ('name = "mute"', 'name = "drums"', r"control map: control names must differ, but drums is there twice"),
        ("note = 36", "note = 36\ncc = 2", r"control\.5: cc and note are both given"),
        ('title = "Desk"', "title = Desk", r"not valid TOML: .*line 1"),
    ],
)
def test_a_wrong_map_is_told_file_line_key_and_remedy(old: str, new: str, told_so: str) -> None:
    assert old in DESK
    with pytest.raises(UserError, match=rf"^desk\.toml: .*{told_so}"):
        parse_control_map(DESK.replace(old, new, 1), "desk.toml")


def test_a_control_is_learnt_by_name_and_the_map_written_and_read_again() -> None:
    control_map = parse_control_map(DESK, "desk.toml")
    control_map = learnt(control_map, "arousal", message(0.0, 0xB6, 77, 3, port=PORT))
    control_map = learnt(control_map, "mute", message(0.0, 0x98, 12, 3, port=PORT))
    again = parse_control_map(control_map_text(control_map), "learnt.toml")
    assert again == control_map
    arousal, mute = again.control[1], again.control[4]
    assert (arousal.cc, arousal.channel, arousal.note, arousal.fine) == (77, 7, None, False)
    assert (mute.cc, mute.channel, mute.note) == (None, 9, 12)
    assert again.control[0] == control_map.control[0]


def test_what_cannot_be_learnt_is_said() -> None:
    control_map = parse_control_map(DESK, "desk.toml")
    with pytest.raises(UserError, match="'bass' is not in 'Desk'; expected one of: drums, arousal"):
        learnt(control_map, "bass", message(0.0, 0xB0, 1, 1))
    with pytest.raises(UserError, match="move a fader or knob, or press a button"):
        learnt(control_map, "drums", message(0.0, 0xF8))
    with pytest.raises(UserError, match="'drums' cannot be learnt: a note cannot drive kind 'fader'"):
        learnt(control_map, "drums", message(0.0, 0x90, 1, 1))


def test_text_with_quotes_and_controls_survives() -> None:
    control_map = ControlMap(title='The "big" \\ desk\n\x01', control=())
    assert parse_control_map(control_map_text(control_map), "x") == control_map


@pytest.mark.parametrize("name", ["generic-8-fader", "novation-launch-control-xl", "akai-midimix"])
def test_every_factory_map_loads_and_no_two_of_its_controls_share_a_source(name: str) -> None:
    control_map = load_control_map(name)
    sources = [(control.cc, control.note, control.channel) for control in control_map.control]
    assert len(set(sources)) == len(sources) > 10
    assert {control.address for control in control_map.control} >= {
        f"/backline/stem/{stem}/{what}" for stem in ("drums", "bass", "other") for what in ("gain", "mute")
    }
    assert parse_control_map(control_map_text(control_map), name) == control_map


def test_a_users_map_hides_a_factory_one_and_a_file_can_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_map_module, "user_folder", lambda: tmp_path / "presets")
    assert set(control_map_files()) == {"akai-midimix", "generic-8-fader", "novation-launch-control-xl"}
    (tmp_path / "control-maps").mkdir()
    mine = tmp_path / "control-maps" / "akai-midimix.toml"
    mine.write_text('title = "Mine"\n')
    assert load_control_map("akai-midimix").title == load_control_map(str(mine)).title == "Mine"
    with pytest.raises(UserError, match="control map 'desk' is not known; expected one of: akai-midimix"):
        load_control_map("desk")
    with pytest.raises(UserError, match=r"nowhere\.toml: cannot be read"):
        load_control_map(str(tmp_path / "nowhere.toml"))
    mine.write_bytes(b"title = '\xff'")
    with pytest.raises(UserError, match="not UTF-8"):
        load_control_map("akai-midimix")
