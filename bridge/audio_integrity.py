"""Is an audio file all there? Decoders fill what is missing with silence, so the containers are asked themselves.

WAV and AIFF say how long their sound is, Ogg marks its last page, MP3 may carry its length in bytes, and FLAC holds
an MD5 of its decoded samples (`flac_digest`), which only a full decode can check.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

UNKNOWN_SIZE_BYTES = 0xFFFF_FFFF
OGG_TAIL_BYTES = 66_000
OGG_END_OF_STREAM = 0x04
MP3_HEAD_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class FlacDigest:
    """What a FLAC file says of its samples.

    Attributes:
        bits: bits a sample.
        md5: digest of the interleaved little-endian samples; empty when the encoder left it out.
    """

    bits: int
    md5: bytes


def missing_bytes(path: Path) -> int:
    """Return how many bytes of sound the file at `path` announces and does not hold; 0 when whole or unknown.

    An Ogg file that lacks its last page is missing at least 1.
    """
    with path.open("rb") as file:
        magic = file.read(12)
        size = os.fstat(file.fileno()).st_size
        if magic[:4] in (b"RIFF", b"RF64") and magic[8:] == b"WAVE":
            return _missing_from_chunk(file, size, b"data", "little")
        if magic[:4] == b"FORM" and magic[8:] in (b"AIFF", b"AIFC"):
            return _missing_from_chunk(file, size, b"SSND", "big")
        if magic[:4] == b"OggS":
            return _missing_from_ogg(file, size)
        if magic[:3] == b"ID3" or (magic[0:1] == b"\xff" and len(magic) > 1 and magic[1] & 0xE0 == 0xE0):
            return _missing_from_mp3(file, size, magic)
    return 0


def _missing_from_chunk(file: BinaryIO, size: int, wanted: bytes, order: str) -> int:
    """Return the bytes that the chunk `wanted` of an IFF file lacks; the whole chunk counts as 1 when absent."""
    start = 12
    while start + 8 <= size:
        file.seek(start)
        header = file.read(8)
        length = int.from_bytes(header[4:], "little" if order == "little" else "big")
        if header[:4] == wanted:
            return 0 if length == UNKNOWN_SIZE_BYTES else max(0, start + 8 + length - size)
        start += 8 + length + length % 2
    return 1


def _missing_from_ogg(file: BinaryIO, size: int) -> int:
    """Return 0 when the last Ogg page ends its stream and is all there, else 1 or more."""
    file.seek(max(0, size - OGG_TAIL_BYTES))
    tail = file.read()
    page = tail.rfind(b"OggS")
    if page < 0 or len(tail) < page + 27 or not tail[page + 5] & OGG_END_OF_STREAM:
        return 1
    segments = tail[page + 27 : page + 27 + tail[page + 26]]
    end = page + 27 + tail[page + 26] + sum(segments)
    return max(0, end - len(tail))


def _missing_from_mp3(file: BinaryIO, size: int, magic: bytes) -> int:
    """Return the bytes that an MP3 file lacks of the length in its Xing or Info header; 0 without one."""
    start = 0
    if magic[:3] == b"ID3":
        start = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(magic[6:10], (21, 14, 7, 0), strict=True))
    file.seek(start)
    head = file.read(MP3_HEAD_BYTES)
    tag = min((at for at in (head.find(b"Xing", 0, 200), head.find(b"Info", 0, 200)) if at >= 0), default=-1)
    if tag < 0 or len(head) < tag + 16:
        return 0
    flags = int.from_bytes(head[tag + 4 : tag + 8], "big")
    if not flags & 2:
        return 0
    at = tag + 8 + (4 if flags & 1 else 0)
    return max(0, start + int.from_bytes(head[at : at + 4], "big") - size)


def flac_digest(path: Path) -> FlacDigest | None:
    """Return what a FLAC file says of its samples, or nothing for another format or without a digest."""
    with path.open("rb") as file:
        head = file.read(42)
    if head[:4] != b"fLaC" or len(head) < 42 or not any(head[26:42]):
        return None
    return FlacDigest(bits=((head[20] & 1) << 4 | head[21] >> 4) + 1, md5=head[26:42])
