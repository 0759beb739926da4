"""Peers, floods, timetags, leases and reply ports, on a manual clock."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.osc.core import PATTERN_TOKENS
from bridge.osc.leases import MAX_CLIENTS, MAX_LEASES_A_CLIENT, Leases
from bridge.osc.peers import ClientAddress, PeerPolicy
from bridge.osc.publisher import MAX_EVENTS
from bridge.osc.schedule import CAPACITY, HORIZON_SECONDS, Schedule
from bridge.osc.throttle import COMMANDS, STREAMS, Throttle
from bridge.osc.wire import Message, encode, encode_bundle
from tests.osc_support import CLIENT, OTHER, UNIX_SECONDS, Desk

PLAY = encode("/backline/play")
LOCATE = encode("/backline/locate", (16.0,))
SNAPSHOT = encode("/backline/transport", (1, 0, 44_100, 0.0, 120.0, 4, 4, 0, 0.0, 0.0, 1))
METER = "/backline/meter/mix"


def test_a_bundle_waits_for_its_time() -> None:
    desk = Desk()
    desk.receive(encode_bundle([PLAY, LOCATE], UNIX_SECONDS + 2.5))
    desk.receive(encode_bundle([encode("/backline/stop")], UNIX_SECONDS + 1.0))
    assert desk.recorder.calls == []
    assert desk.core.next_due_seconds() == pytest.approx(1.0)
    for until, expected in ((0.99, 0), (1.01, 1), (2.49, 1), (2.51, 3)):
        desk.clock.advance_to(until)
        desk.core.run_due(desk.clock.now())
        assert len(desk.recorder.calls) == expected
    assert desk.recorder.addresses == ["/backline/stop", "/backline/play", "/backline/locate"]
    assert desk.recorder.calls[1].arrived_seconds == 2.51
    assert [message.values for _, message in desk.sent] == [(address,) for address in desk.recorder.addresses]


def test_bundles_for_the_same_time_keep_their_order() -> None:
    desk = Desk()
    for beat in range(50):
        desk.receive(encode_bundle([encode("/backline/locate", (beat,)), PLAY], UNIX_SECONDS + 1.0))
    desk.clock.advance(1.1)
    desk.core.run_due(desk.clock.now())
    assert desk.recorder.addresses == ["/backline/locate", "/backline/play"] * 50
    assert [call.arguments["beat"] for call in desk.recorder.calls[::2]] == list(range(50))


def test_a_step_of_the_wall_clock_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()
    desk.receive(encode_bundle([PLAY], UNIX_SECONDS + 1.0))
    monkeypatch.setattr("tests.osc_support.UNIX_SECONDS", UNIX_SECONDS + 3_600.0)
    desk.receive(encode_bundle([LOCATE], UNIX_SECONDS + 3_602.0))
    desk.clock.advance(1.5)
    desk.core.run_due(desk.clock.now())
    assert desk.recorder.addresses == ["/backline/play"]  # was put in by the old time, and still comes
    assert desk.core.next_due_seconds() == pytest.approx(2.0, abs=1e-3)


def test_a_late_bundle_is_carried_out_at_once_and_counted() -> None:
    desk = Desk()
    desk.receive(encode_bundle([PLAY], UNIX_SECONDS - 3.0))
    desk.receive(encode_bundle([PLAY]))
    assert desk.recorder.addresses == ["/backline/play"] * 2
    assert desk.stats().late_bundles == 1


def test_a_bundle_too_far_ahead_is_refused() -> None:
    desk = Desk()
    (reply,) = desk.receive(encode_bundle([PLAY], UNIX_SECONDS + HORIZON_SECONDS + 1.0))
    assert reply.values[:2] == ("/backline/play", "too_far_ahead")
    (reply,) = desk.receive(encode_bundle([encode("/backline/play", ("#1",))], UNIX_SECONDS + HORIZON_SECONDS + 1.0))
    assert reply.values[:3] == ("/backline/play", "#1", "too_far_ahead")
    assert desk.stats().queue_dropped == 2
    assert desk.core.next_due_seconds() is None


def test_the_schedule_is_bounded_and_keeps_order() -> None:
    schedule: Schedule[int] = Schedule()
    placed = [schedule.place(n, 1.0, 0.0) for n in range(CAPACITY + 1)]
    assert placed == ["queued"] * CAPACITY + ["queue_full"]
    assert [schedule.pop_due(1.0) for _ in range(CAPACITY)] == list(range(CAPACITY))
    assert schedule.pop_due(1e9) is None


@pytest.mark.parametrize(
    ("datagram", "field", "code"),
    [
        (b"nonsense", "malformed", "malformed"),
        (b"/a\x00\x00,b\x00\x00\x7f\xff\xff\xff", "oversized", "oversized"),
        (encode("/track/1/volume", (0.5,)), "foreign", "unknown_address"),
    ],
)
def test_what_cannot_be_used_is_counted_and_told_once_a_second(datagram: bytes, field: str, code: str) -> None:
    desk = Desk()
    told = [desk.receive(datagram) for _ in range(50)]
    assert [len(messages) for messages in told] == [1] + [0] * 49
    assert told[0][0].values[1] == code
    assert getattr(desk.stats(), field) == 50
    assert len(desk.receive(datagram, OTHER)) == 1
    desk.clock.advance(1.0)
    assert len(desk.receive(datagram)) == 1


def test_one_bad_element_refuses_the_whole_bundle() -> None:
    desk = Desk()
    desk.receive(encode_bundle([PLAY, b"/bad"]))
    assert desk.recorder.calls == []
    assert desk.stats().malformed == 1


def test_a_flood_of_commands_is_throttled_and_leaves_the_streams_alone() -> None:
    desk = Desk()
    replies = [message for _ in range(3_000) for message in desk.receive(PLAY)]
    assert len(desk.recorder.calls) == COMMANDS.burst
    assert desk.stats().throttled == 3_000 - COMMANDS.burst
    assert [reply.values[1] for reply in replies if reply.address == "/backline/error"] == ["throttled"]
    desk.recorder.calls.clear()
    for _ in range(1_000):
        desk.receive(SNAPSHOT)
    assert len(desk.recorder.calls) == 1_000
    assert desk.receive(PLAY, OTHER)[0].address == "/backline/done"
    desk.clock.advance(0.1)
    desk.recorder.calls.clear()
    for _ in range(100):
        desk.receive(PLAY)
    assert len(desk.recorder.calls) == round(COMMANDS.rate_hz * 0.1)


def test_a_bundle_is_no_way_around_the_throttle() -> None:
    desk = Desk()
    for _ in range(3):
        desk.receive(encode_bundle([PLAY] * 1_000))
    assert len(desk.recorder.calls) == COMMANDS.burst
    snapshots = encode_bundle([SNAPSHOT] * 600)
    desk.recorder.calls.clear()
    for _ in range(20):
        desk.receive(snapshots)
    assert STREAMS.burst * 0.9 <= len(desk.recorder.calls) <= STREAMS.burst


def test_patterns_cost_more() -> None:
    desk = Desk()
    for _ in range(1_000):
        desk.command("/*/stem/*/mute", 1)
    assert len(desk.recorder.calls) == 3 * (COMMANDS.burst // PATTERN_TOKENS)


def test_the_throttle_remembers_a_bounded_number_of_clients() -> None:
    throttle = Throttle(max_clients=4)
    for port in range(100):
        assert throttle.take(port, "command", 0.0)
    assert len(throttle) == 4


def test_replies_go_to_the_reply_port() -> None:
    desk = Desk()
    desk.command("/backline/client/reply_port", 9_001)
    desk.command("/backline/ping")
    desk.command("/backline/ping", client=OTHER)
    desk.command("/backline/client/reply_port", 0)
    assert [client.port for client, _ in desk.sent] == [9_001, 9_001, OTHER.port, CLIENT.port]
    (refused,) = desk.command("/backline/client/reply_port", 9_001, client=replace(CLIENT, transport="tcp"))
    assert refused.values[1] == "not_over_tcp"


def test_sync_returns_its_number() -> None:
    assert Desk().command("/backline/sync", 77)[0].values == ("/backline/sync", 77)


def test_a_lease_gives_the_current_value_at_once_and_ends_after_30_s() -> None:
    desk = Desk()
    desk.publisher.publish(METER, (-3.0, -12.0))
    assert desk.step() == []
    done, value = desk.command("/backline/subscribe", "/backline/meter/*", 10.0)
    assert done.values == ("/backline/subscribe", 30.0)
    assert value == Message(METER, (-3.0, -12.0))
    desk.clock.advance_to(29.9)
    desk.publisher.publish(METER, (-4.0, -12.0))
    assert desk.step() == [(CLIENT, Message(METER, (-4.0, -12.0)))]
    desk.clock.advance_to(30.0)
    desk.publisher.publish(METER, (-5.0, -12.0))
    assert desk.step() == []
    assert desk.stats().subscribers == 0


def test_asking_again_renews() -> None:
    desk = Desk()
    desk.command("/backline/subscribe", METER, 10.0)
    desk.clock.advance_to(20.0)
    desk.command("/backline/subscribe", METER, 10.0)
    desk.clock.advance_to(49.0)
    desk.publisher.publish(METER, (-4.0, -12.0))
    assert len(desk.step()) == 1
    assert desk.stats().subscribers == 1


def test_thinning_keeps_the_pace_and_the_newest_value() -> None:
    desk = Desk()
    desk.command("/backline/subscribe", METER, 10.0)
    desk.command("/backline/subscribe", "/backline/meter/*", 20.0, client=OTHER)
    times: dict[ClientAddress, list[float]] = {CLIENT: [], OTHER: []}
    last: dict[ClientAddress, object] = {}
    for tick in range(1_001):  # 10 s at 100 Hz
        desk.clock.advance_to(tick * 0.01)
        desk.publisher.publish(METER, (-float(tick % 100), 0.0))
        for client, message in desk.step():
            times[client].append(desk.clock.now())
            last[client] = message.values
    assert 98 <= len(times[CLIENT]) <= 101
    assert 195 <= len(times[OTHER]) <= 201
    assert min(b - a for a, b in zip(times[CLIENT], times[CLIENT][1:], strict=False)) >= 0.1 - 1e-9
    desk.publisher.publish(METER, (-77.0, 0.0))
    wait_seconds = desk.publisher.step(desk.clock.now())
    assert 0.0 < wait_seconds <= 0.1
    desk.clock.advance(0.1)
    assert {(client, message.values[0]) for client, message in desk.step()} == {(CLIENT, -77.0), (OTHER, -77.0)}
    desk.clock.advance(1.0)
    assert desk.step() == []


def test_events_are_never_thinned_but_bounded() -> None:
    desk = Desk()
    desk.command("/backline/subscribe", "/backline/plan", 0.1)
    for bar in range(MAX_EVENTS + 5):
        desk.publisher.send_event("/backline/plan", (bar, 4.0, "bass", "planned", 100.0, 1))
    assert [message.values[0] for _, message in desk.step()] == list(range(MAX_EVENTS))
    assert desk.stats().queue_dropped == 5


def test_unsubscribe_and_refresh() -> None:
    desk = Desk()
    desk.publisher.publish(METER, (-3.0, -12.0))
    desk.publisher.publish("/backline/stem/bass/gain", (-6.0,))
    desk.command("/backline/subscribe", METER, 10.0)
    assert [reply.address for reply in desk.command("/backline/unsubscribe", METER)] == ["/backline/done"]
    assert desk.command("/backline/unsubscribe", METER)[0].values[1] == "no_lease"
    assert desk.step() == []
    done, *values = desk.command("/backline/refresh", client=OTHER)
    assert done.address == "/backline/done"
    assert values == [Message(METER, (-3.0, -12.0)), Message("/backline/stem/bass/gain", (-6.0,))]


@pytest.mark.parametrize("pattern", ["meter", "/backline/{meter", "/backline/ping", "/nothing/*"])
def test_leases_on_nothing_are_refused(pattern: str) -> None:
    desk = Desk()
    assert desk.command("/backline/subscribe", pattern, 10.0)[0].values[1] == "no_lease"
    assert desk.stats().subscribers == 0


def test_leases_are_bounded() -> None:
    leases = Leases()
    for number in range(MAX_LEASES_A_CLIENT):
        leases.subscribe(CLIENT, f"/{number}", 1.0, 0.0)
    with pytest.raises(ValueError, match="32 leases"):
        leases.subscribe(CLIENT, "/more", 1.0, 0.0)
    for port in range(1, MAX_CLIENTS):
        leases.subscribe(ClientAddress("127.0.0.1", port), "/a", 1.0, 0.0)
    with pytest.raises(ValueError, match="64 clients"):
        leases.subscribe(ClientAddress("127.0.0.1", 40_000), "/a", 1.0, 0.0)
    leases.expire(30.0)
    assert leases.subscribers == 0


def test_a_client_that_has_gone_leaves_nothing() -> None:
    desk = Desk()
    desk.command("/backline/subscribe", METER, 10.0)
    desk.command("/backline/client/reply_port", 9_001)
    desk.core.forget(CLIENT)
    assert desk.stats().subscribers == 0
    assert desk.core.destination(CLIENT) == CLIENT


@pytest.mark.parametrize(
    ("address", "values", "words"),
    [
        ("/backline/nothing", (1,), "no value"),
        ("/backline/play", (1,), "no value"),
        ("/backline/done", ("/a", ""), "no value"),
        (METER, (1.0,), "give 2 to 2"),
        (METER, ("loud", 1.0), "not of type 'f'"),
    ],
)
def test_only_values_of_the_contract_are_published(address: str, values: tuple[float | str, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Desk().publisher.publish(address, values)


@given(st.lists(st.one_of(st.binary(max_size=100), st.sampled_from([PLAY, LOCATE, SNAPSHOT])), max_size=30))
@settings(max_examples=50)
def test_every_datagram_is_accounted_for(datagrams: list[bytes]) -> None:
    desk = Desk()
    for datagram in datagrams:
        desk.receive(datagram)
    stats = desk.stats()
    assert stats.received == len(datagrams)
    assert stats.received == stats.handled + stats.errors + stats.malformed + stats.oversized + stats.foreign


def test_who_may_talk() -> None:
    assert PeerPolicy("localhost").listen == "127.0.0.1"
    policy = PeerPolicy("0.0.0.0", ["192.168.1.20", "10.0.0.0/8"])
    assert [policy.allows(host) for host in ("127.0.0.1", "::1", "::ffff:127.0.0.1", "192.168.1.20", "10.9.8.7")] == [
        True
    ] * 5
    assert not any(policy.allows(host) for host in ("192.168.1.21", "8.8.8.8", "fe80::1%eth0", "nobody"))
    for listen, allow, words in (
        ("0.0.0.0", [], "nobody there is allowed"),
        ("studio", [], "no IP"),
        ("::1", ["x"], "allow 'x'"),
    ):
        with pytest.raises(ValueError, match=words):
            PeerPolicy(listen, allow)
