"""The one door to PortAudio: sounddevice for devices, python-rtmixer's C callback for the sound itself.

Python never runs in the audio callback. The C callback copies between the card and a ring buffer; when the ring runs
dry (or full, for input) it ends the action, which then has to be started anew; `OutputCard` and `InputCard` show that
and `bridge.sound.device` and `bridge.sound.input` act on it.

Each block of a stream has a number, counted by the callback from the start. A probe (one sample of silence) comes back
with the time stamp of the block that it was in: that is how `(sample, seconds)` pairs come out of a C callback.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from bridge.clock import Clock
from bridge.precedence import precedence_for_new_threads
from bridge.sound.card import CardSettings, Stamp
from bridge.sound.devices import Direction, SoundDevice, find_device
from bridge.sound.output import SoundError
from engine.geometry import SAMPLE_RATE_HZ

_FURTHEST_STAMP_SECONDS: Final = 5.0  # a time stamp further off than this is none
_BYTES_A_SAMPLE: Final = 4

_port_lock = threading.RLock()  # PortAudio's devices and streams are opened, closed and listed one at a time
_open_cards: list[_Card] = []


def _libraries() -> tuple[Any, Any]:
    """Return sounddevice and rtmixer; they load PortAudio, which a server may not have.

    Raises:
        SoundError: PortAudio is missing.
    """
    try:
        import rtmixer
        import sounddevice
    except OSError as error:
        raise SoundError(
            f"PortAudio cannot be loaded ({error}); install it (Debian: libportaudio2) or run without a sound device"
        ) from error
    return sounddevice, rtmixer


def _plain(error: Exception) -> str:
    """Return PortAudio's complaint on one line."""
    return " ".join(str(error.args[0] if error.args else error).split())


def list_devices(anew: bool = False) -> tuple[SoundDevice, ...]:
    """Return the devices there are; with `anew`, those plugged in since too, which closes every stream."""
    sounddevice, _ = _libraries()
    with _port_lock:
        if anew:
            _restart(sounddevice)
        try:
            apis = sounddevice.query_hostapis()
            return tuple(_device(index, entry, apis) for index, entry in enumerate(sounddevice.query_devices()))
        except sounddevice.PortAudioError as error:
            raise SoundError(
                f"the sound devices cannot be listed: {_plain(error)}; restart the sound system"
            ) from error


def _device(index: int, entry: dict[str, Any], apis: tuple[dict[str, Any], ...]) -> SoundDevice:
    api = apis[entry["hostapi"]]
    return SoundDevice(
        index=index,
        name=str(entry["name"]),
        host_api=str(api["name"]),
        inputs=int(entry["max_input_channels"]),
        outputs=int(entry["max_output_channels"]),
        rate_hz=round(entry["default_samplerate"]),
        default_input=api["default_input_device"] == index,
        default_output=api["default_output_device"] == index,
    )


def _restart(sounddevice: Any) -> None:
    """Make PortAudio look for devices again; it lists them only when it starts."""
    while _open_cards:
        _open_cards[0].close()
    sounddevice._terminate()
    sounddevice._initialize()


class _Card:
    """What playing and recording share: one rtmixer stream and its ring.

    The callback's counters are read from rtmixer's C structs: it has a public way to fetch them, but that one resets
    them, and the blocks must be counted from the start.
    """

    def __init__(self, settings: CardSettings, device: SoundDevice, rate_hz: int) -> None:
        self.name = device.name
        self.rate_hz = rate_hz
        self.block_samples = settings.block_samples
        self.channels = settings.channels
        self._sounddevice, self._rtmixer = _libraries()
        self._memory = np.zeros((1 << max(settings.ring_samples - 1, 1).bit_length(), settings.channels), np.float32)
        self._ring = self._rtmixer.RingBuffer(settings.channels * _BYTES_A_SAMPLE, buffer=self._memory)
        with precedence_for_new_threads():
            self._stream = self._opened(settings, device.index)
        self._counters = self._stream._state.stats
        self._lock = threading.Lock()
        self._time_lock = threading.Lock()
        self._closed = False
        self._action: Any = None
        self._probe: Any = None
        self._probe_block = -1
        self._probe_offset_seconds = 0.0
        self._probe_sent_seconds = 0.0
        _open_cards.append(self)

    def _opened(self, settings: CardSettings, index: int) -> Any:
        raise NotImplementedError

    def _stream_options(self, settings: CardSettings, index: int) -> dict[str, Any]:
        """Return what rtmixer opens a stream of either direction with."""
        return {
            "device": index,
            "channels": settings.channels,
            "blocksize": settings.block_samples,
            "samplerate": self.rate_hz,
            "latency": settings.latency_seconds,
        }

    def _play_or_record(self) -> Any:
        raise NotImplementedError

    def _start_probe_action(self) -> Any:
        raise NotImplementedError

    def _impossible(self, seconds: float, now_seconds: float) -> bool:
        """Return whether no sample of a block that has just begun is heard, or was captured, then."""
        return abs(seconds - now_seconds) > _FURTHEST_STAMP_SECONDS

    def _guessed_seconds(self, now_seconds: float) -> float:
        """Return the best guess where the driver gives no time stamp, or one that cannot be."""
        raise NotImplementedError

    def start(self) -> None:
        """Let the callback run."""
        with self._using(), precedence_for_new_threads():
            self._stream.start()

    @contextmanager
    def _using(self) -> Iterator[None]:
        """Hold the stream, so that nobody closes it meanwhile, and turn PortAudio's complaints into ours."""
        with self._lock:
            self._check_open()
            try:
                yield
            except (self._sounddevice.PortAudioError, RuntimeError) as error:
                raise SoundError(f"{self.name}: {_plain(error)}; check the device and its cable") from error

    def _check_open(self) -> None:
        """Refuse to go on without the stream; what only reads the callback's counters needs no more than this."""
        if self._closed:
            raise SoundError(f"{self.name}: the device was closed; it is opened again when it is back")

    def blocks(self) -> int:
        with self._lock:
            self._check_open()
            return int(self._counters.blocks)

    def xruns(self) -> int:
        with self._lock:
            self._check_open()
            return int(self._counters.output_underflows + self._counters.input_overflows)

    def active(self) -> bool:
        with self._using():
            return bool(self._stream.active)

    def armed(self) -> bool:
        with self._lock:
            self._check_open()
            return self._action is not None and self._goes_on(self._action)

    def arm(self) -> None:
        with self._using():
            self._action = self._play_or_record()

    def armed_blocks(self) -> int:
        with self._lock:
            self._check_open()
            return int(self._action.stats.blocks) if self._action is not None else 0

    def fill(self) -> int:
        with self._lock:
            self._check_open()
            return int(self._ring.read_available)

    def clock_offset(self, clock: Clock) -> float:
        # A lock of its own: the driver may hang in here, and who writes and asks must go on.
        with self._time_lock:
            self._check_open()
            before_seconds = clock.now()
            try:
                stream_seconds = float(self._stream.time)
            except self._sounddevice.PortAudioError as error:
                raise SoundError(f"{self.name}: {_plain(error)}; check the device and its cable") from error
            return stream_seconds - (before_seconds + clock.now()) / 2

    def start_probe(self, offset_seconds: float, now_seconds: float) -> None:
        with self._using():
            if self._probe is not None:
                return
            block = int(self._counters.blocks)
            self._probe = self._start_probe_action()
            # A block that began meanwhile may or may not have taken the probe along: then its number is unknown.
            self._probe_block = block if self._counters.blocks == block else -1
            self._probe_offset_seconds, self._probe_sent_seconds = offset_seconds, now_seconds

    def finish_probe(self, now_seconds: float) -> Stamp | None:
        with self._using():
            if self._probe is None or self._goes_on(self._probe):
                return None
            probe, self._probe = self._probe, None
            if self._probe_block < 0:
                return None
            seconds = float(probe.actual_time) - self._probe_offset_seconds
            if self._impossible(seconds, now_seconds):
                seconds = self._guessed_seconds(now_seconds)
            return Stamp(self._probe_block * self.block_samples, seconds)

    def _goes_on(self, action: Any) -> bool:
        """Return whether the callback still has `action`.

        Asked hundreds of times a second: the queue that rtmixer's `actions` drains is looked at first.
        """
        return action in (self._stream.actions if self._stream._result_q.read_available else self._stream._actions)

    def close(self) -> None:
        with _port_lock:
            with self._lock:
                if self._closed:
                    return
                self._closed = True  # from here on nobody uses the stream, and nobody waits while it is closed
            _open_cards.remove(self)
            with self._time_lock:
                self._stream.abort(ignore_errors=True)
                self._stream.close(ignore_errors=True)


_CardT = TypeVar("_CardT", bound=_Card)


class OutputCard(_Card):
    """A card that plays from its ring."""

    def _opened(self, settings: CardSettings, index: int) -> Any:
        self._silence = np.zeros((1, settings.channels), np.float32)
        return self._rtmixer.Mixer(**self._stream_options(settings, index))

    def _play_or_record(self) -> Any:
        return self._stream.play_ringbuffer(self._ring)

    def _start_probe_action(self) -> Any:
        return self._stream.play_buffer(self._silence, self.channels)

    def _impossible(self, seconds: float, now_seconds: float) -> bool:
        # PulseAudio's stamps lie in the past until it knows its sink, for up to 2 s: nothing is heard before it is sent
        return seconds < self._probe_sent_seconds or super()._impossible(seconds, now_seconds)

    def _guessed_seconds(self, now_seconds: float) -> float:
        return now_seconds + float(self._stream.latency)

    def write(self, samples: NDArray[np.float32], back: int = 0) -> int:
        """Put (samples, channels) into the ring, over its last `back` samples and on; return how many found room."""
        with self._using():
            over, more = samples[:back], samples[back:]
            if len(over):
                size = len(self._memory)
                at = (int(self._ring._ptr.writeIndex) - back) % size
                split = min(len(over), size - at)
                self._memory[at : at + split] = over[:split]
                self._memory[: len(over) - split] = over[split:]
            return len(over) + (int(self._ring.write(np.ascontiguousarray(more))) if len(more) else 0)


class InputCard(_Card):
    """A card that records into its ring."""

    def _opened(self, settings: CardSettings, index: int) -> Any:
        self._probed = np.zeros((1, settings.channels), np.float32)
        return self._rtmixer.Recorder(**self._stream_options(settings, index))

    def _play_or_record(self) -> Any:
        return self._stream.record_ringbuffer(self._ring)

    def _start_probe_action(self) -> Any:
        return self._stream.record_buffer(self._probed, self.channels)

    def _guessed_seconds(self, now_seconds: float) -> float:
        return now_seconds - float(self._stream.latency)

    def read(self, samples: int) -> NDArray[np.float32]:
        """Take up to `samples` (samples, channels) out of the ring."""
        with self._using():
            found = np.frombuffer(self._ring.read(min(samples, self._ring.read_available)), np.float32)
            return found.reshape(-1, self.channels)


def _rate(settings: CardSettings, device: SoundDevice, direction: Direction) -> int:
    """Return the rate to open `device` at: the one asked for, else 44.1 kHz if it can, else its own."""
    sounddevice, _ = _libraries()
    check = sounddevice.check_output_settings if direction == "output" else sounddevice.check_input_settings
    wanted = [settings.rate_hz] if settings.rate_hz is not None else [SAMPLE_RATE_HZ, device.rate_hz]
    complaint = ""
    for rate_hz in wanted:
        try:
            check(device=device.index, channels=settings.channels, dtype="float32", samplerate=rate_hz)
        except (sounddevice.PortAudioError, ValueError) as error:
            complaint = _plain(error)
        else:
            return rate_hz
    rates = " or ".join(f"{rate_hz} Hz" for rate_hz in wanted)
    raise SoundError(
        f"{device.name}: cannot be opened with {settings.channels} channels at {rates}: {complaint}; "
        "close what else uses it, or name another device"
    )


def open_output(settings: CardSettings, anew: bool = False) -> OutputCard:
    """Open a card to play and let it run; with `anew`, look for devices again first, which closes every stream.

    Raises:
        SoundError: it is not there or cannot be opened.
    """
    return _open(OutputCard, settings, "output", anew)


def open_input(settings: CardSettings, anew: bool = False) -> InputCard:
    """Open a card to record and let it run; see `open_output`, but what plays is never closed for it."""
    return _open(InputCard, settings, "input", anew and not _open_cards)


def _open(kind: type[_CardT], settings: CardSettings, direction: Direction, anew: bool) -> _CardT:
    sounddevice, _ = _libraries()
    with _port_lock:
        device = find_device(settings.device, direction, list_devices(anew))
        rate_hz = _rate(settings, device, direction)
        try:
            card = kind(settings, device, rate_hz)
        except (sounddevice.PortAudioError, ValueError) as error:
            raise SoundError(
                f"{device.name}: cannot be opened: {_plain(error)}; close what else uses it, or name another device"
            ) from error
        try:
            card.start()
        except SoundError:
            card.close()
            raise
        return card
