"""Excerpts with known answers, made in memory, for the tests of controls and seams."""

from functools import cache
from pathlib import Path

import numpy as np

from bridge.evaluation.songs import VOCALS, Excerpt, SongFacts
from engine.geometry import SAMPLE_RATE_HZ
from engine.harmony import Chord, ChordSpan, Key
from engine.spectra import Array
from engine.timeline import Timeline
from tests.evaluation_support import SONGS, chords_of, strokes


@cache
def excerpt_of(name: str, seconds: float = 10.0) -> Excerpt:
    """Return up to 10 s of one of the known songs, from its first bar."""
    bpm, key, labels = SONGS[name]
    timeline, samples = Timeline.constant(bpm), int(seconds * SAMPLE_RATE_HZ)
    spans = tuple(ChordSpan(4 * bar, 4 * bar + 4, Chord.parse(label)) for bar, label in enumerate(labels))
    facts = SongFacts(Path(name), name, "test", "pop", timeline, 4, Key.parse(key), spans)
    audio = {
        VOCALS: chords_of(labels, timeline, 4),
        "other": chords_of(labels, timeline, 3),
        "bass": chords_of(labels, timeline, 2),
        "drums": strokes(timeline),
    }
    return Excerpt(facts, timeline, 0.0, seconds, {stem: sound[:, :samples] for stem, sound in audio.items()})


def more_strokes(timeline: Timeline, samples: int, count: int, after_beats: float = 0.25) -> Array:
    """Return (2, samples): a stroke after each of the first `count` beats of each bar of four."""
    audio = np.zeros((2, samples + SAMPLE_RATE_HZ), np.float32)
    burst = np.random.default_rng(1).standard_normal(4_410) * np.exp(-np.arange(4_410) / 900) * 0.15
    for beat in np.arange(0.0, timeline.beat_at_sample(samples)):
        if beat % 4 < count:
            start = timeline.sample_at_beat(float(beat) + after_beats)
            audio[:, start : start + 4_410] += burst.astype(np.float32)
    return audio[:, :samples]


def restless(samples: int, level: float) -> Array:
    """Return (2, samples): noise in another place of every bar."""
    noise = np.random.default_rng(2).standard_normal((2, samples))
    gates = np.repeat(np.random.default_rng(3).random(-(-samples // 11_025)) < 0.5, 11_025)[:samples]
    return (0.1 * level * noise * gates).astype(np.float32)
