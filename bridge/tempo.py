"""Tempo and first beat from a vocal alone, and how sure they are.

Onsets are the peaks of a half-wave rectified flux of a log band spectrum. A comb of beats and their halves and
quarters is laid over them for every tempo and phase; a log-normal prior after Ellis (Beat
Tracking by Dynamic Programming, 2007) chooses among tempos that differ by octaves. The confidence compares the best
comb with the best ones over the same gaps between onsets in random order: a rhythm beats its own shuffles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bridge.audio_files import Audio
from bridge.errors import UnsureError
from bridge.vocal import Vocal
from engine.geometry import SAMPLE_RATE_HZ
from engine.timeline import Timeline

Vector = NDArray[np.float64]

WINDOW_SAMPLES = 2_048
HOP_SAMPLES = 441
ENVELOPE_RATE_HZ = SAMPLE_RATE_HZ / HOP_SAMPLES
BANDS = 32
LOWEST_BAND_HZ, HIGHEST_BAND_HZ = 120.0, 10_000.0
FLUX_FRAMES = 3
SEARCH_SECONDS = 120.0

LOWEST_BPM, HIGHEST_BPM = 55.0, 190.0
PRIOR_BPM, PRIOR_OCTAVES = 95.0, 0.8
COMB_RATE_HZ = 200
COMB_FFT_SIZE = 1 << 18
PHASES = 48
SUBDIVISION_WEIGHTS = {1: 1.0, 2: 0.6, 4: 0.4}
FIT_ROUNDS = 4
FIT_REACH_BEATS = 0.14
ONSET_LEAD_SECONDS = 0.015  # how early syllables start before their beat, measured on 60 rendered vocals

SHUFFLES = 24
SHUFFLE_SEED = 20_070
LEAST_ONSETS = 8
SURE_SCORE, UNSURE_SCORE = 7.0, 1.0
SURE_ENOUGH = 0.5


@dataclass(frozen=True, slots=True)
class TempoEstimate:
    """A constant tempo.

    Attributes:
        bpm: quarter notes a minute.
        first_beat_seconds: first downbeat, within the first bar or a touch before the sound starts.
        confidence: 0 (none) to 1.
        onsets: number of onsets that it rests on.
    """

    bpm: float
    first_beat_seconds: float
    confidence: float
    onsets: int


@dataclass(frozen=True, slots=True)
class _Comb:
    """The best comb: its frequency in beats a second, the phase of its beats in cycles, and its score."""

    frequency_hz: float
    phase: float
    score: float


def estimate_timeline(vocal: Vocal, time_signature: tuple[int, int]) -> tuple[Timeline, float]:
    """Return a timeline of the vocal's tempo and how sure it is.

    Raises:
        UnsureError: the vocal does not show its tempo well enough to build on.
    """
    if vocal.silent:
        raise UnsureError(f"{vocal.facts.path}: is silent, so no tempo can be heard; give it with --tempo 92")
    beats_per_bar = time_signature[0] * 4.0 / time_signature[1]
    estimate = estimate_tempo(vocal.audio, beats_per_bar)
    if estimate.confidence < SURE_ENOUGH:
        guess = (
            f"the best guess is {estimate.bpm:g} bpm, {estimate.confidence:.0%} sure"
            if estimate.bpm
            else "too few onsets"
        )
        raise UnsureError(
            f"{vocal.facts.path}: the tempo is not clear ({guess}); give it with --tempo, such as --tempo 92"
        )
    first_beat_sample = round(estimate.first_beat_seconds * SAMPLE_RATE_HZ)
    return Timeline.constant(estimate.bpm, *time_signature, first_beat_sample), estimate.confidence


def estimate_tempo(audio: Audio, beats_per_bar: float = 4.0) -> TempoEstimate:
    """Return the tempo and first beat of a vocal.

    Args:
        audio: (2, samples) float32 at 44.1 kHz.
        beats_per_bar: bar length in quarter notes, to place the first downbeat.
    """
    return estimate_from_envelope(onset_envelope(audio[:, : int(SEARCH_SECONDS * SAMPLE_RATE_HZ)]), beats_per_bar)


def estimate_from_envelope(envelope: Vector, beats_per_bar: float) -> TempoEstimate:
    """Return the tempo and first beat that an onset envelope shows."""
    times, weights = onsets(envelope)
    if len(times) < LEAST_ONSETS:
        return TempoEstimate(0.0, 0.0, 0.0, len(times))
    best = _best_comb(times, weights)
    bpm, start = _fitted(times, weights, best)
    first = _first_downbeat(times, weights, bpm, start, beats_per_bar)
    return TempoEstimate(bpm, first, _confidence(times, weights, best), len(times))


def onset_envelope(audio: Audio) -> Vector:
    """Return the onset strength of (2, samples) at `ENVELOPE_RATE_HZ`, with zero mean and unit deviation."""
    mono = np.pad(audio.mean(axis=0), WINDOW_SAMPLES // 2)
    frames = max(1, (mono.shape[0] - WINDOW_SAMPLES) // HOP_SAMPLES)
    windows = np.lib.stride_tricks.sliding_window_view(mono, WINDOW_SAMPLES)[: frames * HOP_SAMPLES : HOP_SAMPLES]
    bank, window = _band_matrix(), np.hanning(WINDOW_SAMPLES).astype(np.float32)
    bands = np.concatenate(
        [np.abs(np.fft.rfft(piece * window)) @ bank for piece in np.array_split(windows, max(1, len(windows) // 512))]
    )
    floor = 1e-3 * bands.max(initial=1e-9)
    level = np.log(bands + floor)
    flux = np.maximum(level[FLUX_FRAMES:] - level[:-FLUX_FRAMES], 0.0).mean(axis=1)
    flux = np.concatenate((np.zeros(FLUX_FRAMES), flux)) if len(level) > FLUX_FRAMES else np.zeros(len(level))
    return np.asarray((flux - flux.mean()) / (flux.std() + 1e-9), dtype=np.float64)


def onsets(envelope: Vector) -> tuple[Vector, Vector]:
    """Return times in seconds and weights of the envelope's peaks."""
    smooth = np.convolve(envelope, np.hanning(9) / np.hanning(9).sum(), mode="same")
    times, weights = [], []
    for i in range(2, len(smooth) - 2):
        around = smooth[max(0, i - 7) : i + 8]
        local = smooth[max(0, i - 40) : i + 41].mean()
        if smooth[i] == around.max() and smooth[i] > local + 0.35:
            bend = smooth[i - 1] - 2 * smooth[i] + smooth[i + 1]
            shift = 0.5 * (smooth[i - 1] - smooth[i + 1]) / bend if bend else 0.0
            times.append((i + shift - FLUX_FRAMES / 2) / ENVELOPE_RATE_HZ)
            weights.append(min(3.0, float(smooth[i] - local)))
    return np.array(times), np.sqrt(np.array(weights))


def _band_matrix() -> NDArray[np.float32]:
    """Return the (bins, BANDS) triangles, spaced evenly in log frequency."""
    frequencies = np.fft.rfftfreq(WINDOW_SAMPLES, 1.0 / SAMPLE_RATE_HZ)
    centres = np.log(np.geomspace(LOWEST_BAND_HZ, HIGHEST_BAND_HZ, BANDS))
    width = 1.5 * (centres[1] - centres[0])
    distance = np.abs(np.log(np.maximum(frequencies, 1.0))[:, None] - centres[None, :])
    return np.maximum(0.0, 1.0 - distance / width).astype(np.float32)


def _best_comb(times: Vector, weights: Vector) -> _Comb:
    """Return the comb of beats that the onsets lie on best, by the prior's lights."""
    pulses = np.zeros(int((times[-1] + 1.0) * COMB_RATE_HZ))
    np.add.at(pulses, np.maximum(0, np.rint(times * COMB_RATE_HZ).astype(int)), weights)
    spectrum = np.fft.rfft(pulses, COMB_FFT_SIZE) / weights.sum()
    step_hz = COMB_RATE_HZ / COMB_FFT_SIZE
    bins = np.arange(int(LOWEST_BPM / 60.0 / step_hz), int(HIGHEST_BPM / 60.0 / step_hz))
    octaves = np.log2(bins * step_hz * 60.0 / PRIOR_BPM)
    prior = np.exp(-0.5 * (octaves / PRIOR_OCTAVES) ** 2)
    phases = np.arange(PHASES) / PHASES
    score = np.zeros((len(bins), PHASES))
    for harmonic, weight in SUBDIVISION_WEIGHTS.items():
        score += weight * (spectrum[harmonic * bins, None] * np.exp(2j * np.pi * harmonic * phases)).real
    score *= prior[:, None]
    row, column = np.unravel_index(int(score.argmax()), score.shape)
    return _Comb(float(bins[row] * step_hz), float(phases[column]), float(score[row, column]))


def _confidence(times: Vector, weights: Vector, best: _Comb) -> float:
    """Return how far the best comb stands above those of the same gaps in random order, as 0 to 1."""
    generator = np.random.default_rng(SHUFFLE_SEED)
    gaps = np.diff(times)
    scores = []
    for _ in range(SHUFFLES):
        stretched = generator.permutation(gaps) * generator.uniform(0.75, 1.33, len(gaps))
        shuffled = np.concatenate(([times[0]], times[0] + np.cumsum(stretched)))
        scores.append(_best_comb(shuffled, generator.permutation(weights)).score)
    deviations = (best.score - float(np.mean(scores))) / (float(np.std(scores)) + 1e-9)
    return float(np.clip((deviations - UNSURE_SCORE) / (SURE_SCORE - UNSURE_SCORE), 0.0, 1.0))


def _fitted(times: Vector, weights: Vector, comb: _Comb) -> tuple[float, float]:
    """Return beats a minute and the time of a beat, by least squares over the onsets near the comb's half beats.

    A whole number of beats a minute, or one with a single decimal, is taken where the fit cannot tell it apart.
    """
    period, start = 1.0 / comb.frequency_hz, comb.phase / comb.frequency_hz
    error = 0.0
    for _ in range(FIT_ROUNDS):
        beats, near = _near(times, period, start)
        if near.sum() < LEAST_ONSETS // 2:
            break
        x, y, w = beats[near], times[near], weights[near]
        centre = np.average(x, weights=w)
        spread = float(np.sum(w * (x - centre) ** 2))
        if spread < 1.0:
            break
        period = float(np.sum(w * (x - centre) * y)) / spread
        start = float(np.average(y, weights=w)) - period * float(centre)
        scatter = float(np.average((y - start - period * x) ** 2, weights=w))
        error = math.sqrt(scatter * float(np.average(w)) / spread)
    bpm = _roundest(60.0 / period, 2.5 * 60.0 / period**2 * error)
    beats, near = _near(times, 60.0 / bpm, start)
    if near.any():
        start = float(np.average((times - beats * 60.0 / bpm)[near], weights=weights[near]))
    return bpm, start


def _near(times: Vector, period: float, start: float) -> tuple[Vector, NDArray[np.bool_]]:
    """Return the half beat nearest to each onset, in beats, and which onsets are near theirs."""
    position = (times - start) / period
    beats = np.rint(2.0 * position) / 2.0
    return beats, np.abs(position - beats) < FIT_REACH_BEATS


def _roundest(bpm: float, tolerance: float) -> float:
    """Return the roundest number within `tolerance` of `bpm`."""
    for decimals in (0, 1):
        if abs(round(bpm, decimals) - bpm) <= tolerance:
            return float(round(bpm, decimals))
    return round(bpm, 2)


def _first_downbeat(times: Vector, weights: Vector, bpm: float, start: float, beats_per_bar: float) -> float:
    """Return the first downbeat: of the beats through `start`, those of the bar's beat that carries most onset."""
    period = 60.0 / bpm
    beats = max(1, round(beats_per_bar))
    position = (times - start) / period
    nearest = np.rint(position).astype(int)
    load = np.zeros(beats)
    np.add.at(load, nearest % beats, weights * np.exp(-0.5 * ((position - nearest) / 0.1) ** 2))
    bar = beats * period
    first = (start + int(load.argmax()) * period + ONSET_LEAD_SECONDS) % bar
    return first - bar if bar - first < 0.1 * period else first
