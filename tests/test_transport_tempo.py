"""Tempo learning: the learned timeline is the simulated host's, to the sample."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.clock import ManualClock
from bridge.transport.host import HostTransport, HostView
from bridge.transport.simulation import HostScript, HostSimulator, ScriptAction, ScriptTempo
from bridge.transport.snapshot import TransportSnapshot
from bridge.transport.song_map import plain_bpm
from bridge.transport.tempo_curves import Piece, Place, pieces_between, samples_over
from engine.timeline import Timeline

STEPS = tuple(ScriptTempo(beat, bpm) for beat, bpm in [(0, 120.0), (32, 97.3), (64, 140.5), (100.25, 88.0)])
RAMPS = (
    ScriptTempo(0, 120.0),
    ScriptTempo(16, 120.0, ramp=True),
    ScriptTempo(32, 140.0),
    ScriptTempo(48, 140.0, ramp=True),
    ScriptTempo(64, 90.0, ramp=True),
    ScriptTempo(72, 160.0, ramp=True),
    ScriptTempo(80, 100.0),
)
ODD_BARS = ((0.0, 4, 4), (16.0, 3, 4), (28.0, 7, 8), (63.0, 4, 4))


def _play(script: HostScript, seconds: float) -> tuple[HostSimulator, HostView]:
    """Run the script into a transport; return the simulator and a view from after the end."""
    simulator, transport = HostSimulator(script), HostTransport(ManualClock())
    for block in simulator.blocks(int(seconds * script.rate_hz / script.block_samples)):
        transport.observe(block.snapshot, block.seconds)
        if block.snapshot.sequence % 50 == 0:
            transport.now_view(block.seconds)
    return simulator, transport.now_view(seconds + 1.0)


def _worst(simulator: HostSimulator, timeline: Timeline, beats: range) -> int:
    """Return the largest error of the timeline's beats, in whole samples."""
    scale = 44_100 / simulator.script.rate_hz
    return max(abs(timeline.sample_at_beat(n) - round(float(simulator.sample_at_beat(n)) * scale)) for n in beats)


@pytest.mark.parametrize("rate_hz", [44_100, 48_000])
@pytest.mark.parametrize("block_samples", [pytest.param(64, marks=pytest.mark.slow), 512, 2048])
def test_steps_and_signatures_are_learned_as_they_are(rate_hz: int, block_samples: int) -> None:
    script = HostScript(STEPS, ODD_BARS, rate_hz=rate_hz, block_samples=block_samples)
    simulator, view = _play(script, 60.0)
    assert view.timeline == simulator.timeline()


@pytest.mark.parametrize("rate_hz", [44_100, 48_000])
@pytest.mark.parametrize("block_samples", [pytest.param(64, marks=pytest.mark.slow), 512, 2048])
def test_every_beat_of_steep_ramps_is_learned_to_the_sample(rate_hz: int, block_samples: int) -> None:
    script = HostScript(RAMPS, rate_hz=rate_hz, block_samples=block_samples)
    simulator, view = _play(script, 50.0)
    assert _worst(simulator, view.timeline, range(90)) == 0
    assert len(view.timeline.tempos) < 2000


@pytest.mark.slow
def test_nothing_adds_up_over_500_bars() -> None:
    steps = [ScriptTempo(64.0 * i, 90.0 + (37 * i) % 61 + 0.37 * i, ramp=i % 8 == 3) for i in range(32)]
    script = HostScript(tuple(steps), rate_hz=48_000, block_samples=2048)
    simulator, view = _play(script, 1_150.0)
    assert _worst(simulator, view.timeline, range(2000)) == 0


@given(st.floats(40.0, 290.0), st.sampled_from([(4, 4), (3, 4), (7, 8), (5, 16)]), st.sampled_from([44_100, 48_000]))
@settings(max_examples=30, deadline=None)
def test_a_constant_tempo_is_the_hosts_own_timeline(bpm: float, signature: tuple[int, int], rate_hz: int) -> None:
    bpm = round(bpm, 3)
    script = HostScript((ScriptTempo(0, bpm),), ((0.0, *signature),), rate_hz=rate_hz, block_samples=1024)
    simulator, view = _play(script, 3.0)
    assert view.timeline == Timeline.constant(bpm, *signature)
    assert view.timeline == simulator.timeline()


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(400, 2400)), min_size=1, max_size=5))
@settings(max_examples=10, deadline=None)
def test_random_steps_on_the_beat_are_learned_exactly(steps: list[tuple[int, int]]) -> None:
    beats, points = 0.0, [ScriptTempo(0.0, 120.0)]
    for quarters, tenths in steps:
        beats += 1.0 + 0.25 * quarters
        if tenths / 10 != points[-1].bpm:
            points.append(ScriptTempo(beats, tenths / 10))
    simulator, view = _play(HostScript(tuple(points), block_samples=2048), 50.0)
    reached = view.timeline.beat_at_sample(int(view.position_at(50.0)))
    played = [point for point in simulator.timeline().tempos if point[0] < reached - 1]
    assert list(view.timeline.tempos[: len(played)]) == played


def test_places_reached_by_locate_and_loop_agree_with_the_host() -> None:
    actions = (
        ScriptAction(0.0, "play"),
        ScriptAction(10.0, "locate", 100.0),
        ScriptAction(20.0, "locate", 20.0),
        ScriptAction(30.0, "stop"),
        ScriptAction(31.0, "locate", 4.0),
        ScriptAction(32.0, "play"),
        ScriptAction(40.0, "loop", 20.0, 28.5),
        ScriptAction(70.0, "loop_off"),
        ScriptAction(100.0, "locate", 90.0),
    )
    tempos = (*STEPS[:3], ScriptTempo(80, 140.5, ramp=True), ScriptTempo(96, 100.0), ScriptTempo(116.25, 88.0))
    simulator, view = _play(HostScript(tempos, ODD_BARS, actions, block_samples=512), 130.0)
    assert _worst(simulator, view.timeline, range(1, 60)) == 0
    assert _worst(simulator, view.timeline, range(91, 125)) == 0


def test_an_edited_map_is_learned_anew_and_what_comes_before_stays() -> None:
    transport = HostTransport(ManualClock())
    first = HostScript(STEPS, block_samples=512)
    edited = HostScript((*STEPS[:2], ScriptTempo(64, 150.0)), block_samples=512)
    edited_again = HostScript((ScriptTempo(0, 121.0),), block_samples=512)
    start, sequence = 0.0, 0
    for script in (first, edited, edited_again):
        simulator = HostSimulator(script, start)
        for block in simulator.blocks(6000):
            snapshot = block.snapshot
            sequence += 1
            transport.observe(_numbered(snapshot, sequence), block.seconds)
        start = block.seconds + 1.0
        view = transport.now_view(block.seconds)
        assert view.timeline == Timeline([(point.beat, point.bpm) for point in script.tempos])


def _numbered(snapshot: TransportSnapshot, sequence: int) -> TransportSnapshot:
    fields = {name: getattr(snapshot, name) for name in snapshot.__slots__}
    return TransportSnapshot(**{**fields, "sequence": sequence})


def test_a_ramp_in_progress_is_extrapolated_two_bars_ahead() -> None:
    script = HostScript((ScriptTempo(0, 100.0, ramp=True), ScriptTempo(64, 140.0)), block_samples=512)
    simulator, transport = HostSimulator(script), HostTransport(ManualClock())
    for block in simulator.blocks(1000):
        transport.observe(block.snapshot, block.seconds)
        view = transport.now_view(block.seconds)
        now = int(block.snapshot.ppq) + 1
        if now > 2:
            for beat in range(now, now + 7):
                truth = float(simulator.sample_at_beat(beat)) * 44_100 / 48_000
                assert abs(view.timeline.sample_at_beat(beat) - truth) < 22.0  # half a millisecond


def test_a_host_whose_tempo_is_rounded_is_followed_by_its_positions() -> None:
    true_bpm, transport = 120.0041, HostTransport(ManualClock())
    for i in range(20_000):
        sample = 512 * i
        ppq = sample * true_bpm / (60 * 48_000)
        transport.observe(TransportSnapshot(True, sample, 48_000, ppq, 120.0, 4, 4, False, 0, 0, i), sample / 48_000)
    timeline = transport.now_view(sample / 48_000).timeline
    for beat in range(400):
        assert timeline.sample_at_beat(beat) == pytest.approx(beat * 60 * 44_100 / true_bpm, abs=3.0)
    assert len(timeline.tempos) < 5


@given(st.integers(30_000, 300_000))
def test_a_float32_tempo_is_the_decimal_that_was_meant(thousandths: int) -> None:
    meant = thousandths / 1000
    sent = struct.unpack("f", struct.pack("f", meant))[0]
    assert plain_bpm(sent) == meant
    assert plain_bpm(meant) == meant
    assert plain_bpm(meant + 1e-13) == pytest.approx(meant, abs=1e-13)


@given(st.floats(40, 250), st.floats(40, 250), st.floats(0.05, 0.95))
@settings(max_examples=60, deadline=None)
def test_a_jump_is_found_where_it_is(before_bpm: float, after_bpm: float, where: float) -> None:
    if abs(before_bpm - after_bpm) < 1.0:
        return
    samples = samples_over(before_bpm, 0.0, where) + samples_over(after_bpm, 0.0, 1.0 - where)
    pieces = pieces_between(Place(8.0, 0.0, before_bpm), Place(9.0, samples, after_bpm), 0.0, 0.0)
    assert pieces is not None
    assert [piece.bpm for piece in pieces] == [before_bpm, after_bpm]
    assert pieces[1].beat == pytest.approx(8.0 + where, abs=1.1e-4)


@given(st.floats(60, 200), st.floats(-4, 4), st.floats(0.1, 0.9))
@settings(max_examples=60, deadline=None)
def test_a_ramp_that_begins_between_two_places_is_found_where_it_begins(bpm: float, slope: float, at: float) -> None:
    if abs(slope) < 0.5:
        return
    end_bpm = bpm + slope * (1.0 - at)
    samples = samples_over(bpm, 0.0, at) + samples_over(bpm, slope, 1.0 - at)
    pieces = pieces_between(Place(0.0, 0.0, bpm), Place(1.0, samples, end_bpm), 0.0, slope)
    assert pieces is not None
    assert pieces[-1].sample_at(1.0) == pytest.approx(samples, abs=0.7)


def test_samples_over_a_ramp_is_the_integral() -> None:
    numeric = sum(60 * 44_100 / (100 + 5 * (i + 0.5) / 10_000) / 10_000 for i in range(20_000))
    assert samples_over(100.0, 5.0, 2.0) == pytest.approx(numeric, rel=1e-9)
    assert Piece(4.0, 10.0, 100.0, 5.0).sample_at(6.0) == pytest.approx(numeric + 10.0, rel=1e-9)
    assert samples_over(100.0, 1e-9, 2.0) == pytest.approx(2 * 26_460.0)


def test_nothing_can_be_learned_from_places_that_do_not_rise() -> None:
    assert pieces_between(Place(1.0, 5.0, 100.0), Place(1.0, 9.0, 100.0), 0.0, 0.0) is None
    assert pieces_between(Place(1.0, 5.0, 100.0), Place(2.0, 5.0, 100.0), 0.0, 0.0) is None
    assert pieces_between(Place(1.0, 5.0, 100.0), Place(2.0, 6.0, 100.0), 0.0, 0.0) is None
