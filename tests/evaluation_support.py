"""Songs with known answers, and bands of known quality, for the tests of the evaluation."""

import json
from pathlib import Path

import numpy as np
import soundfile

from bridge.evaluation.songs import VOCALS, Excerpt
from bridge.evaluation.takes import Band, Stems
from engine.geometry import SAMPLE_RATE_HZ
from engine.harmony import Chord
from engine.spectra import Array
from engine.timeline import Timeline
from engine.wish import Kept, Wish

SECONDS = 10.0
SAMPLES = int(SECONDS * SAMPLE_RATE_HZ)
SONGS = {"first": (100.0, "C major", ("C", "F", "G", "C")), "second": (127.0, "F# major", ("F#", "B", "C#", "F#"))}


def chords_of(labels: tuple[str, ...], timeline: Timeline, octave: int, seconds: float = SECONDS) -> Array:
    """Return (2, samples): each label's notes for four beats, over and over, in `octave`."""
    samples = int(seconds * SAMPLE_RATE_HZ)
    bars = (timeline.beats_at_samples(np.arange(samples)) // 4).astype(int) % len(labels)
    audio = np.zeros(samples)
    for index, label in enumerate(labels):
        for pitch_class in Chord.parse(label).pitch_classes:
            hz = 440.0 * 2 ** ((pitch_class + 12 * (octave + 1) - 69) / 12)
            audio += (bars == index) * 0.1 * np.sin(2 * np.pi * hz * np.arange(samples) / SAMPLE_RATE_HZ)
    return np.tile(audio.astype(np.float32), (2, 1))


def strokes(timeline: Timeline, late_seconds: float = 0.0) -> Array:
    """Return (2, samples) with a stroke on every eighth."""
    generator = np.random.default_rng(0)
    audio = np.zeros((2, SAMPLES + SAMPLE_RATE_HZ))
    burst = 0.3 * np.exp(-np.arange(4_410) / 900)
    last_beat = timeline.beat_at_sample(SAMPLES)
    for beat in np.arange(0.0, last_beat, 0.5):
        start = timeline.sample_at_beat(float(beat)) + int(late_seconds * SAMPLE_RATE_HZ)
        audio[:, start : start + 4_410] += burst * generator.standard_normal((2, 4_410))
    return audio[:, :SAMPLES].astype(np.float32)


def write_song(folder: Path, name: str, split: str = "test") -> None:
    bpm, key, labels = SONGS[name]
    timeline = Timeline.constant(bpm)
    song = folder / name
    song.mkdir(parents=True)
    audio = {
        "vocals": chords_of(labels, timeline, 4),
        "other": chords_of(labels, timeline, 3),
        "bass": chords_of(labels, timeline, 2),
        "drums": strokes(timeline),
    }
    for stem, samples in audio.items():
        soundfile.write(song / f"{stem}.flac", samples.T, SAMPLE_RATE_HZ)
    spans = []
    for bar in range(4):
        chord = Chord.parse(labels[bar])
        spans.append([4 * bar, 4 * bar + 4, chord.root, list(chord.pitch_classes), chord.bass, chord.label])
    facts: dict[str, object] = {"id": name, "source": "folder", "split": split, "style": "pop", "tempo_map": [[0, bpm]]}
    facts |= {"time_signatures": [[0, 4, 4]], "subdivision": 4, "key": key, "chords": spans, "voice": "formant"}
    (song / "song.json").write_text(json.dumps(facts), encoding="utf-8")


def follower(late_seconds: float = 0.0) -> Band:
    """Return a band that plays the chords it is given, else what the vocal sings, and strokes on the grid or late."""

    def play(excerpt: Excerpt, wish: Wish, kept: Kept | None = None) -> Stems:
        pitched = excerpt.audio[VOCALS]
        if wish.chords:
            labels = tuple(span.chord.label for span in wish.chords)
            pitched = chords_of(labels, excerpt.timeline, 3)[:, : excerpt.samples]
        drums = strokes(excerpt.timeline, late_seconds)[:, : excerpt.samples]
        return {"drums": drums, "bass": pitched, "other": pitched}

    return play


def deaf(excerpt: Excerpt, wish: Wish, kept: Kept | None = None) -> Stems:
    """Play the same whatever is sung or asked."""
    part = chords_of(("Eb", "Bb"), excerpt.timeline, 3)[:, : excerpt.samples]
    return {"drums": strokes(Timeline.constant(90.0))[:, : excerpt.samples], "bass": part, "other": part}
