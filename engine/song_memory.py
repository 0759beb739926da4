"""What a live song has heard and played so far, by latent frame, in memory that does not grow.

Pages of frames are allocated, and touched, once; when all are in use, the page used longest ago is given up. So a song
of any length plays on, and a place that is visited again within that time finds its vocal and its accompaniment there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.conditions import CURVE_CHANNELS, PITCH_CHANNELS
from engine.geometry import ACCOMPANIMENT_CHANNELS, LATENT_CHANNELS, STEMS
from engine.window import Heard

Array = NDArray[np.float32]
Bools = NDArray[np.bool_]

PAGE_FRAMES = 512
DEFAULT_PAGES = 96  # 38 minutes, 54 MB

_VOCAL = slice(0, LATENT_CHANNELS)
_PITCH = slice(_VOCAL.stop, _VOCAL.stop + PITCH_CHANNELS)
_CURVES = slice(_PITCH.stop, _PITCH.stop + CURVE_CHANNELS)
_MADE = slice(_CURVES.stop, _CURVES.stop + ACCOMPANIMENT_CHANNELS)
_HEARD_ROW = len(STEMS)


@dataclass(frozen=True, slots=True)
class Remembered:
    """A run of frames.

    Attributes:
        heard: the vocal, zero and not visible where nothing was heard.
        latents: (192, frames) normalised accompaniment, zero where none was made.
        made: (stems, frames) where there is some.
    """

    heard: Heard
    latents: Array
    made: Bools


class SongMemory:
    """The pages. Not for several threads at once: the generator owns it."""

    def __init__(self, pages: int = DEFAULT_PAGES) -> None:
        """Allocate `pages` pages of `PAGE_FRAMES` frames, and touch them, so that none is asked for while it plays."""
        if pages < 2:
            raise ValueError(f"{pages} pages are too few; give at least 2")
        self._values = np.full((pages, _MADE.stop, PAGE_FRAMES), 0.0, dtype=np.float32)
        self._flags = np.full((pages, len(STEMS) + 1, PAGE_FRAMES), False)
        self._slot_of_page: dict[int, int] = {}  # in the order of use, the oldest first
        self._free = list(range(pages))

    def write_vocal(self, start_frame: int, latents: Array, pitch: Array, curves: Array) -> None:
        """Remember a vocal from `start_frame` on: (64, frames) normalised, (14, frames), (2, frames)."""
        for slot, page, given in self._pieces(start_frame, latents.shape[1]):
            values = self._values[slot]
            values[_VOCAL, page], values[_PITCH, page] = latents[:, given], pitch[:, given]
            values[_CURVES, page] = curves[:, given]
            self._flags[slot, _HEARD_ROW, page] = True

    def write_made(self, start_frame: int, latents: Array) -> None:
        """Remember an accompaniment from `start_frame` on: (192, frames) normalised."""
        for slot, page, given in self._pieces(start_frame, latents.shape[1]):
            self._values[slot, _MADE, page] = latents[:, given]
            self._flags[slot, :_HEARD_ROW, page] = True

    def forget_made(self, stems: tuple[str, ...], start_frame: int, end_frame: int | None = None) -> None:
        """Forget what was made of `stems` from `start_frame` to `end_frame`, or to the end."""
        rows = [STEMS.index(stem) for stem in stems]
        for number, slot in self._slot_of_page.items():
            first = number * PAGE_FRAMES
            start = max(start_frame - first, 0)
            end = PAGE_FRAMES if end_frame is None else min(end_frame - first, PAGE_FRAMES)
            if start < end:
                self._flags[slot, rows, start:end] = False

    def read(self, start_frame: int, frames: int) -> Remembered:
        """Return `frames` frames from `start_frame` on; curves that were not heard hold the last that was."""
        values = np.zeros((_MADE.stop, frames), dtype=np.float32)
        flags = np.zeros((len(STEMS) + 1, frames), dtype=np.bool_)
        for number, page, given in _spread(start_frame, frames):
            slot = self._slot_of_page.get(number)
            if slot is not None:
                self._touch(number)
                values[:, given], flags[:, given] = self._values[slot, :, page], self._flags[slot, :, page]
        heard = flags[_HEARD_ROW]
        curves = _held(values[_CURVES], heard)
        vocal = Heard(values[_VOCAL] * heard, values[_PITCH] * heard, curves, heard)
        made = flags[:_HEARD_ROW]
        latents = np.where(
            np.repeat(made, LATENT_CHANNELS, axis=0), values[_MADE], np.float32(0.0)
        )  # 0 times NaN is NaN
        return Remembered(vocal, latents, made)

    @property
    def bytes(self) -> int:
        """What the pages take, whether in use or not."""
        return self._values.nbytes + self._flags.nbytes

    def _pieces(self, start_frame: int, frames: int) -> list[tuple[int, slice, slice]]:
        """Return (slot, columns of the page, columns given) of each page that the run lies in, made if need be."""
        return [(self._slot(number), page, given) for number, page, given in _spread(start_frame, frames)]

    def _slot(self, number: int) -> int:
        if number not in self._slot_of_page:
            if self._free:
                self._slot_of_page[number] = self._free.pop()
            else:
                oldest = next(iter(self._slot_of_page))
                self._slot_of_page[number] = self._slot_of_page.pop(oldest)
            self._flags[self._slot_of_page[number]] = False
        self._touch(number)
        return self._slot_of_page[number]

    def _touch(self, number: int) -> None:
        self._slot_of_page[number] = self._slot_of_page.pop(number)


def _spread(start_frame: int, frames: int) -> list[tuple[int, slice, slice]]:
    """Return (page number, columns of the page, columns of the run) for a run of frames."""
    pieces, at = [], start_frame
    while at < start_frame + frames:
        number, first = divmod(at, PAGE_FRAMES)
        count = min(PAGE_FRAMES - first, start_frame + frames - at)
        pieces.append((number, slice(first, first + count), slice(at - start_frame, at - start_frame + count)))
        at += count
    return pieces


def _held(curves: Array, heard: Bools) -> Array:
    """Return `curves` (2, frames) with the last heard column (the first, before any) where nothing was heard."""
    if not heard.any():
        return curves * 0.0
    last = np.maximum.accumulate(np.where(heard, np.arange(len(heard)), -1))
    return curves[:, np.where(last < 0, int(heard.argmax()), last)]
