"""Which threads go first when there are fewer processors than work."""

from __future__ import annotations

import os
import threading
from contextlib import suppress

PLAYER, LISTENER, GENERATOR, BACKUP, BOUNCE = -10, -10, -5, 5, 10
"""Niceness of the threads of a live session."""


def take_precedence(niceness: int) -> None:
    """Ask for precedence for this thread, or give it up; without the right to, all stays as it is."""
    with suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)
