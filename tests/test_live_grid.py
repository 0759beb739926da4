"""The live session on a clock of its own: clicks on the host's grid to the sample, and what happens when one falls off.

`Rig` plays host, player, generator and backup thread in one: time passes block by block, also while a band is "busy",
so a chunk that takes eight seconds takes no time here and every sample that comes out can be looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks import grid
from benchmarks.click_band import CLICK, ClickBand
from bridge.clock import ManualClock
from bridge.hearing.vocal_buffer import VocalBuffer
from bridge.live.controls import Controls, Lock
from bridge.live.generator import Generator
from bridge.live.lane import Lanes
from bridge.live.mixing_desk import GATE_RAMP_SAMPLES, Gate
from bridge.live.pace import Pace
from bridge.live.player import Player
from bridge.live.playing import Level
from bridge.live.quantum import Quantum
from bridge.live.work import Change, Delivery, Shape
from bridge.transport.host import HostTransport
from bridge.transport.simulation import HostScript, HostSimulator, ScriptAction, ScriptTempo
from engine.band import Entry
from engine.geometry import ACCOMPANIMENT_CHANNELS, AUDIO_CHANNELS, LATENT_HOP_SAMPLES, SAMPLE_RATE_HZ, STEMS
from engine.live_chunk import ChunkPlan, MadeChunk, Score
from engine.stem_decoder import LATE_SAMPLES, PIECE_FRAMES, Piece
from engine.timeline import Timeline
from engine.wish import Wish

Array = NDArray[np.float32]

BLOCK_SAMPLES = 256
RING_SECONDS = 0.03
MAKING_SECONDS = 0.1
BPM = 240.0  # a beat of 11 025 samples, a bar of a second
BEAT_SAMPLES = 11_025
BAR_SECONDS = 1.0
CHUNK_SECONDS = 8 * LATENT_HOP_SAMPLES / SAMPLE_RATE_HZ
PLAY = ScriptAction(0.5, "play")
LEVEL = 0.05  # of each stem that a `LevelBand` plays: even twice three times three of them do not clip
STEADIEST = 1.01 / GATE_RAMP_SAMPLES  # of what is faded: the largest step that is no click


class RigClock(ManualClock):
    """What the band sleeps on: time passes for the rest of the rig meanwhile."""

    pass_time: Callable[[float], None]

    def __init__(self, clock: ManualClock, pass_time: Callable[[float], None]) -> None:
        super().__init__()
        self._real = clock
        self.pass_time = pass_time

    def now(self) -> float:
        return self._real.now()

    def sleep(self, seconds: float) -> None:
        self.pass_time(seconds)


class LevelBand(ClickBand):
    """A band that plays one constant per stem, which a test may change: what was made when is heard at once.

    What was made is remembered by frame and stem, as the real band does, so locks and second passes keep it.
    """

    def __init__(self, clock: ManualClock, seconds: float = 0.0, value: float = LEVEL) -> None:
        super().__init__(clock, seconds)
        self.value = value
        self.sampled_frames: list[int] = []
        self.asked_at: list[float] = []
        self._clock_now = clock.now
        self._by_frame: dict[tuple[str, int], float] = {}

    def forget(self, stems: tuple[str, ...], start_frame: int, end_frame: int | None = None) -> None:
        for stem, frame in list(self._by_frame):
            if stem in stems and frame >= start_frame and (end_frame is None or frame < end_frame):
                del self._by_frame[stem, frame]

    def remembers(self, start_frame: int, frames: int) -> bool:
        return all(
            (stem, frame) in self._by_frame for stem in STEMS for frame in range(start_frame, start_frame + frames)
        )

    def make(
        self, plan: ChunkPlan, score: Score, progress: Callable[[float], None] | None = None
    ) -> tuple[MadeChunk, Iterator[Piece], Entry]:
        sampled = not self.remembers(plan.first_frame, plan.chunk_frames)
        self.asked_at.append(self._clock_now())
        if sampled:
            for share in (0.25, 0.5, 0.75, 1.0):
                self._clock.sleep(self.seconds / 4)
                if progress is not None:
                    progress(share)
            self.sampled_frames.append(plan.first_frame)
        value = score.wish.guidance_scale * self.value
        frames = range(plan.first_frame, plan.first_frame + plan.frames)
        values = np.array([[self._by_frame.get((stem, frame), value) for frame in frames] for stem in STEMS])
        for row, stem in enumerate(STEMS):
            for frame in range(plan.first_frame, plan.end_frame):
                self._by_frame.setdefault((stem, frame), float(values[row, frame - plan.first_frame]))
        latents = np.zeros((ACCOMPANIMENT_CHANNELS, plan.frames), np.float32)
        chunk = MadeChunk(plan, latents, sampled, plan.first_frame, "", score)
        return chunk, self._constant_pieces(plan, values), Entry(True, np.zeros((0, 0), np.float32))

    def _constant_pieces(self, plan: ChunkPlan, values: NDArray[np.float64]) -> Iterator[Piece]:
        start = max(plan.first_frame * LATENT_HOP_SAMPLES - LATE_SAMPLES, 0)
        state = next(iter(ClickBand(self._clock)._pieces(plan, Timeline.constant(BPM)))).state
        for frame in range(plan.first_frame, plan.first_frame + plan.frames, PIECE_FRAMES):
            end = (frame + PIECE_FRAMES) * LATENT_HOP_SAMPLES - LATE_SAMPLES
            audio = np.repeat(_smoothly(plan, values, start, end)[:, None], AUDIO_CHANNELS, axis=1)
            yield Piece(start, audio, state, frame + PIECE_FRAMES)
            start = end


def _smoothly(plan: ChunkPlan, values: NDArray[np.float64], start: int, end: int) -> Array:
    """Return (stems, samples) that goes from frame to frame in half a frame, from `start` to before `end`."""
    position = np.arange(start, end) / LATENT_HOP_SAMPLES - plan.first_frame
    at = np.clip(np.floor(position).astype(int), 0, plan.frames - 1)
    share = np.clip(2.0 * (position - at), 0.0, 1.0)
    before = values[:, np.maximum(at - 1, 0)]
    return (before + (values[:, at] - before) * share).astype(np.float32)


class Rig:
    """A session in one thread: `run` lets time pass, and everything that came out is kept.

    Args:
        actions: what the host does.
        band: makes the band from its clock.
        tempos: the host's tempo track.
        rate_hz: the host's rate.
        ring_seconds: fill of the ring.
    """

    def __init__(
        self,
        actions: tuple[ScriptAction, ...] = (PLAY,),
        band: Callable[[RigClock], ClickBand] = ClickBand,
        tempos: tuple[ScriptTempo, ...] = (ScriptTempo(0, BPM),),
        rate_hz: int = SAMPLE_RATE_HZ,
        ring_seconds: float = RING_SECONDS,
    ) -> None:
        self.clock = ManualClock()
        self.simulator = HostSimulator(HostScript(tempos, actions=actions, rate_hz=rate_hz, block_samples=256))
        self._block = 0
        self._host_blocks = self.simulator.blocks(1 << 30)
        self.sends = True
        self.out = grid.Recording(self.clock)
        self.out._wanted_samples = round(ring_seconds * SAMPLE_RATE_HZ)
        self.host = HostTransport(self.clock)
        self.lanes = Lanes()
        self.quanta: list[tuple[Quantum, float]] = []
        self.stems: list[Array] = []
        self.levels: list[tuple[Level, float]] = []
        self.deliveries: list[tuple[float, Delivery]] = []
        self.troubles: list[str] = []
        self.band = band(RigClock(self.clock, self._pass))
        self.pace = Pace(MAKING_SECONDS)
        self.player = Player(
            self.clock,
            self.host,
            self.out,
            self.lanes,
            lambda quantum, place: self.quanta.append((quantum, place)),
            lambda _, after, __: self.levels.append((after, self.clock.now())),
            self.stems.append,
        )
        vocal = VocalBuffer(self.clock)
        self.generator = Generator(
            self.clock,
            self.host,
            self.player,
            self.lanes,
            self.band,
            vocal.take,
            Controls(Wish(guidance_scale=1.0)),
            Shape(8, 128),
            self.pace,
            lambda delivery: self.deliveries.append((self.clock.now(), delivery)),
            self.troubles.append,
        )
        self.out.open()

    def run(self, until_seconds: float) -> None:
        """Let everything happen until `until_seconds`."""
        due_seconds = 0.0
        while self.clock.now() < until_seconds - 1e-9:
            if self.clock.now() >= due_seconds - 1e-9 or self.generator.wake.is_set():
                self.generator.wake.clear()
                idle_seconds = self.generator.step()
                due_seconds = self.clock.now() + idle_seconds
                if idle_seconds <= 0:
                    continue
            self._pass(min(due_seconds, until_seconds) - self.clock.now())

    def _pass(self, seconds: float) -> None:
        """Let `seconds` pass for all but the generator, in steps of at most a block."""
        until_seconds = self.clock.now() + seconds
        while self.clock.now() < until_seconds - 1e-9:
            block_seconds = self.simulator.block_seconds(self._block)
            if block_seconds > until_seconds:
                self.clock.advance_to(until_seconds)
                break
            self.clock.advance_to(max(block_seconds, self.clock.now()))
            self._block += 1
            block = next(self._host_blocks)
            if self.sends:
                self.host.observe(block.snapshot, block.seconds)
            self.player.fill()
            while self.generator.step_backup() <= 0:
                pass

    @property
    def sound(self) -> Array:
        """(samples,) of what was heard from time 0 on, one channel."""
        return placed([(seconds, audio) for seconds, audio in self.out.blocks])

    @property
    def stem_sound(self) -> Array:
        """(stems, samples) of what was heard from time 0 on, one channel of each stem."""
        times = [seconds for seconds, _ in self.out.blocks]
        rows = [placed([(t, s[row, 0]) for t, s in zip(times, self.stems, strict=True)]) for row in range(len(STEMS))]
        return np.stack(rows)

    def level_names(self) -> list[str]:
        """Return the levels in the order in which they came."""
        return [level.value for level, _ in self.levels]


def placed(blocks: list[tuple[float, Array]]) -> Array:
    """Return blocks at their times as one run of samples."""
    end_seconds, last = blocks[-1]
    sound = np.zeros(round(end_seconds * SAMPLE_RATE_HZ) + len(last), np.float32)
    for seconds, audio in blocks:
        at = round(seconds * SAMPLE_RATE_HZ)
        sound[at : at + len(audio)] = audio
    return sound


def sample(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE_HZ)


def largest_step(sound: Array) -> float:
    """Return the largest difference between neighbours."""
    return float(np.abs(np.diff(sound)).max(initial=0.0))


def clicks(sound: Array) -> NDArray[np.int64]:
    """Return where the clicks are."""
    return np.flatnonzero(np.abs(sound) > 0.1)


# The grid, exactly.


def short_script() -> HostScript:
    """Return steps, a ramp, 3/4, 7/8, a locate, a loop and a stop in 64 s, some 70 bars."""
    tempos = (
        ScriptTempo(0, 230),
        ScriptTempo(48, 280),
        ScriptTempo(96, 280, ramp=True),
        ScriptTempo(112, 200),
        ScriptTempo(160, 300),
    )
    signatures = ((0.0, 4, 4), (64.0, 3, 4), (130.0, 7, 8), (158.0, 4, 4))
    actions = (
        ScriptAction(0.5, "play"),
        ScriptAction(30.0, "loop", 104.0, 107.5),
        ScriptAction(30.2, "locate", 105.0),
        ScriptAction(34.0, "loop_off"),
        ScriptAction(44.0, "stop"),
        ScriptAction(45.0, "locate", 8.0),
        ScriptAction(46.0, "play"),
        ScriptAction(54.0, "locate", 131.0),
    )
    return HostScript(tempos, signatures, actions, rate_hz=SAMPLE_RATE_HZ, block_samples=1024)


# What is played right after the host starts or jumps was on its way to the card already, or is not made yet.
REACTION_SECONDS = RING_SECONDS + MAKING_SECONDS + 4 * LATENT_HOP_SAMPLES / SAMPLE_RATE_HZ + 0.1


@pytest.mark.slow
def test_every_click_is_on_the_hosts_beat_to_the_sample() -> None:
    result = grid.run(short_script(), 64.0)
    assert result.bars > 60
    assert result.beats > 230
    errors = np.sort(np.abs(result.errors))
    assert errors[-2] <= 0.5 + 0.02  # rounding to a sample, and what the learned ramp may be off
    assert errors[-1] <= 1.0  # the one beat after a ramp began that nobody could know of
    assert result.extra == 0
    jumps = [action.seconds for action in short_script().actions if action.kind in ("play", "locate")]
    for beat in result.missing:
        assert min(abs(beat.seconds - jump - 0.5 * REACTION_SECONDS) for jump in jumps) <= 0.5 * REACTION_SECONDS, beat


class LateClicks(ClickBand):
    """Three samples behind the beat."""

    def _clicks(self, timeline: Timeline, start: int, end: int) -> Array:
        return super()._clicks(timeline, start - 3, end - 3)


def test_three_samples_late_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid, "ClickBand", LateClicks)
    result = grid.run(HostScript((ScriptTempo(0, BPM),), actions=(PLAY,), rate_hz=44_100, block_samples=1024), 6.0)
    assert len(result.errors) > 15
    assert np.abs(result.errors - 3.0).max() <= 0.5


def test_a_host_at_another_rate_is_followed_to_the_sample() -> None:
    rig = Rig(rate_hz=48_000)
    rig.run(8.0)
    found = clicks(rig.sound)
    assert len(found) == 30
    beats = (found / SAMPLE_RATE_HZ - _started_seconds(rig)) * 4
    assert np.abs(beats - np.round(beats)).max() * BEAT_SAMPLES <= 1.0


def _started_seconds(rig: Rig) -> float:
    block = rig.simulator.script.block_samples / rig.simulator.script.rate_hz
    return float(np.ceil(PLAY.seconds / block) * block)


# The ladder.


def stalled(rig: Rig, from_seconds: float, making_seconds: float, until_seconds: float) -> None:
    """Have the next chunk after `from_seconds` take `making_seconds`, and those after it no time again."""
    rig.run(from_seconds)
    rig.band.seconds = making_seconds
    made = len(rig.deliveries)
    while len(rig.deliveries) == made:
        rig.run(rig.clock.now() + 0.05)
    rig.band.seconds = 0.0
    rig.run(until_seconds)


def test_a_generator_that_is_late_falls_to_backup_then_bar_loop_then_silence_and_comes_back() -> None:
    rig = Rig(band=LevelBand)
    stalled(rig, 3.0, 9.0, 22.0)
    assert rig.level_names() == ["fresh", "backup", "bar loop", "silence", "fresh"]
    times = [seconds for _, seconds in rig.levels]
    assert 1.0 < times[2] - times[1] < 1.8  # a bar of backup and a bit
    assert 3 * BAR_SECONDS < times[3] - times[2] < 5 * BAR_SECONDS
    for level in (Level.FRESH, Level.BACKUP, Level.BAR_LOOP, Level.SILENCE):
        assert rig.player.counts[level] > 0
    assert sum(rig.player.counts.values()) == sum(quantum.samples for quantum, _ in rig.quanta)


@pytest.mark.parametrize("making_seconds", [0.6, 2.0, 9.0])
def test_after_one_slow_chunk_there_is_fresh_sound_again_within_a_bar_or_so(making_seconds: float) -> None:
    """One slow chunk says little of the next: what is there to be made is not put off by as much."""
    rig = Rig(band=LevelBand)
    stalled(rig, 3.0, making_seconds, 3.3 + making_seconds + 2 * BAR_SECONDS)
    assert rig.level_names()[-1] == "fresh"


def test_what_is_played_for_a_late_chunk_is_still_on_the_grid() -> None:
    rig = Rig()
    stalled(rig, 3.0, 3.0, 8.0)
    assert "bar loop" in rig.level_names()
    found = clicks(rig.sound)
    beats = found - sample(_started_seconds(rig))
    off = (beats + BEAT_SAMPLES // 2) % BEAT_SAMPLES - BEAT_SAMPLES // 2
    assert np.abs(off).max() <= 1
    assert np.diff(found).max() <= BEAT_SAMPLES + 1, "a beat is missing"


@pytest.mark.parametrize("making_seconds", [0.6, 2.0, 9.0])
def test_each_chunk_that_was_missed_is_counted_once(making_seconds: float) -> None:
    rig = Rig(band=LevelBand)
    stalled(rig, 3.0, making_seconds, 3.3 + making_seconds + 8.0)
    firsts = [delivery.chunk.plan.first_frame for _, delivery in rig.deliveries]
    left_out = sum((b - a) // 8 - 1 for a, b in pairwise(firsts) if b > a)
    came_late = sum(d.slack_seconds is not None and d.slack_seconds < 0 for _, d in rig.deliveries)
    assert came_late >= 1
    assert left_out - 1 <= rig.pace.late - came_late <= left_out + 1


def test_no_chunk_is_late_while_nothing_is_meant_to_play() -> None:
    rig = Rig(band=LevelBand)
    rig.run(3.0)
    for stem in STEMS:
        rig.player.desk = rig.player.desk.changed(stem, gate=None)
    rig.run(9.0)
    assert rig.pace.late == 0
    assert rig.player.level is Level.RESTING
    made = len(rig.deliveries)
    rig.run(10.0)
    assert len(rig.deliveries) == made


def test_a_fall_and_a_return_are_faded() -> None:
    rig = Rig(band=LevelBand)
    stalled(rig, 3.0, 9.0, 16.0)
    assert largest_step(rig.sound[sample(1.0) :]) <= 3 * LEVEL * STEADIEST


# The desk.


@pytest.mark.parametrize("ring_seconds", [0.03, 0.0301, 0.0351])
@pytest.mark.parametrize("at", [2.0, 2.0013, 2.0061])
def test_mute_solo_and_gain_move_without_a_step(ring_seconds: float, at: float) -> None:
    rig = Rig(band=LevelBand, ring_seconds=ring_seconds)
    rig.run(at)
    rig.player.desk = rig.player.desk.changed("drums", mute=True)
    rig.run(at + 0.1)
    assert rig.player.desk.factors_at(0.0)[0] == 0.0
    rig.player.desk = rig.player.desk.changed("drums", mute=False)
    rig.run(at + 0.2)
    rig.player.desk = rig.player.desk.changed("bass", solo=True)
    rig.run(at + 0.3)
    rig.player.desk = rig.player.desk.changed("bass", solo=False, gain_db=-60.0)
    rig.run(at + 0.5)
    stems = rig.stem_sound[:, sample(1.0) :]
    for name, row in zip(STEMS, stems, strict=True):
        assert largest_step(row) <= LEVEL * STEADIEST, name
    assert np.allclose(stems[:, -BLOCK_SAMPLES:], LEVEL * np.array([[1.0], [0.001], [1.0]]), atol=1e-5)


def test_a_mute_between_two_short_quanta_is_no_click() -> None:
    """A border leaves a quantum of a few samples behind; a mute that comes just then must not be squeezed into it."""
    rig = Rig(band=LevelBand)
    rig.run(2.0)
    rig.player.desk = rig.player.desk.changed("other", gate=Gate(0, round(rig.player.front.song_sample) + 4))
    rig.run(2.3)
    assert largest_step(rig.stem_sound[:, sample(1.0) :]) <= LEVEL * STEADIEST


def test_a_gate_opens_just_before_its_beat_and_not_sooner() -> None:
    rig = Rig(band=LevelBand)
    start = 8 * BEAT_SAMPLES
    for stem in STEMS:
        rig.player.desk = rig.player.desk.changed(stem, gate=Gate(start))
    rig.run(4.0)
    heard = np.flatnonzero(rig.sound)
    opens = sample(_started_seconds(rig)) + start
    assert opens - GATE_RAMP_SAMPLES - 1 <= heard[0] <= opens
    assert np.allclose(rig.sound[opens : opens + 1000], 3 * LEVEL, atol=1e-5)


def test_a_click_on_the_beat_of_a_gate_is_whole() -> None:
    rig = Rig()
    rig.player.desk = rig.player.desk.changed("drums", gate=Gate(8 * BEAT_SAMPLES))
    rig.player.desk = rig.player.desk.changed("bass", gate=None)
    rig.player.desk = rig.player.desk.changed("other", gate=None)
    rig.run(4.0)
    first = clicks(rig.sound)[0]
    assert abs(first - sample(_started_seconds(rig)) - 8 * BEAT_SAMPLES) <= 1
    assert rig.sound[first] == pytest.approx(CLICK)


def test_a_click_is_whole_where_a_gate_opens_while_the_clocks_are_drawn_together() -> None:
    """Between whole samples a border may be less than half a sample away: it must not be stepped over."""
    for lag in range(8):
        rig = Rig()
        for stem in STEMS:
            rig.player.desk = rig.player.desk.changed(stem, gate=Gate(8 * BEAT_SAMPLES))
        rig.run(2.3)
        rig.player.offset_samples = 100.0 + lag
        rig.run(3.0)
        before = rig.sound[: sample(_started_seconds(rig)) + 8 * BEAT_SAMPLES - 2 * GATE_RAMP_SAMPLES - 110]
        first = clicks(rig.sound)[0]
        assert not before.any()
        assert np.abs(rig.sound[first : first + 40]).max() > 0.6  # between samples a click is spread


# Where the song goes.


def test_a_locate_fades_within_ten_milliseconds_and_joins_without_a_step() -> None:
    for late in (0.0, 0.002, 0.004):
        rig = Rig((PLAY, ScriptAction(3.0 + late, "locate", 64.0)), band=LevelBand)
        rig.run(5.0)
        sound = rig.sound[sample(1.0) :]
        assert largest_step(sound) <= 3 * LEVEL * STEADIEST
        silent = np.flatnonzero(sound == 0.0)[0] - sample(2.0 + late)
        assert silent <= sample(RING_SECONDS + 0.01) + 2 * BLOCK_SAMPLES
        assert sound[-1] == pytest.approx(3 * LEVEL)


def test_a_loop_goes_round_without_a_step_whatever_its_length() -> None:
    for end_beat in (2.0, 2.01, 2.02, 2.03, 1.77):
        rig = Rig((ScriptAction(0.0, "loop", 0.0, end_beat), PLAY), band=LevelBand)
        rig.run(4.0)
        assert largest_step(rig.sound[sample(0.6) :]) <= 3 * LEVEL * STEADIEST, end_beat
        assert rig.sound[sample(0.7) :].min() > 3 * LEVEL - 1e-5, end_beat
        assert rig.sound[sample(0.7) :].max() < 2 * 3 * LEVEL, end_beat


def test_leaving_a_loop_for_other_sound_takes_a_fade() -> None:
    """The end of the loop sounds unlike its start: what was is faded out, not cut, however the quanta fall."""
    for end_beat in np.arange(8.0, 8.08, 0.01):
        loop = ScriptAction(0.0, "loop", 4.0, round(float(end_beat), 2))
        rig = Rig((loop, ScriptAction(0.0, "locate", 4.0), PLAY), band=LevelBand)
        rig.run(0.9)
        rig.generator.request(_louder(3.0, start_frame=36))
        rig.run(4.5)
        sound = rig.sound[sample(0.6) :]
        assert sound.max() >= 9 * LEVEL - 1e-4
        assert largest_step(sound) <= 9 * LEVEL * STEADIEST, end_beat


def test_a_second_pass_through_a_loop_makes_nothing_anew() -> None:
    rig = Rig((ScriptAction(0.0, "loop", 0.0, 8.0), PLAY), band=LevelBand)
    rig.run(9.0)
    assert isinstance(rig.band, LevelBand)
    assert len(rig.band.sampled_frames) == len(set(rig.band.sampled_frames))
    sampled = [seconds for seconds, delivery in rig.deliveries if delivery.chunk.sampled]
    replayed = [seconds for seconds, delivery in rig.deliveries if not delivery.chunk.sampled]
    assert max(sampled) < 0.5 + 2 * BAR_SECONDS + 0.3
    assert len(replayed) >= 18
    assert "silence" not in rig.level_names()


@pytest.mark.parametrize("beats", [0.5, 1.0, 2.0, 3.5])
def test_short_loops_never_run_dry(beats: float) -> None:
    rig = Rig((ScriptAction(0.0, "loop", 8.0, 8.0 + beats), ScriptAction(0.1, "locate", 8.0), PLAY), band=LevelBand)
    rig.run(5.0)
    assert rig.sound[sample(0.7) :].min() > 3 * LEVEL - 1e-5
    assert rig.level_names()[-1] == "fresh"


def test_a_loop_that_is_set_when_its_end_has_gone_to_the_card_already_is_still_followed() -> None:
    """The host is before the loop's end and turns round there; the player, a ring ahead, is past it."""
    start = sample(0.5) // BLOCK_SAMPLES + 1
    host_beat = (sample(3.0) // BLOCK_SAMPLES + 1 - start) * BLOCK_SAMPLES / BEAT_SAMPLES
    loop = (round(host_beat - 2.0, 2), round(host_beat + 0.06, 2))
    rig = Rig((PLAY, ScriptAction(3.0, "loop", *loop)))
    rig.run(6.0)
    view = rig.host.now_view(rig.clock.now())
    assert view.loop is not None
    assert rig.player.front.song_sample <= view.loop.end_sample
    host_now = view.position_at(rig.out.next_sample_seconds())
    assert abs(rig.player.front.song_sample - host_now) < 50


def test_a_transport_that_is_not_heard_any_more_plays_on() -> None:
    rig = Rig()
    rig.run(3.0)
    rig.sends = False
    rig.run(8.0)
    assert rig.host.now_view(rig.clock.now()).state == "unknown"
    found = clicks(rig.sound)
    found = found[found > sample(1.0)]
    assert np.abs(np.diff(found) - BEAT_SAMPLES).max() <= 1
    assert found[-1] > sample(7.7)
    rig.sends = True
    rig.run(10.0)
    beats = clicks(rig.sound) - sample(_started_seconds(rig))
    assert np.abs((beats + 500) % BEAT_SAMPLES - 500).max() <= 40


def test_after_the_card_has_lost_time_the_sound_is_back_on_the_grid_within_a_second() -> None:
    """A hole is heard anyway: what follows it must not be off for as long as an unheard change of speed takes."""
    rig = Rig()
    rig.run(3.0)
    hole_seconds = RING_SECONDS + 0.03
    rig.clock.advance(hole_seconds)  # nobody fills the ring
    while rig.simulator.block_seconds(rig._block) < rig.clock.now():
        block = next(rig._host_blocks)
        rig.host.observe(block.snapshot, rig.clock.now())
        rig._block += 1
    rig.run(6.0)
    assert rig.out.facts().underruns == 1
    found = clicks(rig.sound)
    late = found[found > sample(4.1)] - sample(_started_seconds(rig))
    off = (late + BEAT_SAMPLES // 2) % BEAT_SAMPLES - BEAT_SAMPLES // 2
    assert np.abs(off).max() < 0.005 * SAMPLE_RATE_HZ


# Changes.


def _louder(scale: float, stems: tuple[str, ...] = STEMS, start_frame: int | None = None) -> Change:
    return Change(
        lambda controls: replace(controls, wish=replace(controls.wish, guidance_scale=scale)), stems, start_frame
    )


def _place_of(rig: Rig, stem: int, value: float) -> int:
    """Return the song position at which a stem has reached `value` first."""
    row = rig.stem_sound[stem]
    return int(np.flatnonzero(np.isclose(row, value, atol=1e-5))[0]) - sample(_started_seconds(rig))


def test_a_change_is_heard_from_its_effect_frame_on_and_not_before() -> None:
    for making in (0.0, 0.08):
        rig = Rig(band=lambda clock, making=making: LevelBand(clock, making))  # type: ignore[misc]
        rig.run(3.0)
        effect = rig.generator.effect_frame() * LATENT_HOP_SAMPLES
        rig.generator.request(_louder(2.0))
        rig.run(5.0)
        start = sample(_started_seconds(rig)) + effect
        row = rig.stem_sound[0]
        assert np.allclose(row[sample(1.0) : start - 512 - 2], LEVEL, atol=1e-5)
        assert _place_of(rig, 0, 2 * LEVEL) <= effect + 2
        assert np.allclose(row[start + 2 : sample(4.9)], 2 * LEVEL, atol=1e-5)
        assert largest_step(row[sample(1.0) :]) <= LEVEL * STEADIEST
        assert rig.pace.late == 0


def test_a_locked_stem_stays_and_the_others_change() -> None:
    rig = Rig((ScriptAction(0.0, "loop", 0.0, 16.0), PLAY), band=LevelBand)
    rig.run(6.0)
    rig.generator.request(Change(lambda controls: controls.with_lock(Lock("drums", 0, None)), ()))
    rig.generator.request(_louder(2.0))
    rig.run(8.5)
    stems = rig.stem_sound[:, sample(7.0) : sample(8.4)]
    assert np.allclose(stems[0], LEVEL, atol=1e-5)
    assert np.allclose(stems[1:], 2 * LEVEL, atol=1e-5)


def test_a_change_of_one_stem_leaves_the_others() -> None:
    rig = Rig((ScriptAction(0.0, "loop", 0.0, 16.0), PLAY), band=LevelBand)
    rig.run(6.0)
    rig.generator.request(_louder(2.0, ("bass",)))
    rig.run(8.0)
    stems = rig.stem_sound[:, sample(7.0) : sample(7.9)]
    assert np.allclose(stems[0], LEVEL, atol=1e-5)
    assert np.allclose(stems[1], 2 * LEVEL, atol=1e-5)


def test_a_chunk_that_is_not_wanted_any_more_is_given_up_where_there_is_time() -> None:
    rig = Rig(band=lambda clock: LevelBand(clock, 0.2))
    rig.generator.controls = replace(rig.generator.controls, lookahead_frames=64)
    rig.pace.first_guess_seconds = 0.2
    rig.run(4.0)
    before = rig.pace.abandoned
    asked = len(rig.band.asked_at)  # type: ignore[attr-defined]
    rig.band.seconds = 0.25
    rig.generator.request(_louder(2.0))
    wishes = [_louder(3.0)]

    def press_again(seconds: float) -> None:
        rig._pass(seconds)
        if wishes:
            rig.generator.request(wishes.pop())

    rig.band._clock.pass_time = press_again  # type: ignore[attr-defined]
    rig.run(7.0)
    assert rig.pace.abandoned == before + 1
    assert len(rig.band.asked_at) > asked + 1  # type: ignore[attr-defined]
    assert rig.stem_sound[0][-BLOCK_SAMPLES:] == pytest.approx(3 * LEVEL, abs=1e-4)
    heard = np.isclose(rig.stem_sound[0], 2 * LEVEL, atol=1e-4)
    assert heard.sum() < 10, "the chunk that was given up has been played"


def test_sound_that_is_no_number_is_left_out_and_told() -> None:
    class Broken(LevelBand):
        broken = False

        def _constant_pieces(self, plan: ChunkPlan, values: NDArray[np.float64]) -> Iterator[Piece]:
            for piece in super()._constant_pieces(plan, values):
                yield replace(piece, audio=piece.audio * np.float32("nan")) if self.broken else piece

    rig = Rig(band=Broken)
    rig.run(3.0)
    assert isinstance(rig.band, Broken)
    rig.band.broken = True
    rig.band.seconds = 0.05
    rig.run(4.0)
    rig.band.broken = False
    rig.run(6.0)
    assert rig.troubles
    assert np.isfinite(rig.sound).all()
    assert rig.level_names()[-1] == "fresh"
    assert rig.pace.late > 0
