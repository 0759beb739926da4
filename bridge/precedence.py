"""Which threads go first when there are fewer processors than work, and memory that stays where it is."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SESSION, PLAYER, BACKUP, BOUNCE = -10, -15, 0, 10
"""Niceness of a live session's threads. None of those that run all the time comes after other programs: a thread that
holds Python's lock and has to wait for a processor keeps the player waiting as long. Nor do they push the DAW aside."""

CARD_NICENESS = -15
CARD_PRIORITY = 5
"""Real-time priority of the card's own threads where it may be had, as PulseAudio's and JACK's have; else niceness."""


_MCL_CURRENT, _MCL_ONFAULT = 1, 4  # of <sys/mman.h>, Linux


def take_precedence(niceness: int) -> None:
    """Ask for precedence for this thread, or give it up; without the right to, all stays as it is."""
    with suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)


def keep_in_memory() -> bool:
    """Ask that what this process holds by now stays in memory once touched: reading it back from a disk is a stall.

    Returns:
        Whether it was granted; without the right to lock so much all stays as it is.
    """
    try:
        return bool(ctypes.CDLL(None).mlockall(_MCL_CURRENT | _MCL_ONFAULT) == 0)
    except (OSError, AttributeError, TypeError):  # not on this system
        return False


@contextmanager
def precedence_for_new_threads() -> Iterator[None]:
    """Let the threads that a library starts meanwhile go first, as sound needs; on Linux, with the right to."""
    before = _native_threads()
    yield
    for thread in _native_threads() - before - {thread.native_id for thread in threading.enumerate()}:
        try:
            parameters = os.sched_param(CARD_PRIORITY)
            os.sched_setscheduler(thread, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, parameters)
        except (OSError, AttributeError):
            with suppress(OSError, AttributeError):
                os.setpriority(os.PRIO_PROCESS, thread, CARD_NICENESS)


def _native_threads() -> set[int]:
    try:
        return {int(task.name) for task in Path("/proc/self/task").iterdir()}
    except OSError:  # not on this system
        return set()
