"""Streaming resamplers: streamed equals whole, aligned to the sample, and no click when the ratio moves."""

from __future__ import annotations

import numpy as np
import pytest
import soxr

from bridge.resampling import AdjustableResampler, Audio, StreamResampler

RATES_HZ = (8_000, 22_050, 32_000, 48_000, 88_200, 96_000, 384_000)


def _noise(samples: int, channels: int = 2) -> Audio:
    return np.random.default_rng(5).uniform(-0.5, 0.5, (channels, samples)).astype(np.float32)


def _streamed(resampler: StreamResampler | AdjustableResampler, audio: Audio, block_samples: int) -> Audio:
    blocks = [audio[:, i : i + block_samples] for i in range(0, audio.shape[1], block_samples)]
    return np.concatenate([*map(resampler.step, blocks), resampler.flush()], axis=1)


@pytest.mark.parametrize("block_samples", [1, 2, 7, 64, 1_000_000])
@pytest.mark.parametrize("rate_hz", [22_050, 48_000])
def test_streamed_equals_whole(rate_hz: int, block_samples: int) -> None:
    audio = _noise(6_000)
    whole = soxr.resample(audio.T, rate_hz, 44_100, quality="HQ").T
    streamed = _streamed(StreamResampler(rate_hz, 44_100, 2), audio, block_samples)
    assert streamed.shape == whole.shape
    assert float(np.abs(streamed - whole).max()) <= 1e-6


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_a_click_comes_out_at_its_own_time(rate_hz: int) -> None:
    click = np.zeros((1, rate_hz), np.float32)
    for position in (0, 1, rate_hz // 3, rate_hz - 1):
        click[:] = 0.0
        click[0, position] = 1.0
        out = _streamed(StreamResampler(rate_hz, 44_100, 1), click, 480)
        assert out.shape[1] == 44_100
        assert abs(int(np.abs(out[0]).argmax()) - round(position * 44_100 / rate_hz)) <= 1


def test_the_same_rate_passes_bit_for_bit_and_holds_nothing() -> None:
    resampler = StreamResampler(44_100, 44_100, 2)
    audio = _noise(1_000)
    assert np.array_equal(resampler.step(audio), audio)
    assert resampler.held_samples == 0.0
    assert resampler.flush().shape == (2, 0)


def test_what_is_held_back_is_known_and_bounded() -> None:
    resampler, given, most = StreamResampler(48_000, 44_100, 2), 0, 0.0
    for taken in range(64, 48_000, 64):
        given += resampler.step(np.zeros((2, 64), np.float32)).shape[1]
        assert resampler.held_samples == pytest.approx(taken * 0.91875 - given)
        most = max(most, resampler.held_samples)
    assert 0 < most < 0.025 * 44_100


def test_after_a_flush_a_new_stream_starts_afresh() -> None:
    resampler, audio = StreamResampler(48_000, 44_100, 2), _noise(4_800)
    assert np.array_equal(_streamed(resampler, audio, 100), _streamed(resampler, audio, 100))


def test_an_adjustable_ratio_changes_the_pace_without_a_click() -> None:
    pitch_hz, seconds = 1_000.0, 4
    time_seconds = np.arange(44_100 * seconds) / 44_100
    tone = np.sin(2 * np.pi * pitch_hz * time_seconds).astype(np.float32)[None]
    resampler, pieces = AdjustableResampler(44_100, 44_100, 1), []
    for block in range(0, tone.shape[1], 256):
        resampler.set_ratio(1.0 + 2e-3 * np.sin(block / 9_000))
        pieces.append(resampler.step(tone[:, block : block + 256]))
    out = np.concatenate([*pieces, resampler.flush()], axis=1)[0, 500:-500].astype(np.float64)
    bend = float(np.abs(np.diff(out, 2)).max())
    assert bend < 1.02 * (2 * np.pi * pitch_hz / 44_100) ** 2  # a click would bend the sine more than it bends itself
    assert float(np.abs(out).max()) < 1.001


@pytest.mark.parametrize("ratio", [0.9995, 1.0, 1.0005])
def test_an_adjustable_ratio_is_exact_in_the_long_run(ratio: float) -> None:
    resampler = AdjustableResampler(48_000, 44_100, 2)
    resampler.set_ratio(ratio, slew_samples=0)
    out = _streamed(resampler, np.zeros((2, 480_000), np.float32), 512)
    assert abs(out.shape[1] - 441_000 / ratio) < 4


def test_an_adjustable_resampler_is_on_time() -> None:
    for from_hz, to_hz in ((44_100, 44_100), (44_100, 48_000), (48_000, 44_100)):
        click = np.zeros((1, from_hz), np.float32)
        click[0, from_hz // 2] = 1.0
        out = _streamed(AdjustableResampler(from_hz, to_hz, 1), click, 256)
        assert abs(int(np.abs(out[0]).argmax()) - to_hz // 2) <= 3


@pytest.mark.parametrize(
    ("from_hz", "to_hz", "channels"), [(7_999, 44_100, 2), (44_100, 400_000, 2), (44_100, 48_000, 0)]
)
def test_impossible_rates_are_refused(from_hz: int, to_hz: int, channels: int) -> None:
    for kind in (StreamResampler, AdjustableResampler):
        with pytest.raises(ValueError, match="out of range"):
            kind(from_hz, to_hz, channels)


def test_wrong_shapes_and_ratios_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected \(2, samples\)"):
        StreamResampler(48_000, 44_100, 2).step(np.zeros((1, 8), np.float32))
    with pytest.raises(ValueError, match="same nominal sample rate"):
        AdjustableResampler(48_000, 44_100, 2).set_ratio(1.02)
    with pytest.raises(ValueError, match="out of range"):
        AdjustableResampler(48_000, 44_100, 2).set_ratio(float("nan"))
