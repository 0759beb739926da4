"""A whole session on a manual clock - host, band, generator, player - and the take that was kept of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bridge.clock import ManualClock
from bridge.hearing.packets import VocalPacket
from bridge.live.controls import Controls
from bridge.live.playing import Level
from bridge.live.session import LiveSession
from bridge.live.take_bounce import TakeBounceOptions, TakeBundle, bounce_take
from bridge.live.take_log import TakeLog
from bridge.live.take_records import ChunkLine, read_lines
from bridge.live.take_store import make_take_folder
from bridge.live.work import Change, Shape
from bridge.sound.null import NullOutput
from engine.band import Band
from engine.geometry import STEMS
from engine.live_chunk import Reseed
from tests.bridge_support import voice
from tests.takes_support import NOW, WISH, Array, header_of, load_bundle

TICK_SECONDS = 0.01


@pytest.fixture(scope="module")
def bundle() -> TakeBundle:
    return load_bundle()


class Card(NullOutput):
    """Keeps what it is given."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.given: list[Array] = []

    def write(self, audio: Array) -> None:
        super().write(audio)
        self.given.append(audio.copy())


class Evening:
    """A session, stepped by hand."""

    def __init__(self, bundle: TakeBundle, root: Path) -> None:
        self.clock = ManualClock(100.0)
        self.log = TakeLog(make_take_folder(NOW, "evening", root), header_of(bundle.sha256))
        self.card = Card(self.clock)
        self.stems: list[Array] = []
        self.session = LiveSession(
            self.clock,
            self.card,
            Band(bundle.model, pages=4),
            Controls(WISH),
            Shape(8, 48),
            0.05,
            self.log.delivered,
            self.log.played,
        )
        self.session.player._on_stems = self.stems.append
        self.session.vocal.push(VocalPacket(1, 0, 0, 44_100, voice(0.1).astype(np.float32)), self.clock.now())
        self.session.host.set_tempo(120.0, self.clock.now())
        self.card.open()

    def run(self, seconds: float, generating: bool = True) -> None:
        """Let time pass."""
        for _ in range(round(seconds / TICK_SECONDS)):
            if generating:
                self.session.generator.step()
            self.clock.advance(TICK_SECONDS)
            self.session.player.fill()
            self.log.step()

    def play(self) -> Iterator[None]:
        host, session, clock = self.session.host, self.session, self.clock
        self.run(0.1)
        host.play(clock.now())
        self.run(1.5)
        yield
        host.set_tempo(121.0, clock.now())
        self.run(0.8)
        reseed = Reseed(STEMS, 0, None, 5)
        session.generator.request(Change(lambda controls: controls.with_reseed(reseed)))
        session.player.desk = session.player.desk.changed("bass", gain_db=-6.0)
        self.run(1.0)
        yield
        host.locate(0.0, clock.now())
        self.run(0.7)
        host.set_loop(True, 0.0, 2.0, clock.now())
        self.run(2.5)
        yield
        self.run(0.6, generating=False)
        session.player.desk = replace(session.player.desk, master_db=3.0)
        host.set_loop(False, 0.0, 2.0, clock.now())
        self.run(0.8, generating=False)
        self.run(0.7)
        host.stop(clock.now())
        self.run(0.2)


@pytest.mark.slow
def test_a_session_comes_back_from_its_take_to_the_bit(bundle: TakeBundle, tmp_path: Path) -> None:
    evening = Evening(bundle, tmp_path)
    for _ in evening.play():
        assert not evening.log.broken
    evening.log.close()
    assert not evening.log.broken
    heard, given = np.concatenate(evening.stems, axis=2), np.concatenate(evening.card.given, axis=1)
    counts = evening.session.player.counts
    assert {level for level in Level if counts[level]} >= {Level.FRESH, Level.BACKUP, Level.RESTING}
    chunks = [line for line in read_lines(tmp_path / "evening") if isinstance(line, ChunkLine)]
    assert {chunk.continues for chunk in chunks} == {True, False}
    assert {chunk.sampled for chunk in chunks} == {True, False}
    report = bounce_take("evening", tmp_path / "out", bundle, TakeBounceOptions(floating=True), root=tmp_path)
    assert report.exact
    for row, stem in enumerate(STEMS):
        sound = soundfile.read(tmp_path / "out" / f"{stem}.wav", dtype="float32")[0].T
        assert sound.tobytes() == heard[row].tobytes()
    mix = soundfile.read(tmp_path / "out" / "mix.wav", dtype="float32")[0].T
    assert mix.tobytes() == given.tobytes()
