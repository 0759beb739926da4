"""Which of the snapshots that come in are new: sequence numbers that wrap, come twice, late or from a new sender."""

from __future__ import annotations

_SPAN = 1 << 32
_INT32_WRAP = 1 << 31

RESTART_SILENCE_SECONDS = 0.5
RESTART_STEPS_BACK = 256
RESTART_RISING = 8


class SequenceGate:
    """Lets newer snapshots through and tells how far they are from the last."""

    def __init__(self) -> None:
        self._last: int | None = None
        self._last_seconds = 0.0
        self._old_sequence = 0
        self._old_rising = 0
        self.old = 0
        self.restarts = 0

    def steps(self, sequence: int, arrived_seconds: float) -> int | None:
        """Return how many snapshots `sequence` is after the last one, 0 where that is not known, None if it is old."""
        if self._last is None:
            return self._accept(sequence, arrived_seconds, 0)
        steps = _difference(sequence, self._last)
        if steps > 0:
            return self._accept(sequence, arrived_seconds, steps)
        if self._is_restart(sequence, steps, arrived_seconds):
            self.restarts += 1
            return self._accept(sequence, arrived_seconds, 0)
        self.old += 1
        return None

    def _accept(self, sequence: int, arrived_seconds: float, steps: int) -> int:
        """Note that `sequence` is the newest."""
        self._last, self._last_seconds, self._old_rising = sequence, arrived_seconds, 0
        return steps

    def _is_restart(self, sequence: int, steps: int, arrived_seconds: float) -> bool:
        """Return whether an old number is a new sender's: after silence, from far back, or going on rising."""
        rising = self._old_rising > 0 and _difference(sequence, self._old_sequence) > 0
        self._old_rising = self._old_rising + 1 if rising else 1
        self._old_sequence = sequence
        if steps < 0 and arrived_seconds - self._last_seconds > RESTART_SILENCE_SECONDS:
            return True
        return self._old_rising >= (2 if steps < -RESTART_STEPS_BACK else RESTART_RISING)


def _difference(sequence: int, last: int) -> int:
    """Return the signed distance from `last` to `sequence` on the circle of 32-bit numbers, signed or not.

    A sender that wraps from 2 ** 31 - 1 to 0 (not to - 2 ** 31) goes half-way round; it is one step further.
    """
    if last == _INT32_WRAP - 1 and sequence == 0:
        return 1
    return (sequence - last + _SPAN // 2) % _SPAN - _SPAN // 2
