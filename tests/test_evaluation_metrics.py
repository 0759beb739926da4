"""Each measure of an accompaniment is right where the answer is known, and lower on a signal made wrong on purpose."""

import numpy as np
import pytest
from numpy.typing import NDArray

from bridge.evaluation.heard_chords import heard_chords
from bridge.evaluation.heard_key import heard_key
from bridge.evaluation.heard_tempo import heard_bpm
from bridge.evaluation.metrics import (
    chord_classes,
    chroma_agreement,
    difference_db,
    energy_on_chord,
    grid_deviations_ms,
    paired_test,
)
from bridge.evaluation.mir_scores import chords_right, harte_label, is_tempo, is_tempo_or_octave, key_score
from bridge.evaluation.onsets import detector_bias_seconds, onset_seconds
from engine.geometry import LATENT_HOP_SAMPLES, SAMPLE_RATE_HZ
from engine.harmony import NO_CHORD, Chord, ChordSpan, Key
from engine.metrics import pitch_class_energy
from engine.spectra import Array
from engine.timeline import Timeline

SECONDS = 12.0
TIMELINE = Timeline.constant(113.0)
PROGRESSION = ("C", "Am", "F", "G7")


def strokes(beats: NDArray[np.float64], timeline: Timeline, seed: int = 0) -> Array:
    """Return (2, samples) of decaying noise at `beats`, over a quiet hiss."""
    generator = np.random.default_rng(seed)
    samples = int(SECONDS * SAMPLE_RATE_HZ)
    audio = 1e-4 * generator.standard_normal((2, samples + 8_820))
    envelope = np.exp(-np.arange(8_820) / 1_500)
    for beat in beats:
        start = timeline.sample_at_beat(float(beat))
        audio[:, start : start + 8_820] += 0.3 * envelope * generator.standard_normal((2, 8_820))
    return audio[:, :samples].astype(np.float32)


def tones(labels: tuple[str, ...], timeline: Timeline, beats_each: float = 4.0, octave: int = 4) -> Array:
    """Return (2, samples) in which each chord's notes sound for `beats_each`, over and over."""
    samples = int(SECONDS * SAMPLE_RATE_HZ)
    seconds = np.arange(samples) / SAMPLE_RATE_HZ
    beats = timeline.beats_at_samples(np.arange(samples))
    audio = np.zeros(samples)
    for index, label in enumerate(labels):
        sounding = (beats // beats_each).astype(int) % len(labels) == index
        for pitch_class in Chord.parse(label).pitch_classes:
            hz = 440.0 * 2 ** ((pitch_class + 12 * (octave + 1) - 69) / 12)
            audio += sounding * 0.1 * np.sin(2 * np.pi * hz * seconds)
    return np.tile(audio.astype(np.float32), (2, 1))


def spans(labels: tuple[str, ...], beats_each: float = 4.0) -> tuple[ChordSpan, ...]:
    return tuple(
        ChordSpan(index * beats_each, (index + 1) * beats_each, Chord.parse(label))
        for index, label in enumerate(labels)
    )


@pytest.fixture(scope="module")
def eighths() -> NDArray[np.float64]:
    return np.arange(0.5, 21.0, 0.5)


def test_the_detector_is_a_few_milliseconds_late_by_itself() -> None:
    assert abs(detector_bias_seconds()) < 0.01


def test_strokes_on_the_grid_are_found_within_two_milliseconds(eighths: NDArray[np.float64]) -> None:
    onsets = onset_seconds(strokes(eighths, TIMELINE))
    assert abs(len(onsets) - len(eighths)) <= 1
    assert np.median(grid_deviations_ms(onsets, TIMELINE, 4)) < 2.0


def test_late_strokes_are_heard_as_late(eighths: NDArray[np.float64]) -> None:
    late_beats = 0.020 * 113.0 / 60.0
    onsets = onset_seconds(strokes(eighths + late_beats, TIMELINE))
    assert np.median(grid_deviations_ms(onsets, TIMELINE, 4)) == pytest.approx(20.0, abs=2.0)


def test_another_songs_grid_is_worse(eighths: NDArray[np.float64]) -> None:
    onsets = onset_seconds(strokes(eighths, TIMELINE))
    assert np.median(grid_deviations_ms(onsets, Timeline.constant(97.0), 4)) > 15.0


def test_triplets_are_on_the_triplet_grid_alone() -> None:
    onsets = onset_seconds(strokes(np.arange(1, 18, 1 / 3), TIMELINE))
    assert np.median(grid_deviations_ms(onsets, TIMELINE, 3)) < 3.0
    assert np.percentile(grid_deviations_ms(onsets, TIMELINE, 4), 75) > 30.0


def test_silence_has_no_onsets() -> None:
    assert len(onset_seconds(np.zeros((2, 44_100), np.float32))) == 0


@pytest.mark.parametrize("label", PROGRESSION)
def test_chord_classes_are_the_chords(label: str) -> None:
    classes = chord_classes(spans(PROGRESSION), TIMELINE, 250)
    index = PROGRESSION.index(label)
    frame = int(TIMELINE.sample_at_beat(index * 4 + 2) / LATENT_HOP_SAMPLES)
    assert set(np.flatnonzero(classes[:, frame])) == set(Chord.parse(label).pitch_classes)


def test_no_chord_has_no_classes_and_does_not_count() -> None:
    classes = chord_classes(spans(("N", "N")), TIMELINE, 100)
    assert not classes.any()
    assert np.isnan(energy_on_chord(np.ones((12, 100)), classes))


def test_energy_is_on_the_right_chord_and_less_so_on_wrong_ones() -> None:
    energy = pitch_class_energy(tones(PROGRESSION, TIMELINE))
    frames = energy.shape[1]
    right = energy_on_chord(energy, chord_classes(spans(PROGRESSION), TIMELINE, frames))
    moved = energy_on_chord(energy, chord_classes(spans(("G7", "C", "Am", "F")), TIMELINE, frames))
    foreign = energy_on_chord(energy, chord_classes(spans(("F#", "D#m", "B", "C#7")), TIMELINE, frames))
    assert right > 0.95
    assert moved < right - 0.2
    assert foreign < right - 0.5


def test_a_melody_of_the_chords_agrees_more_than_one_of_other_chords() -> None:
    reference = pitch_class_energy(tones(PROGRESSION, TIMELINE))
    melody = pitch_class_energy(tones(PROGRESSION, TIMELINE, octave=5))
    wrong = pitch_class_energy(tones(("F#", "D#m", "B", "C#7"), TIMELINE, octave=5))
    assert chroma_agreement(melody, reference, TIMELINE) > 0.9
    assert chroma_agreement(wrong, reference, TIMELINE) < 0.2


def test_agreement_with_silence_is_not_a_number() -> None:
    energy = pitch_class_energy(tones(PROGRESSION, TIMELINE))
    assert np.isnan(chroma_agreement(energy, np.zeros_like(energy), TIMELINE))


def test_difference_is_a_level() -> None:
    generator = np.random.default_rng(0)
    first, second = generator.standard_normal((2, 2, 44_100)).astype(np.float32)
    assert difference_db(first, first) == float("-inf")
    assert difference_db(first, first * np.float32(0.9)) == pytest.approx(-20.0, abs=0.01)
    assert difference_db(first, second) == pytest.approx(3.0, abs=0.2)


@pytest.mark.parametrize(
    ("labels", "name"),
    [
        (("C", "F", "G", "C"), "C major"),
        (("Am", "Dm", "E", "Am"), "A minor"),
        (("Eb", "Ab", "Bb", "Eb"), "Eb major"),
        (("C", "Am", "F", "G"), "C major"),
        (("Am", "F", "Dm", "Am"), "A minor"),
        (("Dm", "G", "C", "C"), "C major"),
    ],
)
def test_progressions_are_in_their_keys(labels: tuple[str, ...], name: str) -> None:
    spans = [ChordSpan(4.0 * bar, 4.0 * bar + 4.0, Chord.parse(label)) for bar, label in enumerate(labels)]
    silence = ChordSpan(4.0 * len(labels), 100.0, NO_CHORD)
    assert heard_key([*spans, silence]) == Key.parse(name)


def test_the_order_of_chords_tells_apart_keys_that_share_them() -> None:
    def key_of(*order: str) -> Key:
        return heard_key([ChordSpan(4.0 * bar, 4.0 * bar + 4.0, Chord.parse(name)) for bar, name in enumerate(order)])

    assert key_of("C", "F", "G", "C", "F", "G", "Am", "G") == Key.parse("C major")
    assert key_of("Am", "Dm", "Am", "E", "Am", "F", "E", "Am") == Key.parse("A minor")
    assert key_of(*("Am", "Dm", "G", "C") * 3) == Key.parse("C major")
    assert key_of(*("Am", "C", "G", "Dm") * 3) == Key.parse("A minor")
    assert heard_key([]) == Key.parse("C major")


def test_a_key_is_heard_in_the_sound_of_its_chords() -> None:
    labels = ("Eb", "Ab", "Bb7", "Eb")
    other = pitch_class_energy(tones(labels, TIMELINE))
    bass = pitch_class_energy(tones(tuple(f"{label[:2]}5" for label in labels), TIMELINE, octave=2))
    assert heard_key(heard_chords(bass, other, TIMELINE)) == Key.parse("Eb major")


@pytest.mark.parametrize(
    ("heard", "score"),
    [("C major", 1.0), ("G major", 0.5), ("A minor", 0.3), ("C minor", 0.2), ("F major", 0.0), ("F# minor", 0.0)],
)
def test_near_keys_count_in_part(heard: str, score: float) -> None:
    assert key_score(Key.parse("C major"), Key.parse(heard)) == score


@pytest.mark.parametrize(("bpm", "heard"), [(61.0, 61.0), (72.0, 72.0), (113.0, 113.0), (168.0, 84.0)])
def test_the_tempo_of_strokes_is_heard_a_fast_one_at_half(bpm: float, heard: float) -> None:
    timeline = Timeline.constant(bpm)
    drums = strokes(np.arange(0.0, SECONDS * bpm / 60.0 - 1.0), timeline)
    assert heard_bpm(drums) == pytest.approx(heard, rel=0.005)


def test_a_tempo_is_right_within_four_percent() -> None:
    assert is_tempo(100.0, 103.9)
    assert not is_tempo(100.0, 104.1)
    assert not is_tempo(100.0, 200.0)
    assert is_tempo_or_octave(100.0, 200.0)
    assert is_tempo_or_octave(100.0, 33.0)
    assert not is_tempo_or_octave(100.0, 150.0)


def test_silence_has_no_tempo() -> None:
    assert np.isnan(heard_bpm(np.zeros((2, SAMPLE_RATE_HZ), np.float32)))
    assert not is_tempo_or_octave(100.0, float("nan"))


@pytest.mark.parametrize("labels", [PROGRESSION, ("Am7", "Dm7", "Gmaj7", "Cmaj7"), ("F#m", "B", "E", "C#m")])
def test_chords_that_sound_are_heard(labels: tuple[str, ...]) -> None:
    other = pitch_class_energy(tones(labels, TIMELINE), peaks_only=True)
    roots = tuple(f"{label[:2] if label[1:2] in ('#', 'b') else label[0]}5" for label in labels)
    bass = pitch_class_energy(tones(roots, TIMELINE, octave=2), peaks_only=True)
    heard = heard_chords(bass, other, TIMELINE)
    assert chords_right(spans(labels * 2), heard) > 0.9
    assert chords_right(spans((labels[1:] + labels[:1]) * 2), heard) < 0.2


def test_no_chord_is_heard_in_silence() -> None:
    silence = np.zeros((12, 200))
    heard = heard_chords(silence, silence, TIMELINE)
    assert {span.chord.name for span in heard} == {"N"}
    assert chords_right(spans(("N", "N", "N", "N", "N")), heard) == 1.0
    assert chords_right(spans(PROGRESSION * 2), heard) == 0.0


def test_half_of_the_beats_right_is_half() -> None:
    wanted, heard = spans(("C", "F", "G", "C")), spans(("C", "F", "C", "G"))
    assert chords_right(wanted, heard) == 0.5
    assert chords_right(spans(("Csus4", "F", "G", "C")), heard) == pytest.approx(1 / 3)
    assert chords_right(spans(("C", "F")), heard) == 0.5
    assert np.isnan(chords_right(spans(("Csus4",) * 4), heard))
    assert np.isnan(chords_right((), heard))


@pytest.mark.parametrize(
    ("label", "triad"),
    [("F#m7", "F#:min"), ("C9", "C:maj"), ("F/A", "F:maj"), ("Dsus4", "X"), ("Bdim", "X"), ("N", "N")],
)
def test_chords_count_as_their_triads(label: str, triad: str) -> None:
    assert harte_label(Chord.parse(label)) == triad


def test_the_paired_test_tells_a_difference_from_none() -> None:
    generator = np.random.default_rng(0)
    base = generator.standard_normal(50)
    clear = paired_test(list(base + 0.5 + 0.1 * generator.standard_normal(50)), list(base))
    none = paired_test(list(base + 0.1 * generator.standard_normal(50)), list(base))
    assert clear.p_value < 1e-6
    assert clear.wins > 0.95
    assert none.p_value > 0.01
    assert paired_test([1.0, 2.0], [1.0, 2.0]).p_value == 1.0


def test_the_paired_test_wants_pairs() -> None:
    with pytest.raises(ValueError, match="no pair"):
        paired_test([float("nan")], [1.0])
