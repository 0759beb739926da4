"""A file of what was heard, written beside another output while it plays."""

from __future__ import annotations

import os
import threading
from collections import deque
from pathlib import Path
from typing import Final

import numpy as np

from bridge.clock import Clock
from bridge.sound.event_queue import EventQueue
from bridge.sound.output import Audio, SoundError, SoundEvent, SoundFacts, SoundOut
from bridge.sound.wave_file import GrowingWave, WaveFormat
from engine.geometry import AUDIO_CHANNELS, SAMPLE_RATE_HZ

_LOOK_SECONDS: Final = 0.25
_MOST_WAITING_SAMPLES: Final = 60 * SAMPLE_RATE_HZ  # what a disk that hangs may hold up
_MOST_SILENCE_SAMPLES: Final = 1 << 16


class FileTee:
    """Passes everything on to `inner`, and writes to a WAV file what `inner` has taken to be heard, when it has.

    Silence that a device played for want of samples is in the file too. While it grows the file is called
    `NAME.partial.wav`, playable at any time; `close` gives it its name. A disk that fails or hangs is told as an event
    and costs the file, never the sound.

    Args:
        inner: the output that is heard.
        path: the file to make, `*.wav`.
        clock: where time comes from.
        form: float32, or 24-bit integers.
        overwrite: whether a file of that name may be replaced.
        watched: whether a thread writes the file; without it, call `look` regularly.
    """

    def __init__(
        self,
        inner: SoundOut,
        path: Path,
        clock: Clock,
        form: WaveFormat = "float32",
        overwrite: bool = False,
        watched: bool = True,
    ) -> None:
        if path.suffix.casefold() != ".wav":
            raise SoundError(f"{path}: the output file is a WAV file; call it {path.with_suffix('.wav').name}")
        self._inner = inner
        self._path = path
        self._partial = path.with_name(f"{path.stem}.partial.wav")
        self._clock = clock
        self._form = form
        self._overwrite = overwrite
        self._watched = watched
        self._events = EventQueue()
        self._lock = threading.Lock()  # of the queue
        self._file_lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._wave: GrowingWave | None = None
        self._waiting: deque[tuple[int, Audio]] = deque()
        self._waiting_samples = 0
        self._standby: tuple[int, Audio] = (0, np.zeros((AUDIO_CHANNELS, 0), np.float32))
        self._next_position = 0
        self._stood_in_samples = 0
        self._dropped_samples = 0
        self._exact = True

    def open(self) -> None:
        """Open the output, then the file.

        Raises:
            SoundError: the device cannot be opened, the file is there already, or cannot be made.
        """
        if self._wave is not None:
            raise ValueError("this output is open already; close it first")
        self._check_free()
        try:
            if self._overwrite:
                self._partial.unlink(missing_ok=True)
            self._wave = GrowingWave(self._partial, SAMPLE_RATE_HZ, self._form)
        except OSError as error:
            raise SoundError(f"{self._path}: cannot be written ({error.strerror}); name another folder") from error
        try:
            self._inner.open()
        except BaseException:
            self._wave.close()
            self._wave = None
            self._partial.unlink(missing_ok=True)
            raise
        self._exact = self._inner.facts().rate_hz == SAMPLE_RATE_HZ
        self._stop.clear()
        if self._watched:
            self._thread = threading.Thread(target=self._watch, name="sound-file", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Close the output, write what was heard of the rest, and give the file its name.

        Raises:
            SoundError: the file could not be finished; what there is keeps its partial name.
        """
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.look()
        self._inner.close()
        with self._file_lock:
            wave, self._wave = self._wave, None
        with self._lock:
            self._waiting.clear()
            self._waiting_samples = 0
        if wave is None:  # never opened, or the disk failed while it played, which was told
            return
        try:
            wave.close()
            if self._overwrite:
                self._partial.replace(self._path)
            else:
                os.link(self._partial, self._path)  # unlike a rename, this never replaces
                self._partial.unlink()
        except OSError as error:
            raise SoundError(
                f"{self._path}: cannot be finished ({error.strerror}); what was heard is in {self._partial}"
            ) from error

    def write(self, audio: Audio) -> None:
        """Pass (2, samples) float32 at 44.1 kHz on, and keep it for the file."""
        position = self._inner.write_position()
        stood_in_samples = self._inner.stood_in_samples()
        if stood_in_samples != self._stood_in_samples:
            self._keep(self._next_position, self._stood_in(stood_in_samples - self._stood_in_samples))
            self._stood_in_samples = stood_in_samples
        self._inner.write(audio)
        self._keep(position, audio)
        self._next_position = position + audio.shape[1]

    def stand_by(self, audio: Audio) -> None:
        """Pass what stands by on, and remember it in case that it is played."""
        self._inner.stand_by(audio)
        self._standby = (self._inner.write_position(), audio)

    def stood_in_samples(self) -> int:
        """Return the output's."""
        return self._inner.stood_in_samples()

    def writable_samples(self) -> int:
        """Return what the output takes."""
        return self._inner.writable_samples()

    def next_sample_seconds(self) -> float:
        """Return when the first sample of the next write will be heard."""
        return self._inner.next_sample_seconds()

    def write_position(self) -> int:
        """Return the output's."""
        return self._inner.write_position()

    def heard_position(self) -> int:
        """Return the output's."""
        return self._inner.heard_position()

    def facts(self) -> SoundFacts:
        """Return the output's."""
        return self._inner.facts()

    def events(self) -> tuple[SoundEvent, ...]:
        """Return what changed since the last call, with the output or the file."""
        return tuple(sorted((*self._inner.events(), *self._events.drain()), key=lambda event: event.seconds))

    def look(self) -> None:
        """Write what was heard since the last look, and make the file's header true."""
        with self._file_lock:
            if self._wave is None:
                return
            try:
                for position, audio in self._heard(self._inner.heard_position()):
                    self._append(self._wave, position, audio)
                self._wave.mend()
            except OSError as error:
                self._give_up(error)

    def _stood_in(self, samples: int) -> Audio:
        """Return the next `samples` of what stands by."""
        start, audio = self._standby
        first = max(0, self._next_position - start)
        return audio[:, first : first + samples]

    def _keep(self, position: int, audio: Audio) -> None:
        with self._lock:
            if self._waiting_samples + audio.shape[1] > _MOST_WAITING_SAMPLES:
                self._dropped_samples += audio.shape[1]
                return
            self._waiting.append((position, audio.copy()))
            self._waiting_samples += audio.shape[1]

    def _watch(self) -> None:
        while not self._clock.wait(self._stop, _LOOK_SECONDS):
            try:
                self.look()
            except Exception as error:  # this thread must not end unheard
                with self._file_lock:
                    self._give_up(OSError(None, f"{type(error).__name__}: {error}"))

    def _heard(self, heard_position: int) -> list[tuple[int, Audio]]:
        """Take what lies before `heard_position` out of the queue."""
        heard: list[tuple[int, Audio]] = []
        with self._lock:
            while self._waiting and self._waiting[0][0] < heard_position:
                position, audio = self._waiting.popleft()
                samples = min(audio.shape[1], heard_position - position)
                heard.append((position, audio[:, :samples]))
                self._waiting_samples -= samples
                if samples < audio.shape[1]:
                    self._waiting.appendleft((position + samples, audio[:, samples:]))
            dropped, self._dropped_samples = self._dropped_samples, 0
        if dropped:
            words = f"{self._path}: the disk is too slow, {dropped} samples are silent in the file; use another disk"
            self._events.put(SoundEvent(self._clock.now(), self._inner.facts().state, words))
        return heard

    def _append(self, wave: GrowingWave, position: int, audio: Audio) -> None:
        gap_samples = position - wave.samples
        if not self._exact and abs(gap_samples) <= 1:  # positions of a card at another rate are rounded
            gap_samples = 0
        while gap_samples > 0:
            silence_samples = min(gap_samples, _MOST_SILENCE_SAMPLES)
            wave.append(np.zeros((AUDIO_CHANNELS, silence_samples), np.float32))
            gap_samples -= silence_samples
        wave.append(audio[:, max(0, -gap_samples) :])

    def _give_up(self, error: OSError) -> None:
        """Stop writing; what is in the file stays, under its partial name."""
        if self._wave is not None:
            self._wave.abandon()
        self._wave = None
        words = f"{self._path}: cannot be written on ({error.strerror}); what was heard until now is in {self._partial}"
        self._events.put(SoundEvent(self._clock.now(), self._inner.facts().state, words))

    def _check_free(self) -> None:
        if self._path.exists() and not self._overwrite:
            raise SoundError(f"{self._path}: is there already; name another file or allow overwriting")
        if self._partial.exists() and not self._overwrite:
            raise SoundError(
                f"{self._partial}: is there already, from a session that did not end well or is still running; "
                "move it away or allow overwriting"
            )
