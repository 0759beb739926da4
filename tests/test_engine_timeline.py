from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.geometry import LATENT_HOP_SAMPLES, SAMPLE_RATE_HZ
from engine.timeline import Timeline

few = settings(deadline=None, max_examples=40)
bpms = st.integers(300, 3000).map(lambda tenths: tenths / 10)
beats = st.integers(-64, 4000).map(lambda sixteenths: sixteenths / 4)


@st.composite
def timelines(draw: st.DrawFn) -> Timeline:
    later = draw(st.lists(st.integers(1, 800), unique=True, max_size=6))
    tempos = [(beat / 4, draw(bpms)) for beat in [0, *sorted(later)]]
    signatures = [(0.0, 4, 4)]
    for _ in range(draw(st.integers(0, 3))):
        beat, numerator, denominator = signatures[-1]
        after = beat + draw(st.integers(1, 9)) * 4 * numerator / denominator
        signatures.append((after, draw(st.integers(1, 32)), draw(st.sampled_from((1, 2, 4, 8, 16, 32)))))
    return Timeline(tempos, signatures, draw(st.integers(-50_000, 500_000)))


def brute_force_samples(timeline: Timeline, beat: float) -> Fraction:
    """The exact distance from beat 0, by walking every tempo point."""
    total, position, target = Fraction(0), Fraction(0), Fraction(beat)
    for i, (_, bpm) in enumerate(timeline.tempos):
        following = timeline.tempos[i + 1][0] if i + 1 < len(timeline.tempos) else float("inf")
        end = min(target, Fraction(following)) if following != float("inf") else target
        total += (end - position) * 60 * SAMPLE_RATE_HZ / Fraction(str(bpm))
        position = end
        if target <= following:
            break
    return total


@few
@given(timelines(), beats)
def test_sample_at_beat_is_the_walk_over_the_tempo_points_rounded_once(timeline: Timeline, beat: float) -> None:
    exact = brute_force_samples(timeline, beat) + timeline.first_beat_sample
    assert abs(exact - timeline.sample_at_beat(beat)) <= Fraction(1, 2)


@few
@given(timelines(), beats)
def test_beat_at_sample_goes_back_to_within_half_a_sample(timeline: Timeline, beat: float) -> None:
    sample = timeline.sample_at_beat(beat)
    assert timeline.sample_at_beat(timeline.beat_at_sample(sample)) == sample
    assert timeline.beat_at_sample(sample) == pytest.approx(beat, abs=0.51 * 300 / 60 / SAMPLE_RATE_HZ)


@few
@given(timelines(), st.integers(-20, 200))
def test_bars_and_beats_agree(timeline: Timeline, bar: int) -> None:
    start = timeline.beat_at_bar(bar)
    length = timeline.beat_at_bar(bar + 1) - start
    assert timeline.bar_at_beat(start) == bar
    assert timeline.bar_at_beat(start + length * 0.999) == bar
    assert timeline.beats_per_bar_at(start) == length
    assert timeline.sample_at_bar(bar) == timeline.sample_at_beat(start)


@few
@given(timelines(), st.integers(-40, 4000))
def test_vectors_are_the_scalars(timeline: Timeline, start_frame: int) -> None:
    beats = timeline.beats_at_frames(start_frame, 40)
    samples = [frame * LATENT_HOP_SAMPLES for frame in range(start_frame, start_frame + 40)]
    assert beats == pytest.approx([timeline.beat_at_sample(sample) for sample in samples], abs=1e-9)
    quarter_beats = np.arange(40) / 4
    assert list(timeline.bpms_at_beats(quarter_beats)) == [timeline.bpm_at_beat(beat) for beat in quarter_beats]
    lengths = [timeline.beats_per_bar_at(beat) for beat in quarter_beats]
    assert list(timeline.beats_per_bar_at_beats(quarter_beats)) == lengths
    bars = [timeline.bar_at_beat(beat) for beat in quarter_beats]
    assert list(np.floor(timeline.bars_at_beats(quarter_beats) + 1e-9)) == bars
    assert list(timeline.samples_at_beats(quarter_beats)) == [timeline.sample_at_beat(beat) for beat in quarter_beats]


@pytest.mark.parametrize(
    ("tempos", "beat", "sample"),
    [
        ([(0, 120)], 1, 22_050),
        ([(0, 120)], -4, -88_200),
        ([(0, 92)], 1_000_000, 28_760_869_565),
        ([(0, 92.1)], 921, 26_460_000),
        ([(0, 60), (4, 120)], 4, 176_400),
        ([(0, 60), (4, 120)], 5, 198_450),
        ([(0, 60), (4, 120), (8, 30)], 9, 176_400 + 88_200 + 88_200),
    ],
)
def test_tempo_table(tempos: list[tuple[float, float]], beat: float, sample: int) -> None:
    assert Timeline(tempos).sample_at_beat(beat) == sample


def test_ten_minutes_of_beats_do_not_drift() -> None:
    timeline = Timeline.constant(97.3)
    assert timeline.sample_at_beat(973) == 600 * SAMPLE_RATE_HZ


def test_tempo_points_that_change_nothing_move_nothing() -> None:
    plain, cut = Timeline.constant(133.7), Timeline([(beat, 133.7) for beat in range(300)])
    assert [plain.sample_at_beat(beat) for beat in range(400)] == [cut.sample_at_beat(beat) for beat in range(400)]


def test_signature_table() -> None:
    timeline = Timeline([(0, 100)], [(0, 4, 4), (8, 3, 4), (14, 6, 8), (20, 7, 8)])
    assert [timeline.beat_at_bar(bar) for bar in range(-1, 8)] == [-4, 0, 4, 8, 11, 14, 17, 20, 23.5]
    assert timeline.time_signature_at_beat(13.9) == (3, 4)
    assert timeline.time_signature_at_beat(14) == (6, 8)
    assert timeline.bar_at_beat(-0.1) == -1


def test_lists_of_a_song_file_give_an_equal_hashable_timeline() -> None:
    timeline = Timeline([[0, 92]], [[0, 4, 4]])  # type: ignore[list-item]
    assert timeline == Timeline.constant(92)
    assert hash(timeline) == hash(Timeline.constant(92))


@pytest.mark.parametrize(
    ("tempos", "signatures", "words"),
    [
        ([], [(0, 4, 4)], "first tempo"),
        ([(1, 100)], [(0, 4, 4)], "beat 0"),
        ([(0, 29.9)], [(0, 4, 4)], "29.9 bpm"),
        ([(0, 300.1)], [(0, 4, 4)], "30 to 300"),
        ([(0, float("nan"))], [(0, 4, 4)], "out of range"),
        ([(0, 100), (4, 90), (4, 80)], [(0, 4, 4)], "does not come after"),
        ([(0, 100), (float("nan"), 90)], [(0, 4, 4)], "does not come after"),
        ([(0, 100)], [(0, 0, 4)], "0/4"),
        ([(0, 100)], [(0, 33, 4)], "33/4"),
        ([(0, 100)], [(0, 3, 5)], "3/5"),
        ([(0, 100)], [(0, 4, 4), (6, 3, 4)], "move it to beat 8"),
    ],
)
def test_impossible_points_are_refused(
    tempos: list[tuple[float, float]], signatures: list[tuple[float, int, int]], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        Timeline(tempos, signatures)
