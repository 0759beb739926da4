"""What this machine can do live: measured, and from that the steps, window and chunk to play with.

A *way* of generating is good enough if it can be kept up: twice its 95th percentile fits into chunk and backup, and a
chunk is made in well under the time that it plays. Of those, the first in the order of quality is taken that reacts
within the wanted time; if none does, the one that reacts soonest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bridge.clock import Clock
from bridge.live.pace import GUARD_SECONDS
from bridge.live.status import ReactionTerms
from bridge.live.work import Shape
from engine.band import Band
from engine.features import LOOKAHEAD_SAMPLES
from engine.geometry import LATENT_HOP_SAMPLES, LATENT_RATE_HZ, SAMPLE_RATE_HZ
from engine.live_chunk import Score
from engine.manifest import SamplingFacts
from engine.planner import FRAMES_MULTIPLE
from engine.stem_decoder import PIECE_FRAMES
from engine.timeline import Timeline
from engine.window import Model
from engine.wish import Wish

WANTED_REACTION_SECONDS = 0.6
BUSY_SHARE = 0.5  # of a chunk's time, as measured alone: beside a DAW it takes a third to a half longer
MOST_STEPS = 2
LIVE_WINDOW_FRAMES = 128
BAR_FRAMES = 52  # 4/4 at 100 bpm
HEARING_SECONDS = (LATENT_HOP_SAMPLES + LOOKAHEAD_SAMPLES) / SAMPLE_RATE_HZ
MAX_CHUNK_FRAMES = 64
_PAGES = 2


@dataclass(frozen=True, slots=True)
class Way:
    """A way of generating.

    Attributes:
        steps: of the sampler.
        guidance: scale of the guidance; the one in the bundle's weights, 1 for none, takes half the time of any other.
        window_frames: frames that the model sees.
    """

    steps: int
    guidance: float
    window_frames: int

    def __str__(self) -> str:
        """Return it in words."""
        return f"{self.steps} steps, guidance {self.guidance:g}, window {self.window_frames} frames"


def ways_of(sampling: SamplingFacts) -> tuple[Way, ...]:
    """Return the ways of a bundle in the order of quality.

    docs/results.md has the figures: longer windows and more steps than two gain nothing live, nor do more than the
    bundle was distilled for.
    """
    steps = min(sampling.steps, MOST_STEPS)
    scales = dict.fromkeys((sampling.guidance_scale, sampling.distilled_guidance_scale))
    ways = [Way(steps, scale, LIVE_WINDOW_FRAMES) for scale in scales]
    return tuple(dict.fromkeys((*ways, replace(ways[-1], steps=1))))


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast a way is here, in seconds a chunk to the end of its sound."""

    way: Way
    threads: int
    p50_seconds: float
    p95_seconds: float


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """What to play with, and what that gives.

    Attributes:
        speed: the way, and how fast it was measured to be.
        chunk_frames: frames of a chunk.
        backup_frames: frames of the backup at 100 bpm.
        reaction: from a sung note to its first effect.
        feasible: whether it can be kept up.
    """

    speed: Speed
    chunk_frames: int
    backup_frames: int
    reaction: ReactionTerms
    feasible: bool

    @property
    def shape(self) -> Shape:
        """What the generator makes."""
        return Shape(self.chunk_frames, self.speed.way.window_frames)

    @property
    def real_time_factor(self) -> float:
        """Time to make a chunk by the time it plays."""
        return self.speed.p50_seconds / (self.chunk_frames / LATENT_RATE_HZ)


def measure(
    model: Model, way: Way, threads: int, clock: Clock, chunk_frames: int = FRAMES_MULTIPLE, repeats: int = 12
) -> Speed:
    """Make `repeats` chunks with `model` and return how long they took; the first, which warms up, is left out."""
    band = Band(model, _PAGES)
    rng = np.random.default_rng(0)
    band.hear(0, (0.1 * rng.standard_normal((2, 8 * SAMPLE_RATE_HZ))).astype(np.float32), continues=False)
    score = Score(Timeline.constant(100.0), Wish(steps=way.steps, guidance_scale=way.guidance))
    shape = Shape(chunk_frames, way.window_frames)
    seconds = []
    for number in range(repeats + 1):
        start = clock.now()
        _, pieces, _ = band.make(shape.plan(number * chunk_frames, BAR_FRAMES), score)
        for _ in range(chunk_frames // PIECE_FRAMES + 1):
            next(pieces)
        seconds.append(clock.now() - start)
    return Speed(way, threads, float(np.median(seconds[1:])), float(np.quantile(seconds[1:], 0.95)))


def settings_for(speed: Speed, sounding_seconds: float, chunk_frames: int | None = None) -> LiveSettings:
    """Return the settings for a way as fast as `speed`.

    Args:
        speed: as measured.
        sounding_seconds: from the ring to the ear.
        chunk_frames: the user's choice; None for the shortest that can be kept up.
    """
    least = speed.p95_seconds / BUSY_SHARE * LATENT_RATE_HZ
    chunk = chunk_frames or min(max(_up(least), FRAMES_MULTIPLE), MAX_CHUNK_FRAMES)
    plan = Shape(chunk, max(speed.way.window_frames, 2 * chunk)).plan(0, BAR_FRAMES)
    feasible = 2.0 * speed.p95_seconds <= plan.frames / LATENT_RATE_HZ and least <= chunk
    reaction = ReactionTerms(
        HEARING_SECONDS, chunk / LATENT_RATE_HZ, speed.p95_seconds, GUARD_SECONDS, sounding_seconds
    )
    return LiveSettings(speed, chunk, plan.backup_frames, reaction, feasible)


def choose(options: Iterable[LiveSettings], wanted_seconds: float = WANTED_REACTION_SECONDS) -> LiveSettings:
    """Return the first of `options`, in the order of quality, that can be kept up and reacts in time; else the soonest.

    Raises:
        ValueError: there are none.
    """
    tried: list[LiveSettings] = []
    for option in options:
        tried.append(option)
        if option.feasible and option.reaction.total <= wanted_seconds:
            return option
    if not tried:
        raise ValueError("there is no way of generating to choose from; give at least one")
    return min(tried, key=lambda option: (not option.feasible, option.reaction.total))


def measured_options(
    models: Sequence[tuple[int, Model]],
    ways: Sequence[Way],
    clock: Clock,
    sounding_seconds: float,
    chunk_frames: int | None = None,
    tell: Callable[[LiveSettings], None] | None = None,
) -> Iterator[LiveSettings]:
    """Yield the settings of each way, the fastest number of threads for each, measured as they are asked for.

    Args:
        models: number of threads and the model loaded with it.
        ways: in the order of quality.
        clock: the time.
        sounding_seconds: from the ring to the ear.
        chunk_frames: the user's choice, or None.
        tell: told of each.
    """
    for way in ways:
        frames = chunk_frames or FRAMES_MULTIPLE
        speeds = [measure(model, way, threads, clock, frames) for threads, model in models]
        settings = settings_for(min(speeds, key=lambda speed: speed.p95_seconds), sounding_seconds, chunk_frames)
        if tell is not None:
            tell(settings)
        yield settings


def _up(frames: float) -> int:
    return int(-(-frames // FRAMES_MULTIPLE)) * FRAMES_MULTIPLE
