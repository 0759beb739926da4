"""Vocal packets: a block of sung samples with its place on the host's timeline, checked where it is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from bridge.audio_files import downmix_matrix

Audio: TypeAlias = NDArray[np.float32]
PcmFormat = Literal["f32", "i16"]

LOWEST_RATE_HZ = 8_000
HIGHEST_RATE_HZ = 384_000
MOST_CHANNELS = 8
MOST_PACKET_SAMPLES = 65_536
MOST_PACKET_SECONDS = 1
FURTHEST_SAMPLE = 1 << 48
SEQUENCES = 1 << 32
LOUDEST_SAMPLE = 64.0  # 36 dB over full scale: beyond that it is not sound but something else read as PCM
FULL_SCALE_16_BIT = 32_768.0

_SAMPLE_TYPES: dict[str, np.dtype[Any]] = {"f32": np.dtype("<f4"), "i16": np.dtype("<i2")}


@dataclass(frozen=True, slots=True)
class VocalPacket:
    """One block of a vocal.

    Attributes:
        stream: which of a host's tracks it is; any number.
        sequence: counts the stream's packets in the order of sending, modulo 2**32.
        host_sample: place of the first sample on the host's song timeline, at the host's rate; may be negative.
        rate_hz: the host's sample rate, 8000 to 384000.
        samples: (channels, n) float32, 1 to 8 channels, 1 to 65536 samples, at most 1 s, finite.

    Raises:
        ValueError: a value is out of range, or samples are NaN, infinite or absurdly loud.
    """

    stream: int
    sequence: int
    host_sample: int
    rate_hz: int
    samples: Audio

    def __post_init__(self) -> None:
        """Check everything, as packets come from outside."""
        if not LOWEST_RATE_HZ <= self.rate_hz <= HIGHEST_RATE_HZ:
            raise ValueError(
                f"vocal rate {self.rate_hz} Hz is out of range; send {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ}"
            )
        if not abs(self.host_sample) <= FURTHEST_SAMPLE:
            raise ValueError(f"vocal song_sample {self.host_sample} is out of range; send at most 2**48 either way")
        if self.samples.ndim != 2 or self.samples.dtype != np.float32:
            raise ValueError(
                f"vocal samples are {self.samples.dtype} of shape {self.samples.shape}; expected (channels, n) float32"
            )
        channels, length = self.samples.shape
        if not 1 <= channels <= MOST_CHANNELS or not 1 <= length <= MOST_PACKET_SAMPLES:
            raise ValueError(
                f"vocal packet of {channels} channels and {length} samples; "
                f"send 1 to {MOST_CHANNELS} channels and 1 to {MOST_PACKET_SAMPLES} samples"
            )
        if length > MOST_PACKET_SECONDS * self.rate_hz:
            raise ValueError(
                f"vocal packet of {length / self.rate_hz:.2f} s; send at most {MOST_PACKET_SECONDS} s at once"
            )
        loudest = float(np.abs(self.samples).max())
        if not loudest <= LOUDEST_SAMPLE:
            raise ValueError(f"vocal samples reach {loudest:g}; send finite samples, 1.0 is full scale")

    @classmethod
    def from_pcm(
        cls, stream: int, sequence: int, host_sample: int, rate_hz: int, channels: int, pcm_format: str, blob: bytes
    ) -> Self:
        """Return the packet that `/backline/vocal`'s arguments describe.

        Raises:
            ValueError: an argument is out of range or the blob does not fit them.
        """
        return cls(stream, sequence, host_sample, rate_hz, parse_pcm(blob, pcm_format, channels))


def parse_pcm(blob: bytes, pcm_format: str, channels: int) -> Audio:
    """Return little-endian interleaved PCM as (channels, n) float32; integers are scaled by 1/32768.

    Args:
        blob: the bytes, a whole number of instants of all channels, not empty.
        pcm_format: `f32` or `i16`.
        channels: 1 to 8.

    Raises:
        ValueError: the format is unknown, the channel count out of range, or the size does not fit them.
    """
    if pcm_format not in _SAMPLE_TYPES:
        raise ValueError(f"vocal format {pcm_format[:16]!r} is not known; send one of {', '.join(get_args(PcmFormat))}")
    if not 1 <= channels <= MOST_CHANNELS:
        raise ValueError(f"vocal channels {channels} is out of range; send 1 to {MOST_CHANNELS}")
    instant_bytes = channels * _SAMPLE_TYPES[pcm_format].itemsize
    if not blob or len(blob) % instant_bytes:
        raise ValueError(
            f"vocal blob of {len(blob)} bytes; send a whole number of {instant_bytes}-byte instants "
            f"({channels} channels of {pcm_format}), at least one"
        )
    if len(blob) > instant_bytes * MOST_PACKET_SAMPLES:
        raise ValueError(f"vocal blob of {len(blob)} bytes; send at most {MOST_PACKET_SAMPLES} samples a packet")
    interleaved = np.frombuffer(blob, _SAMPLE_TYPES[pcm_format]).reshape(-1, channels).T
    if pcm_format == "i16":
        return np.ascontiguousarray(interleaved, np.float32) / np.float32(FULL_SCALE_16_BIT)
    return np.ascontiguousarray(interleaved, np.float32)


def encode_pcm(samples: Audio, pcm_format: PcmFormat) -> bytes:
    """Return (channels, n) float32 as little-endian interleaved PCM; 16-bit integers are rounded and clipped."""
    interleaved = np.ascontiguousarray(samples.T)
    if pcm_format == "i16":
        return np.clip(np.rint(interleaved * FULL_SCALE_16_BIT), -32_768, 32_767).astype("<i2").tobytes()
    return interleaved.astype("<f4").tobytes()


def as_stereo(samples: Audio) -> Audio:
    """Return (channels, n) as (2, n) float32: mono to both sides, stereo as it is, more of them mixed down."""
    channels = samples.shape[0]
    if channels == 2:
        return samples
    if channels == 1:
        return np.repeat(samples, 2, axis=0)
    return np.asarray(downmix_matrix(channels) @ samples, dtype=np.float32)
