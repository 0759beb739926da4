"""The one door to pedalboard's effects: which are allowed, in what ranges, and how a chain runs block by block.

Only effects that are deterministic and whose latency is known are let in. All but the brickwall limiter answer an
impulse at once; pedalboard takes the limiter's own delay off the front of what it returns, so that `ChainStream` only
has to push out the end. Tests measure both for every effect listed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pedalboard import (
    BrickwallLimiter,
    Chorus,
    Compressor,
    Delay,
    Distortion,
    HighpassFilter,
    HighShelfFilter,
    Limiter,
    LowpassFilter,
    LowShelfFilter,
    NoiseGate,
    PeakFilter,
    Phaser,
    Plugin,
    Reverb,
)
from pedalboard import Gain as PedalGain
from pedalboard._pedalboard import Pedalboard
from pydantic import BaseModel, ConfigDict, Field

from engine.geometry import AUDIO_CHANNELS

Audio: TypeAlias = NDArray[np.float32]

HIGHEST_CUTOFF_OF_RATE = 0.45
FREQUENCY_PARAMETERS = {"cutoff_frequency_hz", "centre_frequency_hz"}
BOARD_BLOCK_SAMPLES = 4_096
MAX_FLUSH_BLOCKS = 64

Decibels = Annotated[float, Field(ge=-24.0, le=24.0)]
Unit = Annotated[float, Field(ge=0.0, le=1.0)]
FrequencyHz = Annotated[float, Field(ge=20.0, le=20_000.0)]
ThresholdDb = Annotated[float, Field(ge=-80.0, le=0.0)]
Quality = Annotated[float, Field(ge=0.1, le=10.0)]


class _Effect(BaseModel):
    """What every effect shares. Its fields bear the names of pedalboard's own parameters; the ranges are ours."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    plugin: ClassVar[Any]

    def build(self, rate_hz: float) -> Plugin:
        """Return a fresh pedalboard plugin for audio at `rate_hz`."""
        parameters = self.model_dump(exclude={"effect"})
        for name in FREQUENCY_PARAMETERS & parameters.keys():
            parameters[name] = below_nyquist(parameters[name], rate_hz)
        plugin: Plugin = self.plugin(**parameters)
        return plugin


class Gain(_Effect):
    """A plain gain."""

    plugin = PedalGain
    effect: Literal["gain"]
    gain_db: Decibels = 0.0


class HighPass(_Effect):
    """A first-order high-pass filter."""

    plugin = HighpassFilter
    effect: Literal["high-pass"]
    cutoff_frequency_hz: FrequencyHz


class LowPass(_Effect):
    """A first-order low-pass filter."""

    plugin = LowpassFilter
    effect: Literal["low-pass"]
    cutoff_frequency_hz: FrequencyHz


class LowShelf(_Effect):
    """A shelf below the cutoff."""

    plugin = LowShelfFilter
    effect: Literal["low-shelf"]
    cutoff_frequency_hz: FrequencyHz
    gain_db: Decibels
    q: Quality = 0.707


class HighShelf(_Effect):
    """A shelf above the cutoff."""

    plugin = HighShelfFilter
    effect: Literal["high-shelf"]
    cutoff_frequency_hz: FrequencyHz
    gain_db: Decibels
    q: Quality = 0.707


class Peak(_Effect):
    """A bell around the cutoff."""

    plugin = PeakFilter
    effect: Literal["peak"]
    cutoff_frequency_hz: FrequencyHz
    gain_db: Decibels
    q: Quality = 1.0


class Compression(_Effect):
    """A feed-forward compressor."""

    plugin = Compressor
    effect: Literal["compressor"]
    threshold_db: ThresholdDb
    ratio: float = Field(default=2.0, ge=1.0, le=20.0)
    attack_ms: float = Field(default=5.0, ge=0.1, le=200.0)
    release_ms: float = Field(default=100.0, ge=5.0, le=2_000.0)


class Gate(_Effect):
    """A noise gate."""

    plugin = NoiseGate
    effect: Literal["gate"]
    threshold_db: ThresholdDb
    ratio: float = Field(default=4.0, ge=1.0, le=20.0)
    attack_ms: float = Field(default=1.0, ge=0.1, le=200.0)
    release_ms: float = Field(default=100.0, ge=5.0, le=2_000.0)


class SoftLimit(_Effect):
    """A two-stage limiter without look-ahead."""

    plugin = Limiter
    effect: Literal["limiter"]
    threshold_db: Annotated[float, Field(ge=-24.0, le=0.0)] = -1.0
    release_ms: float = Field(default=100.0, ge=5.0, le=2_000.0)


class Brickwall(_Effect):
    """A look-ahead limiter with a hard ceiling; its look-ahead is taken off again, so that nothing moves in time."""

    plugin = BrickwallLimiter
    effect: Literal["brickwall"]
    ceiling_db: Annotated[float, Field(ge=-12.0, le=0.0)] = -1.0
    release_ms: float = Field(default=100.0, ge=5.0, le=2_000.0)
    lookahead_ms: float = Field(default=5.0, ge=0.5, le=10.0)


class Drive(_Effect):
    """A tanh waveshaper behind a gain."""

    plugin = Distortion
    effect: Literal["distortion"]
    drive_db: Annotated[float, Field(ge=0.0, le=36.0)]


class Room(_Effect):
    """A Freeverb room; the dry sound stays where it is."""

    plugin = Reverb
    effect: Literal["reverb"]
    room_size: Unit = 0.4
    damping: Unit = 0.5
    wet_level: Unit = 0.15
    dry_level: Unit = 0.85
    width: Unit = 1.0


class Echo(_Effect):
    """A feedback delay; the dry sound stays where it is."""

    plugin = Delay
    effect: Literal["delay"]
    delay_seconds: Annotated[float, Field(ge=0.001, le=2.0)]
    feedback: Annotated[float, Field(ge=0.0, le=0.9)] = 0.2
    mix: Annotated[float, Field(ge=0.0, le=0.8)] = 0.15


class Ensemble(_Effect):
    """A chorus; the dry sound stays where it is."""

    plugin = Chorus
    effect: Literal["chorus"]
    rate_hz: Annotated[float, Field(ge=0.01, le=10.0)] = 0.8
    depth: Unit = 0.25
    centre_delay_ms: Annotated[float, Field(ge=1.0, le=50.0)] = 7.0
    feedback: Annotated[float, Field(ge=0.0, le=0.9)] = 0.0
    mix: Annotated[float, Field(ge=0.0, le=0.8)] = 0.3


class Sweep(_Effect):
    """A phaser; the dry sound stays where it is."""

    plugin = Phaser
    effect: Literal["phaser"]
    rate_hz: Annotated[float, Field(ge=0.01, le=10.0)] = 0.5
    depth: Unit = 0.5
    centre_frequency_hz: Annotated[float, Field(ge=50.0, le=8_000.0)] = 1_300.0
    feedback: Annotated[float, Field(ge=0.0, le=0.9)] = 0.0
    mix: Annotated[float, Field(ge=0.0, le=0.8)] = 0.3


EFFECT_MODELS = (
    *(Gain, HighPass, LowPass, LowShelf, HighShelf, Peak, Compression, Gate, SoftLimit, Brickwall),
    *(Drive, Room, Echo, Ensemble, Sweep),
)
Effect = Annotated[
    Gain
    | HighPass
    | LowPass
    | LowShelf
    | HighShelf
    | Peak
    | Compression
    | Gate
    | SoftLimit
    | Brickwall
    | Drive
    | Room
    | Echo
    | Ensemble
    | Sweep,
    Field(discriminator="effect"),
]


def below_nyquist(frequency_hz: float, rate_hz: float) -> float:
    """Return `frequency_hz`, or the highest frequency that a filter at `rate_hz` can hold safely."""
    return min(frequency_hz, HIGHEST_CUTOFF_OF_RATE * rate_hz)


class ChainStream:
    """A chain of effects over a stream of blocks: no seam between them, nothing moved in time.

    The board is always fed blocks of one size, whatever size comes in: a larger one would make it start anew, and it
    cannot tell channels from samples in the smallest.

    Args:
        effects: the chain, in order; an empty one passes the audio through, bit for bit.
        rate_hz: sample rate of the audio.
    """

    def __init__(self, effects: Sequence[Effect], rate_hz: float) -> None:
        self._board = Pedalboard([effect.build(rate_hz) for effect in effects]) if effects else None
        self._rate_hz = rate_hz
        self._waiting = np.zeros((AUDIO_CHANNELS, 0), np.float32)
        self._owed_samples = 0

    def step(self, block: Audio) -> Audio:
        """Return the next processed samples, more or fewer than came in: the board is fed blocks of its own size.

        Args:
            block: (2, samples) float32; finite.
        """
        if self._board is None:
            return block
        self._owed_samples += block.shape[1]
        waiting = np.concatenate((self._waiting, block), axis=1)
        whole = waiting.shape[1] // BOARD_BLOCK_SAMPLES * BOARD_BLOCK_SAMPLES
        self._waiting = waiting[:, whole:]
        return self._given(waiting[:, :whole])

    def flush(self) -> Audio:
        """Return the (2, samples) still owed, so that all that came out is as long as all that went in."""
        pieces = [np.zeros((AUDIO_CHANNELS, 0), np.float32)]
        for _ in range(MAX_FLUSH_BLOCKS):
            if self._owed_samples <= 0:
                break
            silence = np.zeros((AUDIO_CHANNELS, BOARD_BLOCK_SAMPLES - self._waiting.shape[1]), np.float32)
            pieces.append(self._given(np.concatenate((self._waiting, silence), axis=1)))
            self._waiting = silence[:, :0]
        if self._owed_samples > 0:
            raise RuntimeError(f"the chain kept back {self._owed_samples} samples; drop its last look-ahead effect")
        return np.concatenate(pieces, axis=1)

    def _given(self, audio: Audio) -> Audio:
        """Return what the board gives for whole blocks of audio, and no more than is owed."""
        pieces = [audio[:, :0]]
        for start in range(0, audio.shape[1], BOARD_BLOCK_SAMPLES):
            block = np.ascontiguousarray(audio[:, start : start + BOARD_BLOCK_SAMPLES])
            pieces.append(self._process(block)[:, : self._owed_samples])
            self._owed_samples -= pieces[-1].shape[1]
        return np.concatenate(pieces, axis=1)

    def _process(self, block: Audio) -> Audio:
        if self._board is None:
            return block
        processed: Audio = self._board.process(block, self._rate_hz, BOARD_BLOCK_SAMPLES, reset=False)
        return processed


def process_whole(effects: Sequence[Effect], audio: Audio, rate_hz: float) -> Audio:
    """Return `audio` (2, samples) through the chain in one go, as long as it came."""
    stream = ChainStream(effects, rate_hz)
    return np.concatenate((stream.step(audio), stream.flush()), axis=1)
