"""Keeping a take: queues that never wait, lines that hold what was given, an end that says why."""

from __future__ import annotations

import os
import zlib
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bridge.live import take_log, take_writer
from bridge.live.lane import Roll
from bridge.live.quantum import Quantum, Voice, render
from bridge.live.take_index import read_index
from bridge.live.take_log import TakeLog
from bridge.live.take_records import (
    LATENTS_FILE,
    LOG_FILE,
    BrokenLine,
    ChunkLine,
    MoreLine,
    QuantumLine,
    TimelineLine,
    read_header,
    read_lines,
)
from bridge.live.take_store import make_take_folder
from bridge.live.take_writer import KEPT_CHUNKS, KNOWN_CHUNKS, MAX_MERGED_SAMPLES
from bridge.live.work import Delivery
from engine.band import Entry
from engine.geometry import STEMS
from engine.harmony import Chord, ChordSpan, Key
from engine.live_chunk import ChunkPlan, MadeChunk, Reseed, Score
from engine.timeline import Timeline
from engine.wish import Wish
from tests.takes_support import NOW, Array, header_of

GAINS = (1.0, 0.5, 0.25)
REST = Quantum(512, (), GAINS, GAINS)


def delivery(number: int, first_frame: int = 8, score: Score | None = None, **entry: Any) -> Delivery:
    """Return a chunk of 8 frames and 16 of backup, of which one piece is decoded, with noise for music."""
    rng = np.random.default_rng(number)
    plan = ChunkPlan(first_frame, 8, 16, 8)
    latents = rng.standard_normal((192, 24)).astype(np.float32)
    score = score or Score(Timeline.constant(120.0), Wish(seed=(1 << 64) - 1))
    made = MadeChunk(plan, latents, True, 5, "ab" * 32, score)
    roll = Roll(number, score.timeline, first_frame, plan.end_frame, plan.frames)
    roll.append(rng.standard_normal((3, 2, 12 * 2048)).astype(np.float32))
    how: dict[str, Any] = {"continues": True, "settling": np.zeros((0, 0), np.float32)} | entry
    return Delivery(made, roll, Entry(**how), 0.25, None)


@pytest.fixture
def log(tmp_path: Path) -> TakeLog:
    return TakeLog(make_take_folder(NOW, root=tmp_path), header_of("0" * 64))


def lines_of(log: TakeLog, kind: type) -> list[Any]:
    return [line for line in read_lines(log.folder) if isinstance(line, kind)]


def latents_at(log: TakeLog, place: Any) -> Array:
    data = (log.folder / LATENTS_FILE).read_bytes()[place.offset : place.end]
    return np.frombuffer(data, "<f4").reshape(192, place.frames)


def test_a_chunk_is_kept_with_all_that_it_was_made_for(log: TakeLog) -> None:
    wish = Wish(
        style="jazz-swing",
        key=Key.parse("A minor"),
        arousal=0.25,
        chords=tuple(ChordSpan(beat, beat + 1.0, Chord.parse("Am7")) for beat in range(8)),
        steps=3,
        guidance_scale=1.5,
        seed=(1 << 64) - 1,
    )
    timeline = Timeline(((0.0, 120.0), (4.0, 93.1)), ((0.0, 3, 4),), 17)
    reseeds = (Reseed(("bass",), 0, 4, 7), Reseed(("drums",), 20, 24, 8), Reseed(STEMS, 64, None, 9))
    settling = np.arange(192 * 8, dtype=np.float32).reshape(192, 8)
    given = delivery(5, 8, Score(timeline, wish, reseeds), continues=False, settling=settling)
    log.delivered(given)
    log.close()
    (line,) = lines_of(log, ChunkLine)
    assert (line.number, line.first_frame, line.chunk_frames, line.backup_frames, line.past_frames) == (5, 8, 8, 16, 8)
    assert (line.seed, line.steps, line.guidance) == ((1 << 64) - 1, 3, 1.5)
    assert (line.style, line.key, line.arousal, line.focus) == ("jazz-swing", "A minor", 0.25, None)
    assert [reseed.seed for reseed in line.reseeds] == [7, 8]
    assert [chord.start_beat for chord in line.chords] == [0.0, 1.0]
    assert line.chords[0].label == "Am7"
    assert (line.visible_end_frame, line.sampled, line.conditions_sha256) == (5, True, "ab" * 32)
    assert (line.seconds, line.slack_seconds) == (0.25, None)
    assert np.array_equal(latents_at(log, line.settling), settling)
    assert np.array_equal(latents_at(log, line.latents), given.chunk.latents[:, :12])
    assert line.audio_crc32 == zlib.crc32(given.roll.audio().tobytes())
    (kept,) = lines_of(log, TimelineLine)
    assert kept.id == line.timeline
    assert kept.timeline.timeline() == timeline


def test_numbers_come_back_to_the_bit(log: TakeLog) -> None:
    rng = np.random.default_rng(3)
    given = []
    for _ in range(300):
        position, step, *gains = (float(value) for value in rng.uniform(0.0, 1e9, 2).tolist() + rng.random(8).tolist())
        voice = Voice(1, position, 1.0 + step * 1e-12, gains[0], gains[1], 441)
        given.append((Quantum(512, (voice,), tuple(gains[2:5]), tuple(gains[5:8])), position))
        log.played(*given[-1])
    log.close()
    assert [(line.quantum, line.at) for line in lines_of(log, QuantumLine)] == given


def test_timelines_are_written_when_they_change(log: TakeLog) -> None:
    slow, fast = (Score(Timeline.constant(bpm), Wish()) for bpm in (90.0, 120.0))
    for number, score in enumerate((slow, slow, fast, Score(Timeline.constant(120.0), Wish()), slow), 1):
        log.delivered(delivery(number, score=score))
    log.close()
    assert [line.timeline for line in lines_of(log, ChunkLine)] == [1, 1, 2, 2, 3]
    assert [line.id for line in lines_of(log, TimelineLine)] == [1, 2, 3]


def test_what_only_goes_on_is_merged_and_renders_the_same(log: TakeLog) -> None:
    audio = np.random.default_rng(0).standard_normal((3, 2, 12_000)).astype(np.float32)
    quanta = [REST, REST]
    quanta += [Quantum(512, (Voice(1, 512.0 * at, 1.0),), GAINS, GAINS) for at in range(4)]
    quanta += [Quantum(100, (Voice(1, 2048.0, 1.0),), GAINS, (1.0, 1.0, 1.0))]
    quanta += [Quantum(100, (Voice(1, at, 1.0),), (1.0, 1.0, 1.0), (1.0, 1.0, 1.0)) for at in (2148.0, 2248.0, 3000.0)]
    quanta += [Quantum(100, (Voice(1, 3100.0, 1.0), Voice(1, 0.0, 1.0)), GAINS, GAINS)]
    quanta += [Quantum(64, (Voice(1, 100.5 + 64 * at, 1.0),), GAINS, GAINS) for at in range(2)]
    for quantum in quanta:
        log.played(quantum, 0.0)
    log.close()
    kept = [line.quantum for line in lines_of(log, QuantumLine)]
    assert [quantum.samples for quantum in kept] == [1024, 2048, 100, 200, 100, 100, 64, 64]

    def rendered(of: list[Quantum]) -> bytes:
        return np.concatenate([render(quantum, lambda _: (0, audio)) for quantum in of], axis=2).tobytes()

    assert rendered(kept) == rendered(quanta)


def test_a_long_rest_is_written_in_pieces_that_fit(log: TakeLog) -> None:
    for _ in range(2 * MAX_MERGED_SAMPLES // 512 + 1):
        log.played(REST, 0.0)
    log.close()
    assert [line.samples for line in lines_of(log, QuantumLine)] == [MAX_MERGED_SAMPLES, MAX_MERGED_SAMPLES, 512]


def test_latents_of_a_backup_are_written_once_it_is_played(log: TakeLog) -> None:
    given = delivery(1)
    log.delivered(given)
    reach = (8 + 12) * 2048 - 4096
    for start in (reach - 512, reach - 1, reach + 5 * 2048):
        log.played(Quantum(512, (Voice(1, float(start), 1.0),), GAINS, GAINS), float(start))
    log.close()
    more = lines_of(log, MoreLine)
    assert [line.latents.frames for line in more] == [4, 4]
    assert np.array_equal(latents_at(log, more[1].latents), given.chunk.latents[:, 16:20])
    assert read_index(log.folder).ended == ""


@pytest.mark.parametrize(("before_the_end", "more"), [(15.5, 0), (14.5, 1)])
def test_the_reach_of_a_voice_off_the_grid_counts_its_filter(log: TakeLog, before_the_end: float, more: int) -> None:
    log.delivered(delivery(1))
    reach = (8 + 12) * 2048 - 4096
    log.played(Quantum(512, (Voice(1, reach - 512 - before_the_end, 1.0),), GAINS, GAINS), 0.0)
    log.close()
    assert len(lines_of(log, MoreLine)) == more


def test_a_take_of_an_evening_knows_its_last_chunks_alone(log: TakeLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(take_writer, "KNOWN_CHUNKS", 8)
    assert KNOWN_CHUNKS > KEPT_CHUNKS
    for number in range(1, 30):
        log.delivered(delivery(number))
        log.step()
    assert sorted(log._writer._reach) == list(range(22, 30))
    log.close()


def test_a_backup_that_is_no_longer_at_hand_ends_the_take(log: TakeLog) -> None:
    for number in range(1, KEPT_CHUNKS + 2):
        log.delivered(delivery(number))
        log.step()
    log.played(REST, 0.0)
    log.played(Quantum(512, (Voice(1, 20 * 2048.0, 1.0),), GAINS, GAINS), 0.0)
    log.played(REST, 0.0)
    log.close()
    assert "latents there are not at hand" in log.broken
    index = read_index(log.folder)
    assert index.whole.samples == 512
    assert "not at hand" in index.ended


def test_a_disk_that_does_not_follow_ends_the_take_and_nobody_waits(
    log: TakeLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(take_log, "MAX_WAITING", 10)
    for start in range(25):
        log.played(Quantum(512, (Voice(1, start * 1000.0, 1.0),), GAINS, GAINS), 0.0)
    assert log.broken == "the disk did not follow"
    assert log.dropped == 15
    log.close()
    lines = list(read_lines(log.folder))
    assert len(lines) == 11
    assert lines[-1] == BrokenLine(reason="the disk did not follow")
    header = read_header(log.folder)
    assert header.broken == "the disk did not follow"
    assert header.counts is not None
    assert header.counts.samples == 10 * 512


def test_few_chunks_wait_since_they_are_large(log: TakeLog) -> None:
    for number in range(1, 30):
        log.delivered(delivery(number))
    assert log.broken
    assert log.dropped == 29 - take_log.MAX_WAITING_CHUNKS
    log.close()
    assert len(lines_of(log, ChunkLine)) == take_log.MAX_WAITING_CHUNKS


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
def test_a_full_disk_ends_the_take_and_says_so(log: TakeLog) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    told: list[str] = []
    log._on_trouble = told.append
    log.played(REST, 0.0)
    log.step()
    os.dup2(full, log._writer._latents.fileno())
    log.delivered(delivery(1))
    log.step()
    os.close(full)
    assert "No space left" in log.broken
    assert len(told) == 1
    assert "the music goes on" in told[0]
    log.played(REST, 0.0)
    log.close()
    assert "No space left" in read_header(log.folder).broken
    assert read_index(log.folder).whole.samples == 512


def test_every_step_leaves_whole_lines_on_the_disk(log: TakeLog) -> None:
    sizes = []
    for start in range(3):
        log.played(Quantum(512, (Voice(1, start * 512.0, 1.0),), GAINS, GAINS), 0.0)
        log.delivered(delivery(start + 1))
        log.step()
        data = (log.folder / LOG_FILE).read_bytes()
        assert data.endswith(b"\n")
        sizes.append(len(data))
    assert all(before < after for before, after in pairwise(sizes))
    assert read_header(log.folder).counts is None
    log.close()
    counts = read_header(log.folder).counts
    assert counts is not None
    assert (counts.samples, counts.chunks, counts.latents_bytes) == (1536, 3, 3 * 12 * 192 * 4)
    assert counts.records == len(list(read_lines(log.folder)))


def test_the_thread_writes_and_ends_with_the_take(log: TakeLog) -> None:
    log.start()
    log.played(REST, 0.0)
    log.close()
    assert not log.broken
    assert read_index(log.folder).whole.samples == 512
    log.played(REST, 0.0)
    log.close()
    assert log.dropped == 1


def test_what_cannot_be_written_ends_the_take_and_not_the_thread(log: TakeLog) -> None:
    log.played(REST, 0.0)
    log.played(REST._replace(from_gains=(float("nan"), 0.0, 0.0)), 0.0)
    log.played(REST, 0.0)
    log.close()
    assert "QuantumLine" in log.broken
    assert read_header(log.folder).broken == log.broken
    assert read_index(log.folder).whole.samples == 512
