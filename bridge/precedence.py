"""Which threads go first when there are fewer processors than work."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple


class Precedence(NamedTuple):
    """What a thread asks for.

    Attributes:
        niceness: as of `nice`: the lower the sooner.
        priority: real-time priority, where it may be had; niceness else. None for threads that work for long.
    """

    niceness: int
    priority: int | None = None


CARD = Precedence(-15, 5)  # as PulseAudio's and JACK's have
PLAYER = Precedence(-15, 3)
OSC = Precedence(-10, 1)  # by niceness alone it waits behind the generator, for 5 to 12 ms in a hundredth of all cases
SESSION = Precedence(-10)
BACKUP = Precedence(0)
BOUNCE = Precedence(10)
"""None of those that run all the time comes after other programs: a thread that holds Python's lock and has to wait for
a processor keeps the player waiting as long. Nor do those that work for long push the DAW aside."""


def take_precedence(wanted: Precedence, thread: int | None = None) -> None:
    """Ask for precedence for this thread or another native one; without the right to, all stays as it is."""
    thread = threading.get_native_id() if thread is None else thread
    if wanted.priority is not None:
        with suppress(OSError, AttributeError):
            parameters = os.sched_param(wanted.priority)
            os.sched_setscheduler(thread, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, parameters)
            return
    with suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, thread, wanted.niceness)


@contextmanager
def precedence_for_new_threads() -> Iterator[None]:
    """Let the threads that a library starts meanwhile go first, as sound needs; on Linux, with the right to."""
    before = _native_threads()
    yield
    for thread in _native_threads() - before - {thread.native_id for thread in threading.enumerate()}:
        take_precedence(CARD, thread)


def _native_threads() -> set[int]:
    try:
        return {int(task.name) for task in Path("/proc/self/task").iterdir()}
    except OSError:  # not on this system
        return set()
