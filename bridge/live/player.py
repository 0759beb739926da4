"""The player: from rolls to what the sound card gets, on the host's position, whatever becomes of the generator.

For each quantum it asks where the host will be when that is heard, goes there (on in a straight line if it is there
already, by an imperceptible change of speed if clocks have drifted, by a jump if the host jumped), and plays the best
there is for that place: the fresh chunk, else an older one's backup, else the last bar again, else a fade to silence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bridge.clock import Clock
from bridge.live.ladder import best_source
from bridge.live.lane import LaneKey, Lanes, Roll
from bridge.live.mixing_desk import GATE_RAMP_SAMPLES, MixingDesk
from bridge.live.playing import (
    FADE_SAMPLES,
    JOIN_SAMPLES,
    Front,
    Host,
    Level,
    Sounding,
    Source,
    Standby,
    early,
    moved,
    on_roll,
    shortest,
)
from bridge.live.quantum import Gains, Quantum, Voice, render, touched
from bridge.sound.output import SoundOut
from bridge.transport.view import HostView
from engine.geometry import AUDIO_CHANNELS, SAMPLE_RATE_HZ, STEMS

Array = NDArray[np.float32]

QUANTUM_SAMPLES = 2_048  # the fewer, the less often the interpreter is waited for; borders cut them
STRIDE_DECAY = 0.9995  # a call; there are 5 to 40 a second
LEAST_SAMPLES = 128  # a quantum may carry a fade
WORTHWHILE_SAMPLES = 384  # less room than that, or than half of the ring, can wait
STANDBY_SAMPLES = 8_820  # 0.2 s: how long the player may be held up without being missed
LOOSE_SAMPLES = 40.0  # under a millisecond: a jitter that nobody hears is left alone, so sound is copied to the bit
TIGHT_SAMPLES = 10.0  # sound servers interpolate their time in slanted pieces: nearer is not worth a resampling
JUMP_SAMPLES = 0.02 * SAMPLE_RATE_HZ  # about where one stroke becomes two; by speed it would last for many seconds
MAX_DRIFT = 0.003
DRIFT_SECONDS = 0.25
PITCH_TOLERANCE = 0.06  # about a semitone: beyond it bass and harmony pause until a chunk in the new tempo is there


class Player:
    """Writes to a sound output; one thread calls `fill`, others read `front` and counts.

    Attributes:
        desk: the mixing desk; assign another to change it.
        offset_samples: how much later, in song samples, the host's place is taken to be.
        counts: samples played at each level.
    """

    def __init__(
        self,
        clock: Clock,
        host: Host,
        out: SoundOut,
        lanes: Lanes,
        on_quantum: Callable[[Quantum, float], None] | None = None,
        on_level: Callable[[Level, Level, float], None] | None = None,
        on_stems: Callable[[Array], None] | None = None,
    ) -> None:
        """Play `lanes` to `out`.

        Args:
            clock: the time.
            host: the transport.
            out: where sound goes.
            lanes: what there is to play.
            on_quantum: told of each quantum and its song position.
            on_level: told when the level changes: from, to, song position.
            on_stems: given each quantum's stems (stems, 2, samples), after gains.
        """
        self.desk = MixingDesk()
        self.offset_samples = 0.0
        self.counts: Counter[Level] = Counter()
        self.clipped_samples = 0
        self._clock, self._host, self._out, self._lanes = clock, host, out, lanes
        self._on_quantum, self._on_level, self._on_stems = on_quantum, on_level, on_stems
        self._key = LaneKey(-1, 0)
        self._next = 0.0
        self._correcting = False
        self._joining = 0  # samples of the cross-fade into a place that was jumped to, until it is done
        self._sounding: Sounding | None = None
        self._level = Level.RESTING
        self._gains: Gains = tuple(0.0 for _ in STEMS)
        self._front = Front(self._key, 0.0, False)
        self._rolls: dict[int, Roll] = {}
        self._wanted_position = 0
        self._standby = Standby(0, None, self._gains)
        self._stood_in_samples = 0
        self._most_room = 0
        self._stride_samples = 0.0

    @property
    def front(self) -> Front:
        """Where the next sample goes."""
        return self._front

    @property
    def stride_seconds(self) -> float:
        """How far the front moves at once, at most, of late: by what a driver with a large buffer takes at a time."""
        return self._stride_samples / SAMPLE_RATE_HZ

    @property
    def level(self) -> Level:
        """What sounds now."""
        return self._level

    def fill(self) -> int:
        """Write as many quanta as the output takes; return how many samples."""
        wanted = self._out.writable_samples()
        self._most_room = max(self._most_room, wanted)
        if wanted < min(WORTHWHILE_SAMPLES, self._most_room // 2):
            return 0
        done = 0
        while (room := min(wanted - done, self._out.writable_samples())) >= LEAST_SAMPLES:
            done += self._write(min(room, QUANTUM_SAMPLES))
        if self._front.moving:
            self._stride_samples = max(float(done), STRIDE_DECAY * self._stride_samples)
        self._stand_by()
        return done

    def _stand_by(self) -> None:
        """Let what sounds go on by itself, should the next call come too late; what stands by already may do."""
        sounding, samples = self._sounding, STANDBY_SAMPLES
        used = self._wanted_position - self._standby.position
        if used < STANDBY_SAMPLES // 2 and self._standby.still_goes_on(self._wanted_position, sounding, self._gains):
            return
        if sounding is not None:
            while samples and not sounding.source.roll.covers(*touched(sounding.voice(), samples)):
                samples -= samples // 8 + 1
        self._standby = Standby(self._wanted_position, sounding, self._gains)
        sound = np.zeros((AUDIO_CHANNELS, samples), np.float32)
        if sounding is not None and samples:
            roll = sounding.source.roll
            stems = render(self._standby.quantum(0, samples), lambda _: (roll.start_sample, roll.audio()))
            sound = np.clip(stems.sum(axis=0), -1.0, 1.0)
        self._out.stand_by(sound)

    def _catch_up(self) -> None:
        """Go past what stood in for the player since the last quantum, as if it had been written."""
        stood_in_samples = self._out.stood_in_samples()
        samples, self._stood_in_samples = stood_in_samples - self._stood_in_samples, stood_in_samples
        if samples <= 0:
            return
        position = self._out.write_position()
        if position != self._wanted_position + samples:
            return
        quantum = self._standby.quantum(self._wanted_position - self._standby.position, samples)
        self._wanted_position = position
        start = self._next
        if self._sounding is not None:
            self._next += samples * self._sounding.step
            self._sounding = self._sounding.after(samples)
        elif self._front.moving:
            self._next += samples
        if self._front.moving:
            self._front = Front(self._key, self._next, True)
        self._done(quantum, start)

    def _write(self, room: int) -> int:
        """Write one quantum of at most `room` samples."""
        self._catch_up()
        view = self._host.now_view(self._clock.now(), builds=False)
        quantum = self._moving_quantum(view, room) if view.moving else self._resting_quantum(view, room)
        stems = render(quantum, self._audio_of)
        self._rolls.clear()
        mix = stems.sum(axis=0)
        self._count_clipping(mix)
        position = self._out.write_position()
        self._out.write(mix)
        self._wanted_position = position + quantum.samples
        if self._on_stems is not None:
            self._on_stems(stems)
        return quantum.samples

    def _resting_quantum(self, view: HostView, room: int) -> Quantum:
        """Return what is left of the sound when the transport stands: a fade, then silence."""
        place = view.position_at(self._clock.now())
        self._front = Front(LaneKey(view.epoch, 0), place, False)
        self._key = LaneKey(-1, 0)
        if self._sounding is not None:
            room = min(room, FADE_SAMPLES)
        voices = self._leave(room)
        self._change_level(Level.RESTING, place)
        return self._done(Quantum(room, voices, self._gains, self._gains), place)

    def _moving_quantum(self, view: HostView, room: int) -> Quantum:
        """Return the next of the sound at the place where the host will be when it is heard."""
        place = view.position_at(self._out.next_sample_seconds()) + self.offset_samples
        step = self._go_to(place, view)
        samples = self._until_border(view, room, step)
        start = self._next
        source = best_source(view, self._lanes.get(self._key), start, step, samples)
        if not self._goes_on(source):  # what sounds is sure to last for a fade, and may for a shorter quantum
            samples = min(samples, FADE_SAMPLES)
            source = best_source(view, self._lanes.get(self._key), start, step, samples)
        to_gains = self._to_gains(view, source, start, step, samples)
        quantum = Quantum(samples, self._voices(view, source, start, step, samples), self._gains, to_gains)
        self._level_of(source, start)
        self._gains = to_gains
        self._advance(view, start + samples * step)
        return self._done(quantum, start)

    def _go_to(self, place: float, view: HostView) -> float:
        """Set the position to be read next, by a jump or by changing speed; return the step between samples."""
        if self._key.epoch != view.epoch:
            key = LaneKey(view.epoch, 0)
            if not self._front.moving:
                self._lanes.adopt(self._front.key, key, place)
            self._jump(key, place)
            return 1.0
        if view.loop is not None and place < view.loop.end_sample <= self._next:
            self._jump(self._key.next_pass, place)  # the loop came when its end had been written already
            return 1.0
        error = shortest(place - self._next, view)
        if abs(error) > JUMP_SAMPLES or (self._lost_time() and abs(error) > LOOSE_SAMPLES):
            self._jump(self._key, place)
            return 1.0
        if abs(error) > LOOSE_SAMPLES:
            self._correcting = True
        elif abs(error) < TIGHT_SAMPLES and self._correcting:
            self._correcting = False
            self._next = float(round(self._next))
        if not self._correcting:
            return 1.0
        return 1.0 + min(max(error / (DRIFT_SECONDS * SAMPLE_RATE_HZ), -MAX_DRIFT), MAX_DRIFT)

    def _lost_time(self) -> bool:
        """Return whether the output played silence of its own since the last quantum."""
        return self._out.write_position() != self._wanted_position

    def _jump(self, key: LaneKey, place: float, fade_samples: int = FADE_SAMPLES) -> None:
        self._key, self._next, self._correcting, self._joining = key, float(round(place)), False, fade_samples

    def _until_border(self, view: HostView, room: int, step: float) -> int:
        """Return how many samples may be written until the loop's end, a gate's border or a new roll's entry."""
        borders = [self.desk.border_after(self._next)]
        if (lane := self._lanes.get(self._key)) is not None:
            borders += [roll.enter_sample for roll in lane.rolls if roll.enter_sample >= self._next + 1.0]
        if view.loop is not None and self._next < view.loop.end_sample - early(view.loop):
            borders.append(round(view.loop.end_sample - early(view.loop)))
        distances = [round((border - self._next) / step) for border in borders if border is not None]
        return max(1, min([room, *distances]))

    def _advance(self, view: HostView, position: float) -> None:
        """Move on to `position`; at the loop's end back to its start, so early that a beat on it keeps its attack."""
        loop = view.loop
        if loop is not None and self._next < loop.end_sample - early(loop) <= position + 0.5:
            self._jump(self._key.next_pass, position - loop.length_samples, JOIN_SAMPLES)
            position = self._next
        self._next = position
        self._front = Front(self._key, position, True)

    def _voices(
        self, view: HostView, source: Source | None, start: float, step: float, samples: int
    ) -> tuple[Voice, ...]:
        """Return what sounds: one voice, or a cross-fade from what sounded before."""
        joining, self._joining = self._joining, 0
        if source is None:
            return self._leave(samples)
        content, content_step = on_roll(view, source.roll, start - source.shift_samples, step, samples)
        voice = Voice(source.roll.number, content, content_step)
        goes_on = not joining and self._goes_on(source)
        fade = joining or FADE_SAMPLES
        leaving = () if goes_on else self._leave(samples, fade)
        self._rolls[source.roll.number] = source.roll
        self._sounding = Sounding(source, content + samples * content_step, content_step)
        if goes_on:
            return (voice,)
        rise = fade if leaving else JOIN_SAMPLES
        return (*leaving, voice._replace(from_gain=0.0, ramp_samples=min(rise, samples)))

    def _goes_on(self, source: Source | None) -> bool:
        """Return whether `source` only goes on with what sounds, if anything does."""
        return self._sounding is None if source is None else bool(self._sounding and self._sounding.same_as(source))

    def _leave(self, samples: int, fade_samples: int = FADE_SAMPLES) -> tuple[Voice, ...]:
        """Return the voice that lets what sounded end; nothing sounds after it."""
        sounding, self._sounding = self._sounding, None
        voice = sounding.fade_out(samples, fade_samples) if sounding else None
        if sounding is None or voice is None:
            return ()
        self._rolls[sounding.source.roll.number] = sounding.source.roll
        return (voice,)

    def _to_gains(self, view: HostView, source: Source | None, start: float, step: float, samples: int) -> Gains:
        gains = moved(self._gains, self.desk.factors_at(start + samples * step), samples)
        if source is None:
            return gains
        _, content_step = on_roll(view, source.roll, start - source.shift_samples, step, samples)
        if abs(content_step - 1.0) <= PITCH_TOLERANCE:
            return gains
        return tuple(gain if stem == "drums" else 0.0 for stem, gain in zip(STEMS, gains, strict=True))

    def _level_of(self, source: Source | None, place: float) -> None:
        if self._lanes.get(self._key) is None or not any(self.desk.factors_at(place + GATE_RAMP_SAMPLES)):
            self._change_level(Level.RESTING, place)
        elif source is not None:
            self._change_level(source.level, place)
        else:
            self._change_level(Level.SILENCE, place)

    def _change_level(self, level: Level, place: float) -> None:
        if level is not self._level:
            before, self._level = self._level, level
            if self._on_level is not None:
                self._on_level(before, level, place)

    def _done(self, quantum: Quantum, place: float) -> Quantum:
        self.counts[self._level] += quantum.samples
        if self._on_quantum is not None:
            self._on_quantum(quantum, place)
        return quantum

    def _audio_of(self, number: int) -> tuple[int, Array]:
        roll = self._rolls[number]
        return roll.start_sample, roll.audio()

    def _count_clipping(self, mix: Array) -> None:
        if max(mix.max(initial=0.0), -mix.min(initial=0.0)) > 1.0:
            self.clipped_samples += int((np.abs(mix) > 1.0).any(axis=0).sum())
            np.clip(mix, -1.0, 1.0, out=mix)
