"""From literal datagrams to handlers and replies."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import UserError
from bridge.osc.aliases import AliasTranslator, parse_position, parse_signature
from bridge.osc.calls import Call, CommandError
from bridge.osc.contract import BY_ADDRESS, METHODS
from bridge.osc.convert import convert
from bridge.osc.dispatch import Dispatcher
from bridge.osc.method import OscMethod, OscValue
from bridge.osc.patterns import AddressPattern
from bridge.osc.wire import Message
from tests.osc_support import CLIENT, Desk, Recorder

VOCAL = (
    b"/backline/vocal\x00,iihiisb\x00\x00\x00\x00"
    b"\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\xac\x44\x00\x00\xac\x44\x00\x00\x00\x01f32\x00"
    b"\x00\x00\x00\x08\x00\x00\x80\x3f\x00\x00\x00\x00"
)
SNAPSHOT: tuple[OscValue, ...] = (1, 44_100, 44_100, 2.0, 120.0, 4, 4, 0, 0.0, 0.0, 7)


def example(method: OscMethod) -> list[OscValue]:
    """Return arguments that the method takes."""
    given: dict[str, OscValue] = {"signature": "3 / 4", "position": "2.1.00", "samples": b"\x00" * 8}
    return [
        argument.choices[-1]
        if argument.choices
        else given.get(argument.name, "/backline/meter/*" if argument.type_tag == "s" else argument.maximum)
        for argument in method.arguments
    ]


@pytest.mark.parametrize("method", [m for m in METHODS if m.direction == "in"], ids=lambda method: method.address)
def test_every_command_reaches_a_handler_and_is_answered(method: OscMethod) -> None:
    desk = Desk()
    values = example(method)
    if method.address in ("/time", "/backline/unsubscribe"):
        desk.command("/backline/tempo", 120.0)
        desk.command("/backline/subscribe", "/backline/meter/*")
        desk.recorder.calls.clear()
    (reply,) = desk.command(method.address, *values, "#id")
    assert reply.address == "/backline/done", reply
    assert reply.values[:2] == (method.address, "#id")
    called = method.alias_of[:1] or ((method.address,) if method.address in desk.recorder.handlers() else ())
    assert tuple(desk.recorder.addresses) == called
    assert desk.stats().errors == 0


def test_a_literal_vocal_block_is_not_answered() -> None:
    desk = Desk()
    assert desk.receive(VOCAL) == []
    (call,) = desk.recorder.calls
    assert call.arguments == {
        "stream": 1,
        "sequence": 2,
        "song_sample": 44_100,
        "rate": 44_100,
        "channels": 1,
        "format": "f32",
        "samples": b"\x00\x00\x80\x3f\x00\x00\x00\x00",
    }
    assert call.client == CLIENT


def test_a_literal_ping_and_its_literal_reply() -> None:
    packets: list[bytes] = []
    desk = Desk()
    outcome = desk.core.dispatcher.handle(Message("/backline/ping", ("#7",)), CLIENT, 0.0)
    packets += outcome.replies
    assert packets == [b"/backline/done\x00\x00,ss\x00/backline/ping\x00\x00#7\x00\x00"]


def test_a_refused_snapshot_is_answered() -> None:
    desk = Desk()
    assert desk.command("/backline/transport", *SNAPSHOT) == []
    (reply,) = desk.command("/backline/transport", *SNAPSHOT[:4], 1_000.0, *SNAPSHOT[5:])
    assert reply.values[:2] == ("/backline/transport", "out_of_range")
    assert "bpm 1000 is out of range; give 30 to 300" in str(reply.values[2])
    assert len(desk.recorder.calls) == 1


@pytest.mark.parametrize(
    ("address", "values", "arguments"),
    [
        ("/backline/time_signature", (3.0, 8.0), {"numerator": 3, "denominator": 8}),
        ("/backline/locate", (4,), {"beat": 4.0}),
        ("/backline/loop", (True, 0, 16), {"on": 1, "start_beat": 0.0, "end_beat": 16.0}),
        ("/backline/loop", (0,), {"on": 0, "start_beat": 0.0, "end_beat": 0.0}),
        ("/backline/generate/start", (None, 32.0), {"from_beat": -1.0, "to_beat": 32.0, "stems": "drums,bass,other"}),
        ("/backline/control/seed", (2.0**40,), {"seed": 2**40}),
        ("/backline/control/style", ("",), {"style": ""}),
        ("/backline/take/bounce", (), {"name": ""}),
        ("/backline/panic", (1.0,), {}),
    ],
)
def test_lenient_where_nothing_is_lost(
    address: str, values: tuple[OscValue, ...], arguments: Mapping[str, OscValue]
) -> None:
    assert convert(BY_ADDRESS[address], values) == arguments


@pytest.mark.parametrize(
    ("address", "values", "code", "words"),
    [
        ("/backline/locate", (), "missing_argument", "takes beat d; argument 1, beat, is missing"),
        ("/backline/locate", (1.0, 2.0), "too_many_arguments", "got 2 arguments"),
        ("/backline/locate", ("4",), "wrong_type", "beat '4' is not a number"),
        ("/backline/locate", (float("nan"),), "wrong_type", "nan"),
        ("/backline/locate", (float("inf"),), "wrong_type", "inf"),
        ("/backline/locate", (1e7,), "out_of_range", "give -1e+06 to 1e+06 beats"),
        ("/backline/time_signature", (3.5, 4), "wrong_type", "3.5 is not a whole number"),
        ("/backline/time_signature", (3, 5), "not_a_choice", "give one of: 1, 2, 4"),
        ("/backline/time_signature", (2**40, 4), "wrong_type", "is not a whole number"),
        ("/backline/stem/bass/gain", (13.0,), "out_of_range", "give -120 to 12 dB"),
        ("/backline/stem/bass/mute", (2,), "not_a_choice", "0, 1"),
        ("/backline/control/style", ("polka",), "not_a_choice", "'jazz-swing'"),
        ("/backline/preset/load", ("x" * 300,), "out_of_range", "300 bytes; give at most 256"),
        ("/backline/preset/load", (b"x",), "wrong_type", "1 bytes is not a string"),
        ("/backline/panic", ("now",), "too_many_arguments", "takes no arguments"),
        ("/backline/nothing", (), "unknown_address", "not in the contract"),
        ("/backline/done", (), "unknown_address", "sent by Backline"),
        ("/backline/stem/*/volume", (1.0,), "unknown_address", "matches no address"),
        ("/backline/stem/[a", (1.0,), "bad_pattern", "'[' without ']'"),
        ("/beat/str", ("soon",), "not_a_position", "12.3.50"),
        ("/time/signature", ("4/5",), "not_a_time_signature", "7/8"),
        ("/time", (1.0,), "no_tempo", "send /tempo/raw"),
    ],
)
def test_refusals_say_what_and_why(address: str, values: tuple[OscValue, ...], code: str, words: str) -> None:
    desk = Desk()
    (reply,) = desk.command(address, *values)
    assert reply.address == "/backline/error"
    assert reply.values[:2] == (address, code)
    assert words in str(reply.values[2])
    assert desk.recorder.calls == []
    assert desk.stats().errors == 1


def test_request_ids() -> None:
    desk = Desk()
    desk.recorder.returns["/backline/control/key"] = (16.5,)
    (done,) = desk.command("/backline/control/key", "A minor", "#42")
    assert done.values == ("/backline/control/key", "#42", 16.5)
    (error,) = desk.command("/backline/control/steps", 0, "#43")
    assert error.values[:3] == ("/backline/control/steps", "#43", "out_of_range")
    (named,) = desk.command("/backline/preset/load", "#1 hit")
    assert named.values == ("/backline/preset/load",)
    assert desk.recorder.calls[-1].arguments == {"name": "#1 hit"}


@pytest.mark.parametrize(
    ("address", "values", "code"),
    [
        ("/backline/locate", (), "missing_argument"),
        ("/backline/locate", ("here",), "wrong_type"),
        ("/backline/locate", (1.0, 2.0), "too_many_arguments"),
        ("/backline/time_signature", (3,), "missing_argument"),
        ("/backline/generate/reroll", (8.0,), "missing_argument"),
        ("/backline/generate/reroll", (8.0, 4.0, 5.0), "wrong_type"),
        ("/backline/transport", SNAPSHOT[:-1], "missing_argument"),
        ("/backline/transport", (*SNAPSHOT[:-1], "x"), "wrong_type"),
        ("/backline/vocal", (0, 0, 0), "missing_argument"),
        ("/backline/vocal", (0, 0, 0, 44_100, 1, "f32"), "missing_argument"),
        ("/backline/control/style", ("polka",), "not_a_choice"),
        ("/backline/panic", ("now",), "too_many_arguments"),
        ("/backline/nowhere", (), "unknown_address"),
        ("/backline/nowhere", (1, "two"), "unknown_address"),
        ("/backline/heartbeat", (1,), "unknown_address"),
        ("/backline/stem/kazoo*/gain", (1,), "unknown_address"),
        ("/backline/stem/[a/gain", (1,), "bad_pattern"),
        ("/track/1/volume", (0.5,), "unknown_address"),
    ],
)
def test_a_request_id_comes_back_whatever_was_wrong(address: str, values: tuple[OscValue, ...], code: str) -> None:
    desk = Desk()
    (error,) = desk.command(address, *values, "#id")
    assert error.address == "/backline/error"
    assert error.values[:3] == (address, "#id", code)
    assert len(error.values) == 4
    assert desk.recorder.calls == []


def test_each_address_of_a_pattern_takes_the_request_id() -> None:
    errors = Desk().command("/backline/control/{steps,seed}", "#id")
    assert [error.values[:3] for error in errors] == [
        (f"/backline/control/{name}", "#id", "missing_argument") for name in ("steps", "seed")
    ]


def test_a_string_that_is_needed_is_no_request_id() -> None:
    desk = Desk()
    (error,) = desk.command("/backline/vocal", 0, 0, 0, 44_100, 1, "#f32")
    assert error.values[:2] == ("/backline/vocal", "not_a_choice")
    desk.command("/backline/control/key", "#id")
    assert desk.recorder.calls[-1].arguments == {"key": "#id"}
    (done,) = desk.command("/backline/take/bounce", "#id")  # its string may be left out
    assert done.values[:2] == ("/backline/take/bounce", "#id")


def test_what_handlers_raise_is_told() -> None:
    desk = Desk()
    desk.recorder.raises = {
        "/backline/play": CommandError("busy", "wait"),
        "/backline/stop": ValueError("sample -1"),
        "/backline/panic": UserError("no device"),
        "/backline/generate/stop": KeyError("x"),
    }
    desk.recorder.returns["/backline/take/list"] = (object(),)  # type: ignore[assignment]
    codes = {address: desk.command(address)[0].values[1:] for address in desk.recorder.raises}
    assert codes["/backline/play"] == ("busy", "wait")
    assert codes["/backline/stop"] == ("refused", "sample -1")
    assert codes["/backline/panic"] == ("refused", "no device")
    assert codes["/backline/generate/stop"][0] == "internal"
    assert "KeyError" in desk.core.dispatcher.last_failure
    assert desk.command("/backline/take/list")[0].values[1] == "internal"


def test_lists_come_as_one_argument_each_and_stay_one_message() -> None:
    desk = Desk()
    desk.recorder.returns["/backline/preset/list"] = ("ballad", "funk")
    assert desk.command("/backline/preset/list")[0].values == ("/backline/preset/list", "ballad", "funk")
    desk.recorder.returns["/backline/preset/list"] = [f"preset {n}" for n in range(1_000)]
    assert len(desk.command("/backline/preset/list")[0].values) == 64


def test_values_that_the_table_does_not_name_are_sent_as_the_simplest_clients_read_them() -> None:
    desk = Desk()
    desk.recorder.returns["/backline/play"] = (1.5, True, 3, "four", 2**40)
    call = Message("/backline/play", ())
    (packet,) = desk.core.dispatcher.handle(call, CLIENT, 0.0).replies
    assert b",sfiish\x00" in packet
    desk.recorder.returns["/backline/control/key"] = (16.5,)
    (packet,) = desk.core.dispatcher.handle(Message("/backline/control/key", ("",)), CLIENT, 0.0).replies
    assert b",sf\x00" in packet


def test_patterns_reach_every_address_they_match() -> None:
    desk = Desk()
    replies = desk.command("/backline/stem/{drums,other}/mute", 1)
    assert [reply.values for reply in replies] == [("/backline/stem/drums/mute",), ("/backline/stem/other/mute",)]


def test_a_button_let_go_does_nothing() -> None:
    desk = Desk()
    assert desk.command("/backline/panic", 0.0)[0].values == ("/backline/panic",)
    assert desk.recorder.calls == []


@pytest.mark.parametrize(
    ("pattern", "address", "matches"),
    [
        ("/a/b", "/a/b", True),
        ("/a/*", "/a/b", True),
        ("/a/*", "/a/b/c", False),
        ("/*/b*d", "/x/bcd", True),
        ("/a?c", "/abc", True),
        ("/a?c", "/ac", False),
        ("/[a-c]x", "/bx", True),
        ("/[!a-c]x", "/bx", False),
        ("/[!a-c]x", "/dx", True),
        ("/[a-]x", "/-x", True),
        ("/{one,two}/x", "/two/x", True),
        ("/{one,two}/x", "/three/x", False),
        ("/{a,}b", "/b", True),
        ("/{a*,[x-z]?}b", "/accb", True),
        ("/{a*,[x-z]?}b", "/yab", True),
        ("/{a/b,c}/d", "/a/b/d", True),
        ("/a//c", "/a/b/c", False),
        ("/*a*b*", "/xxaxxbxx", True),
        ("/**", "/", True),
    ],
)
def test_patterns(pattern: str, address: str, matches: bool) -> None:
    assert AddressPattern(pattern).matches(address) is matches


def test_nested_braces_are_named_with_the_remedy() -> None:
    (error,) = Desk().command("/backline/stem/{drums,{bass,other}}/mute", 1, "#1")
    assert error.values[1:3] == ("#1", "bad_pattern")
    assert "nested braces are not supported; write all alternatives in one pair" in str(error.values[3])


@pytest.mark.parametrize("pattern", ["a", "/{a", "/a}", "/{a,{b}}", "/[a", "/a]", "/" + "{a,b}" * 7, "/[ -\U0010ffff]"])
def test_bad_patterns(pattern: str) -> None:
    with pytest.raises(ValueError, match="pattern"):
        AddressPattern(pattern)


@given(st.text("ab*?[]{},!-/", max_size=60).map("/".__add__), st.text("ab/", max_size=60).map("/".__add__))
def test_any_pattern_is_refused_or_matched_in_bounded_time(text: str, address: str) -> None:
    try:
        pattern = AddressPattern(text)
    except ValueError:
        return
    assert pattern.matches(address) in (True, False)


def test_a_pattern_that_would_hang_a_regular_expression() -> None:
    assert not AddressPattern("/" + "*a" * 120 + "b").matches("/" + "a" * 250)


def heard(desk: Desk) -> list[tuple[str, dict[str, OscValue]]]:
    calls = [(call.address.removeprefix("/backline/"), dict(call.arguments)) for call in desk.recorder.calls]
    desk.recorder.calls.clear()
    return calls


def test_what_reaper_sends_while_it_plays() -> None:
    desk = Desk()
    desk.command("/tempo/raw", 120.0)
    desk.command("/time", 0.0)
    desk.command("/beat/str", "1.1.00")
    desk.command("/play", 1.0)
    desk.command("/stop", 0.0)
    desk.command("/record", 0.0)
    assert heard(desk) == [("tempo", {"bpm": 120.0}), ("locate", {"beat": 0.0}), ("play", {})]
    for tick in range(1, 31):  # one second of reports, up to 60 ms late: nothing that the tempo does not explain
        desk.clock.advance_to(tick / 30 + (tick % 3) * 0.01)
        beat = tick / 30 * 2
        desk.command("/beat/str", f"1.{1 + int(beat)}.{int(beat % 1 * 100):02d}")
        desk.command("/time", tick / 30)
    assert heard(desk) == []
    desk.command("/beat/str", "9.1.00")
    assert heard(desk) == [("locate", {"beat": 32.0})]
    desk.command("/play", 0.0)
    desk.command("/stop", 1.0)
    assert heard(desk) == [("stop", {}), ("stop", {})]
    desk.command("/record", 1.0)
    assert heard(desk) == [("play", {})]


def test_seconds_are_used_where_there_is_no_beat_string() -> None:
    desk = Desk()
    desk.command("/tempo/raw", 90.0)
    desk.command("/time", 4.0)
    assert heard(desk) == [("tempo", {"bpm": 90.0}), ("locate", {"beat": 6.0})]
    desk.command("/time", 4.0)
    assert heard(desk) == []


def test_what_drivenbymoss_sends() -> None:
    desk = Desk()
    desk.command("/time/signature", "6 / 8")
    desk.command("/beat/str", "003.04.02.50")
    desk.command("/play", True)
    assert heard(desk) == [
        ("time_signature", {"numerator": 6, "denominator": 8}),
        ("locate", {"beat": 6.0 + 1.5 + 0.375}),
        ("play", {}),
    ]


def test_positions_and_signatures() -> None:
    assert parse_position("1.1.00", (4, 4)) == 0.0
    assert parse_position("-1.1.00", (4, 4)) == -8.0
    assert parse_position("2.3.50", (3, 4)) == 5.5
    assert parse_signature("7/8") == {"numerator": 7, "denominator": 8}


def test_tempo_by_command_serves_the_aliases_too() -> None:
    translator = AliasTranslator()
    translator.observe("/backline/tempo", {"bpm": 60.0}, 0.0)
    assert translator.translate("/time", {"seconds": 3.0}, 0.0) == [("/backline/locate", {"beat": 3.0})]
    translator.observe("/backline/play", {}, 0.0)
    assert translator.translate("/time", {"seconds": 4.0}, 1.0) == []


def test_a_handler_for_an_alias_gets_it_as_it_was_sent() -> None:
    recorder, raw = Recorder(), Recorder()
    built_in = {m.address: (lambda call: ()) for m in METHODS if m.address not in recorder.handlers()}
    built_in = {a: h for a, h in built_in.items() if BY_ADDRESS[a].direction == "in" and not BY_ADDRESS[a].alias_of}

    def position(call: Call) -> tuple[OscValue, ...]:
        raw.calls.append(call)
        return ()

    dispatcher = Dispatcher({**recorder.handlers(), "/time": position}, built_in)
    dispatcher.handle(Message("/time", (12.5,)), CLIENT, 1.0)
    assert [(call.address, call.arguments) for call in raw.calls] == [("/time", {"seconds": 12.5})]
    assert recorder.calls == []
