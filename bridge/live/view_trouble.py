"""What is wrong right now, worst first: the words that the terminal view puts where nobody overlooks them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from bridge.live.status import LiveStatus
from engine.geometry import LATENT_RATE_HZ

RECENT_SECONDS: Final = 10.0
NEAR_SHARE: Final = 0.8  # generation that takes more of the time it has is near to falling behind
_MOST_SEEN: Final = 200


class Severity(IntEnum):
    """How bad it is."""

    GOOD = 0
    NOTE = 1
    WARNING = 2
    BAD = 3


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing to know."""

    severity: Severity
    words: str


@dataclass(frozen=True, slots=True)
class Counts:
    """What only ever grows, and should not: totals, or how much they grew of late.

    Attributes:
        underruns: of the output.
        late: chunks.
        lost_packets: of the vocal.
        clipped_samples: of the mix.
    """

    underruns: int = 0
    late: int = 0
    lost_packets: int = 0
    clipped_samples: int = 0

    @classmethod
    def of(cls, status: LiveStatus) -> Counts:
        """Return the totals of a status."""
        return cls(
            underruns=status.sound.underruns,
            late=status.generator.late,
            lost_packets=status.vocal.lost_packets,
            clipped_samples=status.clipped_samples,
        )

    def since(self, earlier: Counts) -> Counts:
        """Return how much they grew; a count that began anew counts from nought."""
        names = self.__slots__
        pairs = [(getattr(self, name), getattr(earlier, name)) for name in names]
        return Counts(*(now - before if now >= before else now for now, before in pairs))


class RecentCounts:
    """How much the counts grew within the last ten seconds; for one thread."""

    def __init__(self, recent_seconds: float = RECENT_SECONDS) -> None:
        """Remember `recent_seconds`."""
        self._recent_seconds = recent_seconds
        self._seen: deque[tuple[float, Counts]] = deque(maxlen=_MOST_SEEN)

    def step(self, status: LiveStatus, now_seconds: float) -> Counts:
        """Take in a status and return what grew of late."""
        counts = Counts.of(status)
        while len(self._seen) > 1 and self._seen[1][0] <= now_seconds - self._recent_seconds:
            self._seen.popleft()
        self._seen.append((now_seconds, counts))
        return counts.since(self._seen[0][1])


def troubles(status: LiveStatus, recent: Counts) -> tuple[Trouble, ...]:
    """Return all there is to worry about, worst first; empty where all is well."""
    found = [*_of_sound(status, recent), *_of_transport(status), *_of_generator(status, recent)]
    found += _of_vocal(status, recent)
    if recent.clipped_samples:
        words = f"CLIPPING: {_counted(recent.clipped_samples, 'sample')}; lower the gains"
        found.append(Trouble(Severity.WARNING, words))
    return tuple(sorted(found, key=lambda trouble: -trouble.severity))


def _of_sound(status: LiveStatus, recent: Counts) -> list[Trouble]:
    found: list[Trouble] = []
    if status.sound.state == "lost":
        found.append(Trouble(Severity.BAD, f"SOUND DEVICE LOST: {status.sound.name}; it is looked for every second"))
    if recent.underruns:
        found.append(Trouble(Severity.BAD, f"{_counted(recent.underruns, 'UNDERRUN')} in the last 10 s"))
    if status.sound.state == "null":
        found.append(Trouble(Severity.NOTE, "no sound device: time is kept by the clock"))
    return found


def _of_transport(status: LiveStatus) -> list[Trouble]:
    transport = status.transport
    if transport.age_seconds is None:
        return [Trouble(Severity.NOTE, "waiting for the host's transport")]
    if transport.state != "unknown":
        return []
    going = "playing on" if transport.moving else "standing still"
    words = f"HOST NOT HEARD for {transport.age_seconds:.0f} s; {going}"
    return [Trouble(Severity.BAD if transport.moving else Severity.WARNING, words)]


def _of_generator(status: LiveStatus, recent: Counts) -> list[Trouble]:
    found: list[Trouble] = []
    generator = status.generator
    if status.level == "silence" and status.transport.moving:
        found.append(Trouble(Severity.BAD, "SILENCE: nothing is ready to play"))
    elif status.level in ("backup", "bar loop") and status.transport.moving:
        found.append(Trouble(Severity.WARNING, f"{status.level.upper()} plays: the fresh chunk is not there yet"))
    plays_seconds = generator.chunk_frames / LATENT_RATE_HZ
    share = generator.p95_seconds / plays_seconds if plays_seconds else 0.0
    if share > NEAR_SHARE:
        severity, behind = (Severity.BAD, "FALLS BEHIND") if share > 1.0 else (Severity.WARNING, "is near its limit")
        words = f"generation {behind}: {1e3 * generator.p95_seconds:.0f} of {1e3 * plays_seconds:.0f} ms"
        found.append(Trouble(severity, words))
    if recent.late:
        found.append(Trouble(Severity.WARNING, f"{_counted(recent.late, 'LATE CHUNK')} in the last 10 s"))
    return found


def _of_vocal(status: LiveStatus, recent: Counts) -> list[Trouble]:
    if status.vocal.packets == 0 and status.transport.moving:
        return [Trouble(Severity.NOTE, "no vocal has come yet")]
    if recent.lost_packets:
        return [Trouble(Severity.WARNING, f"VOCAL: {_counted(recent.lost_packets, 'packet')} lost in the last 10 s")]
    return []


def _counted(number: int, noun: str) -> str:
    plural = "S" if noun.isupper() else "s"
    return f"{number} {noun}{'' if number == 1 else plural}"
