"""The live view of a service that has no terminal: a line when something happens, and a sum every ten seconds.

Lines begin with the time since the session began. The session's own events are written as they are; counts that
should not grow are written when they did, at most once a second.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from bridge.live.status import LiveStatus
from bridge.live.view_parts import clock_words
from bridge.live.view_trouble import Counts
from engine.geometry import LATENT_RATE_HZ

SUMMARY_SECONDS: Final = 10.0
LEAST_SECONDS_BETWEEN_COUNTS: Final = 1.0
_COUNT_WORDS: Final = {
    "underruns": "underruns",
    "late": "late chunks",
    "lost_packets": "vocal packets lost",
    "clipped_samples": "samples clipped",
}


class LineLog:
    """Writes lines; see `bridge.live.view.Display`. For one thread.

    Args:
        write: takes a line, without its end.
        began_seconds: the clock's time at which the session began.
    """

    def __init__(self, write: Callable[[str], None], began_seconds: float) -> None:
        self._write = write
        self._began_seconds = began_seconds
        self._events: Counter[tuple[float, str]] = Counter()
        self._counts = Counts()
        self._next_counts_seconds = began_seconds
        self._next_summary_seconds = began_seconds + SUMMARY_SECONDS
        self._last: LiveStatus | None = None

    def open(self) -> None:
        """Nothing is to be prepared."""

    def show(self, status: LiveStatus, now_seconds: float) -> None:
        """Write what is new."""
        since_seconds = now_seconds - self._began_seconds
        self._write_events(status)
        if now_seconds >= self._next_counts_seconds:
            self._write_counts(status, since_seconds, now_seconds)
        if now_seconds >= self._next_summary_seconds:
            self._next_summary_seconds = now_seconds + SUMMARY_SECONDS
            self._line(since_seconds, summary(status))
        self._last = status

    def close(self) -> None:
        """Sum up a last time."""
        if self._last is not None:
            self._write(f"at the end: {summary(self._last)}")

    def _write_events(self, status: LiveStatus) -> None:
        """Write the events that were not there before; those that are alike are told apart by their number."""
        events = Counter(status.events)
        unwritten = events - self._events
        for event in status.events:
            if unwritten[event] > 0:
                unwritten[event] -= 1
                self._line(event[0], event[1])
        self._events = events

    def _write_counts(self, status: LiveStatus, since_seconds: float, now_seconds: float) -> None:
        counts = Counts.of(status)
        grown = counts.since(self._counts)
        words = [
            f"{getattr(grown, name)} {what} ({getattr(counts, name)} so far)"
            for name, what in _COUNT_WORDS.items()
            if getattr(grown, name)
        ]
        self._counts = counts
        if words:
            self._next_counts_seconds = now_seconds + LEAST_SECONDS_BETWEEN_COUNTS
            self._line(since_seconds, ", ".join(words))

    def _line(self, seconds: float, words: str) -> None:
        self._write(f"{clock_words(seconds)} {' '.join(words.split())}")


def summary(status: LiveStatus) -> str:
    """Return all that matters in one line."""
    transport, generator, sound, vocal = status.transport, status.generator, status.sound, status.vocal
    host = "no host yet" if transport.age_seconds is None else f"{transport.state} bar {transport.bar + 1}"
    levels = ", ".join(f"{level} {seconds:.0f} s" for level, seconds in status.level_seconds.items() if seconds >= 0.5)
    mix = status.meters.get("mix")
    facts = (
        f"{host}, {transport.bpm:.1f} bpm {transport.numerator}/{transport.denominator}",
        f"{status.level} now ({levels or 'nothing sounded yet'})",
        f"chunks {generator.on_time} on time {generator.late} late {generator.abandoned} abandoned",
        f"p50 {1e3 * generator.p50_seconds:.0f} p95 {1e3 * generator.p95_seconds:.0f}"
        f" of {1e3 * generator.chunk_frames / LATENT_RATE_HZ:.0f} ms",
        f"sound {sound.state}, ring {1e3 * sound.fill_seconds:.0f} ms, underruns {sound.underruns}",
        f"vocal {vocal.packets} packets {vocal.lost_packets} lost {vocal.late} late {vocal.reordered} reordered",
        f"latency {1e3 * sound.latency.total_seconds:.0f} ms, reaction {1e3 * status.reaction_control.total:.0f}"
        f" and {1e3 * status.reaction_vocal.total:.0f} ms",
        f"mix {mix.peak_db:.1f} dB" if mix is not None else "mix unknown",
    )
    return "; ".join(facts)
