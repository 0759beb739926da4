"""A tempo map that changes: what is audibly elsewhere is found, and made anew at once."""

from __future__ import annotations

from benchmarks.click_band import ClickBand
from benchmarks.grid import Recording
from bridge.clock import ManualClock
from bridge.live.controls import Controls
from bridge.live.session import LiveSession
from bridge.live.tempo_change import first_difference
from bridge.live.work import Delivery, Shape
from bridge.transport.simulation import HostScript, HostSimulator, ScriptAction, ScriptTempo
from engine.geometry import LATENT_HOP_SAMPLES, SAMPLE_RATE_HZ
from engine.timeline import Timeline
from engine.wish import Wish

STEADY = Timeline.constant(92.0)
MINUTE = 60 * SAMPLE_RATE_HZ


def test_the_same_map_differs_nowhere() -> None:
    assert first_difference(STEADY, STEADY, 0, MINUTE) is None
    assert first_difference(STEADY, Timeline.constant(92.0), 0, MINUTE) is None


def test_a_jump_is_found_where_it_becomes_audible() -> None:
    jump_beat = 40.0
    jumped = Timeline(((0.0, 92.0), (jump_beat, 118.0)))
    place = first_difference(STEADY, jumped, 0, MINUTE)
    at = STEADY.sample_at_beat(jump_beat)
    assert place is not None
    assert at < place < at + 0.2 * SAMPLE_RATE_HZ
    assert first_difference(STEADY, jumped, 0, at) is None


def test_less_than_ten_milliseconds_are_left_alone() -> None:
    nearly = Timeline(((0.0, 92.0), (40.0, 92.001)))
    assert first_difference(STEADY, nearly, 0, MINUTE) is None
    assert first_difference(STEADY, Timeline.constant(92.0, first_beat_sample=400), 0, MINUTE) is None
    assert first_difference(STEADY, Timeline.constant(92.0, first_beat_sample=600), 0, MINUTE) == 0


def test_after_a_jump_of_the_tempo_the_next_chunk_is_for_the_new_one_at_once() -> None:
    clock = ManualClock()
    made: list[tuple[float, Delivery]] = []
    session = LiveSession(
        clock,
        Recording(clock),
        ClickBand(clock),
        Controls(Wish()),
        Shape(32, 128),  # chunks of 1.5 s: without being told, the next one would come that late
        0.1,
        on_delivery=lambda delivery: made.append((clock.now(), delivery)),
    )
    session.out.open()
    tempos = (ScriptTempo(0, 92), ScriptTempo(20, 118))
    host = HostSimulator(HostScript(tempos, actions=(ScriptAction(0.5, "play"),), rate_hz=44_100, block_samples=256))
    jump_seconds = 0.5 + float(host.sample_at_beat(20)) / SAMPLE_RATE_HZ
    for block in host.blocks(round(16.0 * SAMPLE_RATE_HZ / 256)):
        clock.advance_to(block.seconds)
        session.host.observe(block.snapshot, block.seconds)
        session.generator.step()
        session.player.fill()
    after = [(seconds, delivery) for seconds, delivery in made if seconds > jump_seconds]
    seconds, first = after[0]
    assert seconds < jump_seconds + 0.05
    assert first.chunk.score.timeline.bpm_at_beat(21.0) == 118.0
    heard_from = (first.chunk.plan.first_frame * LATENT_HOP_SAMPLES) / SAMPLE_RATE_HZ + 0.5
    assert heard_from < jump_seconds + 0.5
