"""What is learned of the song: tempo, signatures, loop, and the engine's timeline built from them when they change."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from bridge.transport.signature_learning import SignatureMap
from bridge.transport.snapshot import TransportSnapshot
from bridge.transport.tempo_curves import Place, samples_per_beat
from bridge.transport.tempo_learning import AGREE_SAMPLES, TempoMap
from bridge.transport.tempo_points import Point, ramp_points
from bridge.transport.timeline_building import build_timeline
from bridge.transport.view import LoopRange
from engine.geometry import SAMPLE_RATE_HZ
from engine.timeline import Timeline

RAMP_BARS = 3  # two bars ahead, and one for the time until the next building
RAMP_STEP_BEATS = 0.25
RAMP_REBUILD_SECONDS = 1.0
RAMP_NEAR_SAMPLES = 10
FLOAT32_BPM_DIGITS = 3
FLOAT32_STEP = 2.0**-23
FLOAT32_GRID = 4096.0
NOISE_DIGITS = 9


@dataclass(frozen=True, slots=True)
class Build:
    """What a timeline is to be built of: its number, tempo points and time signatures."""

    number: int
    points: tuple[Point, ...]
    signatures: tuple[tuple[float, int, int], ...]

    def timeline(self) -> Timeline:
        """Return the timeline; this takes a while, up to tens of milliseconds for long ramps."""
        return build_timeline(self.points, self.signatures)


class SongMap:
    """The song as the host has shown it. Not thread-safe; its owner is."""

    def __init__(self) -> None:
        self.tempo = TempoMap()
        self.signatures = SignatureMap()
        self.loop: LoopRange | None = None
        self.timeline = Timeline.constant(120.0)
        self.timeline_version = 0
        self.builds = 0
        self._taken = 0
        self._built = (self.tempo.version, self.signatures.version)
        self._built_seconds = float("-inf")
        self._loop_beats: tuple[float, float] | None = None
        self._loop_key: tuple[tuple[float, float] | None, int, int] = (None, 0, 0)
        self._raw_bpm = self._bpm = 0.0

    def place(self, snapshot: TransportSnapshot, followed: bool) -> None:
        """Learn from a snapshot; `followed`: the host played to it from the one before, or stands there still."""
        if snapshot.bpm != self._raw_bpm:
            self._raw_bpm, self._bpm = snapshot.bpm, plain_bpm(snapshot.bpm)
        place = Place(snapshot.ppq, snapshot.position_samples, self._bpm)
        tolerance = AGREE_SAMPLES + float32_error_beats(snapshot.ppq) * samples_per_beat(self._bpm)
        if followed:
            self.tempo.follow(place, tolerance)
        else:
            self.tempo.visit(place, tolerance)
        self.signatures.observe(snapshot.ppq, snapshot.numerator, snapshot.denominator)
        loop_beats = (snapshot.loop_start_ppq, snapshot.loop_end_ppq) if snapshot.loop_on else None
        self.set_loop(loop_beats, snapshot.rate_hz)

    def set_tempo(self, beat: float, bpm: float) -> None:
        """Let a tempo hold from `beat` on."""
        self.tempo.set_tempo(Place(beat, self.tempo.sample_at(beat), plain_bpm(bpm)))
        self.set_loop(self._loop_beats, self._loop_key[2] or SAMPLE_RATE_HZ)

    def set_loop(self, beats: tuple[float, float] | None, rate_hz: int) -> None:
        """Set the loop's `(start, end)`; a host at `rate_hz` wraps on whole samples of its own."""
        key = (beats, self.tempo.version, rate_hz)
        if key == self._loop_key:
            return
        self._loop_key, self._loop_beats = key, beats
        self.loop = None
        if beats is not None:
            host_ratio = SAMPLE_RATE_HZ / rate_hz
            start, end = (round(self.tempo.sample_at(beat) / host_ratio) * host_ratio for beat in beats)
            if end > start:
                self.loop = LoopRange(start, end, *beats)

    def due(self, now_seconds: float, ramping: bool) -> Build | None:
        """Return what the timeline has to be built anew of, if something changed; None if it can stay.

        While the tempo ramps as foreseen, once a second is enough.
        """
        versions = (self.tempo.version, self.signatures.version)
        if versions == self._built or (ramping and self._foreseen(now_seconds)):
            return None
        self._built, self._built_seconds = versions, now_seconds
        points = list(self.tempo.points)
        ramp = self.tempo.ramp
        if ramp is not None:
            numerator, denominator = self.signatures.at(ramp.beat)
            beats = RAMP_BARS * 4.0 * numerator / denominator
            points[-1:] = ramp_points(ramp, beats, RAMP_STEP_BEATS)
        self.builds += 1
        return Build(self.builds, tuple(points), tuple(self.signatures.changes))

    def built(self, number: int, timeline: Timeline) -> None:
        """Take over the timeline of build `number`, unless a later one is there."""
        if number > self._taken:
            self._taken = number
            if timeline != self.timeline:
                self.timeline = timeline
                self.timeline_version += 1

    def _foreseen(self, now_seconds: float) -> bool:
        """Return whether the timeline that stands is new enough, and near enough to where the ramp has come to."""
        place = self.tempo.newest
        young = self._built_seconds <= now_seconds < self._built_seconds + RAMP_REBUILD_SECONDS
        if place is None or not young:
            return False
        return abs(self.timeline.sample_at_beat(place.beat) - place.sample) < RAMP_NEAR_SAMPLES


def plain_bpm(bpm: float) -> float:
    """Return the tempo that a host means: 97.3 for the float32 nearest to it, and 120 for 120.00000000000001."""
    short = round(bpm, FLOAT32_BPM_DIGITS)
    if bpm == struct.unpack("f", struct.pack("f", short))[0]:
        return short
    near = round(bpm, NOISE_DIGITS)
    short = round(bpm, NOISE_DIGITS - 3)
    return short if abs(short - near) <= 1e-9 else bpm


def float32_error_beats(ppq: float) -> float:
    """Return how far `ppq` may be off because the sender has it in float32 only; 0 where it shows no sign of that."""
    if ppq * FLOAT32_GRID == int(ppq * FLOAT32_GRID):
        return 0.0
    is_float32 = ppq == struct.unpack("f", struct.pack("f", ppq))[0]
    return abs(ppq) * FLOAT32_STEP if is_float32 else 0.0
