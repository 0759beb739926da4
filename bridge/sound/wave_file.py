"""A WAV file that grows: its header is true whenever it is mended, and past 4 GB it turns into RF64 (EBU Tech 3306).

Samples that were appended after the header was mended last are in the file, and found again by any tool that reads to
the end; the header never claims more than there is.
"""

from __future__ import annotations

import contextlib
import os
import struct
from pathlib import Path
from typing import BinaryIO, Final, Literal, TypeAlias

import numpy as np

from bridge.sound.output import Audio
from engine.geometry import AUDIO_CHANNELS

WaveFormat: TypeAlias = Literal["float32", "24-bit"]

_HEADER_BYTES: Final = 12 + 36 + 24 + 8  # RIFF, room for ds64, fmt, data
_MOST_RIFF_BYTES: Final = 0xFFFF_FFFF
_FULL_SCALE_24_BIT: Final = 1 << 23
_SAMPLE_BYTES: Final = {"float32": 4, "24-bit": 3}
_CODES: Final = {"float32": 3, "24-bit": 1}  # WAVE_FORMAT_IEEE_FLOAT, WAVE_FORMAT_PCM


class GrowingWave:
    """A stereo WAV file at `path`, made new; not thread-safe.

    Args:
        path: the file; it must not be there yet.
        rate_hz: sample rate.
        form: float32, or 24-bit integers (clipped at full scale).
        most_riff_bytes: where RF64 begins; a test gives less.
    """

    def __init__(self, path: Path, rate_hz: int, form: WaveFormat, most_riff_bytes: int = _MOST_RIFF_BYTES) -> None:
        self.samples = 0
        self._rate_hz = rate_hz
        self._form = form
        self._most_riff_bytes = most_riff_bytes
        self._file: BinaryIO = path.open("xb")
        self._file.write(self._header())
        self._file.flush()

    def append(self, audio: Audio) -> None:
        """Append (2, samples) float32."""
        self._file.write(_encoded(audio, self._form))
        self.samples += audio.shape[1]

    def mend(self) -> None:
        """Make the header true, after what it speaks of is in the file."""
        self._file.flush()
        os.pwrite(self._file.fileno(), self._header(), 0)

    def close(self) -> None:
        """Make the header true, and the file safe on the disk."""
        self.mend()
        os.fsync(self._file.fileno())
        self._file.close()

    def abandon(self) -> None:
        """Close without another try to write what is buffered."""
        with contextlib.suppress(OSError):  # it tries all the same, and fails as before
            self._file.close()

    def _header(self) -> bytes:
        frame_bytes = AUDIO_CHANNELS * _SAMPLE_BYTES[self._form]
        data_bytes = self.samples * frame_bytes
        riff_bytes = _HEADER_BYTES - 8 + data_bytes
        large = riff_bytes > self._most_riff_bytes
        sizes = struct.pack("<QQQI", riff_bytes, data_bytes, self.samples, 0)
        return b"".join(
            (
                struct.pack(
                    "<4sI4s", b"RF64" if large else b"RIFF", _MOST_RIFF_BYTES if large else riff_bytes, b"WAVE"
                ),
                struct.pack("<4sI", b"ds64" if large else b"JUNK", 28) + (sizes if large else bytes(28)),
                struct.pack(
                    "<4sIHHIIHH",
                    b"fmt ",
                    16,
                    _CODES[self._form],
                    AUDIO_CHANNELS,
                    self._rate_hz,
                    self._rate_hz * frame_bytes,
                    frame_bytes,
                    8 * _SAMPLE_BYTES[self._form],
                ),
                struct.pack("<4sI", b"data", _MOST_RIFF_BYTES if large else data_bytes),
            )
        )


def _encoded(audio: Audio, form: WaveFormat) -> bytes:
    """Return (2, samples) float32 as interleaved little-endian bytes."""
    samples_first = np.ascontiguousarray(audio.T)
    if form == "float32":
        return samples_first.astype("<f4").tobytes()
    scaled = np.rint(samples_first.astype(np.float64) * _FULL_SCALE_24_BIT)
    integers = np.clip(scaled, -_FULL_SCALE_24_BIT, _FULL_SCALE_24_BIT - 1).astype("<i4")
    return integers.view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
