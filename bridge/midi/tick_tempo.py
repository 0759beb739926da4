"""Tempo and beat from jittery MIDI clock ticks: a robust line through the longest stretch of them that is straight.

A line through n ticks knows the tempo with an error that falls with n to the power 3/2, so the longer the better, as
long as the tempo does not move. So from the longest window down, the first is taken whose residuals show no bend: the
median of no stretch of them lies further off than jitter explains. Jitter itself is measured from second differences,
which a steady tempo and a slow ramp both leave alone; single late ticks (a busy USB bus) count for little (Huber 1964).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TICKS_PER_BEAT = 24
WINDOWS_TICKS = (384, 288, 192, 144, 96, 72, 48, 36, 24, 12)  # intervals: 16 beats down to half a beat
FEWEST_TICKS = WINDOWS_TICKS[-1]
KEPT_TICKS = WINDOWS_TICKS[0] + 1
BEND_BLOCKS_TICKS = (6, 12, 24)
BEND_SIGMAS = 5.0  # a median strays a quarter more than a mean does
BEND_FLOOR_SECONDS = 0.0001
JITTER_FLOOR_SECONDS = 0.00002
OUTLIER_SIGMAS = 2.5
WEIGHTING_PASSES = 3
MEDIAN_TO_SIGMA = 1.4826
SECOND_DIFFERENCE_GAIN = float(np.sqrt(6.0))  # of independent jitter
JITTER_TICKS = 96
WHOLE_TEMPO_SIGMAS = 2.0

Seconds = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TickFit:
    """A line through the latest ticks.

    Attributes:
        seconds_per_tick: its slope.
        error_seconds_per_tick: the standard error of the slope, from the jitter.
        last_seconds: where the line says that the last tick was: its time with the jitter taken out.
        jitter_seconds: standard deviation of the ticks' arrival.
        intervals: how many intervals between ticks it was drawn through.
    """

    seconds_per_tick: float
    error_seconds_per_tick: float
    last_seconds: float
    jitter_seconds: float
    intervals: int

    @property
    def measured_bpm(self) -> float:
        """The tempo as measured, in beats a minute."""
        return 60.0 / (TICKS_PER_BEAT * self.seconds_per_tick)

    @property
    def error_bpm(self) -> float:
        """The standard error of the measured tempo."""
        return self.measured_bpm * self.error_seconds_per_tick / self.seconds_per_tick

    @property
    def bpm(self) -> float:
        """The tempo: the whole number within the measurement's error if there is one, else the measurement.

        Most songs have a whole tempo; as the window grows the error shrinks to thousandths, and the guess with it.
        """
        whole = round(self.measured_bpm)
        return (
            float(whole) if abs(whole - self.measured_bpm) <= WHOLE_TEMPO_SIGMAS * self.error_bpm else self.measured_bpm
        )


def fit_ticks(arrivals_seconds: Sequence[float]) -> TickFit | None:
    """Return the line through the latest ticks, or None for too few or for ticks that all came at once.

    Args:
        arrivals_seconds: the ticks' times of arrival in rising order; the last `KEPT_TICKS` are looked at.
    """
    seconds = np.asarray(arrivals_seconds[-KEPT_TICKS:], np.float64)
    most = len(seconds) - 1
    if most < FEWEST_TICKS:
        return None
    windows = sorted({min(window, most) for window in WINDOWS_TICKS}, reverse=True)
    for window in windows:
        fit, residuals = _line(seconds[-window - 1 :])
        if window == windows[-1] or not _bends(residuals, fit.jitter_seconds):
            return fit if fit.seconds_per_tick > 0.0 else None
    return None


def _line(seconds: Seconds) -> tuple[TickFit, Seconds]:
    """Return the robust line through all of `seconds`, and what is left of them."""
    jitter_seconds = _jitter_seconds(seconds)
    limit_seconds = OUTLIER_SIGMAS * jitter_seconds
    tick = np.arange(len(seconds)) - (len(seconds) - 1.0)  # the last is 0
    weights = np.ones(len(seconds))
    for _ in range(WEIGHTING_PASSES):
        middle = weights @ tick / weights.sum()
        spread = weights @ (tick - middle) ** 2
        middle_seconds = weights @ seconds / weights.sum()
        slope = weights @ ((tick - middle) * (seconds - middle_seconds)) / spread
        residuals = seconds - middle_seconds - slope * (tick - middle)
        weights = np.minimum(1.0, limit_seconds / np.maximum(np.abs(residuals), limit_seconds))
    last_seconds = float(middle_seconds - slope * middle)
    error = float(jitter_seconds / np.sqrt(spread))
    fit = TickFit(float(slope), error, last_seconds, jitter_seconds, len(seconds) - 1)
    return fit, residuals


def _jitter_seconds(seconds: Seconds) -> float:
    """Return the standard deviation of the arrivals around a smooth clock, from the median second difference."""
    second_differences = np.diff(seconds[-JITTER_TICKS:], n=2)
    sigma = MEDIAN_TO_SIGMA * float(np.median(np.abs(second_differences))) / SECOND_DIFFERENCE_GAIN
    return max(sigma, JITTER_FLOOR_SECONDS)


def _bends(residuals: Seconds, jitter_seconds: float) -> bool:
    """Tell whether some stretch of the residuals lies further off the line than jitter explains."""
    for block in BEND_BLOCKS_TICKS:
        blocks = len(residuals) // block
        if blocks < 2:
            continue
        middles = np.median(residuals[len(residuals) - blocks * block :].reshape(blocks, block), axis=1)
        if np.abs(middles).max() > BEND_SIGMAS * jitter_seconds / np.sqrt(block) + BEND_FLOOR_SECONDS:
            return True
    return False
