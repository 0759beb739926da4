"""From a song's melody to what a singer does: phrases of sung notes, and the curve of their pitch."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from training.corpus.clock import beats_to_seconds
from training.corpus.notes import Song
from training.corpus.world import FRAME_SECONDS, FloatArray

BREATH_GAP_SECONDS = 0.3
LEGATO_GAP_SECONDS = 0.14
SHORTEST_NOTE_SECONDS = 0.07
LEAD_SECONDS = 0.25
RELEASE_SECONDS = 0.12


@dataclass(frozen=True, slots=True)
class SungNote:
    """One note of the singer: times in seconds from the song's start, MIDI pitch, loudness 0 to 1."""

    start_seconds: float
    stop_seconds: float
    pitch: float
    loudness: float


@dataclass(frozen=True, slots=True)
class Manner:
    """How a singer moves between pitches, drawn once a song.

    Attributes:
        portamento_seconds: the time that a change of pitch takes.
        vibrato_hz, vibrato_cents: rate and depth of the vibrato on long notes.
        drift_cents: the wandering of the pitch.
        scoop_cents, scoop_chance: how far below its pitch a note may begin, and how often.
        detune_cents: the tuning of the whole song.
    """

    portamento_seconds: float
    vibrato_hz: float
    vibrato_cents: float
    drift_cents: float
    scoop_cents: float
    scoop_chance: float
    detune_cents: float


def random_manner(rng: np.random.Generator, detune_cents: float) -> Manner:
    """Return the manner of a random singer."""
    return Manner(
        portamento_seconds=float(rng.uniform(0.03, 0.09)),
        vibrato_hz=float(rng.uniform(4.6, 6.4)),
        vibrato_cents=float(rng.choice([0.0, 1.0], p=[0.2, 0.8]) * rng.uniform(10, 45)),
        drift_cents=float(rng.uniform(2, 9)),
        scoop_cents=float(rng.uniform(30, 180)),
        scoop_chance=float(rng.uniform(0.0, 0.4)),
        detune_cents=detune_cents,
    )


def sung_notes(song: Song, transpose: float) -> list[SungNote]:
    """Return the melody as one voice: overlaps cut, tiny gaps closed, notes too short to sing dropped."""
    ordered = sorted(song.melody, key=lambda note: (note.start_beat, -note.pitch))
    starts = beats_to_seconds(song, [note.start_beat for note in ordered])
    stops = beats_to_seconds(song, [note.start_beat + note.duration_beats for note in ordered])
    last = float(beats_to_seconds(song, [song.length_beats])[0])
    sung: list[SungNote] = []
    for index, note in enumerate(ordered):
        following = float(starts[index + 1]) if index + 1 < len(ordered) else last
        stop = min(float(stops[index]), following, last)
        if following - stop < LEGATO_GAP_SECONDS:
            stop = min(following, last)
        if stop - starts[index] >= SHORTEST_NOTE_SECONDS:
            sung.append(SungNote(float(starts[index]), stop, note.pitch + transpose, note.velocity / 127))
    return sung


def split_phrases(notes: list[SungNote]) -> list[list[SungNote]]:
    """Split `notes` wherever the singer has time to breathe."""
    phrases: list[list[SungNote]] = []
    for note in notes:
        if phrases and note.start_seconds - phrases[-1][-1].stop_seconds < BREATH_GAP_SECONDS:
            phrases[-1].append(note)
        else:
            phrases.append([note])
    return phrases


def octave_shift(song: Song, centre_pitch: float) -> int:
    """Return -12, 0 or 12: what brings the melody's median nearest to the voice's `centre_pitch`."""
    median = float(np.median([note.pitch for note in song.melody]))
    return min((-12, 0, 12), key=lambda shift: abs(median + shift - centre_pitch))


def pitch_curve(
    notes: list[SungNote], start_seconds: float, frames: int, manner: Manner, rng: np.random.Generator
) -> FloatArray:
    """Return (frames,) MIDI pitch of a phrase, every 5 ms from `start_seconds`.

    Each note's pitch is reached around its start: portamento begins before and ends after.
    """
    times: FloatArray = start_seconds + np.arange(frames, dtype=np.float64) * FRAME_SECONDS
    pitch = np.full(frames, notes[0].pitch, dtype=np.float64)
    for before, after in pairwise(notes):
        glide = min(manner.portamento_seconds, 0.4 * (after.stop_seconds - after.start_seconds))
        progress = np.clip((times - after.start_seconds) / glide + 0.6, 0, 1)
        pitch += (after.pitch - before.pitch) * progress**2 * (3 - 2 * progress)
    for index, note in enumerate(notes):
        if rng.random() < manner.scoop_chance * (2 if index == 0 else 1):
            pitch += _scoop(times, note, manner)
        pitch += _vibrato(times, note, manner, rng)
    return pitch + (_drift(frames, rng) * manner.drift_cents + manner.detune_cents) / 100


def _scoop(times: FloatArray, note: SungNote, manner: Manner) -> FloatArray:
    """Return semitones: a rise into the note from below, over in about a tenth of a second."""
    since = times - note.start_seconds
    rise = -manner.scoop_cents / 100 * np.exp(-np.maximum(since, 0) / 0.035)
    return np.where((since >= 0) & (times < note.stop_seconds), rise, 0.0)


def _vibrato(times: FloatArray, note: SungNote, manner: Manner, rng: np.random.Generator) -> FloatArray:
    """Return semitones: a vibrato that grows in a quarter of a second after the start of a long note."""
    depth = manner.vibrato_cents / 100 * rng.uniform(0.6, 1.2)
    rate_hz = manner.vibrato_hz * rng.uniform(0.93, 1.07)
    since = times - note.start_seconds
    growth = np.clip((since - 0.22) / 0.25, 0, 1) * np.clip((note.stop_seconds - times) / 0.08, 0, 1)
    return depth * growth * np.sin(2 * np.pi * rate_hz * since)


def _drift(frames: int, rng: np.random.Generator) -> FloatArray:
    """Return (frames,) a slow random walk of unit size, about 2 Hz wide."""
    knots = max(4, int(frames * FRAME_SECONDS * 4) + 2)
    return np.interp(np.linspace(0, knots - 1, frames), np.arange(knots), rng.normal(0, 1, knots))
