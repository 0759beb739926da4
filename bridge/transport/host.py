"""The host's transport, from its snapshots or its partial commands: where the song is now, and its timeline.

Two threads meet here: one brings what the host says (`observe`, `play`, ...), another asks once a block (`now_view`).
"""

from __future__ import annotations

import threading
from dataclasses import replace

from bridge.clock import Clock
from bridge.transport.events import EventQueue, TransportEvent, TransportEventKind, TransportStats
from bridge.transport.motion import HostMotion, Verdict
from bridge.transport.sequence import SequenceGate
from bridge.transport.snapshot import TransportSnapshot
from bridge.transport.song_map import SongMap
from bridge.transport.view import HostView, LoopRange, Segment, TransportState
from engine.geometry import SAMPLE_RATE_HZ
from engine.timeline import MAX_BPM, MIN_BPM, check_time_signature

__all__ = ["HostTransport", "HostView", "LoopRange", "Segment", "TransportEvent", "TransportStats"]

UNKNOWN_SECONDS = 2.0
SAME_SAMPLES = 0.5


class HostTransport:
    """What is known of the host's transport. Thread-safe.

    Args:
        clock: tells how old the newest snapshot is.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._mutex = threading.Lock()
        self._events = EventQueue()
        self._gate = SequenceGate()
        self._motion = HostMotion()
        self._song = SongMap()
        self._snapshot: TransportSnapshot | None = None  # the newest, while snapshots are what the host sends
        self._playing = False
        self._lost = False
        self._wrapped = False
        self._epoch = 0
        self._heard_seconds = float("-inf")
        self._snapshots = self._wraps = self._ignored_parts = 0
        self._ramping = self._tempo_moved = False

    def observe(self, snapshot: TransportSnapshot, arrived_seconds: float) -> None:
        """Take in a snapshot that arrived at a time of the clock; old ones are ignored and counted."""
        with self._mutex:
            steps = self._gate.steps(snapshot.sequence, arrived_seconds)
            if steps is None:
                return
            self._check_lost(arrived_seconds)
            before, was_lost = self._snapshot, self._lost
            verdict = self._move(before, snapshot, steps, arrived_seconds)
            self._snapshot, self._playing, self._lost = snapshot, snapshot.playing, False
            self._heard_seconds = arrived_seconds
            self._snapshots += 1
            self._song.place(snapshot, followed=verdict == "continued" and before is not None)
            if was_lost:
                self._tell("found", snapshot.ppq, "the host is back", arrived_seconds)
            self._tell_changes(before, snapshot, verdict, arrived_seconds)

    def set_tempo(self, bpm: float, arrived_seconds: float) -> None:
        """Set the tempo from here on, for a host that sends no snapshots."""
        if not MIN_BPM <= bpm <= MAX_BPM:
            raise ValueError(f"tempo {bpm:g} bpm is out of range; send one from {MIN_BPM:g} to {MAX_BPM:g}")
        with self._mutex:
            if self._take_part(arrived_seconds):
                beat = self._beat_at(arrived_seconds)
                position = self._song.tempo.sample_at(beat)
                self._song.set_tempo(beat, bpm)
                if not self._playing:
                    self._motion.place(self._song.tempo.sample_at(beat), arrived_seconds)
                elif abs(self._song.tempo.sample_at(beat) - position) > SAME_SAMPLES:
                    self._motion.place(self._song.tempo.sample_at(beat), arrived_seconds)
                    self._epoch += 1
                self._tell("tempo_changed", beat, f"tempo {bpm:g} bpm from beat {beat:.2f}", arrived_seconds)

    def set_time_signature(self, numerator: int, denominator: int, arrived_seconds: float) -> None:
        """Set the time signature from this bar on, for a host that sends no snapshots."""
        check_time_signature(numerator, denominator)
        with self._mutex:
            if self._take_part(arrived_seconds):
                beat = self._beat_at(arrived_seconds)
                self._song.signatures.observe(beat, numerator, denominator)
                self._tell("signature_changed", beat, f"time signature {numerator}/{denominator}", arrived_seconds)

    def play(self, arrived_seconds: float) -> None:
        """Play on from where the song is, for a host that sends no snapshots."""
        with self._mutex:
            if self._take_part(arrived_seconds) and not self._playing:
                self._motion.place(self._motion.position, arrived_seconds)
                self._playing, self._wrapped = True, False
                self._epoch += 1
                self._tell("started", self._beat_at(arrived_seconds), "playing", arrived_seconds)

    def stop(self, arrived_seconds: float) -> None:
        """Stand where the song is, for a host that sends no snapshots."""
        with self._mutex:
            if self._take_part(arrived_seconds) and self._playing:
                position = self._position_at(arrived_seconds)
                self._motion.place(position, arrived_seconds)
                self._playing = False
                self._epoch += 1
                self._tell("stopped", self._song.tempo.beat_at(position), "stopped", arrived_seconds)

    def locate(self, beat: float, arrived_seconds: float) -> None:
        """Go to `beat`, for a host that sends no snapshots."""
        if not abs(beat) < 1e7:
            raise ValueError(f"beat {beat:g} is no place in a song; send a position in quarter notes")
        with self._mutex:
            if self._take_part(arrived_seconds):
                self._motion.place(self._song.tempo.sample_at(beat), arrived_seconds)
                self._wrapped = False
                self._epoch += 1
                self._tell("located", beat, f"located to beat {beat:.2f}", arrived_seconds)

    def set_loop(self, on: bool, start_beat: float, end_beat: float, arrived_seconds: float) -> None:
        """Set what is repeated, for a host that sends no snapshots."""
        if on and not -1e7 < start_beat < end_beat < 1e7:
            raise ValueError(f"loop from beat {start_beat:g} to {end_beat:g} is empty; send an end after the start")
        with self._mutex:
            if self._take_part(arrived_seconds):
                self._motion.place(self._position_at(arrived_seconds), arrived_seconds)
                self._wrapped = False
                self._song.set_loop((start_beat, end_beat) if on else None, SAMPLE_RATE_HZ)
                self._tell("loop_changed", start_beat, _loop_words(on, start_beat, end_beat), arrived_seconds)

    def now_view(self, now_seconds: float, builds: bool = True) -> HostView:
        """Return the transport as it is at a time of the clock. Cheap: made for each block of audio.

        Args:
            now_seconds: the time.
            builds: whether a timeline that has changed is built first, which may take tens of milliseconds while tempo
                ramps; without it the view may have the one before, for as long as nobody else asked. The position is
                the newest either way.
        """
        with self._mutex:
            self._check_lost(now_seconds)
            build = self._song.due(now_seconds, self._ramping) if builds else None
            if build is None:
                return self._view(now_seconds)
        timeline = build.timeline()  # outside the mutex, so that nobody waits for it
        with self._mutex:
            self._song.built(build.number, timeline)
            return self._view(now_seconds)

    def events(self) -> tuple[TransportEvent, ...]:
        """Return what happened since the last call, in order."""
        with self._mutex:
            self._check_lost(self._clock.now())
            return self._events.drain()

    def stats(self) -> TransportStats:
        """Return what was counted since the start."""
        with self._mutex:
            return TransportStats(
                snapshots=self._snapshots,
                old=self._gate.old,
                restarts=self._gate.restarts,
                discontinuities=self._epoch,
                wraps=self._wraps,
                ignored_parts=self._ignored_parts,
                dropped_events=self._events.dropped,
                timelines=self._song.builds,
            )

    def _view(self, now_seconds: float) -> HostView:
        """Return the view; the mutex is held and the song refreshed."""
        moving = self._playing
        lock = self._motion.song_lock
        if not moving:
            lock = replace(lock, position=self._motion.position)
        state: TransportState = "unknown" if self._lost else "playing" if moving else "stopped"
        snapshot = self._snapshot
        if snapshot is not None:
            bpm, signature = snapshot.bpm, (snapshot.numerator, snapshot.denominator)
        else:
            beat = self._beat_at(now_seconds)
            bpm, signature = self._song.tempo.bpm_at(beat), self._song.signatures.at(beat)
        return HostView(
            state=state,
            moving=moving,
            epoch=self._epoch,
            loop=self._song.loop,
            timeline=self._song.timeline,
            timeline_version=self._song.timeline_version,
            bpm=bpm,
            numerator=signature[0],
            denominator=signature[1],
            age_seconds=now_seconds - self._heard_seconds,
            lock=lock,
            wrapped=self._wrapped,
        )

    def _move(
        self, before: TransportSnapshot | None, snapshot: TransportSnapshot, steps: int, arrived_seconds: float
    ) -> Verdict:
        """Move the song to where `snapshot` has it; count the epoch up unless that was to be expected."""
        position = snapshot.position_samples
        if self._playing and snapshot.playing:
            verdict = self._motion.advance(position, arrived_seconds, steps, self._song.loop, relock=self._lost)
            if verdict == "wrapped":
                self._wrapped = True
                self._wraps += 1
            if verdict != "jumped":
                return verdict
        elif before is not None and not self._playing and not snapshot.playing:
            same = abs(position - self._motion.position) < SAME_SAMPLES
            self._motion.place(position, arrived_seconds, steps)
            if same:
                return "continued"
            self._epoch += 1
            return "jumped"
        self._motion.place(position, arrived_seconds, steps)
        self._wrapped = False
        self._epoch += 1
        return "jumped"

    def _tell_changes(
        self, before: TransportSnapshot | None, snapshot: TransportSnapshot, verdict: Verdict, seconds: float
    ) -> None:
        """Put the events that lead from the snapshot before to this one."""
        beat, was_playing = snapshot.ppq, before is not None and before.playing
        if snapshot.playing != was_playing:
            words = "playing from" if snapshot.playing else "stopped at"
            self._tell("started" if snapshot.playing else "stopped", beat, f"{words} beat {beat:.2f}", seconds)
        elif verdict == "jumped" and before is not None:
            self._tell("located", beat, f"located to beat {beat:.2f}", seconds)
        elif verdict == "wrapped":
            self._tell("looped", snapshot.loop_start_ppq, f"looped to beat {snapshot.loop_start_ppq:.2f}", seconds)
        if before is None:
            return
        self._tell_tempo(before, snapshot, verdict, seconds)
        if (snapshot.numerator, snapshot.denominator) != (before.numerator, before.denominator):
            words = f"time signature {snapshot.numerator}/{snapshot.denominator} at beat {beat:.2f}"
            self._tell("signature_changed", beat, words, seconds)
        if _loop_of(snapshot) != _loop_of(before):
            start, end = snapshot.loop_start_ppq, snapshot.loop_end_ppq
            self._tell("loop_changed", start, _loop_words(snapshot.loop_on, start, end), seconds)

    def _tell_tempo(
        self, before: TransportSnapshot, snapshot: TransportSnapshot, verdict: Verdict, seconds: float
    ) -> None:
        """Tell a new tempo once, a ramp when its second change shows it, and where the ramp ends."""
        moved = snapshot.bpm != before.bpm
        ramping = moved and self._tempo_moved and verdict == "continued" and snapshot.playing
        where = f"{snapshot.bpm:.6g} bpm at beat {snapshot.ppq:.2f}"
        if ramping and not self._ramping:
            self._tell("tempo_ramp", snapshot.ppq, f"the tempo moves: {where}", seconds)
        elif (self._ramping and not ramping) or (moved and not ramping):
            self._tell("tempo_changed", snapshot.ppq, f"tempo {where}", seconds)
        self._tempo_moved, self._ramping = moved and verdict == "continued", ramping

    def _tell(self, kind: TransportEventKind, beat: float, words: str, seconds: float) -> None:
        """Put an event."""
        self._events.put(kind, beat, words, seconds)

    def _check_lost(self, now_seconds: float) -> None:
        """Note that the host is lost when its newest snapshot is too old."""
        if self._snapshot is None or self._lost or now_seconds - self._heard_seconds <= UNKNOWN_SECONDS:
            return
        self._lost = True
        going = "playing on" if self._playing else "standing"
        words = f"no snapshot for {UNKNOWN_SECONDS:g} s; {going}"
        self._tell("lost", self._beat_at(now_seconds), words, now_seconds)

    def _take_part(self, arrived_seconds: float) -> bool:
        """Return whether a partial command counts: not while snapshots tell everything."""
        self._check_lost(arrived_seconds)
        if self._snapshot is not None and not self._lost:
            self._ignored_parts += 1
            return False
        if self._snapshot is not None:  # the snapshots ended: the parts take over from where the song is
            self._motion.place(self._position_at(arrived_seconds), arrived_seconds)
            self._tell("found", self._beat_at(arrived_seconds), "commands without snapshots", arrived_seconds)
            self._snapshot, self._lost = None, False
        self._heard_seconds = arrived_seconds
        return True

    def _position_at(self, seconds: float) -> float:
        """Return the song position in samples at a time of the clock."""
        return self._view_position(seconds)

    def _view_position(self, seconds: float) -> float:
        """Return the position as a view would."""
        if not self._playing:
            return self._motion.position
        view = HostView(
            "playing", True, self._epoch, self._song.loop, self._song.timeline, 0, 0.0, 4, 4, 0.0,
            self._motion.song_lock, self._wrapped,
        )  # fmt: skip
        return view.position_at(seconds)

    def _beat_at(self, seconds: float) -> float:
        """Return the song position in beats at a time of the clock."""
        return self._song.tempo.beat_at(self._view_position(seconds))


def _loop_of(snapshot: TransportSnapshot) -> tuple[float, float] | None:
    """Return the loop's beats, or None where it is off."""
    return (snapshot.loop_start_ppq, snapshot.loop_end_ppq) if snapshot.loop_on else None


def _loop_words(on: bool, start_beat: float, end_beat: float) -> str:
    """Return the loop in words."""
    return f"loop from beat {start_beat:.2f} to {end_beat:.2f}" if on else "loop off"
