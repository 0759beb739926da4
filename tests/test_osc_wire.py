"""Datagrams to messages and back."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import OscMessageBuilder

from bridge.osc import wire
from bridge.osc.method import OscValue
from bridge.osc.wire import Message, WireError, decode, encode, encode_bundle

LOCATE = b"/backline/locate\x00\x00\x00\x00,d\x00\x00\x40\x30\x00\x00\x00\x00\x00\x00"


def reason(datagram: bytes) -> str:
    with pytest.raises(WireError) as caught:
        decode(datagram)
    return caught.value.reason


def test_a_literal_message() -> None:
    assert decode(LOCATE) == [Message("/backline/locate", (16.0,))]
    assert encode("/backline/locate", (16.0,)) == LOCATE


def test_a_message_without_type_tags() -> None:
    assert decode(b"/backline/play\x00\x00") == [Message("/backline/play")]
    assert decode(b"/backline/play\x00\x00,\x00\x00\x00") == [Message("/backline/play")]


def test_every_type() -> None:
    data = b"/a\x00\x00,ihfdsSbTFNI[tcrm]\x00\x00"
    data += b"\xff\xff\xff\xfe" + b"\x00" * 7 + b"\x05" + b"\x3f\x80\x00\x00" + b"\x40\x00" + b"\x00" * 6
    data += b"abc\x00" + b"\x00\x00\x00\x00" + b"\x00\x00\x00\x03xyz\x00"
    data += b"\x00" * 7 + b"\x01" + b"\x00\x00\x00a" + b"\x01\x02\x03\x04" + b"\x00\x90\x40\x7f"
    expected = (-2, 5, 1.0, 2.0, "abc", "", b"xyz", True, False, None, True, 1, 97, 0x01020304, 0x0090407F)
    assert decode(data) == [Message("/a", expected)]


def test_nested_bundles_keep_order_and_the_later_timetag() -> None:
    inner = encode_bundle([encode("/b"), encode("/c")], due_unix_seconds=1_000.5)
    bundle = encode_bundle([encode("/a"), inner, encode("/d")], due_unix_seconds=2_000.25)
    assert [(m.address, m.due_unix_seconds) for m in decode(bundle)] == [
        (a, 2_000.25) for a in ("/a", "/b", "/c", "/d")
    ]
    assert [m.due_unix_seconds for m in decode(encode_bundle([encode("/a"), inner]))] == [None, 1_000.5, 1_000.5]


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"\x00",
        b"play\x00\x00\x00\x00",
        b"/abc",  # a string without its end
        b"/ab\x00i\x00\x00\x00",  # type tags without a comma
        b"/a\x00\x00,i\x00\x00",  # an argument that is not there
        b"/a\x00\x00,i\x00\x00\x00\x00\x00",
        b"/a\x00\x00,i\x00\x00\x00\x00\x00\x01\x00\x00\x00\x01",  # one too many
        b"/a\x00\x00,q\x00\x00",
        b"/a\x00\x00,[\x00\x00",
        b"/a\x00\x00,][\x00",
        b"/a\x00x,\x00\x00\x00",  # padded with something else
        b"/\xff\x00\x00,\x00\x00\x00",
        b"/a\x00\x00,b\x00\x00\x00\x00\x00\x09xyz\x00",
        b"#bundle\x00",
        b"#bundle\x00" + b"\x00" * 7 + b"\x01" + b"\x00\x00\x00\x00",
        b"#bundle\x00" + b"\x00" * 7 + b"\x01" + b"\x00\x00\x00\x08/a\x00\x00",
        b"#bundle\x00" + b"\x00" * 7 + b"\x01" + b"\x00\x00",
    ],
)
def test_malformed(datagram: bytes) -> None:
    assert reason(datagram) == "malformed"


def deep(levels: int) -> bytes:
    datagram = encode("/a")
    for _ in range(levels):
        datagram = encode_bundle([datagram])
    return datagram


@pytest.mark.parametrize(
    ("within", "beyond"),
    [
        (deep(wire.MAX_NESTING), deep(wire.MAX_NESTING + 1)),
        (encode_bundle([encode("/a")] * wire.MAX_MESSAGES), encode_bundle([encode("/a")] * (wire.MAX_MESSAGES + 1))),
        (
            b"/a\x00\x00," + b"T" * wire.MAX_ARGUMENTS + b"\x00" * 3,
            b"/a\x00\x00," + b"T" * (wire.MAX_ARGUMENTS + 1) + b"\x00" * 2,
        ),
        (
            b"/" + b"a" * (wire.MAX_TEXT_BYTES - 1) + b"\x00" * 4,
            b"/" + b"a" * wire.MAX_TEXT_BYTES + b"\x00" * 3,
        ),
        (encode("/a", (b"x" * 8192,)), b"/a\x00\x00,b\x00\x00\x00\x00\x20\x04" + b"x" * 8196),
        (encode("/a", (b"x" * 8192, b"y" * 8132)), b"/" + b"\x00" * (wire.MAX_MESSAGE_BYTES + 3)),
    ],
)
def test_bounds_are_exact(within: bytes, beyond: bytes) -> None:
    assert decode(within)
    assert reason(beyond) == "oversized"


def test_a_bundle_longer_than_a_datagram_is_oversized() -> None:
    assert reason(b"#bundle\x00" + bytes(wire.MAX_DATAGRAM_BYTES)) == "oversized"


def test_a_blob_that_claims_two_gigabytes_allocates_nothing() -> None:
    assert reason(b"/a\x00\x00,b\x00\x00\x7f\xff\xff\xff") == "oversized"


def attempt(datagram: bytes) -> tuple[list[Message], str]:
    """Return the messages, or none and why."""
    try:
        return decode(datagram), ""
    except WireError as error:
        return [], error.reason


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40)
VALUES = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), TEXT, st.binary(max_size=64), st.booleans(), st.none()
)


@given(TEXT, st.lists(VALUES, max_size=8))
def test_what_is_encoded_is_decoded(name: str, values: list[OscValue]) -> None:
    datagram = encode(f"/{name}", values)
    (message,) = decode(datagram)
    assert message == Message(f"/{name}", tuple(values))
    if b"" not in values:  # which python-osc cannot have
        assert OscMessage(datagram).params == values


@given(st.lists(st.one_of(st.integers(-(2**31), 2**31 - 1), st.floats(width=32), TEXT, st.booleans()), max_size=8))
def test_what_python_osc_encodes_is_decoded(values: list[OscValue]) -> None:
    builder = OscMessageBuilder("/a")
    for value in values:
        builder.add_arg(value)
    (message,) = decode(builder.build().dgram)
    assert len(message.values) == len(values)
    for decoded, value in zip(message.values, values, strict=True):
        assert decoded == value or (isinstance(value, float) and math.isnan(value))


@given(st.binary(max_size=200), st.sampled_from([b"", b"/a\x00\x00,", b"#bundle\x00", LOCATE]))
def test_random_datagrams_give_messages_or_a_wire_error(tail: bytes, start: bytes) -> None:
    messages, refused = attempt(start + tail)
    assert refused in ("", "malformed", "oversized")
    assert all(message.address.startswith("/") for message in messages)


BUNDLE = encode_bundle([LOCATE, encode("/b", (1, "x", b"y"))], 5.0)


@pytest.mark.parametrize(
    ("whole", "complete"),  # cuts that leave whole arguments with their tags, or whole elements
    [(LOCATE, {20}), (BUNDLE, {16, 20 + len(LOCATE)})],
)
def test_every_other_truncation_is_malformed(whole: bytes, complete: set[int]) -> None:
    for at in range(len(whole)):
        messages, refused = attempt(whole[:at])
        assert refused == ("" if at in complete else "malformed"), at
        assert len(messages) < 2


@pytest.mark.parametrize(
    ("values", "tags"), [((1.5,), "i"), (("a",), "f"), ((2**40,), "i"), ((1,), "s"), ((2**70,), ""), ((1,) * 65, "")]
)
def test_values_that_do_not_fit_are_refused(values: tuple[OscValue, ...], tags: str) -> None:
    with pytest.raises(ValueError, match=r"/a: |64 bits"):
        encode("/a", values, tags)
