"""Beats in seconds to a tempo map whose beat 0 is a downbeat at sample 0, and back to what must be padded for it."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.geometry import SAMPLE_RATE_HZ
from engine.timeline import MAX_BPM, MIN_BPM, Timeline
from training.folders.beats import BeatError, Beats
from training.folders.onsets import Floats

GIVEN_TOLERANCE_SECONDS = 0.01
HEARD_TOLERANCE_SECONDS = 0.03
LARGEST_CUT_SECONDS = 0.05
BPM_DECIMALS = 4


@dataclass(frozen=True, slots=True)
class Placement:
    """A song on its timeline.

    Attributes:
        timeline: beat 0 at sample 0.
        lead_samples: silence to put before the audio so that beat 0 is its first sample; below 0, samples to cut off.
    """

    timeline: Timeline
    lead_samples: int


def placed(beats: Beats, tolerance_seconds: float) -> Placement:
    """Return the timeline of `beats`, with the fewest tempo changes that keep each within `tolerance_seconds`.

    The beats go on backwards at their first tempo to the bar line at or before the first sample.

    Raises:
        BeatError: the beats are fewer than two, do not rise, or are not 30 to 300 a minute.
    """
    seconds = np.asarray(beats.seconds, dtype=np.float64)
    if len(seconds) < 2 or not (np.diff(seconds) > 0.0).all():
        raise BeatError("needs two beats or more, in rising order; give its beats again, or its tempo")
    numbers = np.arange(len(seconds), dtype=np.float64) + (-beats.first_downbeat) % beats.beats_per_bar
    knots = tempo_knots(numbers, seconds, tolerance_seconds)
    (beat, start), (next_beat, next_start) = knots[:2]
    period = (next_start - start) / (next_beat - beat)
    origin = start - beat * period
    bars = max(0, math.ceil((origin - LARGEST_CUT_SECONDS) / (period * beats.beats_per_bar)))
    shift = bars * beats.beats_per_bar
    origin -= shift * period
    tempos = _tempos([(beat + shift, time) for beat, time in knots], origin)
    timeline = Timeline(tempos, ((0.0, beats.beats_per_bar, 4),))
    return Placement(timeline, round(-origin * SAMPLE_RATE_HZ))


def tempo_knots(numbers: Floats, seconds: Floats, tolerance_seconds: float) -> list[tuple[float, float]]:
    """Return (beat, seconds) between which the tempo holds: a line fitted to all where it serves, else beats of them.

    Where one line does not, the beats are chosen after Douglas and Peucker (1973).
    """
    slope, offset = np.polyfit(numbers, seconds, 1)
    if np.abs(offset + slope * numbers - seconds).max() <= tolerance_seconds:
        return [(float(number), float(offset + slope * number)) for number in (numbers[0], numbers[-1])]
    kept = {0, len(numbers) - 1}
    open_spans = [(0, len(numbers) - 1)]
    while open_spans:
        first, last = open_spans.pop()
        inside = slice(first, last + 1)
        line = np.interp(numbers[inside], numbers[[first, last]], seconds[[first, last]])
        errors = np.abs(line - seconds[inside])
        worst = first + int(errors.argmax())
        if errors.max() > tolerance_seconds:
            kept.add(worst)
            open_spans += [(first, worst), (worst, last)]
    return [(float(numbers[index]), float(seconds[index])) for index in sorted(kept)]


def _tempos(knots: list[tuple[float, float]], origin: float) -> tuple[tuple[float, float], ...]:
    """Return the tempo map through `knots`, its first tempo from beat 0 on, `origin` seconds; rounding adds up to 0."""
    tempos: list[tuple[float, float]] = []
    reached_beat, reached_seconds = 0.0, origin
    for beat, seconds in knots[1:]:
        bpm = round(60.0 * (beat - reached_beat) / (seconds - reached_seconds), BPM_DECIMALS)
        if not MIN_BPM <= bpm <= MAX_BPM:
            raise BeatError(
                f"has beats at {bpm:g} a minute; give {MIN_BPM:g} to {MAX_BPM:g}: quarter notes, none left out"
            )
        if not tempos or bpm != tempos[-1][1]:
            tempos.append((reached_beat, bpm))
        reached_seconds += (beat - reached_beat) * 60.0 / bpm
        reached_beat = beat
    return tuple(tempos)


def steady(heard: Beats, bpm: float) -> Beats:
    """Return the grid of exactly `bpm` that lies on the `heard` beats best."""
    period = 60.0 / bpm
    turns = np.exp(2j * np.pi * heard.seconds / period)
    phase = float(np.angle(turns.mean())) / (2.0 * np.pi) * period
    first = round((heard.seconds[0] - phase) / period)
    count = round((heard.seconds[-1] - heard.seconds[0]) / period) + 1
    grid = np.array([phase + period * number for number in range(first, first + max(count, 2))])
    downbeat = round((heard.seconds[heard.first_downbeat] - phase) / period) - first
    return Beats(grid, downbeat % heard.beats_per_bar, heard.beats_per_bar)


def given_steady(bpm: float, first_beat_seconds: float, beats_per_bar: int, seconds: float) -> Beats:
    """Return the beats of a song of `seconds` at `bpm`, whose first downbeat is known."""
    count = max(2, math.ceil((seconds - first_beat_seconds) * bpm / 60.0))
    beat_seconds = [first_beat_seconds + number * 60.0 / bpm for number in range(count)]
    return Beats(np.array(beat_seconds), 0, beats_per_bar)


def read_beats(path: Path, beats_per_bar: int | None) -> Beats:
    """Read a file with a beat a line: its seconds and, if known, its number in the bar (1 for a downbeat).

    Without numbers the first beat is a downbeat.

    Raises:
        BeatError: a line is no number, or no beat is numbered 1.
    """
    try:
        rows = [
            [float(word) for word in line.split()] for line in path.read_text(encoding="utf-8").splitlines() if line
        ]
    except (OSError, ValueError) as error:
        raise BeatError(f"{path.name}: is not a list of seconds, one beat a line ({error})") from error
    seconds, counts = np.array([row[0] for row in rows if row]), [int(row[1]) for row in rows if len(row) > 1]
    if len(counts) != len(seconds):
        return Beats(seconds, 0, beats_per_bar or 4)
    if 1 not in counts:
        raise BeatError(
            f"{path.name}: no beat is numbered 1, a downbeat; number the beats within the bar or leave them bare"
        )
    return Beats(seconds, counts.index(1), beats_per_bar or max(counts))
