"""Where the time signature changes: at the bar line that the host is on when it first names another one."""

from __future__ import annotations

import math

EDGE_BEATS = 1e-6


class SignatureMap:
    """The song's time signatures as far as they were seen; each starts on a bar line of the one before."""

    def __init__(self, numerator: int = 4, denominator: int = 4) -> None:
        self._changes: tuple[tuple[float, int, int], ...] = ((0.0, numerator, denominator),)
        self._seen = False
        self.version = 0

    @property
    def changes(self) -> tuple[tuple[float, int, int], ...]:
        """`(beat, numerator, denominator)` in rising order, the first at beat 0."""
        return self._changes

    def at(self, beat: float) -> tuple[int, int]:
        """Return the signature at `beat`."""
        return next(((n, d) for start, n, d in reversed(self._changes) if start <= beat), self._changes[0][1:])

    def observe(self, beat: float, numerator: int, denominator: int) -> bool:
        """Take in the signature that holds at `beat`; return whether that is news."""
        if not self._seen:
            self._seen = True
            self._put(((0.0, numerator, denominator),))
            return False
        if self.at(beat + EDGE_BEATS) == (numerator, denominator):
            return False
        before = [change for change in self._changes if change[0] <= beat + EDGE_BEATS] or [self._changes[0]]
        after = [change for change in self._changes if change[0] > beat + EDGE_BEATS]
        start, top, bottom = before[-1]
        bar_beats = 4.0 * top / bottom
        line = start + max(0.0, math.floor((beat - start + EDGE_BEATS) / bar_beats)) * bar_beats
        kept = [change for change in before if change[0] < line]
        self._put(tuple(_consistent([*kept, (line, numerator, denominator), *after])))
        return True

    def _put(self, changes: tuple[tuple[float, int, int], ...]) -> None:
        """Set the changes."""
        if changes != self._changes:
            self._changes = changes
            self.version += 1


def _consistent(changes: list[tuple[float, int, int]]) -> list[tuple[float, int, int]]:
    """Return `changes` without repetitions, up to the first that is off the bar lines of the one before."""
    kept = changes[:1]
    for change in changes[1:]:
        start, top, bottom = kept[-1]
        bars = (change[0] - start) / (4.0 * top / bottom)
        if change[1:] == (top, bottom):
            continue
        if bars < 0.5 or bars != round(bars):
            break
        kept.append(change)
    return kept
