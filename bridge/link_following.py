"""What an Ableton Link session says, as the calls of a partial transport.

What Link shares is a tempo, a beat within the bar (the *quantum*) that all peers agree on, and whether the session
plays; not a song position. So on a start Backline begins at `start_beat` on the session's next downbeat, as Link asks
every peer to, and from then on its position is corrected only within the bar: a locate from the DAW or over OSC by
whole bars stays. Corrections are locates, and only beyond `locate_seconds`, twice in a row; smaller errors stay, for
tempo and time are exact on both sides and errors do not add up. Alone in a session, Backline follows nobody.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from bridge.midi.messages import BeatAt, ControlCall
from engine.timeline import MAX_BPM, MIN_BPM

TEMPO_STEP_BPM = 0.005
DOWNBEAT_GRACE_BEATS = 0.25  # a start is noticed a few milliseconds late; this far past a downbeat still means that one


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """How a session is joined and followed.

    Attributes:
        quantum_beats: beats (quarter notes) of a bar, on which peers agree.
        start_beat: song position, on a downbeat, at which a started session begins.
        locate_seconds: beyond this error within the bar the transport is located.
        follow_start_stop: whether the session's start and stop are followed.
        first_bpm: the tempo that a session gets if Backline is the one that opens it.
    """

    quantum_beats: float = 4.0
    start_beat: float = 0.0
    locate_seconds: float = 0.02
    follow_start_stop: bool = True
    first_bpm: float = 120.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0.5 <= self.quantum_beats <= 64.0:
            raise ValueError(f"quantum_beats {self.quantum_beats} is out of range; give 0.5 to 64")
        if not math.isfinite(self.start_beat):
            raise ValueError(f"start_beat {self.start_beat} is not a beat; give a number")
        if not 0.005 <= self.locate_seconds <= 1.0:
            raise ValueError(f"locate_seconds {self.locate_seconds} is out of range; give 0.005 to 1 s")
        if not MIN_BPM <= self.first_bpm <= MAX_BPM:
            raise ValueError(f"first_bpm {self.first_bpm} is out of range; give {MIN_BPM:g} to {MAX_BPM:g}")


@dataclass(frozen=True, slots=True)
class LinkReading:
    """The session at one instant.

    Attributes:
        seconds: the clock's time of the reading.
        beat: Link's beat, by this peer's own count; the same within the quantum for all peers.
        bpm: tempo.
        playing: whether the session plays.
        peers: how many others there are.
    """

    seconds: float
    beat: float
    bpm: float
    playing: bool
    peers: int


@dataclass(frozen=True, slots=True)
class LinkState:
    """What was made of the readings so far.

    Attributes:
        bpm: the tempo reported last.
        playing: whether the session played.
        waiting_for_beat: Link's beat at which the song begins, or None while no start is under way.
        off_before: whether the last reading was off by more than allowed.
        locates: how often the position was corrected.
        out_of_range: how often the session changed to a tempo that a song cannot have.
        refused_bpm: that tempo, until another comes.
    """

    bpm: float | None = None
    playing: bool = False
    waiting_for_beat: float | None = None
    off_before: bool = False
    locates: int = 0
    out_of_range: int = 0
    refused_bpm: float | None = None


Step = tuple[tuple[ControlCall, ...], LinkState]


def step(reading: LinkReading, state: LinkState, beat_at: BeatAt, settings: LinkSettings) -> Step:
    """Return the calls that `reading` amounts to, and the state behind them.

    Args:
        reading: the session now.
        state: `LinkState()`, or what the last step gave.
        beat_at: where Backline's transport is once the calls of the last step have been carried out.
        settings: how to follow.
    """
    if reading.peers == 0:  # alone: the transport runs on as it is; whoever joins finds its tempo reported anew
        return (), replace(state, bpm=None, playing=False, waiting_for_beat=None, off_before=False)
    calls, state = _tempo(reading, state)
    if settings.follow_start_stop:
        moves, state = _start_stop(reading, state, settings)
        if moves or state.waiting_for_beat is not None:
            return (*calls, *moves), replace(state, off_before=False)
    correction, state = _phase(reading, state, beat_at, settings)
    return (*calls, *correction), state


def _tempo(reading: LinkReading, state: LinkState) -> Step:
    """Report the session's tempo if it is another one."""
    bpm = round(reading.bpm, 3)  # Link counts in whole microseconds a beat: 93.5 comes as 93.50003
    if not MIN_BPM <= bpm <= MAX_BPM:
        if state.refused_bpm == bpm:
            return (), state
        return (), replace(state, out_of_range=state.out_of_range + 1, refused_bpm=bpm)
    state = replace(state, refused_bpm=None)
    if state.bpm is not None and abs(bpm - state.bpm) <= TEMPO_STEP_BPM:
        return (), state
    return (ControlCall("/backline/tempo", {"bpm": bpm}, reading.seconds),), replace(state, bpm=bpm)


def _start_stop(reading: LinkReading, state: LinkState, settings: LinkSettings) -> Step:
    """Locate when the session starts, play on its downbeat, stop when it stops."""
    calls: list[ControlCall] = []
    if reading.playing and not state.playing:
        bars = math.ceil((reading.beat - DOWNBEAT_GRACE_BEATS) / settings.quantum_beats)
        state = replace(state, playing=True, waiting_for_beat=bars * settings.quantum_beats)
        calls.append(ControlCall("/backline/locate", {"beat": settings.start_beat}, reading.seconds))
    elif state.playing and not reading.playing:
        state = replace(state, playing=False, waiting_for_beat=None)
        calls.append(ControlCall("/backline/stop", {}, reading.seconds))
    if state.waiting_for_beat is not None and reading.beat >= state.waiting_for_beat:
        late_seconds = (reading.beat - state.waiting_for_beat) * 60.0 / reading.bpm
        state = replace(state, waiting_for_beat=None)
        calls.append(ControlCall("/backline/play", {}, reading.seconds - late_seconds))
    return tuple(calls), state


def _phase(reading: LinkReading, state: LinkState, beat_at: BeatAt, settings: LinkSettings) -> Step:
    """Locate if the transport, while it moves, is off the session's bar by more than allowed, twice in a row."""
    transport_beat = beat_at(reading.seconds)
    if transport_beat is None:
        return (), replace(state, off_before=False)
    quantum = settings.quantum_beats
    error_beats = math.remainder(reading.beat - (transport_beat - settings.start_beat), quantum)
    off = abs(error_beats) * 60.0 / reading.bpm > settings.locate_seconds
    if not (off and state.off_before):
        return (), replace(state, off_before=off)
    call = ControlCall("/backline/locate", {"beat": transport_beat + error_beats}, reading.seconds)
    return (call,), replace(state, off_before=False, locates=state.locates + 1)
