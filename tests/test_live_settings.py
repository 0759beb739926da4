"""What is chosen from how fast a machine is, and what a session says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.click_band import ClickBand
from bridge.clock import ManualClock
from bridge.live import settings as settings_module
from bridge.live.controls import Controls
from bridge.live.reporting import Reporter
from bridge.live.serve_options import ServeOptions, wanted_ways
from bridge.live.session import LiveSession
from bridge.live.settings import (
    BAR_FRAMES,
    LiveSettings,
    Speed,
    Way,
    choose,
    measure,
    measured_options,
    settings_for,
    ways_of,
)
from bridge.live.work import Shape
from bridge.osc.contract import BY_ADDRESS, PREFIX
from bridge.osc.counters import Counters
from bridge.osc.publisher import Publisher
from bridge.sound.null import NullOutput
from bridge.transport.snapshot import TransportSnapshot
from engine.geometry import LATENT_HOP_SAMPLES, LATENT_RATE_HZ, SAMPLE_RATE_HZ, STEMS
from engine.live_chunk import Reseed
from engine.manifest import SamplingFacts
from engine.wish import Wish
from presets.store import Preset
from tests.live_support import Array, WatchedModel

WAY = Way(2, 2.0, 128)
PLAIN, DISTILLED = SamplingFacts(), SamplingFacts(distilled_guidance_scale=2.0)


def speed(p95_seconds: float, way: Way = WAY) -> Speed:
    return Speed(way, 1, 0.8 * p95_seconds, p95_seconds)


# Settings


@pytest.mark.parametrize("p95_seconds", [0.02, 0.1, 0.2, 0.35, 0.6, 1.0])
def test_the_chunk_is_the_shortest_that_can_be_kept_up(p95_seconds: float) -> None:
    chosen = settings_for(speed(p95_seconds), 0.09)
    assert chosen.feasible
    assert chosen.chunk_frames % 4 == 0
    assert p95_seconds < settings_module.BUSY_SHARE * chosen.chunk_frames / LATENT_RATE_HZ
    if chosen.chunk_frames > 4:
        assert not settings_for(speed(p95_seconds), 0.09, chosen.chunk_frames - 4).feasible
    assert chosen.real_time_factor < settings_module.BUSY_SHARE


def test_a_machine_that_is_too_slow_is_told_so() -> None:
    assert not settings_for(speed(3.0), 0.09).feasible
    assert not settings_for(speed(0.2), 0.09, chunk_frames=4).feasible


def test_the_reaction_is_the_sum_of_its_measured_terms() -> None:
    chosen = settings_for(speed(0.1), 0.09, chunk_frames=8)
    terms = chosen.reaction
    assert terms.waiting == pytest.approx(8 * LATENT_HOP_SAMPLES / SAMPLE_RATE_HZ)
    assert (terms.making, terms.sounding) == (0.1, 0.09)
    assert terms.hearing == pytest.approx((2_048 + 3_072) / 44_100)
    assert terms.total == pytest.approx(terms.hearing + terms.waiting + 0.1 + terms.guard + 0.09)


@pytest.mark.parametrize("way", ways_of(PLAIN))
@pytest.mark.parametrize("chunk_frames", [4, 8, 32, 64])
def test_every_way_and_chunk_makes_a_plan_that_the_model_can_be_given(way: Way, chunk_frames: int) -> None:
    chosen = settings_for(speed(0.1, way), 0.09, chunk_frames)
    plan = chosen.shape.plan(chunk_frames, BAR_FRAMES)
    assert plan.window_frames == way.window_frames
    assert plan.backup_frames == chosen.backup_frames >= BAR_FRAMES


def options(*given: tuple[float, int | None]) -> list[LiveSettings]:
    return [
        settings_for(speed(p95, Way(9 - number, 1.0, 128)), 0.09, chunk) for number, (p95, chunk) in enumerate(given)
    ]


def test_the_first_in_the_order_of_quality_that_can_be_kept_up_and_reacts_in_time_is_taken() -> None:
    slow, good, quick = options((0.5, None), (0.08, None), (0.04, None))
    asked: list[LiveSettings] = []

    def one_by_one() -> object:
        for option in (slow, good, quick):
            asked.append(option)
            yield option

    assert choose(one_by_one(), 0.6) is good  # type: ignore[arg-type]
    assert asked == [slow, good], "what comes after is not measured"


def test_if_none_is_in_time_the_soonest_that_can_be_kept_up_is_taken() -> None:
    unable, slow, slower = options((0.2, 4), (0.5, None), (0.7, None))
    assert not unable.feasible
    assert unable.reaction.total < slow.reaction.total
    assert choose([unable, slower, slow], 0.3) is slow
    assert choose([unable], 0.3) is unable
    with pytest.raises(ValueError, match="at least one"):
        choose([])


def test_measuring_takes_the_time_of_whole_chunks_without_the_first() -> None:
    clock, calls = ManualClock(), [0]

    def takes_time(v: Array) -> Array:
        calls[0] += 1
        clock.advance(5.0 if calls[0] <= 2 else 0.1)  # the first chunk's two steps warm up
        return v

    model = WatchedModel(spoil=takes_time)
    measured = measure(model, Way(2, 1.0, 64), 3, clock, repeats=3)
    assert calls[0] == 2 * 4
    assert (measured.way, measured.threads) == (Way(2, 1.0, 64), 3)
    assert (measured.p50_seconds, measured.p95_seconds) == pytest.approx((0.2, 0.2))
    assert {conditions.shape[2] for conditions in model.conditions} == {64}


def test_of_the_numbers_of_threads_the_fastest_is_taken_for_each_way(monkeypatch: pytest.MonkeyPatch) -> None:
    times = {(1, 2): 0.2, (3, 2): 0.1, (1, 1): 0.05, (3, 1): 0.07}
    monkeypatch.setattr(
        settings_module,
        "measure",
        lambda _, way, threads, *__: Speed(way, threads, times[threads, way.steps], times[threads, way.steps]),
    )
    models = [(threads, WatchedModel()) for threads in (1, 3)]
    told: list[LiveSettings] = []
    made = list(measured_options(models, (Way(2, 1.0, 128), Way(1, 1.0, 128)), ManualClock(), 0.09, None, told.append))
    assert [(option.speed.threads, option.speed.p95_seconds) for option in made] == [(3, 0.1), (1, 0.05)]
    assert told == made


def test_a_bundle_with_guidance_in_its_weights_needs_no_way_without() -> None:
    assert [(way.steps, way.guidance) for way in ways_of(PLAIN)] == [(2, 2.0), (2, 1.0), (1, 1.0)]
    assert [(way.steps, way.guidance) for way in ways_of(DISTILLED)] == [(2, 2.0), (1, 2.0)]


def test_a_bundle_for_one_step_is_not_played_with_two() -> None:
    assert [(way.steps, way.guidance) for way in ways_of(replace(DISTILLED, steps=1))] == [(1, 2.0)]


def test_what_the_user_or_the_preset_says_is_not_measured_away() -> None:
    assert wanted_ways(ServeOptions(), PLAIN) == ways_of(PLAIN)
    assert {(way.steps, way.guidance) for way in wanted_ways(ServeOptions(steps=3, guidance=0.0), PLAIN)} == {(3, 0.0)}
    preset = Preset(title="x", steps=7, guidance=1.5)
    assert {(way.steps, way.guidance) for way in wanted_ways(ServeOptions(preset=preset), PLAIN)} == {(7, 1.5)}
    assert {way.steps for way in wanted_ways(ServeOptions(preset=preset, steps=2), PLAIN)} == {2}
    ways = wanted_ways(ServeOptions(steps=2, guidance=1.0), PLAIN)
    assert len(set(ways)) == len(ways)


# What a session says of itself


class Reported:
    """A session of clicks on a clock of its own, at 120 bpm, and its reporter."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.session = LiveSession(
            self.clock,
            NullOutput(self.clock),
            ClickBand(self.clock),
            Controls(Wish(style="funk", seed=5)),
            Shape(8, 128),
            0.1,
        )
        self.session.out.open()
        self.reporter = Reporter(self.session, "cpu", "abc", lambda: "evening")

    def run(self, seconds: float, bpm: float = 120.0) -> None:
        for _ in range(round(seconds / 0.01)):
            now = self.clock.now()
            number, sample = round(now / 0.01), round(now * SAMPLE_RATE_HZ)
            beat = sample / SAMPLE_RATE_HZ * bpm / 60
            snapshot = TransportSnapshot(True, sample, SAMPLE_RATE_HZ, beat, bpm, 4, 4, False, 0.0, 0.0, number)
            self.session.host.observe(snapshot, now)
            self.session.player.fill()
            while self.session.generator.step() <= 0.0:
                pass
            self.clock.advance(0.01)


def test_a_session_at_rest_says_so() -> None:
    status = Reported().reporter.status("test")
    assert (status.level, status.transport.state, status.transport.moving) == ("resting", "stopped", False)
    assert status.transport.age_seconds is None
    assert (status.generator.on_time, status.generator.late, status.repeats) == (0, 0, 0)
    assert status.take == "evening"
    assert status.muted == ()


def test_a_session_that_plays_says_where_and_how_well() -> None:
    room = Reported()
    room.run(3.3)
    room.session.player.desk = room.session.player.desk.changed("bass", solo=True)
    status = room.reporter.status("test")
    assert status.level == "fresh"
    assert status.transport.bar == 1
    assert status.transport.beat_in_bar == pytest.approx(2.66, abs=0.1)
    assert status.transport.bpm == 120.0
    assert status.transport.age_seconds == pytest.approx(0.01, abs=1e-6)
    assert status.generator.on_time > 3
    assert (status.generator.style, status.generator.steps) == ("funk", 4)
    assert sum(status.level_seconds.values()) == pytest.approx(3.3, abs=0.1)
    assert status.muted == ("drums", "other")
    assert status.reaction_vocal.total > status.reaction_control.total > 0.0


def test_what_is_published_fits_the_contract() -> None:
    room = Reported()
    publisher = Publisher(room.clock, lambda *_: None, Counters())
    published: dict[str, Sequence[object]] = {}

    def publish(address: str, values: Sequence[object]) -> None:
        published[address] = values
        publisher.publish(address, values)  # type: ignore[arg-type]  # raises where tags or counts differ

    for _ in range(2):
        status = room.reporter.status("osc")
        publish(f"{PREFIX}/heartbeat", room.reporter.heartbeat(status))
        room.reporter.publish_meters(status, publish)
        room.run(1.2)
    names = [argument.name for argument in BY_ADDRESS[f"{PREFIX}/heartbeat"].arguments]
    beat = dict(zip(names, published[f"{PREFIX}/heartbeat"], strict=True))
    assert (beat["state"], beat["provider"], beat["bundle_hash"]) == ("fresh", "cpu", "abc")
    assert beat["late"] == 0
    assert isinstance(beat["on_time"], int)
    assert beat["on_time"] > 0
    for track in (*STEMS, "mix"):
        assert f"{PREFIX}/meter/{track}" in published


def test_a_transport_that_was_never_heard_has_age_minus_one() -> None:
    room = Reported()
    assert room.reporter.heartbeat(room.reporter.status("osc"))[1] == -1.0


def test_a_plan_says_for_each_stem_what_comes_when_and_from_which_seed() -> None:
    room = Reported()
    controls = room.session.generator.controls
    room.session.generator.controls = controls.with_reseed(Reseed(("drums",), 0, None, 99))
    room.run(4.5)
    delivery = room.session.last_delivery
    assert delivery is not None
    publisher = Publisher(room.clock, lambda *_: None, Counters())
    planned = room.reporter.plan(delivery)
    for values in planned:
        publisher.send_event(f"{PREFIX}/plan", values)
    assert [values[2] for values in planned] == list(STEMS)
    bar = delivery.chunk.plan.first_frame * LATENT_HOP_SAMPLES // 88_200
    assert {values[:2] for values in planned} == {(bar, 4.0)}
    assert {values[3] for values in planned} == {"new"}
    assert [values[5] for values in planned] == [99, 5, 5]
    for values in planned:
        eta_ms = values[4]
        assert isinstance(eta_ms, float)
        assert 0.0 < eta_ms < 500.0


def test_meters_are_those_of_what_sounded() -> None:
    room = Reported()
    room.reporter.status("view")
    room.run(1.0)
    meters = room.reporter.status("view").meters
    assert meters["drums"].peak_db == pytest.approx(20 * np.log10(0.5), abs=0.1)
    assert room.reporter.status("view").meters["drums"].peak_db == -120.0
