"""Keeping a take: every chunk that was made and every quantum that was played, on disk, while it plays.

The threads that make music only put what they have into a bounded queue; one thread of its own writes. If the disk
cannot follow, or is full, the take ends there and says why; the music never waits for it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bridge.live.quantum import Quantum
from bridge.live.take_records import TakeHeader
from bridge.live.take_writer import Played, TakeWriter
from bridge.live.work import Delivery

FLUSH_SECONDS = 1.0
MAX_WAITING = 16_384  # about a minute of the smallest quanta
MAX_WAITING_CHUNKS = 24  # a chunk that waits holds its sound, some 3 MB
CLOSE_SECONDS = 10.0


class _Made(NamedTuple):
    """A delivery, and how much sound its roll held then."""

    delivery: Delivery
    end_sample: int


class TakeLog:
    """A take that is being played. `delivered` and `played` belong to the threads that make music: they never wait.

    Attributes:
        folder: where it lies.
        broken: why the take ends here although the music goes on; empty as long as all is kept.
        dropped: how many chunks and quanta came after that.
    """

    def __init__(self, folder: Path, header: TakeHeader, on_trouble: Callable[[str], None] | None = None) -> None:
        """Begin a take.

        Args:
            folder: a new folder; see `bridge.live.take_store.make_take_folder`.
            header: without counts.
            on_trouble: told, by a thread of this, if the take breaks.

        Raises:
            OSError: the files cannot be made.
        """
        self.folder = folder
        self.broken = ""
        self.dropped = 0
        self._writer = TakeWriter(folder, header)
        self._on_trouble = on_trouble
        self._queue: deque[_Made | Played] = deque()
        self._chunks_in = self._chunks_out = 0
        self._ended = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="take", daemon=True)

    def start(self) -> None:
        """Write every second from now on; without it, a test calls `step` itself."""
        self._thread.start()

    def delivered(self, delivery: Delivery) -> None:
        """Keep a chunk; for the generator's thread."""
        if self._chunks_in - self._chunks_out >= MAX_WAITING_CHUNKS:
            self.broken = self.broken or "the disk did not follow"
        if self._put(_Made(delivery, delivery.roll.end_sample)):
            self._chunks_in += 1

    def played(self, quantum: Quantum, song_position: float) -> None:
        """Keep a quantum; for the player's thread."""
        self._put(Played(quantum, song_position))

    def step(self) -> None:
        """Write what waits."""
        if self._ended:
            return
        broken = self.broken  # what was put in before it broke is all there
        try:
            while self._queue:
                self._write(self._queue.popleft())
            self._writer.flush()
        except Exception as error:  # whatever becomes of a take, the music goes on
            broken = _reason(error)
        if broken:
            self._end(broken)

    def close(self) -> None:
        """Write the rest and end the take; at most 10 seconds are given to a disk that hangs."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_SECONDS)
            if self._thread.is_alive():
                self.broken = self.broken or "the disk did not follow"
                return
        self.step()
        if not self._ended:
            self._end(self.broken)

    def _put(self, item: _Made | Played) -> bool:
        if not self.broken and len(self._queue) >= MAX_WAITING:
            self.broken = "the disk did not follow"
        if self.broken or self._ended:
            self.dropped += 1
            return False
        self._queue.append(item)
        return True

    def _write(self, item: _Made | Played) -> None:
        if isinstance(item, _Made):
            self._chunks_out += 1
            self._writer.chunk(*item)
        else:
            self._writer.quantum(*item)

    def _end(self, broken: str) -> None:
        self._ended = True
        self.broken = broken
        self._queue.clear()
        try:
            self._writer.end(broken)
        except OSError as error:
            self.broken = broken or _reason(error)
        if self.broken and self._on_trouble is not None:
            self._on_trouble(f"the take {self.folder.name!r} ends here: {self.broken}; the music goes on")

    def _run(self) -> None:
        while not self._closing.wait(FLUSH_SECONDS):
            self.step()


def _reason(error: Exception) -> str:
    """Return in words why a take cannot go on."""
    if isinstance(error, OSError):
        return f"the disk does not take it ({error.strerror or error})"
    return (str(error).splitlines() or [type(error).__name__])[0]
