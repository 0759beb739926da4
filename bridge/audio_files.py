"""The one door to audio files (pedalboard.io): whole or nothing, in pieces, to the sample.

Samples of integer files come back exactly: pedalboard divides 16-bit samples by 32767, which is undone here, so that
a 16 or 24-bit vocal passes into a 24-bit mix without the change of a bit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

import numpy as np
import soxr
from numpy.typing import NDArray
from pedalboard.io import AudioFile

from bridge.audio_integrity import FlacDigest, flac_digest, missing_bytes
from bridge.errors import UserError
from engine.geometry import AUDIO_CHANNELS

Audio: TypeAlias = NDArray[np.float32]
FileFormat = Literal["wav", "flac"]

BLOCK_SAMPLES = 65_536
LOWEST_RATE_HZ = 8_000
HIGHEST_RATE_HZ = 192_000
MOST_CHANNELS = 8
FULL_SCALE_24_BIT = 1 << 23

_INTEGER_BITS = {"int8": 8, "int16": 16, "int24": 24}
_HALF = 0.5**0.5
_LEFT, _RIGHT, _BOTH = (1.0, 0.0), (0.0, 1.0), (_HALF, _HALF)
_SURROUND = ((_HALF, 0.0), (0.0, _HALF))
# (left, right) shares of each channel, by channel count, in the order of WAVE and FLAC: L R C LFE back side.
_SHARES: dict[int, tuple[tuple[float, float], ...]] = {
    1: ((1.0, 1.0),),
    2: (_LEFT, _RIGHT),
    3: (_LEFT, _RIGHT, _BOTH),
    4: (_LEFT, _RIGHT, *_SURROUND),
    5: (_LEFT, _RIGHT, _BOTH, *_SURROUND),
    6: (_LEFT, _RIGHT, _BOTH, (0.0, 0.0), *_SURROUND),
    7: (_LEFT, _RIGHT, _BOTH, (0.0, 0.0), (0.5, 0.5), *_SURROUND),
    8: (_LEFT, _RIGHT, _BOTH, (0.0, 0.0), *_SURROUND, *_SURROUND),
}


@dataclass(frozen=True, slots=True)
class AudioFacts:
    """What a file says of itself.

    Attributes:
        rate_hz: sample rate.
        channels: channel count.
        frames: samples a channel, as announced; the decoded length may differ for MP3.
        bits: bits a sample of integer files, else 0.
    """

    path: Path
    rate_hz: int
    channels: int
    frames: int
    bits: int


def downmix_matrix(channels: int) -> NDArray[np.float64]:
    """Return the (2, channels) matrix from a file's channels to stereo; no side ever exceeds full scale by it."""
    matrix = np.array(_SHARES[channels], dtype=np.float64).T
    return matrix / max(1.0, float(np.abs(matrix).sum(axis=1).max()))


def audio_facts(path: Path) -> AudioFacts:
    """Return what the audio file at `path` says of itself.

    Raises:
        UserError: it is missing, a folder, not audio, cut off, or of a rate or channel count out of range.
    """
    _check_is_file(path)
    with _opened(path) as file:
        facts = AudioFacts(
            path=path,
            rate_hz=int(file.samplerate),
            channels=int(file.num_channels),
            frames=int(file.frames),
            bits=_INTEGER_BITS.get(str(file.file_dtype), 0),
        )
    if not LOWEST_RATE_HZ <= facts.rate_hz <= HIGHEST_RATE_HZ:
        raise UserError(f"{path}: sample rate {facts.rate_hz} Hz; expected 8000 to 192000 Hz, resample it first")
    if facts.channels > MOST_CHANNELS:
        raise UserError(
            f"{path}: {facts.channels} channels; expected 1 to {MOST_CHANNELS}, mix some of them down first"
        )
    return facts


def stereo_blocks(facts: AudioFacts, block_samples: int = BLOCK_SAMPLES) -> Iterator[Audio]:
    """Yield the file as stereo (2, samples) float32 pieces at its own rate.

    Raises:
        UserError: the file cannot be decoded, holds NaN or infinite samples, or is not what it says (FLAC's MD5).
    """
    matrix = downmix_matrix(facts.channels)
    check = _FlacCheck.of(facts)
    with _opened(facts.path) as file:
        position = 0
        while True:
            block = _read(file, facts.path, block_samples)
            if block.shape[1] == 0:
                break
            _check_finite(block, facts, position)
            samples = _exact(block, facts.bits)
            check.update(samples)
            position += block.shape[1]
            yield samples.astype(np.float32) if facts.channels == 2 else (matrix @ samples).astype(np.float32)
    check.finish()


def read_stereo(path: Path, rate_hz: int) -> Audio:
    """Return the whole file at `path` as (2, samples) float32 at `rate_hz`."""
    facts = audio_facts(path)
    return np.concatenate(
        [np.zeros((2, 0), np.float32), *resampled(stereo_blocks(facts), facts.rate_hz, rate_hz)], axis=1
    )


def resampled_length(samples: int, from_rate_hz: int, to_rate_hz: int) -> int:
    """Return how many samples `samples` become at another rate: rounded, and at least one."""
    return max(1, (samples * to_rate_hz * 2 + from_rate_hz) // (2 * from_rate_hz))


def resampled(pieces: Iterable[Audio], from_rate_hz: int, to_rate_hz: int) -> Iterator[Audio]:
    """Yield (2, samples) pieces at another rate, aligned with the input; the same pieces for the same rate."""
    if from_rate_hz == to_rate_hz:
        yield from pieces
        return
    stream = soxr.ResampleStream(from_rate_hz, to_rate_hz, AUDIO_CHANNELS, dtype="float32", quality="VHQ")
    for piece in pieces:
        yield stream.resample_chunk(np.ascontiguousarray(piece.T)).T
    yield stream.resample_chunk(np.zeros((0, AUDIO_CHANNELS), np.float32), last=True).T


def exact_blocks(pieces: Iterable[Audio], block_samples: int, total_samples: int) -> Iterator[Audio]:
    """Yield the pieces as blocks of `block_samples` (the last one shorter), `total_samples` in all.

    What is missing at the end is silence; what is too long is left.
    """
    waiting: list[Audio] = []
    held, given = 0, 0
    source = iter(pieces)
    while given < total_samples:
        wanted = min(block_samples, total_samples - given)
        while held < wanted:
            piece = next(source, None)
            if piece is None:
                piece = np.zeros((AUDIO_CHANNELS, wanted - held), np.float32)
            waiting.append(piece)
            held += piece.shape[1]
        joined = np.concatenate(waiting, axis=1)
        waiting, held = [joined[:, wanted:]], held - wanted
        given += wanted
        yield joined[:, :wanted]


class TrackWriter:
    """A 24-bit stereo file being written; `write` takes integers, so that what is summed is what is stored.

    Args:
        path: the file to make.
        rate_hz: sample rate.
    """

    def __init__(self, path: Path, rate_hz: int) -> None:
        self.path = path
        self.frames = 0
        self._rate_hz = rate_hz
        self._file: Any = None

    def __enter__(self) -> Self:
        with self._complaints():
            self._file = AudioFile(
                str(self.path), "w", samplerate=self._rate_hz, num_channels=AUDIO_CHANNELS, bit_depth=24
            )
        return self

    def write(self, samples_24_bit: NDArray[np.int32]) -> None:
        """Append (2, samples) integers in [-2**23, 2**23 - 1]."""
        self.frames += samples_24_bit.shape[1]
        square = samples_24_bit.shape[1] == AUDIO_CHANNELS  # of which pedalboard cannot tell the channels
        for part in np.array_split(samples_24_bit, 2, axis=1) if square else (samples_24_bit,):
            with self._complaints():
                self._file.write(np.ascontiguousarray(part << 8))

    @contextmanager
    def _complaints(self) -> Iterator[None]:
        """Turn what the encoder complains of into an OSError."""
        try:
            yield
        except (RuntimeError, ValueError) as error:
            raise OSError(None, "the file cannot be written", str(self.path)) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._complaints():
            self._file.close()
        if error is None and (missing_bytes(self.path) or self._stored_frames() != self.frames):
            raise OSError(None, "not all of the sound arrived on the disk", str(self.path))

    def _stored_frames(self) -> int:
        with _opened(self.path) as file:
            return int(file.frames)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of the file at `path`, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_is_file(path: Path) -> None:
    """Refuse what cannot be read as an audio file before a decoder sees it."""
    try:
        if path.is_dir():
            raise UserError(f"{path}: is a folder; name the audio file in it")
        if not path.exists():
            raise UserError(f"{path}: no such file; check the path")
        if path.stat().st_size == 0:
            raise UserError(f"{path}: is empty; export the audio again")
        missing = missing_bytes(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    if missing:
        raise UserError(f"{path}: is cut off, its end is missing; copy or export it again")


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open an audio file for reading; what the decoder complains of becomes a `UserError`."""
    try:
        file = AudioFile(str(path))
    except (ValueError, RuntimeError, OSError) as error:
        raise UserError(f"{path}: not an audio file that can be read; use WAV, FLAC, AIFF, Ogg or MP3") from error
    with file:
        yield file


def _read(file: Any, path: Path, samples: int) -> Audio:
    try:
        block: Audio = file.read(samples)
    except (ValueError, RuntimeError, OSError) as error:
        raise UserError(f"{path}: is damaged or cut off and cannot be decoded; copy or export it again") from error
    return block


def _check_finite(block: Audio, facts: AudioFacts, position: int) -> None:
    finite = np.isfinite(block).all(axis=0)
    if not finite.all():
        seconds = (position + int(np.argmin(finite))) / facts.rate_hz
        raise UserError(f"{facts.path}: NaN or infinite samples at {seconds:.3f} s; export it again as 24-bit WAV")


def _exact(block: Audio, bits: int) -> NDArray[np.float64]:
    """Return (channels, samples) as `integer / 2**(bits - 1)`, whatever full scale the decoder took."""
    samples = block.astype(np.float64)
    if not bits:
        return samples
    return np.rint(samples * ((1 << (bits - 1)) - 1)) / (1 << (bits - 1))


class _FlacCheck:
    """Compares the samples of a FLAC file with the digest in its header, as they pass."""

    def __init__(self, facts: AudioFacts, digest: FlacDigest | None) -> None:
        self._facts = facts
        self._digest = digest
        self._md5 = hashlib.md5(usedforsecurity=False)

    @classmethod
    def of(cls, facts: AudioFacts) -> Self:
        digest = flac_digest(facts.path)
        return cls(facts, digest if digest and digest.bits == facts.bits else None)

    def update(self, samples: NDArray[np.float64]) -> None:
        """Take the next (channels, samples) in [-1, 1)."""
        if self._digest is None:
            return
        integers = np.rint(samples.T * (1 << (self._digest.bits - 1))).astype("<i4")
        size = self._digest.bits // 8
        self._md5.update(np.ascontiguousarray(integers).view(np.uint8).reshape(-1, 4)[:, :size].tobytes())

    def finish(self) -> None:
        """Refuse the file if what was decoded is not what was encoded."""
        if self._digest is not None and self._md5.digest() != self._digest.md5:
            raise UserError(
                f"{self._facts.path}: is damaged or cut off (its checksum differs); copy or export it again"
            )
