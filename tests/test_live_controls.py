"""The values and small machines of a live session: controls, desk, meters, pace, quanta and reading between samples."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bridge.errors import UserError
from bridge.live.controls import ChordMark, Controls, Lock, frames_of_beats, stems_from
from bridge.live.lane import LaneKey, Lanes, Roll
from bridge.live.meters import Meters
from bridge.live.mixing_desk import GATE_RAMP_SAMPLES, Gate, MixingDesk
from bridge.live.pace import FIRST_FACTOR, GUARD_SECONDS, KNOWN, MAX_GUARD_SECONDS, REMEMBERED, SLOWER_YET, Pace
from bridge.live.quantum import Gains, Quantum, Voice, follows, render, touched
from bridge.live.takes import UserTakes
from bridge.live.varispeed import read, samples_needed
from bridge.osc.calls import CommandError
from engine.geometry import LATENT_HOP_SAMPLES, STEMS
from engine.harmony import Chord
from engine.live_chunk import Reseed
from engine.stem_decoder import LATE_SAMPLES
from engine.timeline import Timeline
from engine.wish import Wish

Array = NDArray[np.float32]

CONTROLS = Controls(Wish())
TIMELINE = Timeline.constant(120.0)
AM, F = Chord.parse("Am"), Chord.parse("F")


# Controls


def test_chords_are_spans_that_follow_each_other_without_end() -> None:
    controls = CONTROLS.with_chord(4.0, AM).with_chord(8.0, F)
    first, last = controls.chord_spans()
    assert (first.start_beat, first.end_beat, first.chord) == (4.0, 8.0, AM)
    assert (last.start_beat, last.chord) == (8.0, F)
    assert last.end_beat > 1e5
    assert controls.with_chord(6.0, F).chords == (ChordMark(4.0, AM), ChordMark(6.0, F))
    assert controls.with_chord(4.0, F).chords == (ChordMark(4.0, F),)
    assert controls.with_chord(0.0, None).chords == ()
    assert CONTROLS.chord_spans() == ()


def test_a_score_is_the_wish_with_the_users_chords_and_rerolls() -> None:
    reseed = Reseed(STEMS, 0, None, 3)
    score = CONTROLS.with_chord(0.0, AM).with_reseed(reseed).score(TIMELINE)
    assert score.timeline is TIMELINE
    assert score.reseeds == (reseed,)
    assert [span.chord for span in score.wish.chords] == [AM]


def test_a_reroll_replaces_those_that_it_covers_whole() -> None:
    small, other, wide, all_of_it = (
        Reseed(("bass",), 10, 20, 1),
        Reseed(("drums",), 10, 20, 2),
        Reseed(("bass", "other"), 5, 25, 3),
        Reseed(STEMS, 0, None, 4),
    )
    assert CONTROLS.with_reseed(small).with_reseed(other).with_reseed(wide).reseeds == (other, wide)
    assert CONTROLS.with_reseed(wide).with_reseed(small).reseeds == (wide, small)
    assert CONTROLS.with_reseed(all_of_it).with_reseed(small).reseeds == (all_of_it, small)
    assert CONTROLS.with_reseed(small).with_reseed(all_of_it).reseeds == (all_of_it,)


def test_marks_stay_few_in_a_long_set() -> None:
    controls = CONTROLS
    for beat in range(1_200):
        controls = controls.with_chord(float(beat), AM).with_lock(Lock("bass", beat, beat + 1))
        controls = controls.with_reseed(Reseed(STEMS, beat, beat + 1, beat))
    assert max(len(controls.chords), len(controls.locks), len(controls.reseeds)) < 1_000
    assert controls.chords[-1].beat == 1_199.0


@pytest.mark.parametrize(
    ("locks", "start", "end", "free"),
    [
        ((), 0, 100, [(0, 100)]),
        (((20, 30),), 0, 100, [(0, 20), (30, 100)]),
        (((20, 30), (25, 50)), 0, None, [(0, 20), (50, None)]),
        (((20, None),), 0, None, [(0, 20)]),
        (((0, None),), 7, 100, []),
        (((0, 50),), 60, 100, [(60, 100)]),
        (((60, 100),), 20, 40, [(20, 40)]),
        (((0, 30),), 20, 40, [(30, 40)]),
    ],
)
def test_locks_leave_the_rest_free(
    locks: tuple[tuple[int, int | None], ...], start: int, end: int | None, free: list[tuple[int, int | None]]
) -> None:
    controls = CONTROLS.with_lock(Lock("drums", 0, None))
    for first, last in locks:
        controls = controls.with_lock(Lock("bass", first, last))
    assert controls.free_ranges("bass", start, end) == free
    assert controls.without_locks("bass").free_ranges("bass", start, end) == [(start, end)]
    assert controls.free_ranges("drums", start, end) == []


def test_frames_are_those_that_beats_touch() -> None:
    assert frames_of_beats(TIMELINE, 0.0, 4.0) == (0, 44)  # 88 200 samples are 43.07 frames
    assert frames_of_beats(TIMELINE, 1.0, None) == (10, None)
    assert frames_of_beats(TIMELINE, -4.0, -1.0) == (0, None)
    assert frames_of_beats(TIMELINE, 1.0, 1.0) == (10, 11)


def test_stems_are_read_in_any_order_and_none_means_all() -> None:
    assert stems_from("other, drums") == ("drums", "other")
    assert stems_from("") == stems_from(" , ") == STEMS
    with pytest.raises(ValueError, match="'kick' is not known"):
        stems_from("drums,kick")


# The desk


def test_mute_solo_gain_and_master_make_one_factor() -> None:
    desk = MixingDesk(master_db=-6.0).changed("bass", gain_db=6.0)
    assert desk.factors_at(0.0) == pytest.approx((0.501187, 1.0, 0.501187), rel=1e-5)
    soloed = desk.changed("bass", solo=True)
    assert [soloed.audible(stem) for stem in STEMS] == [False, True, False]
    assert soloed.changed("bass", mute=True).factors_at(0.0) == (0.0, 0.0, 0.0)
    assert desk.changed("drums", mute=True).factors_at(0.0)[0] == 0.0


def test_gates_open_a_ramp_before_their_start_and_close_at_their_end() -> None:
    desk = MixingDesk().changed("drums", gate=Gate(10_000, 20_000)).changed("bass", gate=None)
    opens = 10_000 - GATE_RAMP_SAMPLES
    heard = [desk.factors_at(at)[0] for at in (opens - 1, opens + 1, 10_000, 19_999, 20_000)]
    assert heard == [0.0, 1.0, 1.0, 1.0, 0.0]
    assert desk.factors_at(15_000.0)[1:] == (0.0, 1.0)
    assert [desk.border_after(at) for at in (0.0, opens, 10_000.0, 20_000.0)] == [opens, 10_000, 20_000, None]


def test_the_next_place_to_play_is_that_of_the_first_gate() -> None:
    desk = MixingDesk()
    assert desk.next_open(5_000) == 5_000
    for stem, gate in zip(STEMS, (Gate(50_000, 60_000), Gate(10_000, 20_000), None), strict=True):
        desk = desk.changed(stem, gate=gate)
    assert desk.next_open(0) == 10_000 - GATE_RAMP_SAMPLES
    assert desk.next_open(15_000) == 15_000
    assert desk.next_open(20_000) == 50_000 - GATE_RAMP_SAMPLES
    assert desk.next_open(60_000) is None


# Meters


def test_meters_tell_each_reader_peak_and_rms_since_it_asked_last() -> None:
    meters = Meters()
    assert meters.read("one")["mix"].peak_db == -120.0
    stems = np.zeros((3, 2, 1000), np.float32)
    stems[0] = 0.5
    stems[1, :, ::2], stems[1, :, 1::2] = 0.25, -0.25
    meters.take(stems)
    meters.take(stems)
    first = meters.read("one")
    assert first["drums"].peak_db == pytest.approx(-6.02, abs=0.01)
    assert first["bass"].rms_db == pytest.approx(-12.04, abs=0.01)
    assert first["mix"].peak_db == pytest.approx(-2.5, abs=0.01)
    assert first["other"].rms_db == -120.0
    assert meters.read("one")["drums"].peak_db == -120.0
    assert meters.read("two")["drums"].peak_db == -120.0, "a reader is told from its first question on"
    meters.take(stems)
    assert meters.read("two")["drums"].peak_db == meters.read("one")["drums"].peak_db == first["drums"].peak_db


# Pace


def test_the_lead_follows_what_was_measured() -> None:
    pace = Pace(0.2)
    assert pace.percentile(0.95) == pace.recent_seconds == 0.2
    assert pace.lead_seconds == pytest.approx(min(SLOWER_YET * FIRST_FACTOR, 2.0) * 0.2 + GUARD_SECONDS)
    for _ in range(KNOWN):
        pace.took(0.1)
    assert pace.recent_seconds == pytest.approx(0.1)
    assert pace.lead_seconds == pytest.approx(SLOWER_YET * 0.1 + GUARD_SECONDS)
    pace.took(0.15)
    assert pace.lead_seconds == pytest.approx(SLOWER_YET * 0.15 + GUARD_SECONDS), "the slowest of late counts"
    pace.took(0.5)
    assert pace.lead_seconds == pytest.approx(0.2 + GUARD_SECONDS), "as twice the usual at most"
    for _ in range(9):
        pace.took(0.3)
    assert pace.recent_seconds == pytest.approx(0.3)


def test_a_late_chunk_makes_later_ones_begin_earlier_for_a_while() -> None:
    pace = Pace(0.1)
    before = pace.lead_seconds
    pace.delivered(False)
    assert pace.lead_seconds == pytest.approx(before + GUARD_SECONDS)
    for _ in range(20):
        pace.delivered(False)
    assert pace.lead_seconds == pytest.approx(before - GUARD_SECONDS + MAX_GUARD_SECONDS)
    for _ in range(3_000):
        pace.delivered(True)
    left = 0.5 * MAX_GUARD_SECONDS
    assert pace.lead_seconds == pytest.approx(before - GUARD_SECONDS + left, abs=0.01), "half is left after 3,000"
    for _ in range(6_000):
        pace.delivered(True)
    assert pace.lead_seconds == pytest.approx(before)
    assert (pace.on_time, pace.late) == (9_000, 21)


def test_a_chunk_that_was_begun_late_says_nothing_of_the_guard() -> None:
    pace = Pace(0.1)
    before = pace.lead_seconds
    pace.delivered(False, begun_in_time=False)
    assert pace.lead_seconds == before
    assert pace.late == 1


def test_what_the_player_takes_at_once_has_to_be_there_sooner() -> None:
    pace = Pace(0.1)
    lead = pace.lead_seconds
    pace.stride_seconds = 0.5 * GUARD_SECONDS
    assert pace.lead_seconds == lead, "the guard is enough"
    pace.stride_seconds = 0.2
    assert pace.lead_seconds == pytest.approx(lead + 0.2 - GUARD_SECONDS)
    assert pace.soonest_seconds == pytest.approx(0.1 + 0.2 - GUARD_SECONDS)


def test_only_the_last_generations_count() -> None:
    pace = Pace(0.1)
    for _ in range(50):
        pace.took(3.0)
    for _ in range(REMEMBERED):
        pace.took(0.1)
    assert pace.percentile(1.0) == pytest.approx(0.1)


# Reading between samples


def sine(hz: float, samples: int, step: float = 1.0, start: float = 0.0) -> NDArray[np.float64]:
    return np.sin(2 * np.pi * hz / 44_100 * (start + step * np.arange(samples)))


def test_whole_positions_are_copied_to_the_bit() -> None:
    audio = np.random.default_rng(0).standard_normal((3, 2, 500)).astype(np.float32)
    np.testing.assert_array_equal(read(audio, 1_000, 1_100.0, 1.0, 64), audio[..., 100:164])
    assert samples_needed(1_100.0, 1.0, 64) == (1_100, 1_164)


@pytest.mark.parametrize("step", [0.97, 0.999, 1.0003, 1.003, 1.03])
@pytest.mark.parametrize("hz", [100.0, 1_000.0, 7_000.0, 12_000.0, 15_000.0])
def test_a_sine_read_at_another_speed_is_that_sine(step: float, hz: float) -> None:
    start, samples = 1_000.37, 4_096
    first, end = samples_needed(start, step, samples)
    audio = sine(hz, end - first, 1.0, first).astype(np.float32)
    error = read(audio, first, start, step, samples) - sine(hz, samples, step, start)
    assert 20 * np.log10(np.sqrt(np.mean(error**2) * 2)) < -80.0


def test_fractions_of_a_sample_without_a_change_of_speed_are_read_too() -> None:
    first, end = samples_needed(10.5, 1.0, 256)
    audio = sine(5_000.0, end - first, 1.0, first).astype(np.float32)
    error = read(audio, first, 10.5, 1.0, 256) - sine(5_000.0, 256, 1.0, 10.5)
    assert np.abs(error).max() < 1e-4


def test_a_constant_stays_what_it_is_at_any_speed() -> None:
    first, end = samples_needed(3.3, 1.0017, 1_000)
    np.testing.assert_allclose(read(np.full(end - first, 0.5, np.float32), first, 3.3, 1.0017, 1_000), 0.5, atol=1e-6)


def test_exactly_the_samples_that_are_needed_are_read_and_places_do_not_drift() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        start, step = float(rng.uniform(0, 1e8)), float(rng.uniform(0.95, 1.05))
        first, end = samples_needed(start, step, 512)
        ramp = np.arange(end - first, dtype=np.float32)  # the value is the place
        places = read(ramp, first, start, step, 512).astype(np.float64) + first
        np.testing.assert_allclose(places, start + step * np.arange(512), rtol=0, atol=2e-3)
        spoiled = np.concatenate([[np.nan], ramp, [np.nan]]).astype(np.float32)
        assert np.isfinite(read(spoiled, first - 1, start, step, 512)).all()


def test_block_by_block_is_the_same_as_at_once() -> None:
    audio = np.random.default_rng(2).standard_normal((2, 3_000)).astype(np.float32)
    start, step = 100.25, 1.00125  # exact in binary, so are the places of blocks
    whole = read(audio, 0, start, step, 2_048)
    blocks = [read(audio, 0, start + at * step, step, 256) for at in range(0, 2_048, 256)]
    np.testing.assert_allclose(np.concatenate(blocks, axis=1), whole, atol=1e-5)


# Quanta

SOUNDS = {number: np.random.default_rng(number).standard_normal((3, 2, 4_000)).astype(np.float32) for number in (1, 2)}
FULL: Gains = (1.0, 1.0, 1.0)
HALF: Gains = (1.0, 0.5, 0.0)


def audio_of(number: int) -> tuple[int, Array]:
    return 100 * number, SOUNDS[number]


def test_a_quantum_is_its_voices_with_their_ramps_and_the_stems_gains() -> None:
    voices = (Voice(1, 500.0, 1.0, 1.0, 0.0, 100), Voice(2, 500.0, 1.0, 0.0, 1.0, 50))
    sound = render(Quantum(200, voices, HALF, HALF), audio_of)
    down, up = 1 - np.minimum(np.arange(1, 201) / 100, 1), np.minimum(np.arange(1, 201) / 50, 1)
    wanted = SOUNDS[1][:, :, 400:600] * down + SOUNDS[2][:, :, 300:500] * up
    np.testing.assert_allclose(sound, wanted * np.array(HALF)[:, None, None], atol=1e-6)
    assert not render(Quantum(64, (), FULL, FULL), audio_of).any()


def test_gains_go_in_a_straight_line_from_quantum_to_quantum() -> None:
    constant = np.ones((3, 2, 1_000), np.float32)
    one = render(Quantum(256, (Voice(1, 0.0, 1.0),), FULL, HALF), lambda _: (0, constant))
    two = render(Quantum(256, (Voice(1, 256.0, 1.0),), HALF, HALF), lambda _: (0, constant))
    stem = np.concatenate([one, two], axis=2)[2, 0]
    assert stem[255] == stem[256] == 0.0
    np.testing.assert_allclose(np.diff(stem[:256]), -1 / 256, atol=1e-6)


def steady(start: float, samples: int, **how: Any) -> Quantum:
    voice = Voice(1, start, 1.0)._replace(**how)
    return Quantum(samples, (voice,), HALF, HALF)


def test_quanta_that_follow_each_other_are_one_longer_one_to_the_bit() -> None:
    first, second = steady(500.0, 300), steady(800.0, 212)
    assert follows(second, first)
    both = render(steady(500.0, 512), audio_of)
    np.testing.assert_array_equal(
        np.concatenate([render(quantum, audio_of) for quantum in (first, second)], axis=2), both
    )
    assert follows(Quantum(8, (), FULL, FULL), Quantum(9, (), FULL, FULL))


@pytest.mark.parametrize(
    "other",
    [
        steady(801.0, 212),
        steady(800.0, 212, roll=2),
        steady(800.0, 212, step=1.001),
        steady(800.0, 212, from_gain=0.0, ramp_samples=10),
        Quantum(212, (Voice(1, 800.0, 1.0),), HALF, FULL),
        Quantum(212, (Voice(1, 800.0, 1.0),), FULL, FULL),
        Quantum(212, (), HALF, HALF),
        Quantum(212, (Voice(1, 800.0, 1.0), Voice(2, 800.0, 1.0)), HALF, HALF),
    ],
)
def test_quanta_that_do_not_simply_go_on_stay_apart(other: Quantum) -> None:
    assert not follows(other, steady(500.0, 300))


def test_a_voice_touches_what_it_reads() -> None:
    assert touched(Voice(1, 100.0, 1.0), 50) == (100, 150)
    first, end = touched(Voice(1, 100.5, 1.0), 50)
    assert (first, end) == (85, 166)


# Rolls


def test_a_roll_takes_what_fits_and_says_what_it_has() -> None:
    roll = Roll(1, TIMELINE, 8, 16, 20)
    start = 8 * LATENT_HOP_SAMPLES - LATE_SAMPLES
    assert (roll.start_sample, roll.end_sample) == (start, start)
    roll.append(np.ones((3, 2, 5_000), np.float32))
    assert roll.covers(start, start + 5_000)
    assert not roll.covers(start, start + 5_001)
    assert not roll.covers(start - 1, start)
    roll.append(np.ones((3, 2, 10**6), np.float32))
    assert roll.end_sample == 28 * LATENT_HOP_SAMPLES - LATE_SAMPLES
    assert roll.audio().shape == (3, 2, 20 * LATENT_HOP_SAMPLES)
    assert Roll(2, TIMELINE, 0, 8, 12).start_sample == 0


def test_a_roll_keeps_what_it_has_when_it_makes_room_for_its_backup() -> None:
    roll = Roll(1, TIMELINE, 8, 16, 60)
    sound = np.random.default_rng(0).standard_normal((3, 2, 60 * LATENT_HOP_SAMPLES)).astype(np.float32)
    chunk = 9 * LATENT_HOP_SAMPLES
    roll.append(sound[:, :, :chunk])
    before = roll.audio()
    assert before.base is not None
    assert before.base.nbytes < 30 * LATENT_HOP_SAMPLES * 3 * 2 * 4  # no room yet for what may never be decoded
    roll.append(sound[:, :, chunk:])
    assert np.array_equal(roll.audio(), sound)
    assert np.array_equal(before, sound[:, :, :chunk])  # whoever reads meanwhile reads on


def test_what_was_prepared_at_rest_is_adopted_once_and_only_where_it_was_made() -> None:
    def resting() -> Lanes:
        lanes = Lanes()
        roll = Roll(1, TIMELINE, 0, 8, 12)
        roll.append(np.zeros((3, 2, 8 * LATENT_HOP_SAMPLES), np.float32))
        lanes.open(LaneKey(1, 0)).add(roll)
        return lanes

    lanes = resting()
    lanes.adopt(LaneKey(1, 0), LaneKey(2, 0), 100.0)
    adopted = lanes.get(LaneKey(2, 0))
    assert adopted is not None
    assert adopted.key == LaneKey(2, 0)
    assert lanes.get(LaneKey(1, 0)) is None
    lanes.adopt(LaneKey(2, 0), LaneKey(3, 0), 100.0 * LATENT_HOP_SAMPLES)
    assert lanes.get(LaneKey(3, 0)) is None
    lanes.open(LaneKey(4, 0))
    lanes.keep_from(LaneKey(3, 0))
    assert lanes.get(LaneKey(2, 0)) is None
    lanes.open(LaneKey(4, 1))
    lanes.forget_after(LaneKey(4, 0))
    assert lanes.get(LaneKey(4, 1)) is None
    assert lanes.get(LaneKey(4, 0)) is not None


# Takes while it plays


class Bounces:
    """Stands for the rendering of a take: waits until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.go, self.told, self.done = threading.Event(), [], threading.Semaphore(0)  # type: ignore[var-annotated]
        self.error: Exception | None = None
        for name in ("first", "second"):
            (folder / "takes" / name).mkdir(parents=True)
            (folder / "takes" / name / "take.json").write_text("{}", encoding="utf-8")
        monkeypatch.setattr("bridge.live.takes.takes_folder", lambda: folder / "takes")
        monkeypatch.setattr("bridge.live.takes.take_names", lambda: ["first", "second"])
        monkeypatch.setattr("bridge.live.takes.find_take", self.find)
        monkeypatch.setattr("bridge.live.takes.bounce_take", self.bounce)

    def find(self, name: str) -> Path:
        if name not in ("", "first", "second"):
            raise UserError(f"take {name!r} is not known")
        return Path(name or "second")

    def bounce(self, *_: object) -> None:
        self.go.wait(5.0)
        if self.error is not None:
            raise self.error

    def tell(self, words: str) -> None:
        self.told.append(words)
        self.done.release()


def test_one_take_is_bounced_at_a_time_and_its_end_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bounces = Bounces(monkeypatch, tmp_path)
    takes = UserTakes(None, bounces.tell)  # type: ignore[arg-type]
    assert takes.names() == ("second", "first")
    assert takes.bounce("") == "second"
    with pytest.raises(CommandError) as busy:
        takes.bounce("first")
    assert busy.value.code == "busy"
    with pytest.raises(CommandError) as unknown:
        takes.bounce("third")
    assert unknown.value.code == "unknown_take"
    bounces.go.set()
    assert bounces.done.acquire(timeout=5.0)
    assert bounces.told == [f"take second is in {tmp_path / 'bounces' / 'second'}"]


def test_a_bounce_that_fails_is_told_and_the_next_one_may_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounces = Bounces(monkeypatch, tmp_path)
    takes = UserTakes(None, bounces.tell)  # type: ignore[arg-type]
    bounces.error = UserError("the disk is full")
    bounces.go.set()
    for _ in range(2):
        takes.bounce("first")
        assert bounces.done.acquire(timeout=5.0)
        for thread in threading.enumerate():
            if thread.name == "bounce":
                thread.join(5.0)
    assert bounces.told == ["take first was not rendered: the disk is full"] * 2
