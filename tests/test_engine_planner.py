import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from engine.planner import Chunk, plan_windows

few = settings(deadline=None, max_examples=200)


def assert_plan_holds(
    chunks: tuple[Chunk, ...], total: int, window: int, past: int, start: int, end: int, shortest: int
) -> None:
    """Each frame of the range once, in order; windows legal; enough past, and future where something is kept."""
    assert [frame for chunk in chunks for frame in range(chunk.new_start, chunk.new_end)] == list(range(start, end))
    for chunk in chunks:
        assert chunk.window_frames % 4 == 0
        assert min(shortest, window) <= chunk.window_frames <= window
        assert 0 <= chunk.window_start <= chunk.new_start < chunk.new_end <= chunk.window_end
        assert chunk.window_end <= max(total + 3, shortest)
        assert chunk.new_start - chunk.window_start >= min(past, chunk.new_start)
        assert chunk.new_in_window.stop - chunk.new_in_window.start == chunk.new_end - chunk.new_start
    if end < total and past >= 16:  # with less there is no room to see what is kept after the range
        assert chunks[-1].window_end > end


@few
@given(st.integers(1, 5000), st.integers(1, 64), st.integers(0, 40), st.integers(0, 5000), st.integers(1, 5000))
def test_any_range_of_any_song_is_covered_once(total: int, window4: int, past4: int, start: int, length: int) -> None:
    assume(past4 < window4 - 1 and start < total)
    window, past, shortest = 4 * window4, 4 * past4, 4 * min(window4, 16)
    end = min(start + length, total)
    chunks = plan_windows(total, window, past, start, end, shortest)
    assert_plan_holds(chunks, total, window, past, start, end, shortest)


@few
@given(st.integers(1, 40_000))
def test_a_whole_song_takes_the_fewest_windows(total: int) -> None:
    chunks = plan_windows(total)
    assert_plan_holds(chunks, total, 1024, 256, 0, total, 256)
    padded = max(-(-total // 4) * 4, 256)
    assert len(chunks) == 1 + max(0, -(-(total - 1024) // 768)) if padded > 1024 else len(chunks) == 1


def test_the_length_of_one_window_is_one_chunk() -> None:
    assert plan_windows(1024) == (Chunk(0, 1024, 0, 1024),)


def test_a_short_song_gets_a_window_of_the_shortest_length() -> None:
    assert plan_windows(3) == (Chunk(0, 256, 0, 3),)


def test_a_range_in_a_long_song_sees_what_is_kept_on_both_sides() -> None:
    (chunk,) = plan_windows(3000, start_frame=900, end_frame=1100)
    assert chunk.window_start <= 900 - 256
    assert chunk.window_end >= 1100 + 256


def test_the_check_rejects_plans_broken_on_purpose() -> None:
    good = plan_windows(2500)
    assert_plan_holds(good, 2500, 1024, 256, 0, 2500, 256)
    twice = (*good, good[-1])
    hole = (good[0], good[2])
    odd = (Chunk(0, 1022, 0, 1022), *good[1:])
    no_past = (good[0], Chunk(1024, 1024, 1024, 1792), good[2])
    for broken in (twice, hole, odd, no_past):
        with pytest.raises(AssertionError):
            assert_plan_holds(broken, 2500, 1024, 256, 0, 2500, 256)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"total_frames": 0}, "at least one frame"),
        ({"total_frames": 10, "start_frame": 10}, "no part of a song"),
        ({"total_frames": 10, "end_frame": 11}, "no part of a song"),
        ({"total_frames": 10, "window_frames": 1022}, "window_frames 1022"),
        ({"total_frames": 10, "past_frames": 1024}, "shorter past"),
        ({"total_frames": 10, "min_window_frames": 2048}, "longer window"),
    ],
)
def test_impossible_plans_are_refused(arguments: dict[str, int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        plan_windows(**arguments)
