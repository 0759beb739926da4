"""The sound card as an output: fed through a ring, its clock known, its loss survived.

When the card goes away, time goes on by the clock as if it still played, and a thread of its own looks for it each
second; whoever writes notices nothing but the state.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeVar

from bridge.clock import Clock
from bridge.sound.card import CardSettings, PlayingCard
from bridge.sound.event_queue import EventQueue
from bridge.sound.output import (
    BLOCK_SAMPLES,
    DEVICE_LATENCY_SECONDS,
    RING_SECONDS,
    Audio,
    LatencyTerms,
    SoundError,
    SoundEvent,
    SoundFacts,
    SoundState,
    check_block,
    check_ring,
)
from bridge.sound.pacer import Pacer
from bridge.sound.playing import LOOK_SECONDS, START_SECONDS, OpenCard, Playing, start_playing
from bridge.sound.portaudio import open_output
from engine.geometry import SAMPLE_RATE_HZ

STILL_SECONDS: Final = 0.5
RETRY_SECONDS: Final = 1.0
_MOST_RESAMPLER_SECONDS: Final = 0.1
_MOST_RATE_HZ: Final = 192_000

_Answer = TypeVar("_Answer")


class DeviceOutput:
    """Plays on a sound card; see `SoundOut`.

    Args:
        clock: where time comes from.
        device: its name or a part of it, or None for the system's default.
        block_samples: samples a callback.
        ring_seconds: the wanted fill of the ring.
        rate_hz: sample rate; None for 44.1 kHz where the card has it, else its own.
        device_latency_seconds: what the driver is asked for; it may give more.
        open_card: opens a card; tests give another.
        watched: whether a thread watches the card; without it, call `look` regularly.
    """

    def __init__(
        self,
        clock: Clock,
        device: str | None = None,
        block_samples: int = BLOCK_SAMPLES,
        ring_seconds: float = RING_SECONDS,
        rate_hz: int | None = None,
        device_latency_seconds: float = DEVICE_LATENCY_SECONDS,
        open_card: OpenCard = open_output,
        watched: bool = True,
    ) -> None:
        check_ring(block_samples, ring_seconds)
        self._clock = clock
        self._ring_seconds = ring_seconds
        self._open_card = open_card
        self._watched = watched
        self._settings = CardSettings(
            device=device,
            rate_hz=rate_hz,
            block_samples=block_samples,
            ring_samples=round((ring_seconds + _MOST_RESAMPLER_SECONDS) * (rate_hz or _MOST_RATE_HZ))
            + 4 * block_samples,
            latency_seconds=device_latency_seconds,
        )
        self._lock = threading.Lock()
        self._events = EventQueue()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._playing: Playing | None = None
        self._pacer: Pacer | None = None
        self._gone: PlayingCard | None = None
        self._name = device or "default"
        self._rate_hz = SAMPLE_RATE_HZ
        self._underruns = 0
        self._silent_samples = 0
        self._stood_in_samples = 0
        self._next_try_seconds = 0.0
        self._next_probe_seconds = 0.0
        self._promised_samples = 0

    def open(self) -> None:
        """Open the card, wait until it runs (PulseAudio takes up to 2 s) and begin to watch it.

        Raises:
            SoundError: it is not there, cannot be opened or does not run.
        """
        if self._playing is not None or self._pacer is not None:
            raise ValueError("this output is open already; close it first")
        self._stop.clear()
        playing = start_playing(self._open_card, self._settings, self._clock, self._stop)
        with self._lock:
            self._playing = playing
            self._name, self._rate_hz = playing.card.name, playing.card.rate_hz
            self._settings = replace(self._settings, device=self._name)  # it comes back by this name
        self._tell("open", f"{self._name} plays at {self._rate_hz} Hz")
        if self._watched:
            self._thread = threading.Thread(target=self._watch, name="sound-output", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Stop, and let go of the card."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(START_SECONDS)
            self._thread = None
        with self._lock:
            cards = [self._gone, self._playing.card if self._playing else None]
            self._gone, self._playing, self._pacer = None, None, None
        for card in cards:
            if card is not None:
                card.close()

    def write(self, audio: Audio) -> None:
        """Put (2, samples) float32 at 44.1 kHz into the ring; never blocks.

        What `writable_samples` promised is taken even if the card was lost since and its time has less room.
        """
        with self._lock:
            now_seconds = self._clock.now()
            check_block(audio, max(self._promised_samples, self._writable(now_seconds)))
            self._promised_samples = 0
            if self._playing is not None:
                try:
                    self._playing.write(audio)
                except SoundError as error:
                    self._lose(str(error))
                else:
                    return
            self._running_pacer().write(audio.shape[1], now_seconds)

    def stand_by(self, audio: Audio) -> None:
        """Let (2, samples) follow what was written, should the next write be late; see `SoundOut`."""
        with self._lock:
            if self._playing is not None:
                try:
                    self._playing.stand_by(audio)
                except SoundError as error:
                    self._lose(str(error))

    def stood_in_samples(self) -> int:
        """Return how many samples of what stood by were played so far."""
        with self._lock:
            return self._stood_in_samples + (self._playing.player.stood_in_samples if self._playing else 0)

    def writable_samples(self) -> int:
        """Return how many samples at 44.1 kHz the ring takes up to its wanted fill."""
        with self._lock:
            room_samples = self._writable(self._clock.now())
            self._promised_samples = max(self._promised_samples, room_samples)  # whoever asks, until the next write
            return room_samples

    def next_sample_seconds(self) -> float:
        """Return when the first sample of the next write will be heard."""
        with self._lock:
            return self._next_seconds(self._clock.now())

    def write_position(self) -> int:
        """Return the position, silence included, of the first sample of the next write."""
        with self._lock:
            return self._asked(
                lambda playing: playing.write_position(),
                lambda pacer: pacer.next_position(self._clock.now()),
            )

    def heard_position(self) -> int:
        """Return the position up to which the card has taken its samples."""
        with self._lock:
            return self._asked(
                lambda playing: playing.position(playing.player.heard_position()),
                lambda pacer: pacer.heard_position(self._clock.now()),
            )

    def facts(self) -> SoundFacts:
        """Return what the output says of itself."""
        with self._lock:
            now_seconds = self._clock.now()
            total_seconds = self._next_seconds(now_seconds) - now_seconds
            fill_seconds = self._fill_seconds(now_seconds)
            playing = self._playing
            held_seconds = playing.resampler.held_samples / self._rate_hz if playing is not None else 0.0
            block_seconds = self._settings.block_samples / self._rate_hz if playing is not None else 0.0
            underruns, silent_samples = self._losses()
            return SoundFacts(
                name=self._name,
                rate_hz=self._rate_hz,
                block_samples=self._settings.block_samples,
                state="lost" if playing is None else "open",
                underruns=underruns,
                silent_samples=silent_samples,
                fill_seconds=fill_seconds,
                latency=LatencyTerms(
                    ring_seconds=fill_seconds,
                    resampler_seconds=held_seconds,
                    block_seconds=block_seconds,
                    device_seconds=total_seconds - fill_seconds - held_seconds - block_seconds,
                    total_seconds=total_seconds,
                ),
                clock_ratio=playing.clock.ratio if playing is not None else 1.0,
            )

    def events(self) -> tuple[SoundEvent, ...]:
        """Return what changed since the last call."""
        return self._events.drain()

    def look(self) -> None:
        """Look after the card once: its clock, its ring, its loss and its return."""
        with self._lock:
            playing, gone, self._gone = self._playing, self._gone, None
        if gone is not None:
            gone.close()
        if playing is not None:
            self._look_at(playing)
        elif self._clock.now() >= self._next_try_seconds:
            self._try_again()

    def _watch(self) -> None:
        while not self._clock.wait(self._stop, LOOK_SECONDS):
            try:
                self.look()
            except Exception as error:  # this thread must not end; what went wrong is told
                with self._lock:
                    self._lose(f"{type(error).__name__}: {error}")

    def _look_at(self, playing: Playing) -> None:
        try:
            if not playing.card.active():
                raise SoundError(f"{playing.card.name}: the stream has stopped")
            now_seconds = self._clock.now()
            if now_seconds >= self._next_probe_seconds:
                self._next_probe_seconds = now_seconds + playing.clock.next_probe_seconds
                offset_seconds = playing.card.clock_offset(self._clock)
                with self._lock:
                    playing.card.start_probe(offset_seconds, now_seconds)
            with self._lock:
                playing.observe(self._clock.now())
                self._notice_still(self._clock.now())
        except SoundError as error:
            with self._lock:
                if self._playing is playing:
                    self._lose(str(error))

    def _try_again(self) -> None:
        try:
            playing = start_playing(self._open_card, self._settings, self._clock, self._stop, anew=True)
        except SoundError:  # it was told when the card went; each try is not
            self._next_try_seconds = self._clock.now() + RETRY_SECONDS
            return
        with self._lock:
            pacer = self._running_pacer()
            playing.first_position = pacer.next_position(self._clock.now())
            self._underruns += pacer.underruns
            self._silent_samples += pacer.silent_samples
            self._playing, self._pacer = playing, None
            self._rate_hz = playing.card.rate_hz
        self._tell("open", f"{self._name} is back, at {self._rate_hz} Hz")

    # What follows needs the lock.

    def _asked(self, card: Callable[[Playing], _Answer], pacer: Callable[[Pacer], _Answer]) -> _Answer:
        """Return the card's answer, or the pacer's where there is no card, or no longer one."""
        self._notice_still(self._clock.now())
        if self._playing is not None:
            try:
                return card(self._playing)
            except SoundError as error:
                self._lose(str(error))
        return pacer(self._running_pacer())

    def _writable(self, now_seconds: float) -> int:
        return self._asked(
            lambda playing: playing.writable_samples(self._ring_seconds),
            lambda pacer: pacer.writable_samples(now_seconds),
        )

    def _next_seconds(self, now_seconds: float) -> float:
        return self._asked(
            lambda playing: playing.clock.seconds_at(
                playing.player.next_card_sample() + playing.resampler.held_samples
            ),
            lambda pacer: pacer.next_sample_seconds(now_seconds),
        )

    def _fill_seconds(self, now_seconds: float) -> float:
        return self._asked(
            lambda playing: playing.player.fill() / playing.card.rate_hz,
            lambda pacer: pacer.fill_samples(now_seconds) / SAMPLE_RATE_HZ,
        )

    def _losses(self) -> tuple[int, int]:
        """Return the underruns and the silent samples so far."""
        underruns, silent_samples = self._underruns, self._silent_samples
        if self._pacer is not None:
            underruns, silent_samples = underruns + self._pacer.underruns, silent_samples + self._pacer.silent_samples
        if self._playing is not None:
            mine, silent = self._playing.losses()
            underruns, silent_samples = underruns + mine, silent_samples + silent
        return underruns, silent_samples

    def _notice_still(self, now_seconds: float) -> None:
        """Give the card up when its time has stood still for too long."""
        playing = self._playing
        if playing is None:
            return
        try:
            blocks = playing.card.blocks()
        except SoundError as error:
            self._lose(str(error))
            return
        if blocks != playing.seen_blocks:
            playing.seen_blocks, playing.seen_seconds = blocks, now_seconds
        elif now_seconds - playing.seen_seconds > STILL_SECONDS:
            self._lose(f"{playing.card.name}: the device takes no more samples")

    def _lose(self, why: str) -> None:
        """Go on by the clock, from where the card was."""
        playing, self._playing = self._playing, None
        if playing is None:
            return
        now_seconds = self._clock.now()
        self._stood_in_samples += playing.player.stood_in_samples
        self._underruns, self._silent_samples = (
            mine + past for mine, past in zip(playing.losses(), (self._underruns, self._silent_samples), strict=True)
        )
        self._pacer = playing.pacer(now_seconds, round(self._ring_seconds * SAMPLE_RATE_HZ))
        self._gone = playing.card
        self._next_try_seconds = now_seconds
        self._tell("lost", f"{why}. Time goes on without it; it is looked for every second")

    def _running_pacer(self) -> Pacer:
        if self._pacer is None:
            raise ValueError("this output is not open; call open() first")
        return self._pacer

    def _tell(self, state: SoundState, words: str) -> None:
        self._events.put(SoundEvent(self._clock.now(), state, words))
