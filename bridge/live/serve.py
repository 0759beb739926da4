"""`backline serve`, put together: what is opened, measured, started and ended, in this order and in reverse."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from threadpoolctl import threadpool_limits

from bridge import memory, precedence
from bridge.audio_files import file_sha256
from bridge.bounce import factory_bundle
from bridge.clock import Clock, SystemClock
from bridge.doctor.machine import usable_cores
from bridge.errors import UserError
from bridge.hearing.input import DeviceVocal
from bridge.live.commands import Commands
from bridge.live.controls import Controls
from bridge.live.outside import Outside
from bridge.live.quantum import Quantum
from bridge.live.reporting import Reporter
from bridge.live.session import LiveSession
from bridge.live.settings import WANTED_REACTION_SECONDS, LiveSettings, Way, choose, measured_options, ways_of
from bridge.live.take_bounce import TakeBundle
from bridge.live.take_log import TakeLog
from bridge.live.take_records import TakeHeader
from bridge.live.take_store import make_take_folder
from bridge.live.takes import UserTakes
from bridge.live.work import Delivery
from bridge.midi.listener import MidiRoles, beat_of
from bridge.osc.contract import DEFAULT_PORT, PREFIX
from bridge.osc.peers import PeerPolicy
from bridge.osc.service import OscService
from bridge.session import backline_version
from bridge.sound.device import DeviceOutput
from bridge.sound.file import FileTee
from bridge.sound.input import DeviceInput
from bridge.sound.null import NullOutput
from bridge.sound.output import BLOCK_SAMPLES, DEVICE_LATENCY_SECONDS, RING_SECONDS, SoundOut
from engine.band import Band
from engine.bundle import Bundle, BundleError
from engine.geometry import SAMPLE_RATE_HZ
from engine.manifest import SamplingFacts
from engine.runtime import GraphError
from engine.wish import Wish
from presets.store import Preset

HEARTBEAT_SECONDS = 1.0
METER_SECONDS = 0.05
INPUT_SECONDS = 0.005
JOIN_SECONDS = 2.0
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


class Server:
    """A running `backline serve`: `open`, then until `close` it plays by itself.

    Attributes:
        settings: what was chosen.
        session: what plays.
        service: what listens.
        reporter: what tells.
        take: the take that is kept, if one is.
    """

    session: LiveSession
    service: OscService
    reporter: Reporter
    settings: LiveSettings
    take: TakeLog | None = None

    def __init__(self, options: ServeOptions, tell: Callable[[str], None], clock: Clock | None = None) -> None:
        """Prepare to serve; `tell` is given a line for each thing that was done."""
        self._options = options
        self._tell = tell
        self._clock = clock or SystemClock()
        self._stack = ExitStack()
        self._stopping = threading.Event()

    def open(self) -> None:
        """Load, measure, warm, open and start everything.

        Raises:
            UserError: something is not there or not possible; nothing is left open.
        """
        with ExitStack() as opened:
            self._open(opened)
            self._stack = opened.pop_all()

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"{self._options.listen}:{self.service.port}"

    def close(self) -> None:
        """Fade out and close everything; safe to call twice."""
        self._stack.close()

    def _open(self, opened: ExitStack) -> None:
        options, clock = self._options, self._clock
        try:
            PeerPolicy(options.listen, options.allow)
        except ValueError as error:
            raise UserError(str(error)) from error
        memory.keep_large_blocks_apart()
        precedence.take_precedence(precedence.SESSION)  # threads begin with that of the one that starts them
        opened.enter_context(threadpool_limits(limits=1))  # numpy's own threads would spin beside the sound's
        folder = options.bundle or factory_bundle()
        models = load_models(folder, options.provider, options.threads or thread_counts())
        self.settings = choose(
            measured_options(
                models,
                wanted_ways(options, models[0][1].sampling),
                clock,
                options.ring_seconds + options.device_latency_seconds,
                options.chunk_frames,
                lambda settings: self._tell(_in_words(settings)),
            ),
            options.reaction_seconds,
        )
        model = dict(models)[self.settings.speed.threads]
        digest = file_sha256(folder / "manifest.json")
        self.take = self._open_take(opened, folder, digest)
        session = self.session = self._make_session(Band(model))
        takes = UserTakes(TakeBundle(model, digest), session.tell)
        commands = Commands(session.host, session.vocal, session.generator, session.player, takes, self._publish)
        self.service = OscService(
            clock,
            commands.handlers(),
            options.listen,
            options.port,
            options.port if options.tcp else None,
            options.oscquery_port,
            options.allow,
        )
        self.reporter = Reporter(session, options.provider, digest, self._take_name)
        if options.preset is not None:
            commands.apply_preset(_kept_speed(options.preset, self.settings.speed.way))
        if options.waits:
            commands.close_gates()
        commands.publish_all()
        memory.settle()
        session.start()
        opened.callback(session.stop)
        self.service.start()
        opened.callback(self.service.stop)
        self._start_threads(opened, commands)

    def _open_take(self, opened: ExitStack, folder: Path, digest: str) -> TakeLog | None:
        if self._options.take is None:
            return None
        created = datetime.now().astimezone()
        header = TakeHeader(
            backline_version=backline_version(),
            bundle=folder.name,
            bundle_sha256=digest,
            provider=self._options.provider,
            threads=self.settings.speed.threads,
            created=created.isoformat(timespec="seconds"),
        )
        take = TakeLog(make_take_folder(created, self._options.take or None), header, self._later_told)
        take.start()
        opened.callback(take.close)
        return take

    def _make_session(self, band: Band) -> LiveSession:
        options, way = self._options, self.settings.speed.way
        wish = Wish(steps=way.steps, guidance_scale=way.guidance)
        session = LiveSession(
            self._clock,
            make_output(options, self._clock),
            band,
            Controls(wish, chunk_frames=options.chunk_frames),
            self.settings.shape,
            self.settings.speed.p95_seconds,
            self._delivered,
            self._played,
            options.vocal_gain_db,
        )
        session.player.offset_samples = -options.offset_seconds * SAMPLE_RATE_HZ
        return session

    def _start_threads(self, opened: ExitStack, commands: Commands) -> None:
        loops: list[tuple[str, Callable[[], None]]] = [("report", self._report)]
        if self._options.input_device is not None:
            source = DeviceInput(self._clock, self._options.input_device)
            source.open()
            opened.callback(source.close)
            loops.append(("input", lambda: self._listen(source)))
        threads = [threading.Thread(target=loop, name=name, daemon=True) for name, loop in loops]
        for thread in threads:
            thread.start()
        for thread in threads:
            opened.callback(thread.join, JOIN_SECONDS)
        opened.callback(self._stopping.set)
        outside = Outside(self._clock, commands.handlers(), beat_of(self.session.host), self.session.tell)
        outside.start(self._options.midi, self._options.link)
        opened.callback(outside.stop)

    def _listen(self, source: DeviceInput) -> None:
        """Bring what the card records to the vocal's buffer."""
        vocal: DeviceVocal | None = None
        while not self._stopping.wait(INPUT_SECONDS):
            while (block := source.read()) is not None:
                vocal = vocal or DeviceVocal(self.session.host, block.rate_hz)
                for packet in vocal.packets(block.audio, block.captured_seconds):
                    self.session.vocal.push(packet, self._clock.now())

    def _report(self) -> None:
        """Publish levels often and the heartbeat once a second, and tell what happened outside the music."""
        next_beat = self._clock.now()
        while not self._stopping.wait(METER_SECONDS):
            status = self.reporter.status("osc")
            self.reporter.publish_meters(status, self._publish)
            if self._clock.now() >= next_beat:
                next_beat += HEARTBEAT_SECONDS
                self._publish(f"{PREFIX}/heartbeat", self.reporter.heartbeat(status))
            for event in self.session.host.events():
                if event.kind not in ("looped", "tempo_ramp"):
                    self.session.tell(event.words)
            for change in self.session.out.events():
                self.session.tell(change.words)

    def _publish(self, address: str, values: Sequence[object]) -> None:
        self.service.publish(address, tuple(values))  # type: ignore[arg-type]

    def _delivered(self, delivery: Delivery) -> None:
        if self.take is not None:
            self.take.delivered(delivery)
        for values in self.reporter.plan(delivery):
            self.service.send_event(f"{PREFIX}/plan", values)

    def _played(self, quantum: Quantum, place: float) -> None:
        if self.take is not None:
            self.take.played(quantum, place)

    def _take_name(self) -> str:
        return self.take.folder.name if self.take is not None else ""

    def _later_told(self, words: str) -> None:
        self.session.tell(words)


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


def _kept_speed(preset: Preset, way: Way) -> Preset:
    """Return the preset with the steps and guidance that were measured."""
    return preset.model_copy(update={"steps": way.steps, "guidance": way.guidance})


def _in_words(settings: LiveSettings) -> str:
    speed = settings.speed
    verdict = "can be kept up" if settings.feasible else "too slow here"
    return (
        f"{speed.way}, {speed.threads} thread(s): {1e3 * speed.p95_seconds:.0f} ms a chunk of "
        f"{settings.chunk_frames} frames, real-time factor {settings.real_time_factor:.2f}, "
        f"reaction {1e3 * settings.reaction.total:.0f} ms: {verdict}"
    )
