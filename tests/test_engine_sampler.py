from itertools import pairwise

import numpy as np
import pytest

from engine import conditions, sampler, schedule
from engine.conditions import CONDITION_CHANNELS, LAYOUT
from engine.noise import latent_noise
from engine.schedule import ALPHA_BAR, alpha_bar_at
from engine.styles import STYLES

FRAMES = 8
Array = sampler.Array


def normals(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


class PerfectPredictor:
    """Returns the exact v of `x` towards `conditioned`, or `unconditioned` where the vocal is absent."""

    def __init__(self, conditioned: Array, unconditioned: Array | None = None) -> None:
        self.conditioned = conditioned
        self.unconditioned = conditioned if unconditioned is None else unconditioned
        self.batches: list[int] = []
        self.seen: list[Array] = []
        self.told: list[tuple[Array, Array]] = []

    def __call__(self, x: Array, timestep: Array, packed: Array, style: Array) -> Array:
        assert x.dtype == timestep.dtype == packed.dtype == style.dtype == np.float32
        self.batches.append(len(x))
        self.seen.append(x)
        self.told.append((packed, style))
        vs = []
        for row, t, given in zip(x.astype(np.float64), timestep, packed, strict=True):
            x_0 = self.conditioned if given[LAYOUT.vocal_latents.flag].any() else self.unconditioned
            alpha_bar = alpha_bar_at(int(t))
            noise = (row - np.sqrt(alpha_bar) * x_0) / np.sqrt(1 - alpha_bar)
            vs.append(schedule.v_from(x_0.astype(np.float64), noise, alpha_bar))
        return np.stack(vs).astype(np.float32)


def packed_conditions() -> Array:
    return np.ones((CONDITION_CHANNELS, FRAMES), dtype=np.float32)


STYLE = conditions.style_weights(STYLES[3])


def test_the_schedule_falls_from_nearly_one_to_nearly_zero() -> None:
    assert ALPHA_BAR.shape == (800,)
    assert ALPHA_BAR.dtype == np.float64
    assert (np.diff(ALPHA_BAR) < 0).all()
    assert 0.999 < ALPHA_BAR[0] < 1.0
    assert 0.0 < ALPHA_BAR[-1] < 1e-4
    assert (1 - ALPHA_BAR[1:] / ALPHA_BAR[:-1]).max() == pytest.approx(0.999)


def test_the_schedule_is_the_cosine_of_its_paper() -> None:
    def curve(t: float) -> float:
        return float(np.cos((t / 800 + 0.008) / 1.008 * np.pi / 2) ** 2)

    for timestep in (0, 99, 399, 798):
        assert ALPHA_BAR[timestep] == pytest.approx(curve(timestep + 1) / curve(0), rel=1e-9)


@pytest.mark.parametrize("steps", [*range(1, 51), 99, 128, 500, 799, 800])
def test_pairs_go_from_noise_to_clean_without_a_gap(steps: int) -> None:
    pairs = schedule.timestep_pairs(steps)
    assert len(pairs) == steps
    assert pairs[0][0] == 799
    assert pairs[-1][1] == schedule.CLEAN_TIMESTEP
    assert all(timestep > previous for timestep, previous in pairs)
    assert all(before[1] == after[0] for before, after in pairwise(pairs))


def test_few_steps_lie_towards_the_clean_end_and_800_are_all() -> None:
    assert schedule.timestep_pairs(1) == ((799, -1),)
    (_, second), _ = schedule.timestep_pairs(2)
    assert 250 < second < 350
    for steps in (3, 4, 8, 32):
        lengths = [timestep - previous for timestep, previous in schedule.timestep_pairs(steps)]
        assert lengths == sorted(lengths, reverse=True) or max(np.diff(lengths)) <= 1
    assert [timestep for timestep, _ in schedule.timestep_pairs(800)] == list(range(799, -1, -1))


@pytest.mark.parametrize("steps", [0, -1, 801])
def test_steps_out_of_range_are_refused(steps: int) -> None:
    with pytest.raises(ValueError, match="1 to 800"):
        schedule.timestep_pairs(steps)


@pytest.mark.parametrize("timestep", [-2, 800])
def test_timesteps_out_of_range_are_refused(timestep: int) -> None:
    with pytest.raises(ValueError, match="0 to 799"):
        alpha_bar_at(timestep)


@pytest.mark.parametrize("timestep", [-1, 0, 400, 799])
def test_v_goes_there_and_back(timestep: int) -> None:
    alpha_bar = alpha_bar_at(timestep)
    x_0, noise = normals(1, 5).astype(np.float64), normals(2, 5).astype(np.float64)
    x_t, v = schedule.noised(x_0, noise, alpha_bar), schedule.v_from(x_0, noise, alpha_bar)
    np.testing.assert_allclose(schedule.x_0_from_v(x_t, v, alpha_bar), x_0, atol=1e-12)
    np.testing.assert_allclose(schedule.noise_from_v(x_t, v, alpha_bar), noise, atol=1e-12)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 6, 7, 8, 12, 50, 800])
def test_a_perfect_predictor_gives_x_0_for_any_step_count(steps: int) -> None:
    x_0 = normals(1, 192, FRAMES)
    found = sampler.sample(PerfectPredictor(x_0), normals(2, 192, FRAMES), packed_conditions(), STYLE, steps)
    np.testing.assert_allclose(found, x_0, atol=2e-5)


def test_a_sampler_that_is_one_timestep_off_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    x_0 = normals(1, 192, FRAMES)
    right = sampler.ddim_step
    monkeypatch.setattr(sampler, "ddim_step", lambda x, v, t, previous: right(x, v, t, max(previous - 1, -1) + 2))
    found = sampler.sample(PerfectPredictor(x_0), normals(2, 192, FRAMES), packed_conditions(), STYLE, 7)
    assert np.abs(found - x_0).max() > 1e-3


def test_guidance_is_one_batched_call_a_step_and_goes_from_the_one_through_the_other() -> None:
    with_vocal, without = normals(1, 192, FRAMES), normals(3, 192, FRAMES)
    predictor = PerfectPredictor(with_vocal, without)
    found = sampler.sample(predictor, normals(2, 192, FRAMES), packed_conditions(), STYLE, 5, 2.5)
    assert predictor.batches == [2] * 5
    np.testing.assert_allclose(found, without + 2.5 * (with_vocal - without), atol=5e-5)


def test_guidance_of_one_is_one_pass() -> None:
    predictor = PerfectPredictor(normals(1, 192, FRAMES))
    sampler.sample(predictor, normals(2, 192, FRAMES), packed_conditions(), STYLE, 3, 1.0)
    assert predictor.batches == [1] * 3


def test_the_unconditional_pass_keeps_timeline_position_and_known() -> None:
    predictor = PerfectPredictor(normals(1, 192, FRAMES))
    sampler.sample(predictor, normals(2, 192, FRAMES), packed_conditions(), STYLE, 1, 2.0)
    packed, style = predictor.told[0]
    kept = [group.name for group in LAYOUT.groups if packed[1, group.whole].any()]
    assert kept == ["timeline", "position", "known"]
    np.testing.assert_array_equal(style, np.stack([STYLE, np.zeros_like(STYLE)]))


def test_known_frames_come_back_bit_for_bit_and_are_noised_at_every_step() -> None:
    x_0, kept, noise = normals(1, 192, FRAMES), normals(3, 192, FRAMES), normals(2, 192, FRAMES)
    mask = np.zeros((3, FRAMES), dtype=bool)
    mask[0, :3] = mask[2, 5:] = True
    rows = np.repeat(mask, 64, axis=0)
    predictor = PerfectPredictor(x_0)
    known = sampler.Known(np.where(rows, kept, np.nan), mask)
    found = sampler.sample(predictor, noise, packed_conditions(), STYLE, 6, known=known)
    np.testing.assert_array_equal(found[rows], kept[rows])
    np.testing.assert_allclose(found[~rows], x_0[~rows], atol=2e-5)
    for (timestep, _), x in zip(schedule.timestep_pairs(6), predictor.seen, strict=True):
        expected = schedule.noised(kept, noise, alpha_bar_at(timestep))
        np.testing.assert_array_equal(x[0][rows], expected[rows])


def test_progress_reaches_one() -> None:
    done: list[float] = []
    x_0 = normals(1, 192, FRAMES)
    sampler.sample(PerfectPredictor(x_0), x_0, packed_conditions(), STYLE, 4, progress=done.append)
    assert done == [0.25, 0.5, 0.75, 1.0]


def test_windows_and_guidance_out_of_range_are_refused() -> None:
    predictor = PerfectPredictor(normals(1, 192, 6))
    with pytest.raises(ValueError, match="multiple of 4"):
        sampler.sample(predictor, normals(2, 192, 6), packed_conditions(), STYLE, 4)
    with pytest.raises(ValueError, match="guidance nan"):
        sampler.sample(predictor, normals(2, 192, FRAMES), packed_conditions(), STYLE, 4, float("nan"))


def test_the_same_seed_gives_the_same_bits() -> None:
    def take(seed: int) -> Array:
        predictor = PerfectPredictor(normals(1, 192, FRAMES))
        return sampler.sample(predictor, latent_noise(seed, 16, FRAMES), packed_conditions(), STYLE, 4)

    np.testing.assert_array_equal(take(7), take(7))
    assert (take(7) != take(8)).any()
