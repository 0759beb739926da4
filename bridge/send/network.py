"""A bad network as a pure model: datagrams in, those that come out of it at once, from a seeded generator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

Datagram = TypeVar("Datagram")

LONGEST_DELAY = 3  # how many later datagrams may overtake one


@dataclass(frozen=True, slots=True)
class NetworkStats:
    """What became of the datagrams so far.

    Attributes:
        taken: went in.
        lost: never come out.
        reordered: come out after later ones.
        duplicated: come out twice.
    """

    taken: int = 0
    lost: int = 0
    reordered: int = 0
    duplicated: int = 0


@dataclass(slots=True)
class _Delayed(Generic[Datagram]):
    """A datagram and how many more go before it."""

    datagram: Datagram
    remaining: int


class BadNetwork(Generic[Datagram]):
    """Loses, delays and duplicates datagrams at given rates; the same generator gives the same network.

    Attributes:
        stats: what became of the datagrams so far.
    """

    def __init__(self, loss: float, reorder: float, duplicate: float, rng: np.random.Generator) -> None:
        """Make a network.

        Args:
            loss: share of datagrams that are lost, 0 to 1.
            reorder: share, of those not lost, that one to three later datagrams overtake, 0 to 1.
            duplicate: share, of those not lost, that come twice, 0 to 1.
            rng: where chance comes from.

        Raises:
            ValueError: a share is out of range.
        """
        for name, share in (("loss", loss), ("reorder", reorder), ("duplicate", duplicate)):
            if not 0.0 <= share <= 1.0:
                raise ValueError(f"{name} {share:g} is out of range; expected a share from 0 to 1")
        self.stats = NetworkStats()
        self._shares = (loss, reorder, duplicate)
        self._rng = rng
        self._delayed: list[_Delayed[Datagram]] = []

    def passed(self, datagram: Datagram) -> list[Datagram]:
        """Return what comes out when `datagram` goes in, in order."""
        lost, delayed, twice = (self._rng.random(3) < self._shares).tolist()
        delay = int(self._rng.integers(1, LONGEST_DELAY + 1))
        self.stats = NetworkStats(
            self.stats.taken + 1,
            self.stats.lost + lost,
            self.stats.reordered + (delayed and not lost),
            self.stats.duplicated + (twice and not lost),
        )
        copies = 0 if lost else 1 + twice
        direct = copies - (delayed and not lost)
        out = [datagram] * direct + self._overtaken()
        if delayed and not lost:
            self._delayed.append(_Delayed(datagram, delay))
        return out

    def rest(self) -> list[Datagram]:
        """Return what is still under way."""
        out = [item.datagram for item in self._delayed]
        self._delayed.clear()
        return out

    def _overtaken(self) -> list[Datagram]:
        """Return the delayed datagrams whose time has come with this one."""
        for item in self._delayed:
            item.remaining -= 1
        out = [item.datagram for item in self._delayed if item.remaining <= 0]
        self._delayed = [item for item in self._delayed if item.remaining > 0]
        return out
