"""The measures of a reconstruction: right on signals whose answer is known, and lower on ones that are worse."""

from collections.abc import Callable

import numpy as np
import pytest

from engine.geometry import SAMPLE_RATE_HZ
from engine.metrics import (
    PitchCount,
    log_mel_distance,
    multi_resolution_stft_distance,
    pitch_class_energy,
    strongest_pitch_class_accuracy,
    strongest_pitch_class_count,
    strongest_pitch_classes,
)
from engine.spectra import Array

Measure = Callable[[Array, Array], float]
SECONDS = 2.0


def tone(midi: float, amplitude: float = 0.3, seconds: float = SECONDS) -> Array:
    """Return (2, samples) of four harmonics."""
    time = np.arange(int(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    hz = 440.0 * 2 ** ((midi - 69) / 12)
    partials = sum(np.sin(2 * np.pi * hz * k * time) / k for k in range(1, 5))
    return np.tile(np.asarray(amplitude * partials, np.float32), (2, 1))


def noise(amplitude: float, seed: int = 0) -> Array:
    samples = int(SECONDS * SAMPLE_RATE_HZ)
    return (amplitude * np.random.default_rng(seed).standard_normal((2, samples))).astype(np.float32)


@pytest.mark.parametrize("midi", [28, 33, 40, 47, 52, 60, 64, 71, 85])
def test_a_tone_has_its_own_pitch_class_from_low_bass_to_treble(midi: int) -> None:
    heard = strongest_pitch_classes(pitch_class_energy(tone(midi)))
    assert np.mean(heard[heard >= 0] == midi % 12) > 0.95


@pytest.mark.parametrize("midi", range(36, 48))
def test_a_semitone_off_is_wrong(midi: int) -> None:
    assert strongest_pitch_class_accuracy(tone(midi), tone(midi)) == 1.0
    assert strongest_pitch_class_accuracy(tone(midi), tone(midi + 1)) == 0.0


def test_an_octave_off_and_another_level_are_right() -> None:
    assert strongest_pitch_class_accuracy(tone(45), tone(57, amplitude=0.01)) == 1.0


def test_silence_is_never_right() -> None:
    assert strongest_pitch_class_accuracy(tone(48), np.zeros_like(tone(48))) == 0.0


def test_noise_is_right_about_one_time_in_twelve() -> None:
    melody = np.concatenate([tone(midi, seconds=0.25) for midi in range(48, 72)], axis=1)
    random = np.random.default_rng(1).standard_normal(melody.shape).astype(np.float32)
    assert strongest_pitch_class_accuracy(melody, random) < 0.3


def test_quiet_frames_do_not_count() -> None:
    loud_then_quiet = np.concatenate([tone(48), tone(50, amplitude=0.3 * 10 ** (-50 / 20))], axis=1)
    loud_then_other = np.concatenate([tone(48), tone(55)], axis=1)
    count = strongest_pitch_class_count(loud_then_quiet, loud_then_other)
    assert count.share > 0.9  # the windows across the border hear both
    assert count.frames < 0.6 * loud_then_quiet.shape[1] / 2048


def test_a_silent_reference_has_no_share() -> None:
    silence = np.zeros_like(tone(48))
    assert np.isnan(strongest_pitch_class_accuracy(silence, tone(48)))


def test_counts_add_up() -> None:
    total = PitchCount(3, 4) + PitchCount(1, 4)
    assert total == PitchCount(4, 8)
    assert total.share == 0.5


def test_energy_can_be_limited_to_a_register() -> None:
    low_and_high = tone(36) + tone(79, amplitude=1.0)
    assert strongest_pitch_classes(pitch_class_energy(low_and_high))[10] == 79 % 12
    assert strongest_pitch_classes(pitch_class_energy(low_and_high, highest_hz=200.0))[10] == 36 % 12


@pytest.mark.parametrize("distance", [log_mel_distance, multi_resolution_stft_distance])
def test_distances_grow_with_the_error(distance: Measure) -> None:
    reference = tone(57)
    errors = [distance(reference, reference + noise(amplitude)) for amplitude in (0.0, 1e-3, 1e-2, 1e-1)]
    assert errors[0] == 0.0
    assert errors == sorted(errors)
    assert errors[-1] > 2 * errors[1]


def test_log_mel_distance_of_a_gain_is_the_gain_in_neper() -> None:
    reference = noise(0.1)
    assert log_mel_distance(reference, reference * np.float32(np.e)) == pytest.approx(1.0, abs=0.01)


def test_stft_distance_of_silence_is_above_one() -> None:
    assert multi_resolution_stft_distance(tone(57), np.zeros_like(tone(57))) > 1.0


@pytest.mark.parametrize("measure", [strongest_pitch_class_accuracy, log_mel_distance, multi_resolution_stft_distance])
def test_other_lengths_are_refused(measure: Measure) -> None:
    with pytest.raises(ValueError, match="cut or pad"):
        measure(tone(48), tone(48)[:, :-1])


@pytest.mark.parametrize("midi", [28, 33, 38])
def test_peaks_alone_hold_a_low_tone_on_its_own_pitch_class(midi: int) -> None:
    audio = np.tile(np.sin(2 * np.pi * 440 * 2 ** ((midi - 69) / 12) * np.arange(88_200) / SAMPLE_RATE_HZ), (2, 1))
    shares = []
    for peaks_only in (False, True):
        energy = pitch_class_energy(audio.astype(np.float32), peaks_only=peaks_only)[:, 5:-5]
        shares.append(float((energy[midi % 12] / energy.sum(axis=0)).mean()))
    assert shares[0] < 0.7
    assert shares[1] > 0.95
