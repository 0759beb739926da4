"""Songs of any length in windows of the denoiser: each frame is made once, with the frames before it as known past."""

from __future__ import annotations

from dataclasses import dataclass

from engine.geometry import WINDOW_FRAMES

FRAMES_MULTIPLE = 4
PAST_FRAMES = 256
MIN_WINDOW_FRAMES = 256


@dataclass(frozen=True, slots=True)
class Chunk:
    """One call of the sampler.

    Attributes:
        window_start: absolute frame of the window's first column.
        window_frames: columns of the window, a multiple of 4; the last may lie beyond the song's end.
        new_start: absolute frame from which the window's result is taken.
        new_end: absolute frame up to which (exclusive) it is taken.
    """

    window_start: int
    window_frames: int
    new_start: int
    new_end: int

    @property
    def window_end(self) -> int:
        """Absolute frame after the window's last column."""
        return self.window_start + self.window_frames

    @property
    def window(self) -> slice:
        """The window's absolute frames."""
        return slice(self.window_start, self.window_end)

    @property
    def new(self) -> slice:
        """The absolute frames that this chunk gives."""
        return slice(self.new_start, self.new_end)

    @property
    def new_in_window(self) -> slice:
        """The columns of the window that this chunk gives."""
        return slice(self.new_start - self.window_start, self.new_end - self.window_start)


def plan_windows(
    total_frames: int,
    window_frames: int = WINDOW_FRAMES,
    past_frames: int = PAST_FRAMES,
    start_frame: int = 0,
    end_frame: int | None = None,
    min_window_frames: int = MIN_WINDOW_FRAMES,
) -> tuple[Chunk, ...]:
    """Return the chunks whose new frames cover `start_frame` to `end_frame` in order, each frame once.

    Every window but those at the song's start has at least `past_frames` of known past. All windows of a song are of
    one length: the last one reaches further back rather than being short, and a song shorter than a window gets a
    window of its own length, never under `min_window_frames`, as the denoiser is not trained on shorter ones.
    Where frames are kept after `end_frame`, the last window sees some of them (up to `past_frames`).

    Args:
        total_frames: the song's length.
        window_frames: longest window, a multiple of 4.
        past_frames: least known past of a window that does not start the song, a multiple of 4.
        start_frame: first frame to generate.
        end_frame: frame after the last to generate; None for the song's end.
        min_window_frames: shortest window, a multiple of 4.

    Raises:
        ValueError: a number is out of range.
    """
    end = total_frames if end_frame is None else end_frame
    _check(total_frames, window_frames, past_frames, start_frame, end, min_window_frames)
    padded_frames = max(_round_up(total_frames), min_window_frames)
    length = min(window_frames, padded_frames)
    future_frames = min(past_frames, (length - past_frames) // 2)
    chunks: list[Chunk] = []
    new_start = start_frame
    while new_start < end:
        window_start = min(max(_round_down(new_start) - past_frames, 0), padded_frames - length)
        new_end = _new_end(window_start + length, new_start, end, min(end + future_frames, total_frames))
        chunks.append(Chunk(window_start, length, new_start, new_end))
        new_start = new_end
    return tuple(chunks)


def _new_end(window_end: int, new_start: int, end: int, wanted_end: int) -> int:
    """Return up to where a window that ends at `window_end` gives new frames.

    All it can if more is left; all that is left if the window also sees what is kept after it, up to `wanted_end`;
    else half of what is left, so that the next window sees the kept frames.
    """
    if end > window_end:
        return window_end
    return end if wanted_end <= window_end else (new_start + end + 1) // 2


def _round_up(frames: int) -> int:
    """Return the next multiple of 4."""
    return -(-frames // FRAMES_MULTIPLE) * FRAMES_MULTIPLE


def _round_down(frames: int) -> int:
    """Return the last multiple of 4."""
    return frames // FRAMES_MULTIPLE * FRAMES_MULTIPLE


def _check(total: int, window: int, past: int, start: int, end: int, min_window: int) -> None:
    """Raise ValueError unless the arguments of `plan_windows` make a plan possible."""
    if total < 1:
        raise ValueError(f"total_frames {total} is too short; give at least one frame")
    if not 0 <= start < end <= total:
        raise ValueError(f"frames {start} to {end} are no part of a song of {total} frames; give 0 <= start < end")
    lengths = {"window_frames": window, "past_frames": past, "min_window_frames": min_window}
    for name, value in lengths.items():
        if value < 0 or value % FRAMES_MULTIPLE:
            raise ValueError(f"{name} {value} is not a multiple of {FRAMES_MULTIPLE}; give 0, 4, 8, ...")
    if not past < window or not FRAMES_MULTIPLE <= min_window <= window:
        raise ValueError(
            f"a window of {window} frames must be longer than its past of {past} and at least {min_window}; "
            "give a longer window or a shorter past"
        )
