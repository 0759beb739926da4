"""What the simulated host plays: exact beats at any rate, loops, repeats, and parts that make no sense."""

from __future__ import annotations

from itertools import islice, pairwise

import pytest

from bridge.send.player import PlayedBlock, unlooped
from bridge.send.song import SongPart, host_blocks
from engine.timeline import Timeline

FOUR = Timeline.constant(120.0)
MOVING = Timeline(((0.0, 97.3), (8.0, 141.0), (12.5, 60.0)), ((0.0, 3, 4), (9.0, 7, 8)))


def _ranges(blocks: list[PlayedBlock]) -> list[tuple[int, int]]:
    """Return the stretches played, those that go on joined."""
    joined: list[tuple[int, int]] = []
    for block in blocks:
        for start, samples in unlooped(block):
            if joined and joined[-1][1] == start:
                joined[-1] = (joined[-1][0], start + samples)
            else:
                joined.append((start, start + samples))
    return joined


def test_the_vocal_is_played_once_to_its_end() -> None:
    blocks = list(host_blocks(SongPart(FOUR, 48_000, 512, 100_000, from_beat=1.0)))
    assert _ranges(blocks) == [(24_000, 24_000 + 149 * 512)]  # 148 blocks and a part of one
    assert {block.samples for block in blocks} == {512}
    for block in blocks:
        assert block.snapshot.ppq == pytest.approx(block.snapshot.song_sample / 24_000, abs=1e-9)
        assert (block.snapshot.bpm, block.snapshot.playing, block.snapshot.loop_on) == (120.0, True, False)


def test_tempos_and_signatures_are_those_of_the_place() -> None:
    for block in host_blocks(SongPart(MOVING, 48_000, 500, 480_000)):
        beat = block.snapshot.ppq
        assert block.snapshot.bpm == (97.3 if beat < 8 else 141.0 if beat < 12.5 else 60.0)
        assert (block.snapshot.numerator, block.snapshot.denominator) == ((3, 4) if beat < 9 else (7, 8))


def test_a_loop_is_played_over_and_over_inside_the_blocks_too() -> None:
    part = SongPart(FOUR, 48_000, 1_000, 500_000, from_beat=0.0, loop=(1.0, 3.0), seconds=4.0)
    blocks = list(host_blocks(part))
    assert _ranges(blocks) == [(0, 72_000), (24_000, 72_000), (24_000, 72_000), (24_000, 48_000)]
    assert all(block.loop == (24_000, 72_000) for block in blocks)
    assert {(b.snapshot.loop_on, b.snapshot.loop_start_ppq, b.snapshot.loop_end_ppq) for b in blocks} == {
        (True, 1.0, 3.0)
    }
    odd = list(host_blocks(SongPart(FOUR, 48_000, 7_777, 500_000, loop=(1.0, 3.0), seconds=4.0)))
    assert _ranges(odd)[:3] == _ranges(blocks)[:3]
    assert _ranges(odd)[3] == (24_000, 24_000 + 25 * 7_777 - 168_000)


def test_a_repeat_locates_where_the_vocal_ends() -> None:
    part = SongPart(FOUR, 44_100, 512, 44_100, from_beat=1.0, repeat=True)
    blocks = list(islice(host_blocks(part), 200))
    pass_end = 22_050 + 44 * 512  # the host locates where a block begins
    assert _ranges(blocks)[:-1] == [(22_050, pass_end)] * 4


def test_no_end_is_given_where_none_is_wanted() -> None:
    for part in (SongPart(FOUR, 44_100, 64, 1_000, repeat=True), SongPart(FOUR, 44_100, 64, 1_000, loop=(0.0, 1.0))):
        assert part.total_blocks is None
        assert len(list(islice(host_blocks(part), 500))) == 500


def test_seconds_may_go_beyond_the_vocal_and_before_the_first_beat() -> None:
    blocks = list(host_blocks(SongPart(FOUR, 44_100, 512, 1_000, from_beat=-2.0, seconds=3.0)))
    assert _ranges(blocks) == [(-44_100, -44_100 + 259 * 512)]
    assert blocks[0].snapshot.ppq == -2.0
    assert all(after.snapshot.ppq > before.snapshot.ppq for before, after in pairwise(blocks))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"from_beat": 50.0}, "the vocal ends at beat 4.00"),
        ({"from_beat": 50.0, "repeat": True, "seconds": 3.0}, "the vocal ends at beat 4.00"),
        ({"loop": (4.0, 4.0)}, "is empty"),
        ({"loop": (0.0, 4.0), "from_beat": 4.0}, "start before it"),
        ({"loop": (0.0, 4.0), "repeat": True}, "leave --repeat or --loop out"),
        ({"seconds": 0.0}, "give more than 0"),
        ({"seconds": float("inf")}, "give more than 0"),
        ({"from_beat": float("nan")}, "at most 100000"),
        ({"loop": (0.0, float("inf"))}, "at most 100000"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        SongPart(FOUR, 44_100, 512, 88_200, **options)  # type: ignore[arg-type]
