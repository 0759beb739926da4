"""Key and chords of a song that is still being sung, read off what was heard so far."""

from __future__ import annotations

from dataclasses import replace

from engine.geometry import LATENT_HOP_SAMPLES, frames_covering
from engine.harmoniser import Harmoniser
from engine.song_memory import SongMemory
from engine.timeline import Timeline
from engine.wish import Wish

HEARD_FRAMES = 1_280  # a minute: enough for the key, and the time it takes does not grow with the song
AHEAD_FRAMES = 256


class LiveHarmony:
    """Reads harmony off one memory anew as more is heard."""

    def __init__(self, harmoniser: Harmoniser | None, memory: SongMemory) -> None:
        """Read with `harmoniser`; None, from a bundle without one, leaves harmony unknown."""
        self._harmoniser = harmoniser
        self._memory = memory

    def harmonised(self, wish: Wish, timeline: Timeline, first_frame: int) -> Wish:
        """Return the wish for a chunk at `first_frame`, with key and chords where the user names none.

        They are read anew for each chunk: half a second more of the vocal is worth more than steps of the sampler are.
        Chords are read off the last minute before the chunk and, where a loop was sung before, off what follows; beyond
        what was heard they are those of a vocal that repeats itself as it has done so far (`engine.repetition`).
        """
        if self._harmoniser is None or wish.chords or not wish.listen_for_chords:
            return wish
        return self._read(self._harmoniser, wish, timeline, first_frame)

    def _read(self, harmoniser: Harmoniser, wish: Wish, timeline: Timeline, first_frame: int) -> Wish:
        start = max(first_frame - HEARD_FRAMES, frames_covering(max(timeline.first_beat_sample, 0)), 0)
        start = min(start, first_frame)
        bar = timeline.sample_at_bar(timeline.bar_at_beat(timeline.beat_at_sample(start * LATENT_HOP_SAMPLES)))
        start = max(frames_covering(bar), 0)
        heard = self._memory.read(start, max(first_frame - start, 0) + AHEAD_FRAMES).heard
        harmony = harmoniser.harmonise(heard.vocal_pitch, timeline, start, wish.key, heard.visible)
        return replace(wish, key=harmony.key, chords=harmony.chords) if harmony else wish
