"""What depends on absolute positions alone: any window of it must be the cut of the whole, bit for bit."""

import time
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.conditions import chord_conditions, position_conditions, timeline_conditions
from engine.finish import made_up
from engine.harmony import Chord, ChordSpan
from engine.manifest import SamplingFacts
from engine.mixer import GainCurve, apply_gain, gain_from_db, mix
from engine.noise import latent_noise
from engine.timeline import Timeline

Array = NDArray[np.float32]
Windowed = Callable[[int, int], Array]

TIMELINE = Timeline([(0, 92.3), (7, 60), (30.5, 171)], [(0, 4, 4), (8, 6, 8)], first_beat_sample=12_345)
CHORDS = [ChordSpan(2 * i, 2 * i + 2, Chord.parse(label)) for i, label in enumerate(("C", "Am7", "F/A", "N", "G7") * 4)]
RAMP = GainCurve(((10, 0.0), (100, -6.0), (101, -120.0), (200, 3.0)))


def assert_windows_are_cuts_of_the_whole(stage: Windowed, frames: int = 300) -> None:
    whole = stage(0, frames)
    for length in (1, 2, 7, 64, frames):
        parts = [stage(start, min(length, frames - start)) for start in range(0, frames, length)]
        np.testing.assert_array_equal(np.concatenate(parts, axis=-1), whole)


@pytest.mark.parametrize(
    "stage",
    [
        lambda start, frames: latent_noise(7, start, frames),
        lambda start, frames: timeline_conditions(TIMELINE, start, frames),
        lambda start, frames: chord_conditions(CHORDS, TIMELINE, start, frames),
        lambda start, frames: position_conditions(start, frames, 250),
        lambda start, samples: RAMP.factors(start, samples),
    ],
    ids=["noise", "timeline", "chord", "position", "gain"],
)
def test_windows_are_cuts_of_the_whole(stage: Windowed) -> None:
    assert_windows_are_cuts_of_the_whole(stage)


@pytest.mark.parametrize(
    "broken",
    [
        lambda start, frames: np.random.default_rng(7).standard_normal(frames, dtype=np.float32) + start * 0,
        lambda start, frames: np.float32(start) + np.cumsum(np.full(frames, 0.1, dtype=np.float32)),
        lambda start, frames: np.arange(start, start + frames) / np.float32(frames),
    ],
    ids=["noise-from-the-window", "accumulated-floats", "scaled-by-the-window"],
)
def test_the_check_rejects_stages_broken_on_purpose(broken: Windowed) -> None:
    with pytest.raises(AssertionError):
        assert_windows_are_cuts_of_the_whole(broken)


def test_noise_is_standard_normal_and_differs_by_seed_stem_and_frame() -> None:
    noise = latent_noise(3, 0, 1024)
    assert noise.dtype == np.float32
    assert noise.shape == (192, 1024)
    assert abs(noise.mean()) < 0.01
    assert abs(noise.std() - 1) < 0.01
    assert np.mean(np.abs(noise) > 2) == pytest.approx(0.0455, abs=0.003)
    correlations = np.corrcoef([noise[:64, :1000].ravel(), noise[64:128, :1000].ravel(), noise[128:, :1000].ravel()])
    assert np.abs(correlations - np.eye(3)).max() < 0.02
    assert abs(np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(noise.ravel(), latent_noise(4, 0, 1024).ravel())[0, 1]) < 0.02


def test_noise_for_a_window_takes_under_ten_milliseconds() -> None:
    seconds = []
    for _ in range(20):
        start = time.process_time()
        latent_noise(1, 0, 1024)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.010


@pytest.mark.parametrize(("seed", "start", "words"), [(-1, 0, "seed -1"), (2**64, 0, "seed"), (0, -4, "negative")])
def test_noise_refuses_what_it_cannot_place(seed: int, start: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        latent_noise(seed, start, 4)


def test_gains_and_ramps() -> None:
    assert gain_from_db(0.0) == 1.0
    assert gain_from_db(-6.0206) == pytest.approx(0.5, abs=1e-5)
    assert gain_from_db(-120.0) == 0.0
    ramp = GainCurve.ramp(-120.0, 0.0, start_sample=10, ramp_samples=4)
    np.testing.assert_allclose(ramp.factors(8, 8), [0, 0, 0, 0.25, 0.5, 0.75, 1, 1])
    audio = np.ones((2, 8), dtype=np.float32)
    np.testing.assert_allclose(apply_gain(audio, ramp, start_sample=8)[1], [0, 0, 0, 0.25, 0.5, 0.75, 1, 1])
    np.testing.assert_array_equal(apply_gain(audio, -200.0), 0)
    np.testing.assert_array_equal(GainCurve.constant(0.0).factors(-5, 10), 1)
    with pytest.raises(ValueError, match="rise"):
        GainCurve(((5, 0.0), (5, 1.0)))
    with pytest.raises(ValueError, match="rise"):
        GainCurve(())


def test_mixing_sums_and_changes_no_part() -> None:
    parts = [np.full((2, 5), value, dtype=np.float32) for value in (1, 2, 4)]
    assert (mix(parts) == 7).all()
    assert (parts[0] == 1).all()
    with pytest.raises(ValueError, match="one length"):
        mix([parts[0], parts[1][:, :4]])
    with pytest.raises(ValueError, match="at least one"):
        mix([])


def test_make_up_gain_is_the_same_in_any_blocks_and_bends_what_would_leave_the_range() -> None:
    audio = np.random.default_rng(0).normal(0, 0.3, (3, 2, 999)).astype(np.float32)
    facts = SamplingFacts(stem_gains_db={"drums": 8.0, "other": -2.0}, stem_widths_db={"other": 6.0})
    whole = made_up(audio, facts)
    parts = [made_up(part, facts) for part in np.split(audio, (1, 100, 613), axis=2)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=2), whole)
    np.testing.assert_array_equal(whole[1], audio[1])
    plain = audio[0] * gain_from_db(8.0)
    low = np.abs(plain) < 0.7
    np.testing.assert_allclose(whole[0][low], plain[low], rtol=1e-5)
    assert np.abs(plain).max() > 1.5
    assert np.abs(whole[0]).max() < 1.0
    order = np.argsort(plain, axis=None)
    assert (np.diff(whole[0].ravel()[order]) >= 0).all(), "no fold, no step"
    np.testing.assert_array_equal(made_up(audio, SamplingFacts()), audio)
    quiet = 0.1 * audio[1:2]
    louder = SamplingFacts(stem_gains_db={"bass": 3.0})
    np.testing.assert_allclose(made_up(quiet, louder, ("bass",)), quiet * 10**0.15, rtol=1e-5)
    wide = made_up(quiet, SamplingFacts(stem_widths_db={"bass": 6.0}), ("bass",))
    np.testing.assert_allclose(wide.sum(axis=1), quiet.sum(axis=1), atol=1e-6)
    np.testing.assert_allclose(wide[0, 0] - wide[0, 1], (quiet[0, 0] - quiet[0, 1]) * 10**0.3, atol=1e-6)
