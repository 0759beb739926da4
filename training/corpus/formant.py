"""A voice of the project's own: syllables from a glottal source through formant filters, with no data at all."""

from dataclasses import dataclass

import numpy as np

from training.corpus.voices import Syllable, Voice
from training.corpus.world import (
    APERIODICITY_BANDS,
    ENVELOPE_BINS,
    FRAME_SECONDS,
    VOICE_RATE_HZ,
    SmallArray,
    Tracks,
)

# Formant frequencies of an average adult's sung vowels (after Peterson and Barney 1952, Fant 1960), Hz.
VOWELS_HZ = {
    "a": (760, 1_250, 2_600, 3_500, 4_500),
    "e": (490, 1_900, 2_550, 3_500, 4_500),
    "i": (300, 2_250, 2_950, 3_600, 4_600),
    "o": (480, 880, 2_550, 3_400, 4_400),
    "u": (330, 800, 2_350, 3_400, 4_400),
    "ae": (660, 1_700, 2_450, 3_500, 4_500),
    "uh": (600, 1_150, 2_450, 3_450, 4_450),
}
BANDWIDTHS_HZ = (80, 100, 140, 200, 280)
LEVELS_DB = (0, -3, -6, -8, -10)
FLOOR_POWER = 1e-4
LOW_SHELF_POWER = 0.1
FREQUENCIES_HZ = np.linspace(0, VOICE_RATE_HZ / 2, ENVELOPE_BINS)
VOWEL_SECONDS = 0.5
GLIDE_SECONDS = 0.06


@dataclass(frozen=True, slots=True)
class Consonant:
    """One consonant: how long, whether voiced, its level against the vowel, its noise band or its own formants."""

    name: str
    seconds: float
    level_db: float
    noise_hz: tuple[float, float] | None = None
    formants_hz: tuple[float, ...] | None = None
    gap_seconds: float = 0.0


CONSONANTS = (
    Consonant("", 0.0, 0.0),
    Consonant("s", 0.11, -16, noise_hz=(6_500, 2_500)),
    Consonant("sh", 0.11, -13, noise_hz=(3_500, 1_800)),
    Consonant("f", 0.09, -24, noise_hz=(5_000, 6_000)),
    Consonant("h", 0.08, -22, noise_hz=(1_500, 2_500)),
    Consonant("t", 0.03, -14, noise_hz=(4_500, 3_000), gap_seconds=0.05),
    Consonant("k", 0.035, -14, noise_hz=(2_000, 1_200), gap_seconds=0.05),
    Consonant("p", 0.025, -18, noise_hz=(900, 1_500), gap_seconds=0.05),
    Consonant("m", 0.09, -9, formants_hz=(260, 1_100, 2_200, 3_300, 4_300)),
    Consonant("n", 0.08, -9, formants_hz=(270, 1_500, 2_450, 3_400, 4_400)),
    Consonant("l", 0.08, -6, formants_hz=(360, 1_100, 2_700, 3_500, 4_500)),
    Consonant("r", 0.07, -7, formants_hz=(340, 1_150, 1_600, 3_200, 4_300)),
    Consonant("w", 0.08, -5, formants_hz=(310, 650, 2_250, 3_300, 4_300)),
    Consonant("y", 0.08, -5, formants_hz=(290, 2_200, 2_950, 3_600, 4_500)),
    Consonant("d", 0.05, -14, formants_hz=(260, 1_700, 2_600, 3_400, 4_400)),
    Consonant("b", 0.05, -14, formants_hz=(250, 850, 2_200, 3_300, 4_300)),
)


@dataclass(frozen=True, slots=True)
class Throat:
    """One singer: vocal-tract scale (above 1 is shorter), source tilt in dB an octave, breathiness in dB."""

    scale: float
    tilt_db_octave: float
    breath_db: float


def formant_voice(rng: np.random.Generator) -> Voice:
    """Return a new singer: 40 random syllables from one random throat, with a comfortable pitch that suits it."""
    throat = Throat(float(rng.uniform(0.88, 1.2)), float(rng.uniform(-14, -9)), float(rng.uniform(-6, 8)))
    syllables = tuple(_random_syllable(throat, rng) for _ in range(40))
    centre_pitch = 54.0 + (throat.scale - 0.88) / 0.32 * 14 + float(rng.uniform(-2, 2))
    return Voice("formant", syllables, centre_pitch)


def source_log_power(throat: Throat) -> SmallArray:
    """Return (ENVELOPE_BINS,) log power of the glottal source with the lips' radiation: flat, then falling."""
    octaves = np.log2(np.maximum(FREQUENCIES_HZ, 1.0) / 250.0)
    level_db = throat.tilt_db_octave * 0.5 * np.logaddexp(0.0, 2.0 * octaves)
    return np.asarray((level_db + 6.0 * np.clip(octaves, 0, 4)) * np.log(10) / 10, dtype=np.float32)


def formant_log_power(formants_hz: tuple[float, ...], throat: Throat) -> SmallArray:
    """Return (ENVELOPE_BINS,) log power of resonators in parallel (Klatt 1980), each with a peak level of its own."""
    power = np.full(ENVELOPE_BINS, FLOOR_POWER)
    lowest = formants_hz[0] * throat.scale
    power += LOW_SHELF_POWER / (1 + (FREQUENCIES_HZ / lowest) ** 4)
    for centre_hz, bandwidth_hz, level_db in zip(formants_hz, BANDWIDTHS_HZ, LEVELS_DB, strict=True):
        centre = centre_hz * throat.scale
        damping = np.square(bandwidth_hz * FREQUENCIES_HZ)
        power += (
            10 ** (level_db / 10)
            * (bandwidth_hz * centre) ** 2
            / (np.square(FREQUENCIES_HZ**2 - centre**2) + damping + 1e3)
        )
    return np.asarray(np.log(power), dtype=np.float32)


def _random_syllable(throat: Throat, rng: np.random.Generator) -> Syllable:
    vowel_name = str(rng.choice(list(VOWELS_HZ)))
    consonant = CONSONANTS[int(rng.integers(len(CONSONANTS)))]
    drift = 1 + rng.normal(0, 0.02, 5)
    formants = tuple(float(hz * d) for hz, d in zip(VOWELS_HZ[vowel_name], drift, strict=True))
    return build_syllable(consonant, vowel_name, formants, throat, rng)


def build_syllable(
    consonant: Consonant, vowel_name: str, formants_hz: tuple[float, ...], throat: Throat, rng: np.random.Generator
) -> Syllable:
    """Return consonant plus vowel as tracks; formants glide from the one to the other over 60 ms."""
    source = source_log_power(throat)
    vowel = source + formant_log_power(formants_hz, throat)
    vowel = vowel - np.float32(np.log(np.exp(vowel).mean()))
    before = round((consonant.seconds + consonant.gap_seconds) / FRAME_SECONDS)
    frames = before + round(VOWEL_SECONDS / FRAME_SECONDS)
    log_envelope = np.repeat(vowel[None], frames, axis=0)
    f0_hz = np.full(frames, 200.0, dtype=np.float32)
    aperiodicity_db = np.repeat(_vowel_aperiodicity(throat)[None], frames, axis=0)
    if consonant.formants_hz is not None:
        _write_sonorant(log_envelope, consonant, source + formant_log_power(consonant.formants_hz, throat), before)
    elif consonant.noise_hz is not None:
        _write_noise(log_envelope, f0_hz, aperiodicity_db, consonant, before)
    log_envelope += rng.normal(0, 0.03, (frames, 1)).astype(np.float32)
    return Syllable(
        consonant.name + vowel_name,
        Tracks(f0_hz, log_envelope.astype(np.float32), aperiodicity_db),
        before,
        before + round(GLIDE_SECONDS / FRAME_SECONDS) + 4,
    )


def _vowel_aperiodicity(throat: Throat) -> SmallArray:
    """Return (APERIODICITY_BANDS,) decibels of noise at 3, 6 and 9 kHz."""
    bands = np.linspace(-24, -8, APERIODICITY_BANDS) + throat.breath_db
    return np.asarray(np.minimum(bands, -1.0), dtype=np.float32)


def _write_sonorant(log_envelope: SmallArray, consonant: Consonant, shape: SmallArray, before: int) -> None:
    """Write a voiced consonant before the vowel and glide from it into the vowel."""
    target = shape - np.float32(np.log(np.exp(shape).mean())) + np.float32(consonant.level_db * np.log(10) / 10)
    glide = round(GLIDE_SECONDS / FRAME_SECONDS)
    weight = np.zeros(len(log_envelope), dtype=np.float32)
    weight[:before] = 1.0
    weight[before : before + glide] = 0.5 + 0.5 * np.cos(np.linspace(0, np.pi, glide))
    vowel = log_envelope[-1]
    log_envelope[:] = vowel + weight[:, None] * (target - vowel)


def _write_noise(
    log_envelope: SmallArray, f0_hz: SmallArray, aperiodicity_db: SmallArray, consonant: Consonant, before: int
) -> None:
    """Write an unvoiced consonant: a silent gap (stops), then a band of noise, ending at the vowel."""
    assert consonant.noise_hz is not None
    centre_hz, width_hz = consonant.noise_hz
    band = -0.5 * np.square((FREQUENCIES_HZ - centre_hz) / (width_hz / 2))
    band = np.maximum(band, -10.0)
    shape = band - np.log(np.exp(band).mean()) + consonant.level_db * np.log(10) / 10
    gap = round(consonant.gap_seconds / FRAME_SECONDS)
    log_envelope[:gap] = -25.0
    count = before - gap
    rise = np.minimum(0.0, np.linspace(-2.0, 2.0, count)) if gap == 0 else np.linspace(0.0, -2.0, count)
    log_envelope[gap:before] = (shape[None] + rise[:, None]).astype(np.float32)
    f0_hz[:before] = 0.0
    aperiodicity_db[:before] = -0.1
