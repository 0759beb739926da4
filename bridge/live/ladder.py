"""The best there is to play for a place: the fresh chunk, else an older one's backup, else the last bar again."""

from __future__ import annotations

from bridge.live.lane import Lane, Roll
from bridge.live.playing import FADE_SAMPLES, Level, Source, on_roll
from bridge.live.quantum import Voice, touched
from bridge.transport.view import HostView

MOST_BARS_BACK = 4


def best_source(view: HostView, lane: Lane | None, start: float, step: float, samples: int) -> Source | None:
    """Return what to play; None where only silence is left.

    Args:
        view: what is known of the transport.
        lane: what there is to play, if anything.
        start: song position of the first sample.
        step: song samples for each sample.
        samples: how many; the source lasts for these and a fade.
    """
    if lane is None:
        return None
    rolls = lane.rolls
    for roll in reversed(rolls):  # entered at the nearest sample, as the player's borders have it
        if roll.enter_sample < start + 1.0 and _covers(view, roll, start, step, samples):
            fresh = start + samples * step <= roll.fresh_end_sample + 1
            return Source(roll, 0.0, Level.FRESH if fresh else Level.BACKUP)
    bar_samples = _bar_samples(view, start)
    for bars in range(1, MOST_BARS_BACK + 1):
        back = start - bars * bar_samples
        for roll in reversed(rolls):
            if roll.enter_sample <= back and _covers(view, roll, back, step, samples):
                return Source(roll, bars * bar_samples, Level.BAR_LOOP)
    return None


def _covers(view: HostView, roll: Roll, start: float, step: float, samples: int) -> bool:
    content, content_step = on_roll(view, roll, start, step, samples)
    first, end = touched(Voice(roll.number, content, content_step), samples + FADE_SAMPLES)
    return roll.covers(first, end)


def _bar_samples(view: HostView, position: float) -> float:
    beat = view.timeline.beat_at_position(position)
    bar = view.timeline.beats_per_bar_at(beat)
    return float(round(position - view.timeline.position_at_beat(beat - bar)))
