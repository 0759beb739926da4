"""MIDI clock as a transport: ticks, start, stop, continue and song position become the calls of a partial transport.

The tempo is read off the ticks (`bridge.midi.tick_tempo`) four times a beat and reported when it has changed by more
than `TEMPO_STEP_BPM`. The position is the count of ticks since the song's start, which never drifts. Backline's own
transport is held to it in two ways: off by more than `locate_seconds`, it is located; off by less, but by more than
`QUIET_SECONDS`, the reported tempo is made a little faster or slower than the measured one, such that the error
would be gone after `catch_up_seconds`; once inside, the measured tempo is reported again. At the default settings
such a nudge is at most 0.75 % of the tempo.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bridge.midi.messages import (
    CONTINUE,
    SONG_POSITION,
    START,
    STOP,
    TICK,
    BeatAt,
    ControlCall,
    MidiMessage,
)
from bridge.midi.tick_tempo import KEPT_TICKS, TICKS_PER_BEAT, TickFit, fit_ticks
from engine.timeline import MAX_BPM, MIN_BPM

TICKS_PER_SONG_POSITION = 6  # a song position counts sixteenths
TICKS_BETWEEN_LOOKS = 6
TEMPO_STEP_BPM = 0.05
UNSURE_SIGMAS = 2.5  # while fewer than two beats have been heard, smaller changes than the error are not reported
SURE_TICKS = 2 * TICKS_PER_BEAT
QUIET_SECONDS = 0.002
GAP_SECONDS = 0.35  # four ticks at the slowest tempo


@dataclass(frozen=True, slots=True)
class ClockSettings:
    """How the clock is followed.

    Attributes:
        latency_seconds: how late the ticks arrive; taken off their times. Negative for a clock that runs ahead.
        locate_seconds: beyond this error the transport is located.
        catch_up_seconds: in this time a smaller error would be gone.
    """

    latency_seconds: float = 0.0
    locate_seconds: float = 0.03
    catch_up_seconds: float = 4.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not -0.5 <= self.latency_seconds <= 0.5:
            raise ValueError(f"latency_seconds {self.latency_seconds} is out of range; give -0.5 to 0.5 s")
        if not 0.005 <= self.locate_seconds <= 1.0:
            raise ValueError(f"locate_seconds {self.locate_seconds} is out of range; give 0.005 to 1 s")
        if not 0.5 <= self.catch_up_seconds <= 60.0:
            raise ValueError(f"catch_up_seconds {self.catch_up_seconds} is out of range; give 0.5 to 60 s")


@dataclass(frozen=True, slots=True)
class ClockState:
    """What is known of the clock.

    Attributes:
        arrivals_seconds: when the latest ticks came, at most `KEPT_TICKS`, the latency taken off.
        next_tick: song position of the next tick, in ticks from the start of the song.
        playing: whether the song moves.
        armed: start or continue came; the next tick is the first of the song's moving.
        placed: a new position came while playing; the next tick is there.
        since_look: ticks since the last look at tempo and position.
        reported_bpm: the tempo that was reported last, nudges included.
        bpm: the tempo as measured last.
        locates: how often the position had to be corrected by a locate.
        gaps: how often the ticks were missing for a while as the song moved.
        out_of_range: looks at which the tempo was not one that a song can have.
        bad_messages: messages with wrong bytes.
    """

    arrivals_seconds: tuple[float, ...] = ()
    next_tick: int = 0
    playing: bool = False
    armed: bool = False
    placed: bool = False
    since_look: int = 0
    reported_bpm: float | None = None
    bpm: float | None = None
    locates: int = 0
    gaps: int = 0
    out_of_range: int = 0
    bad_messages: int = 0

    @property
    def last_tick_seconds(self) -> float | None:
        """When the latest tick came, or None before the first; how old it is tells whether there is a clock."""
        return self.arrivals_seconds[-1] if self.arrivals_seconds else None


NEW_CLOCK = ClockState()
Step = tuple[tuple[ControlCall, ...], ClockState]


def step(
    messages: Sequence[MidiMessage], state: ClockState, beat_at: BeatAt, settings: ClockSettings | None = None
) -> Step:
    """Return the calls that `messages` amount to, and the state behind them.

    Args:
        messages: what has come since the last step, in order; other kinds of messages are passed over.
        state: `NEW_CLOCK`, or what the last step gave.
        beat_at: where Backline's transport is once the calls of the last step have been carried out.
        settings: how to follow.
    """
    settings = settings or ClockSettings()
    calls: list[ControlCall] = []
    for message in messages:
        seconds = message.arrived_seconds - settings.latency_seconds
        new_calls, state = _take(message, seconds, state)
        calls += new_calls
    moved = any(call.address != "/backline/tempo" for call in calls)  # beat_at does not know of it yet
    if state.since_look >= TICKS_BETWEEN_LOOKS and not moved:
        look_calls, state = _look(state, beat_at, settings)
        calls += look_calls
    return tuple(calls), state


def _take(message: MidiMessage, seconds: float, state: ClockState) -> Step:
    """Return what one message means."""
    if message.kind == TICK:
        return _tick(seconds, state)
    if message.kind == START:
        calls = () if state.playing else (_locate(0, seconds),)
        return calls, replace(state, next_tick=0, armed=True, placed=state.playing)
    if message.kind == CONTINUE:
        return (), replace(state, armed=True)
    if message.kind == STOP:
        calls = (ControlCall("/backline/stop", {}, seconds),) if state.playing else ()
        return calls, replace(state, playing=False, armed=False, placed=False)
    if message.kind == SONG_POSITION:
        return _song_position(message, seconds, state)
    return (), state


def _tick(seconds: float, state: ClockState) -> Step:
    """Return what a tick sets off: the first one after a start plays, the first one after a jump locates."""
    last_seconds = state.last_tick_seconds
    if last_seconds is not None and not 0.0 <= seconds - last_seconds <= GAP_SECONDS:
        state = _after_gap(seconds - last_seconds, state)
    calls: tuple[ControlCall, ...] = ()
    if state.placed:
        calls = (_locate(state.next_tick, seconds),)
    if state.armed and not state.playing:
        calls = (*calls, ControlCall("/backline/play", {}, seconds))
    playing = state.playing or state.armed
    return calls, replace(
        state,
        arrivals_seconds=(*state.arrivals_seconds[1 - KEPT_TICKS :], seconds),
        next_tick=state.next_tick + playing,
        playing=playing,
        armed=False,
        placed=False,
        since_look=state.since_look + 1,
    )


def _after_gap(gap_seconds: float, state: ClockState) -> ClockState:
    """Return the state without the ticks before a gap; a song that moved is taken to have gone on meanwhile."""
    missed = 0
    if state.playing and state.bpm is not None and gap_seconds > 0.0:
        missed = max(round(gap_seconds * state.bpm * TICKS_PER_BEAT / 60.0) - 1, 0)
    gaps = state.gaps + state.playing
    return replace(state, arrivals_seconds=(), since_look=0, next_tick=state.next_tick + missed, gaps=gaps)


def _song_position(message: MidiMessage, seconds: float, state: ClockState) -> Step:
    """Return where a song position pointer leads: at once while stopped, on the next tick while playing."""
    values = message.values()
    if values is None:
        return (), replace(state, bad_messages=state.bad_messages + 1)
    next_tick = (values[0] + 128 * values[1]) * TICKS_PER_SONG_POSITION
    calls = () if state.playing else (_locate(next_tick, seconds),)
    return calls, replace(state, next_tick=next_tick, placed=state.playing)


def _look(state: ClockState, beat_at: BeatAt, settings: ClockSettings) -> Step:
    """Compare tempo and position with what the transport has, and return what sets it right."""
    state = replace(state, since_look=0)
    fit = fit_ticks(state.arrivals_seconds)
    if fit is None:
        return (), state
    if not MIN_BPM <= fit.bpm <= MAX_BPM:
        return (), replace(state, out_of_range=state.out_of_range + 1)
    state = replace(state, bpm=fit.bpm)
    error_seconds = _error_seconds(fit, state, beat_at)
    calls: tuple[ControlCall, ...] = ()
    if abs(error_seconds) > settings.locate_seconds:
        calls = (_locate(state.next_tick - 1, fit.last_seconds),)
        state, error_seconds = replace(state, locates=state.locates + 1), 0.0
    wanted_bpm = fit.bpm
    if abs(error_seconds) > QUIET_SECONDS:
        wanted_bpm *= 1.0 + error_seconds / settings.catch_up_seconds
    wanted_bpm = min(max(wanted_bpm, MIN_BPM), MAX_BPM)
    if _differs(wanted_bpm, fit, state):
        tempo = ControlCall("/backline/tempo", {"bpm": wanted_bpm}, fit.last_seconds)
        calls, state = (tempo, *calls), replace(state, reported_bpm=wanted_bpm)
    return calls, state


def _error_seconds(fit: TickFit, state: ClockState, beat_at: BeatAt) -> float:
    """Return by how much the transport is behind the clock at the last tick; 0 where one of them stands still."""
    transport_beat = beat_at(fit.last_seconds) if state.playing else None
    if transport_beat is None:
        return 0.0
    clock_beat = (state.next_tick - 1) / TICKS_PER_BEAT
    return (clock_beat - transport_beat) * TICKS_PER_BEAT * fit.seconds_per_tick


def _differs(wanted_bpm: float, fit: TickFit, state: ClockState) -> bool:
    """Tell whether the tempo is worth reporting: it moved, and by more than it is unsure."""
    if state.reported_bpm is None:
        return True
    unsure_bpm = UNSURE_SIGMAS * fit.error_bpm if fit.intervals < SURE_TICKS else 0.0
    return abs(wanted_bpm - state.reported_bpm) > max(TEMPO_STEP_BPM, unsure_bpm)


def _locate(tick: int, seconds: float) -> ControlCall:
    return ControlCall("/backline/locate", {"beat": tick / TICKS_PER_BEAT}, seconds)
