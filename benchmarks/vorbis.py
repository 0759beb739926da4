"""Ogg Vorbis files that are the same, bit for bit, for the same sound: the one door of the benchmarks to soundfile."""

import zlib
from io import BytesIO
from pathlib import Path

import soundfile

from engine.spectra import Array

SERIAL_NUMBER = 1
_BLOCK_SAMPLES = 65_536
_SERIAL_AT, _CHECKSUM_AT, _SEGMENTS_AT = 14, 22, 26
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def write_vorbis(path: Path, audio: Array, rate_hz: int, quality: float) -> None:
    """Write `audio` to `path`.

    Args:
        path: the file to write.
        audio: (channels, samples) in [-1, 1].
        rate_hz: sample rate.
        quality: 0 (about 64 kbit/s in stereo) to 1 (about 500), as Vorbis counts.

    Raises:
        ValueError: the quality is out of range.
    """
    if not 0.0 <= quality <= 1.0:
        raise ValueError(f"quality {quality} is out of range; give 0 (smallest) to 1 (best)")
    stream = BytesIO()
    layout = {"channels": audio.shape[0], "format": "OGG", "subtype": "VORBIS", "compression_level": 1.0 - quality}
    with soundfile.SoundFile(stream, "w", rate_hz, **layout) as file:
        for start in range(0, audio.shape[1], _BLOCK_SAMPLES):
            file.write(audio[:, start : start + _BLOCK_SAMPLES].T)
    path.write_bytes(with_serial_number(stream.getvalue(), SERIAL_NUMBER))


def with_serial_number(ogg: bytes, number: int) -> bytes:
    """Return an Ogg stream under another serial number: libsndfile draws one by the clock.

    Every page carries the number, and a checksum over itself (RFC 3533, section 6).
    """
    pages, at = [], 0
    while at < len(ogg):
        segments = ogg[at + _SEGMENTS_AT]
        body_at = at + _SEGMENTS_AT + 1 + segments
        end = body_at + sum(ogg[body_at - segments : body_at])
        page = bytearray(ogg[at:end])
        page[_SERIAL_AT : _SERIAL_AT + 4] = number.to_bytes(4, "little")
        page[_CHECKSUM_AT : _CHECKSUM_AT + 4] = bytes(4)
        page[_CHECKSUM_AT : _CHECKSUM_AT + 4] = _checksum(bytes(page)).to_bytes(4, "little")
        pages.append(bytes(page))
        at = end
    return b"".join(pages)


def _checksum(page: bytes) -> int:
    """Return Ogg's CRC: zlib's polynomial with the bits the other way round, and no inversion before and after."""
    mirrored = zlib.crc32(page.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)
