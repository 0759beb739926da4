"""`backline serve`, put together: what is opened, measured, started and ended, in this order and in reverse."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

from threadpoolctl import threadpool_limits

from bridge import memory, precedence
from bridge.audio_files import file_sha256
from bridge.bounce import factory_bundle
from bridge.clock import Clock, SystemClock
from bridge.errors import UserError
from bridge.hearing.input import DeviceVocal
from bridge.live.commands import Commands
from bridge.live.controls import Controls
from bridge.live.outside import Outside
from bridge.live.quantum import Quantum
from bridge.live.reporting import Reporter
from bridge.live.serve_options import ServeOptions, load_models, make_output, thread_counts, wanted_ways
from bridge.live.session import LiveSession
from bridge.live.settings import LiveSettings, Way, choose, measured_options
from bridge.live.take_bounce import TakeBundle
from bridge.live.take_log import TakeLog
from bridge.live.take_records import TakeHeader
from bridge.live.take_store import make_take_folder
from bridge.live.takes import UserTakes
from bridge.live.work import Delivery
from bridge.midi.listener import beat_of
from bridge.osc.contract import PREFIX
from bridge.osc.peers import PeerPolicy
from bridge.osc.service import OscService
from bridge.session import backline_version
from bridge.sound.input import DeviceInput
from engine.band import Band
from engine.geometry import SAMPLE_RATE_HZ
from engine.wish import Wish
from presets.store import Preset

HEARTBEAT_SECONDS = 1.0
RETURN_MEMORY_SECONDS = 60.0
METER_SECONDS = 0.05
INPUT_SECONDS = 0.005
JOIN_SECONDS = 2.0


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
        """Publish levels often and the heartbeat once a second, tell what happened outside the music, and tidy up."""
        next_beat = self._clock.now()
        next_return = next_beat + RETURN_MEMORY_SECONDS
        while not self._stopping.wait(METER_SECONDS):
            status = self.reporter.status("osc")
            self.reporter.publish_meters(status, self._publish)
            if self._clock.now() >= next_beat:
                next_beat += HEARTBEAT_SECONDS
                self._publish(f"{PREFIX}/heartbeat", self.reporter.heartbeat(status))
            if self._clock.now() >= next_return:
                next_return += RETURN_MEMORY_SECONDS
                memory.return_what_is_free()
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
