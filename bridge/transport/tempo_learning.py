"""The song's tempo map, learned from where the host was at which beat.

Every place that the host reports (beat, sample, tempo) lies on the map exactly; what happened between two of them is
solved in closed form (`tempo_curves`). While the tempo stays and the places agree with the map, learning costs a
comparison. What was played through is *covered*: it keeps its map when the host comes back, until a place there
contradicts it, which means that the map was edited. Between covered stretches the map is a guess that leads from one
to the other.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from bridge.transport.tempo_curves import (
    SAMPLES_PER_MINUTE,
    Piece,
    Place,
    pieces_between,
    ramp_beats,
    samples_per_beat,
    slope_between,
)
from bridge.transport.tempo_points import EDGE_BEATS, Point

AGREE_SAMPLES = 1.5
AGREE_BPM = 1e-6  # relative
AGREE_RAMP_BPM = 2e-3  # relative, within a ramp
RAMP_ERROR_SAMPLES = 0.25  # 6 microseconds, between a ramp's points; a tenth of it takes three times as many
LARGEST_RAMP_STEP = 0.04  # of the tempo from one place to the next; more is a jump
MEASURED_BPM = 0.01  # how far, relative, a host's tempo may be from the one that its positions show
EDIT_REACH_POINTS = 8
MAX_POINTS = 4096
MAX_COVERED = 256


@dataclass(slots=True)
class _Span:
    """A stretch of beats that was played through."""

    start: float
    end: float


class TempoMap:
    """What is known of the song's tempo, with a constant guess around it.

    Args:
        bpm: the tempo as long as nothing is known.
    """

    def __init__(self, bpm: float = 120.0) -> None:
        self._points = [Point(0.0, 0.0, bpm, bpm, True)]
        self._beats = [0.0]
        self._covered: list[_Span] = []
        self._span: _Span | None = None
        self._recent: list[Place] = []
        self._pending = False
        self.ramp: Piece | None = None  # the ramp in progress, from the newest place on
        self.version = 0  # one up at each change

    @property
    def points(self) -> Sequence[Point]:
        """The points in rising order; the first extends backwards, the last for ever."""
        return self._points

    @property
    def newest(self) -> Place | None:
        """The place that was taken in last."""
        return self._recent[-1] if self._recent else None

    def sample_at(self, beat: float) -> float:
        """Return the sample of `beat`, a float at 44.1 kHz."""
        i = max(bisect_right(self._beats, beat) - 1, 0)
        point = self._points[i]
        return point.sample + (beat - point.beat) * self._samples_per_beat(i)

    def beat_at(self, sample: float) -> float:
        """Return the beat at `sample`."""
        i = max(bisect_right(self._points, sample, key=lambda point: point.sample) - 1, 0)
        point = self._points[i]
        return point.beat + (sample - point.sample) / self._samples_per_beat(i)

    def bpm_at(self, beat: float) -> float:
        """Return the tempo at `beat`; a point's own tempo holds from it on."""
        i = max(bisect_right(self._beats, beat) - 1, 0)
        point = self._points[i]
        if point.flat or i + 1 == len(self._points):
            return point.bpm
        after = self._points[i + 1]
        return point.bpm + (after.bpm - point.bpm) * (beat - point.beat) / (after.beat - point.beat)

    def visit(self, place: Place, tolerance_samples: float = AGREE_SAMPLES) -> None:
        """Take in a place that the host jumped to."""
        self._recent, self._pending, self.ramp = [place], False, None
        span = self._span_around(place.beat)
        if not self._agrees(place, tolerance_samples) and (span is not None or not self._join(place)):
            self._edit(place, tolerance_samples)
        self._span = self._span_around(place.beat) or self._new_span(place.beat)

    def follow(self, place: Place, tolerance_samples: float = AGREE_SAMPLES) -> None:
        """Take in a place that the host played to from the one before."""
        before = self._recent[-1] if self._recent else None
        if before is None or place.beat <= before.beat or place.sample <= before.sample:
            if before is None or place != before:
                self.visit(place, tolerance_samples)
            return
        assert self._span is not None
        known = self._span.end >= place.beat - EDGE_BEATS
        steady = place.bpm == before.bpm and not self._pending
        if not ((known or steady) and self._agrees(place, tolerance_samples)):
            if known:
                self._forget_after(before.beat)
            if steady and not known:
                self._correct(before, place)
            else:
                self._learn(before, place)
        self._recent = [*self._recent[-2:], place]
        self._cover(place.beat)

    def set_tempo(self, place: Place) -> None:
        """Let the tempo of `place` hold from there on; the first that is told holds before it as well."""
        only = self.version == 0
        self._forget_after(place.beat)
        if only or place.beat <= self._points[0].beat:
            self._restart(place)
        else:
            self._write(place.beat, (Piece(place.beat, place.sample, place.bpm, 0.0),), place)
        self._recent, self._pending, self.ramp = [place], False, None

    def _samples_per_beat(self, i: int) -> float:
        """Return the length of a beat after point `i`, in samples."""
        point = self._points[i]
        if point.flat or i + 1 == len(self._points):
            return samples_per_beat(point.bpm)
        after = self._points[i + 1]
        return (after.sample - point.sample) / (after.beat - point.beat)

    def _agrees(self, place: Place, tolerance_samples: float) -> bool:
        """Return whether `place` lies on the map and has its tempo."""
        if abs(self.sample_at(place.beat) - place.sample) > tolerance_samples:
            return False
        i = max(bisect_right(self._beats, place.beat + EDGE_BEATS) - 1, 0)
        point = self._points[i]
        if point.flat:
            return abs(point.reported_bpm - place.bpm) <= AGREE_BPM * place.bpm or self._just_after(i, place)
        return abs(self.bpm_at(place.beat) - place.bpm) <= AGREE_RAMP_BPM * place.bpm

    def _just_after(self, i: int, place: Place) -> bool:
        """Return whether `place` lies on point `i` to within a sample and still has the tempo before it."""
        point = self._points[i]
        near = (place.beat - point.beat) * samples_per_beat(place.bpm) < 1.0
        return near and i > 0 and abs(self._points[i - 1].reported_bpm - place.bpm) <= AGREE_BPM * place.bpm

    def _learn(self, before: Place, place: Place) -> None:
        """Solve the way from `before` to `place`, and once more the way to `before`, which is better known now."""
        earlier = self._recent[-2] if len(self._recent) > 1 and self._pending else None
        slope_now = _ramp_slope(before, place)
        slope_before = 0.0
        if earlier is not None:
            slope_before = _ramp_slope(earlier, before)
            first = self._recent[-3] if len(self._recent) > 2 else None
            slope_first = _ramp_slope(first, earlier) if first is not None else 0.0
            if slope_first or slope_now:
                self._solve(earlier, before, slope_first, slope_now)
        self._solve(before, place, slope_before, slope_now if slope_now and slope_before else 0.0)
        self._pending = place.bpm != before.bpm
        rising = slope_before * slope_now > 0 and not self._known_after(place.beat)
        self.ramp = Piece(place.beat, place.sample, place.bpm, slope_now) if rising else None

    def _solve(self, left: Place, right: Place, slope_before: float, slope_after: float) -> None:
        """Write the way from `left` to `right` into the map."""
        i = max(bisect_right(self._beats, left.beat + EDGE_BEATS) - 1, 0)
        point = self._points[i]
        if point.flat and point.reported_bpm == left.bpm:  # the map's own place: errors do not add up
            sample = self.sample_at(left.beat)
            if abs(sample - left.sample) <= AGREE_SAMPLES:
                left = Place(left.beat, sample, point.bpm)
        pieces = pieces_between(left, right, slope_before, slope_after)
        if pieces is None:
            self._edit(right, AGREE_SAMPLES)
        else:
            self._write(left.beat, pieces, right)

    def _correct(self, before: Place, place: Place) -> None:
        """The host's tempo says one thing and its positions another: take the one that the positions show."""
        i = max(bisect_right(self._beats, place.beat) - 1, 0)
        point = self._points[i]
        if point.flat and place.sample > point.sample and place.beat > point.beat:
            measured = SAMPLES_PER_MINUTE * (place.beat - point.beat) / (place.sample - point.sample)
            if abs(measured / place.bpm - 1.0) < MEASURED_BPM:
                self._points[i] = Point(point.beat, point.sample, round(measured, 6), place.bpm, True)
                self.version += 1
                return
        self._learn(before, place)

    def _join(self, place: Place) -> bool:
        """Place an unexpected `place` where nothing is covered; return whether that leads on from what is."""
        behind = [span.end for span in self._covered if span.end <= place.beat]
        if not self._covered:
            self._restart(place)
            return True
        if not behind:
            return self._put_first(place)
        left = Place(behind[-1], self.sample_at(behind[-1]), self.bpm_at(behind[-1]))
        pieces = pieces_between(left, place, 0.0, 0.0)
        if pieces is None:
            return False
        self._write(left.beat, pieces, place)
        return True

    def _put_first(self, place: Place) -> bool:
        """Put `place` before everything that is covered; return whether what is covered can follow it."""
        ahead = self._known_after(place.beat)
        if ahead is None or pieces_between(place, ahead[0], 0.0, 0.0) is None:
            return False
        self._write(place.beat, (Piece(place.beat, place.sample, place.bpm, 0.0),), place)
        return True

    def _edit(self, place: Place, tolerance_samples: float) -> None:
        """The map was edited: find the change nearest before `place` that explains it; forget what comes after."""
        self._forget_after(place.beat)
        last = bisect_right(self._beats, place.beat) - 1
        for i in range(last, max(last - EDIT_REACH_POINTS, -1), -1):
            point = self._points[i]
            if point.beat >= place.beat or not point.flat:
                continue
            whole = Piece(point.beat, point.sample, place.bpm, 0.0)
            if abs(whole.sample_at(place.beat) - place.sample) <= tolerance_samples:
                self._write(point.beat, (whole,), place)
                return
            left = Place(point.beat, point.sample, point.bpm)
            pieces = pieces_between(left, place, 0.0, 0.0)
            if pieces is not None and (len(pieces) == 1 or pieces[-1].beat < place.beat):
                self._write(point.beat, pieces, place)
                return
        self._restart(place)

    def _restart(self, place: Place) -> None:
        """Know nothing but `place`."""
        self._points = [Point(place.beat, place.sample, place.bpm, place.bpm, True)]
        self._beats = [place.beat]
        self._covered, self._span = [], None
        self.version += 1

    def _write(self, from_beat: float, pieces: Sequence[Piece], end: Place) -> None:
        """Replace the map from `from_beat` on by `pieces` up to `end`, and lead on to what is covered after it."""
        ahead = self._known_after(end.beat)
        keep = bisect_left(self._beats, from_beat - EDGE_BEATS)
        del self._points[keep:], self._beats[keep:]
        self._push_pieces(pieces, end)
        if ahead is not None:
            place, tail = ahead
            bridge = pieces_between(end, place, 0.0, 0.0)
            if bridge is None:
                self._forget_after(end.beat)
            else:
                self._push_pieces(bridge, place)
                for point in tail:
                    self._push(point)
        self._bound()
        self.version += 1

    def _known_after(self, beat: float) -> tuple[Place, list[Point]] | None:
        """Return the next covered place from `beat` on and the map's points after it; None if there is none."""
        for span in self._covered:
            if span.start > beat and span is not self._span:
                sample, bpm = self.sample_at(span.start), self.bpm_at(span.start)
                i = max(bisect_right(self._beats, span.start) - 1, 0)
                point = self._points[i]
                first = Point(span.start, sample, bpm, point.reported_bpm if point.flat else bpm, point.flat)
                return Place(span.start, sample, bpm), [first, *self._points[i + 1 :]]
        return None

    def _push_pieces(self, pieces: Sequence[Piece], end: Place) -> None:
        """Append `pieces` and, after a ramp or another tempo, the tempo of `end`."""
        ends = [*(piece.beat for piece in pieces[1:]), end.beat]
        for number, (piece, end_beat) in enumerate(zip(pieces, ends, strict=True)):
            reported = end.bpm if abs(piece.bpm - end.bpm) <= AGREE_BPM * end.bpm else piece.bpm
            goes_on = number == 0 and piece.slope != 0.0 and bool(self._points) and not self._points[-1].flat
            if not goes_on:
                self._push(Point(piece.beat, piece.sample, piece.bpm, reported, piece.slope == 0.0))
            if piece.slope:
                for beat in ramp_beats(piece, end_beat, RAMP_ERROR_SAMPLES):
                    bpm = piece.bpm + piece.slope * (beat - piece.beat)
                    self._push(Point(beat, piece.sample_at(beat), bpm, bpm, False))
        last = pieces[-1]
        if last.slope or last.bpm != end.bpm:
            self._push(Point(end.beat, end.sample, end.bpm, end.bpm, True))

    def _push(self, point: Point) -> None:
        """Append `point`, unless the tempo before it just goes on."""
        while self._points and self._beats[-1] >= point.beat - EDGE_BEATS:
            self._points.pop()
            self._beats.pop()
        if self._points:
            last = self._points[-1]
            if point.flat and last.flat and last.bpm == point.bpm:
                return
        self._points.append(point)
        self._beats.append(point.beat)

    def _bound(self) -> None:
        """Keep at most `MAX_POINTS`: every second point of the half that is farther from the newest place goes."""
        if len(self._points) <= MAX_POINTS:
            return
        here = bisect_right(self._beats, self._recent[-1].beat) if self._recent else len(self._points)
        middle = len(self._points) // 2
        far = range(1, middle, 2) if here >= middle else range(middle + 1, len(self._points) - 1, 2)
        gone = set(far)
        kept = [point for i, point in enumerate(self._points) if i not in gone]
        edges = {self._points[i - 1].beat for i in gone}
        self._points = [
            Point(point.beat, point.sample, point.bpm, point.reported_bpm, point.flat and point.beat not in edges)
            for point in kept
        ]
        self._beats = [point.beat for point in self._points]

    def _forget_after(self, beat: float) -> None:
        """Forget what is covered and known after `beat`; the tempo there goes on."""
        i = bisect_right(self._beats, beat)
        if i < len(self._points) and i > 0:
            last = self._points[i - 1]
            if not last.flat:
                here = Point(beat, self.sample_at(beat), self.bpm_at(beat), self.bpm_at(beat), True)
                del self._points[i:], self._beats[i:]
                self._push(here)
            else:
                del self._points[i:], self._beats[i:]
            self.version += 1
        self._covered = [span for span in self._covered if span.start <= beat]
        for span in self._covered:
            span.end = min(span.end, beat)

    def _span_around(self, beat: float) -> _Span | None:
        """Return the covered stretch that `beat` lies in."""
        return next((span for span in self._covered if span.start <= beat <= span.end), None)

    def _new_span(self, beat: float) -> _Span:
        """Return a new covered stretch of no length at `beat`; the shortest goes where there are too many."""
        span = _Span(beat, beat)
        self._covered.append(span)
        self._covered.sort(key=lambda each: each.start)
        if len(self._covered) > MAX_COVERED:
            self._covered.remove(min((s for s in self._covered if s is not span), key=lambda s: s.end - s.start))
        return span

    def _cover(self, beat: float) -> None:
        """The newest place is at `beat`: the stretch reaches there, and joins the next one if it comes to it."""
        if self._span is None or self._span not in self._covered:
            self._span = self._new_span(beat)
        span = self._span
        span.end = max(span.end, beat)
        if len(self._covered) > 1:
            for other in [each for each in self._covered if each is not span and span.start <= each.start <= beat]:
                span.end = max(span.end, other.end)
                self._covered.remove(other)


def _ramp_slope(left: Place, right: Place) -> float:
    """Return the change of tempo a beat, or 0 where it is too large for a ramp."""
    if abs(right.bpm - left.bpm) > LARGEST_RAMP_STEP * left.bpm:
        return 0.0
    return slope_between(left, right)
