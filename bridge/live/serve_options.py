"""What `backline serve` is asked for, and what follows of it: models to measure, ways to play, and the output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bridge.clock import Clock
from bridge.doctor.machine import usable_cores
from bridge.errors import UserError
from bridge.live.settings import WANTED_REACTION_SECONDS, Way, ways_of
from bridge.midi.listener import MidiRoles
from bridge.osc.contract import DEFAULT_PORT
from bridge.sound.device import DeviceOutput
from bridge.sound.file import FileTee
from bridge.sound.null import NullOutput
from bridge.sound.output import BLOCK_SAMPLES, DEVICE_LATENCY_SECONDS, RING_SECONDS, SoundOut
from engine.bundle import Bundle, BundleError
from engine.manifest import SamplingFacts
from engine.runtime import GraphError
from presets.store import Preset

NULL_DEVICE = "null"


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """What `backline serve` was asked for.

    Attributes:
        bundle: folder of the bundle; None for the factory's.
        provider: what onnxruntime is to run on.
        threads: numbers of threads to try; empty for one, and one less than there are cores.
        preset: what to begin with, and its name.
        device: sound card, `null` for none, None for the default.
        input_device: where the vocal comes from, if not over OSC.
        listen: address to listen on.
        port: UDP port; 0 takes a free one.
        tcp: whether to listen on TCP too, at the same port.
        oscquery_port: HTTP port of the description; None for none.
        allow: peers beyond this machine.
        output: file of what is heard.
        overwrite: whether that file may be replaced.
        take: whether to keep a take, and its name; None for the time's.
        block_samples: the card's block.
        ring_seconds: how much sound waits for the card.
        device_latency_seconds: how much the driver is asked to hold.
        reaction_seconds: wanted time from a sung note to its first effect.
        steps: the user's choice; None for the measurement's.
        guidance: the same.
        chunk_frames: the same.
        offset_seconds: how much later than the host's position sound is to be heard.
        vocal_gain_db: by how much the vocal is lifted for the band's ears, and nobody else's.
        waits: whether nothing sounds before `/backline/generate/start`.
        midi: MIDI inputs, and what each may say.
        link: whether to follow Ableton Link.
    """

    bundle: Path | None = None
    provider: str = "cpu"
    threads: tuple[int, ...] = ()
    preset: Preset | None = None
    device: str | None = None
    input_device: str | None = None
    listen: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    tcp: bool = False
    oscquery_port: int | None = None
    allow: tuple[str, ...] = ()
    output: Path | None = None
    overwrite: bool = False
    take: str | None = ""
    block_samples: int = BLOCK_SAMPLES
    ring_seconds: float = RING_SECONDS
    device_latency_seconds: float = DEVICE_LATENCY_SECONDS
    reaction_seconds: float = WANTED_REACTION_SECONDS
    steps: int | None = None
    guidance: float | None = None
    chunk_frames: int | None = None
    offset_seconds: float = 0.0
    vocal_gain_db: float = 0.0
    waits: bool = False
    midi: MidiRoles = field(default_factory=MidiRoles)
    link: bool = False


def load_models(folder: Path, provider: str, threads: Sequence[int]) -> list[tuple[int, Bundle]]:
    """Return the bundle, loaded for live use with each number of threads.

    Raises:
        UserError: it cannot be loaded, or its codec does not stream.
    """
    try:
        models = [(count, Bundle.load(folder, (provider,), count, offline=False)) for count in threads]
        models[0][1].encoder_states(1)
    except (BundleError, GraphError, ValueError, OSError) as error:
        raise UserError(str(error)) from error
    return models


def thread_counts() -> tuple[int, ...]:
    """Return the numbers of threads that are worth measuring: one, and all but the core that sound needs."""
    return tuple(dict.fromkeys((1, max(1, min(usable_cores() - 1, 4)))))


def wanted_ways(options: ServeOptions, sampling: SamplingFacts) -> tuple[Way, ...]:
    """Return the ways to choose from with a bundle of `sampling`, as far as the user leaves the choice."""
    preset = options.preset
    steps = options.steps or (preset.steps if preset else None)
    guidance = options.guidance if options.guidance is not None else (preset.guidance if preset else None)
    ways = [
        replace(way, steps=steps or way.steps, guidance=way.guidance if guidance is None else guidance)
        for way in ways_of(sampling)
    ]
    return tuple(dict.fromkeys(ways))


def make_output(options: ServeOptions, clock: Clock) -> SoundOut:
    """Return the output that the user wants, not yet open."""
    out: SoundOut
    if options.device == NULL_DEVICE:
        out = NullOutput(clock, options.block_samples, options.ring_seconds)
    else:
        out = DeviceOutput(
            clock,
            options.device,
            options.block_samples,
            options.ring_seconds,
            device_latency_seconds=options.device_latency_seconds,
        )
    if options.output is not None:
        out = FileTee(out, options.output, clock, overwrite=options.overwrite)
    return out
