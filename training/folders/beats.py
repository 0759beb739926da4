"""Beats of a song from the onset strength of its stems: tempo, beats by dynamic programming, bar lines.

Ellis (2007), *Beat tracking by dynamic programming*: one tempo for the song from the autocorrelation of the onset
strength under a log-normal prior, then the sequence of beats that lies on onsets and keeps that tempo best. Where
the bass changes its notes half-way between beats rather than on them, the beats move there: strokes between beats can
be as loud as on them, but harmony keeps to the beat. Bar lines are the phase on which notes change and bass drum and
bass come most. Where the tempo is known beforehand, it is given.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from engine.geometry import LATENT_RATE_HZ, STEMS
from engine.spectra import Array
from training.folders.harmony import chroma_of
from training.folders.onsets import FRAME_RATE_HZ, LOW, Floats, onset_strength

LOWEST_BPM, HIGHEST_BPM = 50.0, 200.0
PRIOR_BPM, PRIOR_OCTAVES = 110.0, 0.7
TEMPO_STEPS_PER_OCTAVE = 120
MULTIPLE_WEIGHTS = {1: 1.0, 2: 0.5, 4: 0.5}  # how much onsets a beat, two and four beats apart speak for a tempo
TIGHTNESS = 400.0
GIVEN_TEMPO_TIGHTNESS = 1_600.0
LEAST_SECONDS = 6.0
ONSET_LAG_SECONDS = 0.0095  # median over 34 rendered songs
SMOOTHING_SECONDS = 0.02
BEATS_PER_BAR = (4, 3)
STEM_WEIGHTS = (1.0, 0.4, 0.4)  # drums, bass, other
BAND_WEIGHTS = (1.5, 1.0, 0.5)  # bass drum, snare, cymbals: what is on the beat, before what is between
LARGEST_DEVIATIONS = 8.0  # one loud stroke counts no more than this
MOVE_RATIO = 1.15  # how much more must change between the beats than on them
LONGEST_REACH_SECONDS = 0.6
CHANGE_WEIGHT = 3.0
_DRUMS, _BASS = STEMS.index("drums"), STEMS.index("bass")


class BeatError(ValueError):
    """No beat can be heard; the message says what to give instead."""


@dataclass(frozen=True, slots=True)
class Beats:
    """The beats of a song.

    Attributes:
        seconds: (beats,) rising times.
        first_downbeat: index of the first beat that begins a bar.
        beats_per_bar: beats from bar line to bar line.
    """

    seconds: Floats
    first_downbeat: int
    beats_per_bar: int


def estimate_beats(stems: Mapping[str, Array], bpm: float | None = None, beats_per_bar: int | None = None) -> Beats:
    """Return the beats heard in the accompaniment.

    Args:
        stems: drums, bass and other, each (2, samples) at 44.1 kHz; drums may be silent.
        bpm: beats a minute, if known.
        beats_per_bar: beats a bar, if known; else 4 or 3.

    Raises:
        BeatError: the song is too short, or nothing in it starts.
    """
    onsets = np.stack([onset_strength(stems[stem]) for stem in STEMS])
    bass, other = chroma_of(stems)
    return beats_from_onsets(onsets, bass if bass.any() else other, bpm, beats_per_bar)


def beats_from_onsets(
    onsets: Floats, chroma: Floats, bpm: float | None = None, beats_per_bar: int | None = None
) -> Beats:
    """Return the beats that onsets (stems, 3 bands, frames) and chroma (12, latent frames) show.

    See `estimate_beats`.
    """
    strength = combined_strength(onsets)
    if len(strength) < LEAST_SECONDS * FRAME_RATE_HZ:
        raise BeatError(f"is shorter than {LEAST_SECONDS:g} seconds, too short to hear a beat in; give its tempo")
    if not strength.any():
        raise BeatError("has no drums, bass or other that sounds, so no beat can be heard; give its tempo and beats")
    period = 60.0 * FRAME_RATE_HZ / (bpm or tempo_of(strength))
    frames = track(strength, period, GIVEN_TEMPO_TIGHTNESS if bpm else TIGHTNESS)
    seconds = on_changes(_peak_times(strength, frames), chroma)
    accents = beat_accents(onsets, chroma, seconds)
    count, phase = bar_phase(accents, beats_per_bar)
    return Beats(seconds, phase, count)


def combined_strength(onsets: Floats) -> Floats:
    """Return (frames,) onset strength of a song, each stem's in units of its own deviation, drums foremost."""
    total = np.zeros(onsets.shape[-1])
    for stem_weight, stem in zip(STEM_WEIGHTS, onsets, strict=True):
        for band_weight, band in zip(BAND_WEIGHTS, stem, strict=True):
            deviation = float(band.std())
            if deviation > 1e-6:
                total += stem_weight * band_weight * np.minimum(band / deviation, LARGEST_DEVIATIONS)
    reach = math.ceil(3 * SMOOTHING_SECONDS * FRAME_RATE_HZ)
    bell = np.exp(-0.5 * (np.arange(-reach, reach + 1) / (SMOOTHING_SECONDS * FRAME_RATE_HZ)) ** 2)
    smooth = np.convolve(total, bell / bell.sum(), mode="same")
    return np.asarray(smooth / max(float(smooth.std()), 1e-9))


def tempo_of(strength: Floats) -> float:
    """Return the beats a minute that onset strength (frames,) repeats at."""
    steps = int(math.log2(HIGHEST_BPM / LOWEST_BPM) * TEMPO_STEPS_PER_OCTAVE)
    bpms = LOWEST_BPM * 2.0 ** (np.arange(steps + 1) / TEMPO_STEPS_PER_OCTAVE)
    periods = 60.0 * FRAME_RATE_HZ / bpms
    repeats = autocorrelation(strength)
    lags = np.arange(len(repeats))
    score = sum(weight * np.interp(times * periods, lags, repeats) for times, weight in MULTIPLE_WEIGHTS.items())
    prior = np.exp(-0.5 * (np.log2(bpms / PRIOR_BPM) / PRIOR_OCTAVES) ** 2)
    return float(bpms[int(np.argmax(np.maximum(score, 0.0) * prior))])


def autocorrelation(strength: Floats) -> Floats:
    """Return the autocorrelation of onset strength (frames,) at lags from 0 on, 1 at lag 0, unbiased."""
    centred = strength - strength.mean()
    spectrum = np.fft.rfft(centred, 2 * len(centred))
    raw = np.fft.irfft(np.abs(spectrum) ** 2)[: len(centred)]
    overlap = np.maximum(len(centred) - np.arange(len(centred)), 0.25 * len(centred))
    unbiased = raw / overlap
    return np.asarray(unbiased / max(float(unbiased[0]), 1e-12))


def track(strength: Floats, period: float, tightness: float = TIGHTNESS) -> np.ndarray:
    """Return the frames of the beats: the sequence with the most onset strength at steady distances of `period`.

    The score of a beat sequence is the sum of O(t_i) - tightness (ln((t_i - t_(i-1)) / period))^2 (Ellis, eq. 1, 2).

    Args:
        strength: (frames,) onset strength in units of its deviation.
        period: frames a beat.
        tightness: how much a beat of e times the period costs.
    """
    steps = np.arange(-round(2.0 * period), -round(0.5 * period))  # from the earliest beat before to the latest
    cost = -tightness * np.log(-steps / period) ** 2
    score = strength.copy()
    came_from = np.full(len(strength), -1)
    for frame in range(int(-steps[-1]), len(strength)):
        first = max(0, -(frame + int(steps[0])))
        options = score[frame + steps[first:]] + cost[first:]
        best = int(options.argmax())
        if options[best] > 0.0:
            score[frame] += options[best]
            came_from[frame] = frame + steps[first + best]
    frames = [int(len(score) - round(period) + score[-round(period) :].argmax())]
    while came_from[frames[-1]] >= 0:
        frames.append(int(came_from[frames[-1]]))
    return np.array(frames[::-1])


def on_changes(seconds: Floats, chroma: Floats) -> Floats:
    """Return the beats at `seconds`, or the middles between them where the notes of `chroma` change there instead."""
    middles = 0.5 * (seconds[1:] + seconds[:-1])
    if len(middles) < 2:
        return seconds
    on_beats, between = note_changes(chroma, seconds).mean(), note_changes(chroma, middles).mean()
    return middles if between > MOVE_RATIO * on_beats else seconds


def note_changes(chroma: Floats, seconds: Floats) -> Floats:
    """Return how unlike the notes are before and after each of `seconds`, in [0, 1]: one minus their cosine.

    Args:
        chroma: (12, latent frames) amplitudes.
        seconds: (times,) rising, two or more; notes are looked at over the distance between them, 0.6 s at most.
    """
    reach = min(float(np.median(np.diff(seconds))), LONGEST_REACH_SECONDS)
    summed = np.concatenate([np.zeros((len(chroma), 1)), np.cumsum(chroma, axis=1)], axis=1)

    def at(times: Floats) -> Floats:
        return summed[:, np.clip(np.rint(times * LATENT_RATE_HZ).astype(int), 0, summed.shape[1] - 1)]

    before, after = at(seconds) - at(seconds - reach), at(seconds + reach) - at(seconds)
    norms = np.linalg.norm(before, axis=0) * np.linalg.norm(after, axis=0)
    alike = (before * after).sum(axis=0) / np.maximum(norms, 1e-12)
    return np.where(norms > 0.0, 1.0 - alike, 0.0)


def bar_phase(accents: Floats, beats_per_bar: int | None = None) -> tuple[int, int]:
    """Return beats a bar and the index of the first downbeat of beats with `accents` (beats,).

    Where the beats a bar are not given, they are those of `BEATS_PER_BAR` that make downbeats stand out most.
    """
    best: tuple[float, int, int] = (-math.inf, BEATS_PER_BAR[0], 0)
    for count in (beats_per_bar,) if beats_per_bar else BEATS_PER_BAR:
        loads = [accents[phase::count].mean() for phase in range(min(count, len(accents)))]
        contrast = float(max(loads)) * math.sqrt(len(accents) / count)
        best = max(best, (contrast, count, int(np.argmax(loads))))
    return best[1], best[2]


def beat_accents(onsets: Floats, chroma: Floats, seconds: Floats) -> Floats:
    """Return (beats,) how much notes change and bass drum and bass come in on each beat of `seconds`."""
    frames = np.rint((seconds + ONSET_LAG_SECONDS) * FRAME_RATE_HZ).astype(int)
    total = CHANGE_WEIGHT * _standard(note_changes(chroma, seconds))
    for stem in (_DRUMS, _BASS):
        band = onsets[stem, LOW]
        around = np.max([band[np.clip(frames + shift, 0, len(band) - 1)] for shift in range(-3, 4)], axis=0)
        total += _standard(around)
    return total


def _standard(values: Floats) -> Floats:
    """Return `values` with mean 0 and deviation 1; zeros where they are all alike."""
    deviation = float(values.std())
    return (values - values.mean()) / deviation if deviation > 1e-6 else np.zeros_like(values)


def _peak_times(strength: Floats, frames: np.ndarray) -> Floats:
    """Return seconds of the beats at `frames`, between frames where the strength has its peak there."""
    inner = np.clip(frames, 1, len(strength) - 2)
    before, here, after = strength[inner - 1], strength[inner], strength[inner + 1]
    bend = before - 2.0 * here + after
    is_peak = (here >= before) & (here >= after) & (bend < 0.0)
    shift = np.where(is_peak, 0.5 * (before - after) / np.where(is_peak, bend, 1.0), 0.0)
    return np.asarray((frames + shift) / FRAME_RATE_HZ - ONSET_LAG_SECONDS)
