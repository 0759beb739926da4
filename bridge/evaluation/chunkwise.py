"""A whole song generated chunk by chunk as live play does, without a clock: only what it may hear of the vocal counts.

The engine's own live parts are at work (memory, harmony, chunk); the vocal is written into the memory just before each
chunk, as far as it is visible then, and the latents are decoded at the end.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from engine import codec
from engine.finish import finished
from engine.geometry import LATENT_HOP_SAMPLES, STEMS, frames_covering
from engine.live_chunk import ChunkPlan, MadeChunk, Score, make_chunk
from engine.live_harmony import LiveHarmony
from engine.song_memory import PAGE_FRAMES, SongMemory
from engine.spectra import Array
from engine.timeline import Timeline
from engine.window import Heard, Model, normalised
from engine.wish import Wish

PlanOf = Callable[[int], ChunkPlan]
VisibleEnd = Callable[[ChunkPlan], int]


@dataclass(frozen=True, slots=True)
class Song:
    """What is sung, and to which grid.

    Attributes:
        heard: the whole vocal as the denoiser sees it.
        timeline: tempos and time signatures.
        samples: the song's length.
    """

    heard: Heard
    timeline: Timeline
    samples: int

    @classmethod
    def of(cls, model: Model, vocal: Array, timeline: Timeline) -> "Song":
        """Encode `vocal`, (2, samples), at once: the encoder looks but two frames ahead, so a prefix is the same."""
        encoded = codec.encode(model, vocal)
        heard = Heard(normalised(model, encoded.latents), encoded.pitch, encoded.curves)
        return cls(heard, timeline, vocal.shape[1])


def chunks(model: Model, song: Song, wish: Wish, plan_of: PlanOf, visible_end: VisibleEnd) -> Iterator[MadeChunk]:
    """Yield the chunks of a song in their order, each made only when it is asked for.

    Args:
        model: the bundle.
        song: from `Song.of`.
        wish: what is wanted; key and chords are read off what is visible where it names none.
        plan_of: from a chunk's first frame to its plan.
        visible_end: from a plan to the frame after the last of the vocal that is known when it is made; it never
            falls from one chunk to the next.
    """
    frames = frames_covering(song.samples)
    memory = SongMemory(pages=-(-frames // PAGE_FRAMES) + 2)
    harmony = LiveHarmony(model.harmony, memory)
    first = heard = 0
    while first < frames:
        plan = plan_of(first)
        visible = min(max(visible_end(plan), heard), frames)
        part = song.heard.cut(slice(heard, visible))
        memory.write_vocal(heard, part.vocal_latents, part.vocal_pitch, part.curves)
        score = Score(song.timeline, harmony.harmonised(wish, song.timeline, first))
        yield make_chunk(model, memory, plan, score)
        first, heard = plan.end_frame, visible


def stems_of(model: Model, made: list[MadeChunk], samples: int) -> dict[str, Array]:
    """Return the sound of all of a song's chunks by stem, each (2, samples)."""
    style = made[0].score.wish.style
    return dict(zip(STEMS, finished(model, latents_of(made, samples), samples, style), strict=True))


def latents_of(made: list[MadeChunk], samples: int) -> Array:
    """Return the normalised latents (192, frames) of a song's chunks, without their backups."""
    kept = [chunk.latents[:, : chunk.plan.chunk_frames] for chunk in made]
    return np.concatenate(kept, axis=1)[:, : frames_covering(samples)]


def frame_bars_before(timeline: Timeline, frame: int, bars: float) -> int:
    """Return the last frame that ends `bars` bars before `frame` starts; 0 where the song has not begun then."""
    beat = timeline.beat_at_sample(frame * LATENT_HOP_SAMPLES)
    sample = timeline.sample_at_beat(beat - bars * timeline.beats_per_bar_at(beat))
    return max(sample // LATENT_HOP_SAMPLES, 0)
