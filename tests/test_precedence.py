"""What threads and memory of a live session are granted, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

LOCK = """
from bridge.precedence import keep_in_memory
granted = keep_in_memory()
locked = next(line for line in open("/proc/self/status") if line.startswith("VmLck"))
print(granted, int(locked.split()[1]))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells how much is locked, others do not")
def test_what_is_held_is_kept_in_memory_where_it_may_be_and_nothing_happens_where_not() -> None:
    done = subprocess.run([sys.executable, "-c", LOCK], capture_output=True, text=True, check=True)
    granted, locked_kb = done.stdout.split()
    assert (int(locked_kb) > 10_000) == (granted == "True")
