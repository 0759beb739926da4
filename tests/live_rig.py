"""A live session on a clock of its own: host, player, generator and backup thread in one, block by block.

Time passes also while a band is "busy", so a chunk that takes eight seconds takes no time here and every sample that
comes out can be looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from benchmarks import grid
from benchmarks.click_band import ClickBand
from bridge.clock import ManualClock
from bridge.hearing.vocal_buffer import VocalBuffer
from bridge.live.controls import Controls
from bridge.live.generator import Generator
from bridge.live.lane import Lanes
from bridge.live.mixing_desk import GATE_RAMP_SAMPLES
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


def started_seconds(rig: Rig) -> float:
    block = rig.simulator.script.block_samples / rig.simulator.script.rate_hz
    return float(np.ceil(PLAY.seconds / block) * block)


def louder(scale: float, stems: tuple[str, ...] = STEMS, start_frame: int | None = None) -> Change:
    return Change(
        lambda controls: replace(controls, wish=replace(controls.wish, guidance_scale=scale)), stems, start_frame
    )
