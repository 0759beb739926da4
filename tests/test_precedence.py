"""What threads and memory of a live session are granted; in processes of their own, as it is kept."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have neither")

ASK = """
import os, threading
from bridge.precedence import CARD, OSC, PLAYER, SESSION, precedence_for_new_threads, take_precedence

def policy(wanted):
    take_precedence(wanted)
    found.append((os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK, os.sched_getparam(0).sched_priority))

found = []
{drop}
for wanted in (SESSION, OSC, PLAYER, CARD):
    thread = threading.Thread(target=policy, args=(wanted,))
    thread.start()
    thread.join()
print(found)
"""

HELD = """
import numpy as np, psutil
from bridge.memory import keep_large_blocks_apart

{asked}
large, small = [], []
del_first = np.ones(20 << 20, np.uint8)
del del_first  # here glibc would raise its bound
for _ in range(60):
    large.append(np.ones(3 << 20, np.uint8))
    small.append(np.ones(100_000, np.uint8))  # lives on, between
held = psutil.Process().memory_info().rss
large.clear()
print((held - psutil.Process().memory_info().rss) >> 20)
"""


SCATTERED = """
import numpy as np, psutil
from bridge.memory import keep_large_blocks_apart, return_what_is_free

keep_large_blocks_apart()
blocks = [np.ones(50_000, np.uint8) for _ in range(1_200)]
kept = blocks[::10]  # 54 MB are free between them, and none of it at the heap's top
del blocks
held = psutil.Process().memory_info().rss
{asked}
print((held - psutil.Process().memory_info().rss) >> 20)
"""


def run(script: str) -> str:
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout


def may_be_real_time() -> bool:
    script = "import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, check=False).returncode == 0


def test_player_before_osc_before_what_works_for_long() -> None:
    found = run(ASK.format(drop="")).strip()
    assert found == ("[(0, 0), (1, 1), (1, 3), (1, 5)]" if may_be_real_time() else "[(0, 0), (0, 0), (0, 0), (0, 0)]")


def test_without_the_right_to_all_stays_as_it_is() -> None:
    drop = "import ctypes; assert not os.getuid() and os.setresuid(65534, 65534, 65534) is None or os.getuid()"
    assert run(ASK.format(drop=drop)).strip() == "[(0, 0), (0, 0), (0, 0), (0, 0)]"


def test_large_blocks_are_gone_when_they_are_freed() -> None:
    assert int(run(HELD.format(asked="keep_large_blocks_apart()"))) >= 170
    assert int(run(HELD.format(asked=""))) < 170  # else there would be nothing to ask for


def test_what_is_free_between_small_blocks_goes_back_when_it_is_asked_for() -> None:
    assert int(run(SCATTERED.format(asked="return_what_is_free()"))) >= 45
    assert int(run(SCATTERED.format(asked=""))) < 5
