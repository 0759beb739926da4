"""The live composition: host and vocal in, generator, lanes, player, sound out. Everything that plays, and no more.

```text
OSC thread        -> HostTransport, VocalBuffer, requests
generator thread  -> Generator.step: vocal -> band -> lanes
backup thread     -> Generator.step_backup: the sound beyond the last chunk
player thread     -> Player.fill: lanes -> ring
audio callback    -> in C: ring -> card
```
"""

from __future__ import annotations

import threading
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bridge import precedence
from bridge.clock import Clock
from bridge.hearing.vocal_buffer import VocalBuffer, VocalRun
from bridge.live.controls import Controls
from bridge.live.generator import Generator
from bridge.live.lane import Lanes
from bridge.live.meters import Meters
from bridge.live.pace import Pace
from bridge.live.player import Player
from bridge.live.playing import Level
from bridge.live.quantum import Quantum
from bridge.live.work import Delivery, Musicians, Shape
from bridge.sound.output import SoundOut
from bridge.transport.host import HostTransport
from engine.mixer import gain_from_db

Array = NDArray[np.float32]

MAX_EVENTS = 200
PLAYER_SECONDS = 0.004
STOP_FADE_SECONDS = 0.15
JOIN_SECONDS = 5.0
TROUBLE_SECONDS = 0.02


class LiveSession:
    """One song's evening: `start`, play, `stop`.

    Attributes:
        host: the transport; tell it what the host says.
        vocal: the vocal's buffer; push packets.
        generator: what makes chunks; request changes.
        player: what plays; set its desk.
        meters: levels of what was played.
        events: (seconds since the session was made, words) of falls down the ladder and whatever else happened.
    """

    def __init__(
        self,
        clock: Clock,
        out: SoundOut,
        band: Musicians,
        controls: Controls,
        shape: Shape,
        making_seconds: float,
        on_delivery: Callable[[Delivery], None] | None = None,
        on_quantum: Callable[[Quantum, float], None] | None = None,
        vocal_gain_db: float = 0.0,
    ) -> None:
        """Put a session together.

        Args:
            clock: the time.
            out: where sound goes; opened and closed with the session.
            band: who plays.
            controls: what is wanted at the start.
            shape: how large chunks are.
            making_seconds: how long a chunk takes, as measured.
            on_delivery: told of each chunk.
            on_quantum: told of each quantum played.
            vocal_gain_db: by how much the vocal is lifted for the band's ears.
        """
        self.clock = clock
        self.out = out
        self.host = HostTransport(clock)
        self.vocal = VocalBuffer(clock)
        self.meters = Meters()
        self.events: deque[tuple[float, str]] = deque(maxlen=MAX_EVENTS)
        self.repeats = 0
        self.last_delivery: Delivery | None = None
        self._started_seconds = clock.now()
        self._vocal_gain = np.float32(gain_from_db(vocal_gain_db))
        self._told = on_delivery
        lanes = Lanes()
        self.player = Player(clock, self.host, out, lanes, on_quantum, self._level_changed, self.meters.take)
        self.generator = Generator(
            clock,
            self.host,
            self.player,
            lanes,
            band,
            self._take_vocal,
            controls,
            shape,
            Pace(making_seconds),
            self._delivered,
            self.tell,
        )
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def tell(self, words: str) -> None:
        """Remember something worth telling."""
        self.events.append((self.clock.now() - self._started_seconds, words))

    def start(self) -> None:
        """Open the output and play.

        Raises:
            SoundError: the output cannot be opened.
        """
        self.out.open()
        loops = {"player": self._play, "generator": self._generate, "backup": self._back_up}
        self._threads = [threading.Thread(target=loop, name=name, daemon=True) for name, loop in loops.items()]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Fade out and close the output; safe to call twice."""
        if self._stopping.is_set():
            return
        for stem in self.player.desk.stems:
            self.player.desk = self.player.desk.changed(stem, mute=True)
        if self._threads:
            self.clock.sleep(STOP_FADE_SECONDS)
        self._stopping.set()
        self.generator.wake.set()
        for thread in self._threads:
            thread.join(JOIN_SECONDS)
        self.out.close()

    def _take_vocal(self, now_seconds: float) -> tuple[VocalRun, ...]:
        runs = self.vocal.take(now_seconds)
        if self._vocal_gain == 1.0:
            return runs
        return tuple(replace(run, audio=np.clip(run.audio * self._vocal_gain, -1.0, 1.0)) for run in runs)

    def _play(self) -> None:
        """Keep the ring full; the one thread that must not be late."""
        precedence.take_precedence(precedence.PLAYER)
        while not self._stopping.is_set():
            self._guarded(self.player.fill)
            self._stopping.wait(PLAYER_SECONDS)

    def _generate(self) -> None:
        precedence.take_precedence(precedence.SESSION)
        while not self._stopping.is_set():
            seconds = self._guarded(self.generator.step)
            if seconds is None or seconds > 0:
                self.generator.wake.wait(TROUBLE_SECONDS if seconds is None else seconds)
                self.generator.wake.clear()

    def _back_up(self) -> None:
        precedence.take_precedence(precedence.BACKUP)
        while not self._stopping.is_set():
            seconds = self._guarded(self.generator.step_backup)
            if seconds is None or seconds > 0:
                self._stopping.wait(TROUBLE_SECONDS if seconds is None else seconds)

    def _guarded(self, step: Callable[[], float]) -> float | None:
        """Do one step of a thread; what goes wrong is told, and the thread goes on."""
        try:
            return step()
        except Exception as error:  # a thread that ended would end the music
            place = traceback.extract_tb(error.__traceback__)[-1]
            self.tell(f"trouble in {place.name}: {type(error).__name__}: {error}")
            return None

    def _delivered(self, delivery: Delivery) -> None:
        self.last_delivery = delivery
        if self._told is not None:
            self._told(delivery)

    def _level_changed(self, before: Level, after: Level, _place: float) -> None:
        if after is Level.BAR_LOOP:
            self.repeats += 1
        if after in (Level.BACKUP, Level.BAR_LOOP, Level.SILENCE):
            self.tell(f"{before.value} -> {after.value}: the next chunk is not there")
        elif before in (Level.BACKUP, Level.BAR_LOOP, Level.SILENCE):
            self.tell(f"{before.value} -> {after.value}")
