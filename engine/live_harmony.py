"""Key and chords of a song that is still being sung, read off what was heard so far."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from engine.geometry import LATENT_HOP_SAMPLES, frames_covering
from engine.harmonic_units import Units
from engine.harmoniser import Harmoniser, ReadUnits
from engine.harmony import Chord
from engine.harmony_tables import Floats
from engine.song_memory import SongMemory
from engine.timeline import Timeline
from engine.wish import Wish

HEARD_FRAMES = 1_280  # a minute: enough for the key, and the time it takes does not grow with the song
AHEAD_FRAMES = 256
MOST_BARS = 192
"""Bars before that minute in which the song may have been where it is now: six minutes at 120 bpm."""


@dataclass(frozen=True, slots=True)
class _Bar:
    """A bar as it was read: the beats that its units start at, their chords, what is sung in them and was heard."""

    borders: Floats
    chords: tuple[Chord, ...]
    sung: Floats
    heard: Floats


class BarsRead:
    """The bars of a song as they were read last, by the beat that they end on; the newest ones, in bounded memory."""

    def __init__(self) -> None:
        """Start with none."""
        self._bars: dict[float, _Bar] = {}

    def keep(self, read: ReadUnits) -> None:
        """Keep the whole bars of what was read."""
        starts = np.flatnonzero(read.units.begins_bar)
        for first, end in pairwise(starts):
            part = slice(first, end)
            bar = _Bar(read.units.borders[part], read.chords[part], read.sung[part], read.heard[part])
            beat = float(read.units.borders[end])
            self._bars.pop(beat, None)
            self._bars[beat] = bar
        while len(self._bars) > 2 * MOST_BARS:
            del self._bars[next(iter(self._bars))]

    def before(self, beat: float) -> ReadUnits | None:
        """Return the bars that lead up to `beat` without a gap, `MOST_BARS` at most; None if there is none."""
        found, at = list[_Bar](), beat
        while at in self._bars and len(found) < MOST_BARS:
            found.append(self._bars[at])
            at = float(found[-1].borders[0])
        if not found:
            return None
        found.reverse()
        begins_bar = np.concatenate([np.arange(len(bar.borders)) == 0 for bar in found])
        return ReadUnits(
            Units(np.append(np.concatenate([bar.borders for bar in found]), beat), begins_bar),
            tuple(chord for bar in found for chord in bar.chords),
            np.concatenate([bar.sung for bar in found]),
            np.concatenate([bar.heard for bar in found]),
        )


class LiveHarmony:
    """Reads harmony off one memory anew as more is heard."""

    def __init__(self, harmoniser: Harmoniser | None, memory: SongMemory) -> None:
        """Read with `harmoniser`; None, from a bundle without one, leaves harmony unknown."""
        self._harmoniser = harmoniser
        self._memory = memory
        self._bars = BarsRead()

    def harmonised(self, wish: Wish, timeline: Timeline, first_frame: int) -> Wish:
        """Return the wish for a chunk at `first_frame`, with key and chords where the user names none.

        They are read anew for each chunk: half a second more of the vocal is worth more than steps of the sampler are.
        Chords are read off the last minute before the chunk and, where a loop was sung before, off what follows; beyond
        what was heard they are those of a vocal that repeats itself as it has done so far (`engine.repetition`), for
        which the bars before that minute count as they were read then.
        """
        if self._harmoniser is None or wish.chords or not wish.listen_for_chords:
            return wish
        return self._read(self._harmoniser, wish, timeline, first_frame)

    def _read(self, harmoniser: Harmoniser, wish: Wish, timeline: Timeline, first_frame: int) -> Wish:
        start = max(first_frame - HEARD_FRAMES, frames_covering(max(timeline.first_beat_sample, 0)), 0)
        start = min(start, first_frame)
        first_bar = timeline.bar_at_beat(timeline.beat_at_sample(start * LATENT_HOP_SAMPLES))
        start = max(frames_covering(timeline.sample_at_bar(first_bar)), 0)
        heard = self._memory.read(start, max(first_frame - start, 0) + AHEAD_FRAMES).heard
        before = self._bars.before(timeline.beat_at_bar(first_bar))
        harmony = harmoniser.harmonise(heard.vocal_pitch, timeline, start, wish.key, heard.visible, before)
        if harmony is None:
            return wish
        self._bars.keep(harmony.read)
        return replace(wish, key=harmony.key, chords=harmony.chords)
