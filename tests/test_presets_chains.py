"""Chains of effects: blocks equal the whole, nothing moves in time, nothing is cut off, ranges hold at any rate."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from presets import chains
from presets.chains import EFFECT_MODELS, ChainStream, Effect, process_whole
from presets.store import Preset, load_preset, preset_files

RATE_HZ = 44_100.0
IMPULSE_SAMPLE = 4_000

# One of each, in settings that make the effect heard.
EXAMPLES: tuple[Effect, ...] = tuple(
    TypeAdapter(Effect).validate_python(table)
    for table in (
        {"effect": "gain", "gain_db": -3.0},
        {"effect": "high-pass", "cutoff_frequency_hz": 100.0},
        {"effect": "low-pass", "cutoff_frequency_hz": 5_000.0},
        {"effect": "low-shelf", "cutoff_frequency_hz": 200.0, "gain_db": 3.0},
        {"effect": "high-shelf", "cutoff_frequency_hz": 5_000.0, "gain_db": 3.0},
        {"effect": "peak", "cutoff_frequency_hz": 1_000.0, "gain_db": 4.0},
        {"effect": "compressor", "threshold_db": -30.0, "ratio": 4.0},
        {"effect": "gate", "threshold_db": -30.0},
        {"effect": "limiter", "threshold_db": -10.0},
        {"effect": "brickwall", "ceiling_db": -12.0},
        {"effect": "distortion", "drive_db": 12.0},
        {"effect": "reverb"},
        {"effect": "delay", "delay_seconds": 0.01},
        {"effect": "chorus"},
        {"effect": "phaser"},
    )
)
by_effect = pytest.mark.parametrize("effect", EXAMPLES, ids=lambda effect: effect.effect)


def noise(samples: int = 20_000) -> NDArray[np.float32]:
    """Return (2, samples) that swell and fade every 0.1 s, so that dynamics have something to do."""
    swell = np.sin(np.pi * np.arange(samples) / 4_410.0) ** 4
    return (0.3 * swell * np.random.default_rng(3).standard_normal((2, samples))).astype(np.float32)


def in_blocks(effects: tuple[Effect, ...], audio: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    stream = ChainStream(effects, RATE_HZ)
    pieces = [stream.step(audio[:, start : start + size]) for start in range(0, audio.shape[1], size)]
    return np.concatenate((*pieces, stream.flush()), axis=1)


def test_every_effect_has_an_example() -> None:
    assert {type(effect) for effect in EXAMPLES} == set(EFFECT_MODELS)


@by_effect
@pytest.mark.parametrize("size", [1, 2, 7, 64, 4_096])
def test_blocks_equal_the_whole(effect: Effect, size: int) -> None:
    audio = noise(6_000 if size < 64 else 20_000)
    whole = process_whole((effect,), audio, RATE_HZ)
    assert whole.shape == audio.shape
    assert np.abs(whole - audio).max() > 1e-3
    np.testing.assert_array_equal(in_blocks((effect,), audio, size), whole)


@by_effect
def test_the_border_of_two_blocks_leaves_no_seam(effect: Effect) -> None:
    audio = noise(5 * chains.BOARD_BLOCK_SAMPLES + 100)
    at_once = effect.build(RATE_HZ).process(audio, RATE_HZ, audio.shape[1], reset=False)
    np.testing.assert_array_equal(process_whole((effect,), audio, RATE_HZ)[:, : at_once.shape[1]], at_once)


def test_a_chain_that_starts_anew_at_each_block_would_be_found_out() -> None:
    effect, audio = EXAMPLES[1], noise()
    restarted = [
        process_whole((effect,), audio[:, start : start + 4_096], RATE_HZ) for start in range(0, 20_000, 4_096)
    ]
    difference = np.abs(np.concatenate(restarted, axis=1) - process_whole((effect,), audio, RATE_HZ))
    assert difference.max() > 1e-3


@by_effect
def test_an_impulse_stays_in_place(effect: Effect) -> None:
    audio = np.zeros((2, 12_000), np.float32)
    audio[:, IMPULSE_SAMPLE] = 0.5
    heard = np.abs(process_whole((effect,), audio, RATE_HZ)).max(axis=0)
    assert np.flatnonzero(heard > 1e-4)[0] == IMPULSE_SAMPLE
    assert abs(int(heard.argmax()) - IMPULSE_SAMPLE) <= 1


@by_effect
@pytest.mark.parametrize("samples", [1, 2, 3])
def test_the_shortest_audio_keeps_its_length(effect: Effect, samples: int) -> None:
    assert process_whole((effect,), noise(samples), RATE_HZ).shape == (2, samples)


@by_effect
@pytest.mark.parametrize("rate_hz", [8_000.0, 192_000.0])
def test_every_rate_gives_finite_sound(effect: Effect, rate_hz: float) -> None:
    heard = process_whole((effect,), noise(), rate_hz)
    assert np.isfinite(heard).all()
    assert 1e-3 < np.abs(heard).max() < 10.0


def test_no_effects_pass_the_audio_through_bit_for_bit() -> None:
    audio = noise()
    np.testing.assert_array_equal(process_whole((), audio, RATE_HZ), audio)


def test_what_a_chain_keeps_back_for_good_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent:
        def __init__(self, _plugins: object) -> None: ...

        def process(self, audio: NDArray[np.float32], *_: object, **__: object) -> NDArray[np.float32]:
            return audio[:, :0]

    monkeypatch.setattr(chains, "Pedalboard", Silent)
    with pytest.raises(RuntimeError, match="kept back 20000 samples"):
        process_whole((EXAMPLES[0],), noise(), RATE_HZ)


@pytest.mark.parametrize(
    "table",
    [
        {"effect": "compressor", "threshold_db": -20.0, "ratio": 400.0},
        {"effect": "gain", "gain_db": float("nan")},
        {"effect": "reverb", "room_size": 1.5},
        {"effect": "vst3", "path": "any.vst3"},
        {"effect": "gain", "gain_db": 1.0, "colour": "red"},
    ],
)
def test_what_is_not_allowed_is_refused(table: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Effect).validate_python(table)


def colour(preset: Preset) -> NDArray[np.float64]:
    """Return what the preset does to noise, as dB in 20 bands of every stem, the vocal and the bus."""
    spectra = []
    for track in ("drums", "bass", "other", "vocal", "bus"):
        gain = 1.0 if track == "bus" else preset.gains_db.factor(track)
        heard = process_whole(preset.chains.of(track), noise(44_100) * np.float32(gain), RATE_HZ)
        power = np.abs(np.fft.rfft(heard.mean(axis=0))) ** 2
        edges = np.geomspace(20, len(power) - 1, 21).astype(int)
        spectra.append([10 * np.log10(power[low:high].mean()) for low, high in pairwise(edges)])
    return np.array(spectra)


def test_the_six_factory_presets_sound_different() -> None:
    names = [name for name in preset_files() if "factory" in str(preset_files()[name])]
    presets = {name: load_preset(name) for name in names}
    assert len(presets) == 6
    assert len({preset.style for preset in presets.values()}) == 6
    colours = {name: colour(preset) for name, preset in presets.items()}
    for first in names:
        for second in names:
            if first < second:
                distance_db = np.abs(colours[first] - colours[second]).mean()
                assert distance_db > 1.5, (first, second, distance_db)
