"""What a live session says of itself, all at once: for the terminal view, the heartbeat and the doctor."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.hearing.ordering import VocalStats
from bridge.sound.output import SoundFacts
from engine.geometry import LATENT_RATE_HZ


@dataclass(frozen=True, slots=True)
class Meter:
    """Level of a stem, or of the mix, since it was last asked for, in dBFS; -120 is silence."""

    peak_db: float
    rms_db: float


@dataclass(frozen=True, slots=True)
class ReactionTerms:
    """Where the time goes from something new to its first effect in the sound, in seconds, as measured.

    Attributes:
        hearing: from a sung note to its latents: the rest of its frame and the encoder's look-ahead; 0 for controls.
        waiting: until the next chunk is begun, at worst; for commands the rest of the one in the making, and the way to
            the next border of chunks.
        making: sampler and decoder, 95th percentile.
        guard: how much earlier than that chunks are begun.
        sounding: from the ring to the ear.
    """

    hearing: float
    waiting: float
    making: float
    guard: float
    sounding: float

    @property
    def total(self) -> float:
        """Their sum."""
        return self.hearing + self.waiting + self.making + self.guard + self.sounding


@dataclass(frozen=True, slots=True)
class TransportStatus:
    """Where the song is.

    Attributes:
        state: `playing`, `stopped`, or `unknown`.
        moving: whether the song goes on.
        age_seconds: since the last word from the host; None before the first.
        bar: the bar, from 0.
        beat_in_bar: quarter notes since the bar line.
        song_seconds: position in the song.
        bpm: tempo.
        numerator: of the time signature.
        denominator: of the time signature.
        loop: first and last beat of the loop, if there is one.
    """

    state: str
    moving: bool
    age_seconds: float | None
    bar: int
    beat_in_bar: float
    song_seconds: float
    bpm: float
    numerator: int
    denominator: int
    loop: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class GeneratorStatus:
    """How generation goes.

    Attributes:
        on_time: chunks that were there when they were needed.
        late: chunks that were not.
        abandoned: chunks given up for a newer wish.
        p50_seconds: median time of a chunk, to the end of its sound.
        p95_seconds: 95th percentile of it.
        lead_seconds: how long before they are needed chunks are begun.
        chunk_frames: latent frames of a chunk.
        steps: of the sampler.
        guidance: scale of the guidance.
        visibility_seconds: how old the newest vocal is when its chunk sounds, at the last chunk.
        provider: what onnxruntime runs on.
        bundle_sha256: which bundle.
        style: what is asked for; empty: any.
        key: what is given, or was read off the vocal; empty: unknown.
        chord: the chord at the player's place; empty: unknown.
    """

    on_time: int
    late: int
    abandoned: int
    p50_seconds: float
    p95_seconds: float
    lead_seconds: float
    chunk_frames: int
    steps: int
    guidance: float
    visibility_seconds: float
    provider: str
    bundle_sha256: str
    style: str
    key: str
    chord: str

    @property
    def real_time_factor(self) -> float:
        """Time to make a chunk by the time it plays."""
        return self.p50_seconds / (self.chunk_frames / LATENT_RATE_HZ) if self.chunk_frames else 0.0


@dataclass(frozen=True, slots=True)
class LiveStatus:
    """All of it.

    Attributes:
        level: what sounds: `fresh`, `backup`, `bar loop`, `silence` or `resting`.
        level_seconds: how long each level has sounded so far, by name.
        repeats: how often the player had to fall back on a bar played before.
        clipped_samples: samples that passed full scale.
        transport: where the song is.
        generator: how generation goes.
        sound: the output.
        vocal: what came of the vocal's packets.
        meters: by `drums`, `bass`, `other` and `mix`.
        muted: stems that are muted or not soloed while others are.
        reaction_control: from a command to its first effect.
        reaction_vocal: from a sung note to its first effect.
        take: the name of the take that is recorded, or empty.
        events: the last things worth telling, oldest first: (seconds since the session began, words).
    """

    level: str
    level_seconds: dict[str, float]
    repeats: int
    clipped_samples: int
    transport: TransportStatus
    generator: GeneratorStatus
    sound: SoundFacts
    vocal: VocalStats
    meters: dict[str, Meter]
    muted: tuple[str, ...]
    reaction_control: ReactionTerms
    reaction_vocal: ReactionTerms
    take: str
    events: tuple[tuple[float, str], ...]
