"""What the tests of takes share: a band on the factory bundle, played by hand, with everything that was heard kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from bridge.audio_files import file_sha256
from bridge.bounce import factory_bundle
from bridge.live.lane import Roll
from bridge.live.quantum import Gains, Quantum, Voice, render
from bridge.live.take_bounce import TakeBundle
from bridge.live.take_log import TakeLog
from bridge.live.take_records import TakeHeader
from bridge.live.work import Delivery
from engine.band import Band
from engine.bundle import Bundle
from engine.geometry import STEMS
from engine.live_chunk import ChunkPlan, Reseed, Score
from engine.stem_decoder import PIECE_FRAMES, Piece
from engine.timeline import Timeline
from engine.wish import Wish
from tests.bridge_support import voice

Array = NDArray[np.float32]

NOW = datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001 - local time names a take
WISH = Wish(style="funk", steps=1, guidance_scale=1.0, seed=11)
FULL: Gains = (1.0, 1.0, 1.0)
CHUNK_FRAMES, BACKUP_FRAMES, PAST_FRAMES = 8, 16, 8


def load_bundle() -> TakeBundle:
    """Load the factory bundle as a live session does."""
    folder = factory_bundle()
    bundle = Bundle.load(folder, threads=1, offline=False)
    return TakeBundle(bundle, file_sha256(folder / "manifest.json"))


def header_of(bundle_sha256: str) -> TakeHeader:
    """Return the header of a take that the bundle of this digest plays."""
    return TakeHeader(
        backline_version="1",
        bundle="factory-bundle",
        bundle_sha256=bundle_sha256,
        threads=1,
        created=NOW.isoformat(),
    )


class Stage:
    """Makes chunks as the generator does, plays quanta as the player does, and keeps what was heard.

    Attributes:
        heard: stems (stems, 2, samples) of each quantum played.
    """

    def __init__(self, bundle: TakeBundle, log: TakeLog) -> None:
        self.log = log
        self.band = Band(bundle.model, pages=4)
        self.band.hear(0, voice(4.0).astype(np.float32), False)
        self.score = Score(Timeline.constant(120.0), WISH)
        self.rolls: dict[int, Roll] = {}
        self.heard: list[Array] = []
        self._backup: tuple[Roll, Iterator[Piece]] | None = None

    def make(self, first_frame: int, chunk_frames: int = CHUNK_FRAMES, deliver: bool = True) -> int:
        """Make a chunk, and deliver it; return its number."""
        plan = ChunkPlan(first_frame, chunk_frames, BACKUP_FRAMES, PAST_FRAMES)
        chunk, pieces, entry = self.band.make(plan, self.score)
        number = len(self.rolls) + 1
        roll = Roll(number, self.score.timeline, first_frame, chunk.plan.end_frame, chunk.plan.frames)
        for _ in range(chunk.plan.chunk_frames // PIECE_FRAMES + 1):
            piece = next(pieces, None)
            if piece is not None:
                roll.append(piece.audio)
        self.rolls[number], self._backup = roll, (roll, pieces)
        self.delivery = Delivery(chunk, roll, entry, 0.05, 0.5)
        if deliver:
            self.log.delivered(self.delivery)
        return number

    def decode_backup(self) -> None:
        """Decode the rest of the last chunk's backup."""
        assert self._backup is not None
        roll, pieces = self._backup
        for piece in pieces:
            roll.append(piece.audio)

    def reroll(self, frame: int, seed: int) -> None:
        """Have everything from `frame` on made anew."""
        self.band.forget(STEMS, frame)
        self.score = replace(self.score, reseeds=(*self.score.reseeds, Reseed(STEMS, frame, None, seed)))

    def play(self, samples: int, *voices: Voice, gains: Gains = FULL, to_gains: Gains | None = None) -> None:
        """Play a quantum of `voices`."""
        quantum = Quantum(samples, voices, gains, gains if to_gains is None else to_gains)
        self.log.played(quantum, voices[-1].start if voices else 0.0)
        self.heard.append(render(quantum, lambda number: (self.rolls[number].start_sample, self.rolls[number].audio())))

    def play_on(self, roll: int, start: float, quanta: int, samples: int = 512, step: float = 1.0) -> float:
        """Play `quanta` quanta of one roll from `start` on; return where that ends."""
        for _ in range(quanta):
            self.play(samples, Voice(roll, start, step))
            start += samples * step
        return start

    def crossfade(self, leaving: int, entering: int, start: float, samples: int = 512) -> float:
        """Play a quantum from one roll to another; return where it ends."""
        out = Voice(leaving, start, 1.0, 1.0, 0.0, 441)
        self.play(samples, out, Voice(entering, start, 1.0, 0.0, 1.0, 441))
        return start + samples

    @property
    def all_heard(self) -> Array:
        """Everything, (stems, 2, samples)."""
        return np.concatenate(self.heard, axis=2)


def perform(stage: Stage) -> None:
    """Play what a session plays: steady, superseded, a backup, a jump, a replay, drift, gains, rest."""
    first = stage.make(0)
    at = stage.play_on(first, 0.0, 24)
    stage.play(300)
    stage.play(512, Voice(first, 2048.0, 1.0, 0.0, 1.0, 64))
    second = stage.make(8)  # goes on from the state at the first one's end
    at = stage.crossfade(first, second, 8 * 2048.0 - 512)
    at = stage.play_on(second, at, 10)
    stage.reroll(12, seed=99)
    third = stage.make(12)  # supersedes the second one's second half
    at = stage.play_on(second, at, 5)
    at = stage.crossfade(second, third, at)
    at = stage.play_on(third, at, 30, 411)
    stage.decode_backup()
    at = stage.play_on(third, 24 * 2048.0, 39)  # of its backup, beyond what was delivered
    stage.reroll(16, seed=98)
    fourth = stage.make(16)  # supersedes what superseded: goes on from the third one's state, not the second one's
    stage.play(512, Voice(third, at, 1.0, 1.0, 0.0, 441), Voice(fourth, 17 * 2048.0, 1.0, 0.0, 1.0, 64))
    at = stage.play_on(fourth, 17 * 2048.0 + 512, 8)
    jumped = stage.make(60)  # elsewhere: the decoder settles over silence
    stage.play(512, Voice(fourth, at, 1.0, 1.0, 0.0, 441), Voice(jumped, 60 * 2048.0, 1.0, 0.0, 1.0, 64))
    at = stage.play_on(jumped, 60 * 2048.0 + 512, 6)
    at = stage.play_on(jumped, at, 7, step=1.00031)
    at = stage.play_on(jumped, at + 0.4, 3, step=0.998)
    stage.play(512, Voice(jumped, round(at), 1.0), gains=FULL, to_gains=(0.5, 0.0, 1.3))
    stage.play(512, Voice(jumped, round(at) + 512.0, 1.0), gains=(0.5, 0.0, 1.3))
    again = stage.make(8)  # back, from memory: nothing is sampled, and the decoder settles over what was played
    assert not stage.delivery.chunk.sampled
    at = stage.play_on(again, 8 * 2048.0, 30)
    following = stage.make(16)
    at = stage.crossfade(again, following, at)
    stage.play_on(following, at, 12)
    stage.play(441, Voice(following, at + 12 * 512.0, 1.0, 1.0, 0.0, 441))
