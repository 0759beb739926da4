"""What the user has asked of the music: the wish, chords by beat, re-rolls and locks; a value, never changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from engine.geometry import LATENT_HOP_SAMPLES, STEMS, frames_covering
from engine.harmony import Chord, ChordSpan
from engine.live_chunk import Reseed, Score
from engine.timeline import Timeline
from engine.wish import Wish

MAX_MARKS = 512
SPAN_OF_LAST_CHORD_BEATS = 1e6


@dataclass(frozen=True, slots=True)
class ChordMark:
    """A chord that holds from `beat` until the next mark."""

    beat: float
    chord: Chord


@dataclass(frozen=True, slots=True)
class Lock:
    """A stem that is to stay as it is from `start_frame` to before `end_frame`, None for no end."""

    stem: str
    start_frame: int
    end_frame: int | None


@dataclass(frozen=True, slots=True)
class Controls:
    """All of it.

    Attributes:
        wish: style, key, faders, steps, guidance and seed.
        chords: the user's chords by rising beat; none: they are read off the vocal.
        reseeds: what was re-rolled.
        locks: what is to stay.
        chunk_frames: frames of a chunk, a multiple of 4; None leaves it to the measurement.
        lookahead_frames: how many frames earlier than needed chunks are begun.
    """

    wish: Wish
    chords: tuple[ChordMark, ...] = ()
    reseeds: tuple[Reseed, ...] = ()
    locks: tuple[Lock, ...] = ()
    chunk_frames: int | None = None
    lookahead_frames: int = 0

    def score(self, timeline: Timeline) -> Score:
        """Return what a chunk is made for."""
        return Score(timeline, replace(self.wish, chords=self.chord_spans()), self.reseeds)

    def chord_spans(self) -> tuple[ChordSpan, ...]:
        """Return the user's chords as spans; the last one goes on."""
        ends = [*(mark.beat for mark in self.chords[1:]), None][: len(self.chords)]
        return tuple(
            ChordSpan(mark.beat, mark.beat + SPAN_OF_LAST_CHORD_BEATS if end is None else end, mark.chord)
            for mark, end in zip(self.chords, ends, strict=True)
        )

    def with_chord(self, beat: float, chord: Chord | None) -> Controls:
        """Return controls with a chord from `beat` on, replacing later ones; None forgets all chords."""
        if chord is None:
            return replace(self, chords=())
        kept = [mark for mark in self.chords if mark.beat < beat][-MAX_MARKS:]
        return replace(self, chords=(*kept, ChordMark(beat, chord)))

    def with_reseed(self, reseed: Reseed) -> Controls:
        """Return controls with one more re-roll; those that it covers whole are dropped."""
        kept = [old for old in self.reseeds if not _covers(reseed, old)][-MAX_MARKS:]
        return replace(self, reseeds=(*kept, reseed))

    def with_lock(self, lock: Lock) -> Controls:
        """Return controls with one more lock."""
        return replace(self, locks=(*self.locks, lock)[-MAX_MARKS:])

    def without_locks(self, stem: str) -> Controls:
        """Return controls with `stem` free again."""
        return replace(self, locks=tuple(lock for lock in self.locks if lock.stem != stem))

    def free_ranges(self, stem: str, start: int, end: int | None) -> list[tuple[int, int | None]]:
        """Return the parts of frames `start` to `end` in which `stem` is not locked."""
        ranges: list[tuple[int, int | None]] = [(start, end)]
        for lock in self.locks:
            if lock.stem == stem:
                ranges = [part for whole in ranges for part in _without(whole, lock)]
        return ranges


def frames_of_beats(timeline: Timeline, from_beat: float, to_beat: float | None) -> tuple[int, int | None]:
    """Return the frames that beats `from_beat` to `to_beat` (None or negative: no end) touch."""
    start = max(timeline.sample_at_beat(from_beat), 0) // LATENT_HOP_SAMPLES
    if to_beat is None or to_beat < 0:
        return start, None
    return start, max(frames_covering(max(timeline.sample_at_beat(to_beat), 0)), start + 1)


def stems_from(text: str) -> tuple[str, ...]:
    """Return the stems of `drums,bass`; empty for all.

    Raises:
        ValueError: a name is no stem.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in STEMS:
            raise ValueError(f"stem {name!r} is not known; expected some of: {', '.join(STEMS)}")
    return tuple(stem for stem in STEMS if stem in names) or STEMS


def _covers(new: Reseed, old: Reseed) -> bool:
    ends = new.end_frame is None or (old.end_frame is not None and old.end_frame <= new.end_frame)
    return set(old.stems) <= set(new.stems) and new.start_frame <= old.start_frame and ends


def _without(whole: tuple[int, int | None], lock: Lock) -> Sequence[tuple[int, int | None]]:
    start, end = whole
    parts: list[tuple[int, int | None]] = []
    if start < lock.start_frame:
        parts.append((start, lock.start_frame if end is None else min(end, lock.start_frame)))
    if lock.end_frame is not None and (end is None or lock.end_frame < end):
        parts.append((max(start, lock.end_frame), end))
    return parts
