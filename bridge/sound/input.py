"""The sound card as an input: blocks of sound, each with the time at which its first sample was captured."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

import numpy as np

from bridge.clock import Clock
from bridge.sound.card import CardSettings, RecordingCard
from bridge.sound.card_clock import CardClock
from bridge.sound.event_queue import EventQueue
from bridge.sound.output import BLOCK_SAMPLES, Audio, SoundError, SoundEvent
from bridge.sound.portaudio import open_input

OpenInput: TypeAlias = Callable[[CardSettings, bool], RecordingCard]

RING_SECONDS: Final = 1.0
DEVICE_LATENCY_SECONDS: Final = 0.02
STILL_SECONDS: Final = 0.5
START_SECONDS: Final = 6.0
RETRY_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 0.01


@dataclass(frozen=True, slots=True)
class InputBlock:
    """What was captured, in one piece.

    Attributes:
        audio: (channels, samples) float32 at `rate_hz`.
        captured_seconds: the clock's time at which the first sample was captured.
        rate_hz: the card's rate.
        sample: number of the first sample since the card was opened.
        continues: whether it follows the block before without a gap.
    """

    audio: Audio
    captured_seconds: float
    rate_hz: int
    sample: int
    continues: bool


@dataclass(frozen=True, slots=True)
class InputFacts:
    """What an input says of itself.

    Attributes:
        name: the device's name.
        rate_hz: its sample rate.
        state: `open`, or `lost` while the device is away.
        overruns: how often sound was lost because nobody read, or the driver lost it.
        lost_samples: what was lost because nobody read, in samples.
        clock_ratio: the device's rate against the clock's seconds, over the rate it claims.
    """

    name: str
    rate_hz: int
    state: Literal["open", "lost"]
    overruns: int
    lost_samples: int
    clock_ratio: float


@dataclass(slots=True)
class _Recording:
    """A card in use; the ring's sample 0 since `arm` is the card's sample `first_block * block_samples`."""

    card: RecordingCard
    clock: CardClock
    first_block: int
    first_block_known: bool
    read_samples: int  # since `arm`
    last_end: int | None  # the card's sample after the newest one that was read
    seen_blocks: int
    seen_seconds: float


class DeviceInput:
    """Records from a sound card. One thread reads; a thread of its own watches the card.

    Args:
        clock: where time comes from.
        device: its name or a part of it, or None for the system's default.
        channels: channel count.
        block_samples: samples a callback.
        rate_hz: sample rate; None for 44.1 kHz where the card has it, else its own.
        ring_seconds: what is kept for a reader that is late.
        device_latency_seconds: what the driver is asked for; it may give more.
        open_card: opens a card; tests give another.
        watched: whether a thread watches the card; without it, call `look` regularly.
    """

    def __init__(
        self,
        clock: Clock,
        device: str | None = None,
        channels: int = 2,
        block_samples: int = BLOCK_SAMPLES,
        rate_hz: int | None = None,
        ring_seconds: float = RING_SECONDS,
        device_latency_seconds: float = DEVICE_LATENCY_SECONDS,
        open_card: OpenInput = open_input,
        watched: bool = True,
    ) -> None:
        self._clock = clock
        self._open_card = open_card
        self._watched = watched
        self._settings = CardSettings(
            device=device,
            rate_hz=rate_hz,
            block_samples=block_samples,
            ring_samples=round(ring_seconds * (rate_hz or 48_000)),
            latency_seconds=device_latency_seconds,
            channels=channels,
        )
        self._lock = threading.Lock()
        self._events = EventQueue()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._recording: _Recording | None = None
        self._gone: RecordingCard | None = None
        self._opened = False
        self._name, self._rate_hz = device or "default", rate_hz or 0
        self._overruns = 0
        self._lost_samples = 0
        self._next_probe_seconds = self._next_try_seconds = 0.0

    def open(self) -> None:
        """Open the card and begin to record.

        Raises:
            SoundError: it is not there, cannot be opened or does not run.
        """
        if self._opened:
            raise ValueError("this input is open already; close it first")
        self._stop.clear()
        recording = self._started(anew=False)
        with self._lock:
            self._recording, self._opened = recording, True
            self._name, self._rate_hz = recording.card.name, recording.card.rate_hz
            self._settings = replace(self._settings, device=self._name)
        self._events.put(SoundEvent(self._clock.now(), "open", f"{self._name} records at {self._rate_hz} Hz"))
        if self._watched:
            self._thread = threading.Thread(target=self._watch, name="sound-input", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Stop, and let go of the card."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(START_SECONDS)
            self._thread = None
        with self._lock:
            cards = [self._gone, self._recording.card if self._recording else None]
            self._gone, self._recording, self._opened = None, None, False
        for card in cards:
            if card is not None:
                card.close()

    def read(self) -> InputBlock | None:
        """Return all that was captured since the last call, or None; never blocks."""
        with self._lock:
            recording = self._recording
            if recording is None:
                return None
            try:
                return self._read(recording)
            except SoundError as error:
                self._lose(str(error))
                return None

    def facts(self) -> InputFacts:
        """Return what the input says of itself."""
        with self._lock:
            recording = self._recording
            overruns = self._overruns
            if recording is not None:
                try:
                    overruns += recording.card.xruns()
                except SoundError as error:
                    self._lose(str(error))
                    recording = None
            return InputFacts(
                name=self._name,
                rate_hz=self._rate_hz,
                state="lost" if recording is None else "open",
                overruns=overruns,
                lost_samples=self._lost_samples,
                clock_ratio=recording.clock.ratio if recording is not None else 1.0,
            )

    def events(self) -> tuple[SoundEvent, ...]:
        """Return what changed since the last call."""
        return self._events.drain()

    def look(self) -> None:
        """Look after the card once: its clock, its loss and its return."""
        with self._lock:
            recording, gone, self._gone = self._recording, self._gone, None
        if gone is not None:
            gone.close()
        if recording is not None:
            self._look_at(recording)
        elif self._opened and self._clock.now() >= self._next_try_seconds:
            self._try_again()

    def _watch(self) -> None:
        while not self._clock.wait(self._stop, _LOOK_SECONDS):
            try:
                self.look()
            except Exception as error:  # this thread must not end; what went wrong is told
                with self._lock:
                    self._lose(f"{type(error).__name__}: {error}")

    def _look_at(self, recording: _Recording) -> None:
        card = recording.card
        try:
            if not card.active():
                raise SoundError(f"{card.name}: the stream has stopped")
            now_seconds = self._clock.now()
            if now_seconds >= self._next_probe_seconds:
                self._next_probe_seconds = now_seconds + recording.clock.next_probe_seconds
                offset_seconds = card.clock_offset(self._clock)
                with self._lock:
                    card.start_probe(offset_seconds, now_seconds)
            with self._lock:
                stamp = card.finish_probe(self._clock.now())
                if stamp is not None:
                    recording.clock.observe(stamp)
                _learn_first_block(recording)
                blocks = card.blocks()
            now_seconds = self._clock.now()
            if blocks != recording.seen_blocks:
                recording.seen_blocks, recording.seen_seconds = blocks, now_seconds
            elif now_seconds - recording.seen_seconds > STILL_SECONDS:
                raise SoundError(f"{card.name}: the device gives no more samples")
        except SoundError as error:
            with self._lock:
                if self._recording is recording:
                    self._lose(str(error))

    def _try_again(self) -> None:
        try:
            recording = self._started(anew=True)
        except SoundError:  # it was told when the card went; each try is not
            self._next_try_seconds = self._clock.now() + RETRY_SECONDS
            return
        with self._lock:
            self._recording = recording
            self._rate_hz = recording.card.rate_hz
        self._events.put(SoundEvent(self._clock.now(), "open", f"{self._name} is back, at {self._rate_hz} Hz"))

    def _started(self, anew: bool) -> _Recording:
        card = self._open_card(self._settings, anew)
        try:
            clock = CardClock(card.rate_hz)
            until_seconds = self._clock.now() + START_SECONDS
            while clock.stamps == 0:
                card.start_probe(card.clock_offset(self._clock), self._clock.now())
                if self._clock.wait(self._stop, _LOOK_SECONDS):
                    raise SoundError(f"{card.name}: was closed before it ran")
                if self._clock.now() > until_seconds or not card.active():
                    raise SoundError(
                        f"{card.name}: the device opened and gives no sound; check its permissions and cable, "
                        "or name another device"
                    )
                stamp = card.finish_probe(self._clock.now())
                if stamp is not None:
                    clock.observe(stamp)
            blocks = card.blocks()
            card.arm()
            return _Recording(card, clock, blocks, False, 0, None, blocks, self._clock.now())
        except SoundError:
            card.close()
            raise

    # What follows needs the lock.

    def _read(self, recording: _Recording) -> InputBlock | None:
        card = recording.card
        full = not card.armed()
        _learn_first_block(recording)
        samples = card.read(card.fill())
        start = recording.first_block * card.block_samples + recording.read_samples
        recording.read_samples += samples.shape[0]
        block = None
        if samples.shape[0] > 0:
            block = InputBlock(
                audio=np.ascontiguousarray(samples.T),
                captured_seconds=recording.clock.seconds_at(start),
                rate_hz=card.rate_hz,
                sample=start,
                continues=start == recording.last_end,
            )
            if recording.last_end is not None:
                self._lost_samples += start - recording.last_end
            recording.last_end = start + samples.shape[0]
        if full:
            self._overruns += 1
            recording.first_block, recording.first_block_known = card.blocks(), False
            recording.read_samples = 0
            card.arm()
        return block

    def _lose(self, why: str) -> None:
        recording, self._recording = self._recording, None
        if recording is None:
            return
        self._gone = recording.card
        self._next_try_seconds = self._clock.now()
        self._events.put(SoundEvent(self._clock.now(), "lost", f"{why}. It is looked for every second"))


def _learn_first_block(recording: _Recording) -> None:
    """Take over what the card says of the block that the ring began at; see `bridge.sound.ring_player`."""
    armed_blocks = recording.card.armed_blocks()
    found = recording.card.blocks() - armed_blocks
    if armed_blocks == 0 or not recording.card.armed():
        return
    if not recording.first_block_known or found < recording.first_block:
        recording.first_block, recording.first_block_known = found, True
