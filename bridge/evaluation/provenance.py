"""Where and from what a figure was measured: commit, machine, date."""

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_PROJECT = Path(__file__).parents[2]
_CPU_FILE = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a figure stands for.

    Attributes:
        commit: short hash, with "+ changes" where the tree differs from it; "unknown" outside a checkout.
        machine: processor, cores and system.
        date: the day, in UTC, as 2026-01-31.
    """

    commit: str
    machine: str
    date: str

    @property
    def line(self) -> str:
        """Return it as one line of markdown."""
        return f"Commit {self.commit}; {self.machine}; {self.date}."


def provenance() -> Provenance:
    """Return where this runs, and from what."""
    date = datetime.now(UTC).date().isoformat()
    return Provenance(commit=_commit(), machine=machine_name(), date=date)


def machine_name() -> str:
    """Return the processor, its cores and the system in words."""
    return f"{_cpu_name()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"


def _commit() -> str:
    hash_ = _git("rev-parse", "--short=10", "HEAD")
    if not hash_:
        return "unknown"
    # What an evaluation writes itself is no change of what it measures.
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)docs", ":(exclude)*.md")
    return f"{hash_} + changes" if changed else hash_


def _git(*arguments: str) -> str:
    """Return what git prints, or nothing where there is no git or no repository."""
    git = shutil.which("git")
    if git is None:
        return ""
    done = subprocess.run([git, "-C", str(_PROJECT), *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def _cpu_name() -> str:
    """Return the processor's name as the system knows it."""
    if _CPU_FILE.is_file():
        for line in _CPU_FILE.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
