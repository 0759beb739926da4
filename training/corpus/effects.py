"""Levels, width and the random effect chains of stems; the corpus's one door to pedalboard."""

from typing import Any

import numpy as np
import pedalboard
from numpy.typing import NDArray

from engine.geometry import SAMPLE_RATE_HZ

Audio = NDArray[np.float32]
PEAK_LIMIT = 0.98
LIMITER_KNEE = 0.6
LIMITER_MOST_DB = 7.0
GATE_BLOCK_SAMPLES = 4_410


def loudness_db(audio: Audio) -> float:
    """Return the RMS level in dB of `audio` (channels, samples) over its 100 ms blocks within 30 dB of the loudest."""
    power: NDArray[np.float64]
    blocks = audio.shape[-1] // GATE_BLOCK_SAMPLES
    if blocks == 0:
        power = np.array([np.square(audio, dtype=np.float64).mean()])
    else:
        trimmed = audio[:, : blocks * GATE_BLOCK_SAMPLES].reshape(audio.shape[0], blocks, GATE_BLOCK_SAMPLES)
        power = np.mean(np.square(trimmed), axis=(0, 2), dtype=np.float64)
    loud = power[power >= power.max() * 1e-3]
    return float(10 * np.log10(loud.mean() + 1e-12))


def set_loudness(audio: Audio, target_db: float) -> Audio:
    """Return `audio` (channels, samples) at `target_db`, lower where its peak would pass PEAK_LIMIT; silence stays."""
    level_db = loudness_db(audio)
    if level_db < -100:
        return audio
    gain = 10 ** ((target_db - level_db) / 20)
    peak = float(np.abs(audio).max())
    return audio * np.float32(min(gain, PEAK_LIMIT / peak))


def limit_peaks(audio: Audio) -> Audio:
    """Return `audio` with what is above LIMITER_KNEE bent smoothly under PEAK_LIMIT; what is below stays as it is."""
    room = PEAK_LIMIT - LIMITER_KNEE
    level = np.abs(audio)
    bent = LIMITER_KNEE + room * np.tanh((level - LIMITER_KNEE) / room)
    return np.where(level > LIMITER_KNEE, np.sign(audio) * bent, audio).astype(np.float32)


def set_loudness_limited(audio: Audio, target_db: float) -> Audio:
    """Return `audio` (channels, samples) at about `target_db`, its peaks limited by up to LIMITER_MOST_DB for it."""
    level_db = loudness_db(audio)
    if level_db < -100:
        return audio
    peak_db = 20 * np.log10(float(np.abs(audio).max()))
    gain_db = min(target_db - level_db, LIMITER_MOST_DB - peak_db)
    return limit_peaks(audio * np.float32(10 ** (gain_db / 20)))


def set_width(audio: Audio, width: float) -> Audio:
    """Scale the side of stereo `audio` (2, samples) by `width`: 0 is mono, 1 leaves it as it is."""
    mid, side = (audio[0] + audio[1]) * 0.5, (audio[0] - audio[1]) * np.float32(0.5 * width)
    return np.stack([mid + side, mid - side]).astype(np.float32)


def apply_chain(audio: Audio, plugins: list[Any]) -> Audio:
    """Run `audio` (channels, samples) through pedalboard plugins from a clean state; same length."""
    if not plugins:
        return audio
    return np.asarray(pedalboard.process(audio, SAMPLE_RATE_HZ, plugins, reset=True), dtype=np.float32)


def random_equaliser(rng: np.random.Generator, most_db: float) -> list[Any]:
    """Return a low shelf, a peak and a high shelf with gains up to `most_db` either way."""
    low, middle, high = (float(gain) for gain in rng.uniform(-most_db, most_db, 3))
    return [
        pedalboard.LowShelfFilter(float(rng.uniform(80, 250)), low, 0.7),
        pedalboard.PeakFilter(
            float(np.exp(rng.uniform(np.log(300), np.log(4_000)))), middle, float(rng.uniform(0.5, 1.5))
        ),
        pedalboard.HighShelfFilter(float(rng.uniform(3_000, 9_000)), high, 0.7),
    ]


def random_compressor(rng: np.random.Generator) -> Any:
    """Return a compressor with an ordinary mixing setting."""
    return pedalboard.Compressor(
        threshold_db=float(rng.uniform(-28, -14)),
        ratio=float(rng.uniform(1.5, 4.5)),
        attack_ms=float(rng.uniform(3, 30)),
        release_ms=float(rng.uniform(60, 250)),
    )


def random_reverb(rng: np.random.Generator, most_wet: float) -> Any:
    """Return a room or hall whose wet level is at most `most_wet`."""
    return pedalboard.Reverb(
        room_size=float(rng.uniform(0.1, 0.75)),
        damping=float(rng.uniform(0.3, 0.9)),
        wet_level=float(rng.uniform(0.03, most_wet)),
        dry_level=0.8,
        width=float(rng.uniform(0.5, 1.0)),
    )


def stem_chain(stem: str, rng: np.random.Generator) -> list[Any]:
    """Return a random chain that suits `stem` (drums, bass or other); often just an equaliser and a compressor."""
    chain = random_equaliser(rng, 4.0) if rng.random() < 0.8 else []
    if rng.random() < 0.5:
        chain.append(random_compressor(rng))
    if rng.random() < {"drums": 0.1, "bass": 0.25, "other": 0.1}[stem]:
        chain.append(pedalboard.Distortion(drive_db=float(rng.uniform(2, 10))))
    if stem == "other" and rng.random() < 0.2:
        chain.append(
            pedalboard.Chorus(rate_hz=float(rng.uniform(0.3, 1.5)), depth=0.15, mix=float(rng.uniform(0.15, 0.4)))
        )
    if rng.random() < {"drums": 0.5, "bass": 0.1, "other": 0.7}[stem]:
        chain.append(random_reverb(rng, {"drums": 0.2, "bass": 0.08, "other": 0.3}[stem]))
    return chain


def process_stem(audio: Audio, stem: str, rng: np.random.Generator) -> Audio:
    """Return `audio` (2, samples) with random effects, width and level (-24 to -18 dB), of the same length."""
    chained = apply_chain(audio, stem_chain(stem, rng))
    widths = {"drums": (0.5, 1.2), "bass": (0.0, 0.3), "other": (0.4, 1.3)}
    widened = set_width(chained, float(rng.uniform(*widths[stem])))
    return set_loudness_limited(widened, float(rng.uniform(-24, -18)))
