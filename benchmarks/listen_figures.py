"""What can be said in numbers of a take that someone listens to: levels, strokes, chords by bar, drum patterns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bridge.evaluation.heard_chords import heard_chords
from bridge.evaluation.heard_key import heard_key
from bridge.evaluation.metrics import chord_classes, energy_on_chord, grid_deviations_ms
from bridge.evaluation.onsets import HOP_SAMPLES, onset_seconds, onset_strength
from bridge.evaluation.real import loudness_lufs
from engine.geometry import LATENT_HOP_SAMPLES, SAMPLE_RATE_HZ, STEMS
from engine.harmony import NO_CHORD, Chord, ChordSpan, Key
from engine.metrics import pitch_class_energy
from engine.spectra import Array
from engine.timeline import Timeline

TRIPLET_STYLES = ("jazz-swing",)
MAJOR, MINOR = (0, 4, 7), (0, 3, 7)
LEAST_SHARE_ON_TRIAD = 0.5
PATTERN_STEPS_A_BEAT = 12  # 16ths and triplets
PATTERN_BANDS_HZ = ((20.0, 150.0), (200.0, 4_000.0), (6_000.0, 18_000.0))  # bass drum, snare, cymbals
_AUDIBLE_DB = -40.0

Energy = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class HeardChord:
    """The triad that fits a bar best.

    Attributes:
        chord: a major or minor triad, or `NO_CHORD` where nothing sounds.
        share: share of the energy on its three pitch classes, in [0, 1].
    """

    chord: Chord
    share: float

    @property
    def name(self) -> str:
        """The chord's name, with a question mark where less than half of the energy lies on it."""
        unsure = self.chord != NO_CHORD and self.share < LEAST_SHARE_ON_TRIAD
        return f"{self.chord.name}{' ?' if unsure else ''}"


@dataclass(frozen=True, slots=True)
class TakeFigures:
    """What was measured of one take.

    Attributes:
        lufs: loudness of each stem, ITU-R BS.1770.
        strokes_a_bar: drum onsets a bar.
        off_grid_ms: median distance of the drum onsets from the nearest 16th, or triplet; NaN without any.
        key: of bass and harmony together.
        chords: one a bar, of bass and harmony together.
        on_chord: share of the energy of bass and harmony on the chords that were read off the vocal.
        width_db: level of the sides of the harmony relative to its middle; -inf for mono.
        pattern: (bands, steps) of the mean bar of the drums.
        repeat: how alike a bar's drums are to the next bar's, median; NaN for a single bar.
    """

    lufs: Mapping[str, float]
    strokes_a_bar: float
    off_grid_ms: float
    key: Key
    chords: tuple[HeardChord, ...]
    on_chord: float
    width_db: float
    pattern: NDArray[np.float64]
    repeat: float


def take_figures(
    stems: Mapping[str, Array], timeline: Timeline, style: str, chords: Sequence[ChordSpan], bars: int
) -> TakeFigures:
    """Measure a take.

    Args:
        stems: stem to (2, samples) at 44.1 kHz, sample 0 the start of bar 0.
        timeline: of the take.
        style: one of `engine.styles.STYLES`; it decides on 16ths or triplets.
        chords: what the harmony was to follow.
        bars: how many whole bars the stems last.
    """
    strokes = onset_seconds(stems["drums"])
    off_grid_ms = grid_deviations_ms(strokes, timeline, 3 if style in TRIPLET_STYLES else 4)
    energy = pitch_class_energy(stems["bass"] + stems["other"], peaks_only=True)
    bass, other = (pitch_class_energy(stems[stem], peaks_only=True) for stem in ("bass", "other"))
    wanted = chord_classes(chords, timeline, energy.shape[1])
    patterns = drum_patterns(stems["drums"], timeline, bars)
    return TakeFigures(
        lufs={stem: loudness_lufs(stems[stem]) for stem in STEMS},
        strokes_a_bar=len(strokes) / bars,
        off_grid_ms=float(np.median(off_grid_ms)) if len(off_grid_ms) else float("nan"),
        key=heard_key(heard_chords(bass, other, timeline)),
        chords=bar_chords(energy, timeline, bars),
        on_chord=energy_on_chord(energy, wanted),
        width_db=width_db(stems["other"]),
        pattern=patterns.mean(axis=0),
        repeat=repeat(patterns),
    )


def bar_chords(energy: Energy, timeline: Timeline, bars: int) -> tuple[HeardChord, ...]:
    """Return the major or minor triad nearest to each bar's pitch classes, by the cosine between them.

    Args:
        energy: (12, frames) from `engine.metrics.pitch_class_energy`, one frame every 2048 samples.
        timeline: where the bars lie; sample 0 is the start of bar 0.
        bars: how many.
    """
    total = energy.sum(axis=0)
    audible = total > max(float(total.max(initial=0.0)) * 10 ** (_AUDIBLE_DB / 10), 1e-12)
    shares = np.where(audible, energy / np.maximum(total, 1e-20), 0.0)
    centres = np.arange(energy.shape[1], dtype=np.int64) * LATENT_HOP_SAMPLES + LATENT_HOP_SAMPLES // 2
    borders = np.searchsorted(centres, [timeline.sample_at_bar(bar) for bar in range(bars + 1)])
    return tuple(_nearest_triad(part.sum(axis=1)) for part in np.split(shares, borders, axis=1)[1:-1])


def width_db(audio: Array) -> float:
    """Return the level of the side signal relative to the mid of (2, samples): -inf for mono, 0 for unrelated sides."""
    left, right = audio.astype(np.float64)
    mid, side = np.square(left + right).mean(), np.square(left - right).mean()
    with np.errstate(divide="ignore"):
        return float(10 * np.log10(side / max(mid, 1e-20)))


def drum_patterns(drums: Array, timeline: Timeline, bars: int) -> NDArray[np.float64]:
    """Return where in each bar the drums strike: (bars, bands, steps) onset strength, each band's mean 0.

    Args:
        drums: (2, samples), sample 0 the start of bar 0.
        timeline: where the bars lie; one time signature.
        bars: how many.
    """
    hops = -(-drums.shape[1] // HOP_SAMPLES)
    steps_a_bar = round(timeline.beats_per_bar_at(0.0) * PATTERN_STEPS_A_BEAT)
    beats = timeline.beats_at_samples(np.arange(hops, dtype=np.int64) * HOP_SAMPLES)
    steps = np.minimum(np.round(beats * PATTERN_STEPS_A_BEAT).astype(int), bars * steps_a_bar - 1)
    counts = np.maximum(np.bincount(steps, minlength=bars * steps_a_bar), 1)
    strengths = [onset_strength(_band(drums, low_hz, high_hz)) for low_hz, high_hz in PATTERN_BANDS_HZ]
    rows = [np.bincount(steps, strength, bars * steps_a_bar) / counts for strength in strengths]
    patterns = np.array(rows).reshape(len(rows), bars, steps_a_bar).transpose(1, 0, 2)
    return patterns - patterns.mean(axis=2, keepdims=True)


def likeness(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return how alike two drum patterns are: the mean of the bands' correlations, in [-1, 1]; 0 for a silent band."""
    scale = np.sqrt(np.square(first).sum(axis=1) * np.square(second).sum(axis=1))
    return float(((first * second).sum(axis=1) / np.where(scale > 1e-12, scale, np.inf)).mean())


def repeat(patterns: NDArray[np.float64]) -> float:
    """Return the median likeness of each bar (bars, bands, steps) to the next; NaN for a single bar."""
    found = [likeness(bar, following) for bar, following in pairwise(patterns)]
    return float(np.median(found)) if found else float("nan")


def most_alike(style: str, takes: Mapping[str, TakeFigures]) -> tuple[str, float] | None:
    """Return the style whose drums are most like those of `style`, and how alike; None if no other has its metre."""
    own = takes[style].pattern
    found = [
        (likeness(own, take.pattern), name)
        for name, take in takes.items()
        if name != style and take.pattern.shape == own.shape
    ]
    if not found:
        return None
    best, name = max(found)
    return name, best


def _nearest_triad(profile: NDArray[np.float64]) -> HeardChord:
    """Return the triad on which the most of a bar's energy (12,) lies."""
    total = float(profile.sum())
    if total <= 0.0:
        return HeardChord(NO_CHORD, 0.0)
    triads = [
        tuple(sorted((root + interval) % 12 for interval in intervals))
        for intervals in (MAJOR, MINOR)
        for root in range(12)
    ]
    shares = [float(profile[list(triad)].sum()) / total for triad in triads]
    best = int(np.argmax(shares))
    return HeardChord(Chord(best % 12, triads[best], best % 12), shares[best])


def _band(audio: Array, low_hz: float, high_hz: float) -> Array:
    """Return (2, samples) with everything outside the band taken out, without delay."""
    spectrum = np.fft.rfft(audio, axis=1)
    hz = np.fft.rfftfreq(audio.shape[1], 1.0 / SAMPLE_RATE_HZ)
    spectrum[:, (hz < low_hz) | (hz > high_hz)] = 0.0
    return np.fft.irfft(spectrum, audio.shape[1], axis=1).astype(np.float32)
