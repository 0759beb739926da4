"""The door to soxr for sound that streams: fixed ratios for the vocal, adjustable ones for the sound card's clock.

Both compensate their filters' delay inside: output sample `j` lies at input time `j * from_hz / to_hz`. What they hold
back is only not out yet; it comes with later steps, or with `flush`. Whole files go through `bridge.audio_files`.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import soxr
from numpy.typing import NDArray

Audio: TypeAlias = NDArray[np.float32]
Quality = Literal["LQ", "MQ", "HQ", "VHQ"]

LOWEST_RATE_HZ = 8_000
HIGHEST_RATE_HZ = 384_000
MOST_RATIO_OFFSET = 0.01


class StreamResampler:
    """Resamples a stream by a fixed ratio; the same rate passes bit for bit.

    Whatever the sizes of the blocks, all outputs joined are the same. One thread at a time.

    Attributes:
        from_hz: rate of what goes in.
        to_hz: rate of what comes out.
        channels: channel count of both.
    """

    def __init__(self, from_hz: int, to_hz: int, channels: int, quality: Quality = "HQ") -> None:
        """Make a resampler.

        Args:
            from_hz: rate of what goes in, 8000 to 384000.
            to_hz: rate of what comes out, 8000 to 384000.
            channels: channel count.
            quality: soxr's recipe; `HQ` holds back about 20 ms at most, `VHQ` about 40 ms.

        Raises:
            ValueError: a rate or the channel count is out of range.
        """
        _check(from_hz, to_hz, channels)
        self.from_hz, self.to_hz, self.channels = from_hz, to_hz, channels
        self._stream = (
            None
            if from_hz == to_hz
            else soxr.ResampleStream(from_hz, to_hz, channels, dtype="float32", quality=quality)
        )
        self._taken_samples = 0
        self._given_samples = 0

    @property
    def held_samples(self) -> float:
        """How much of what went in is not out yet, in output samples."""
        return self._taken_samples * self.to_hz / self.from_hz - self._given_samples

    def step(self, audio: Audio) -> Audio:
        """Take the next (channels, samples) float32 and return what is ready, (channels, samples), perhaps nothing."""
        return self._moved(audio, last=False)

    def flush(self) -> Audio:
        """Return the end of the stream, as if silence followed, and be ready for another stream."""
        rest = self._moved(np.zeros((self.channels, 0), np.float32), last=True)
        if self._stream is not None:
            self._stream.clear()
        self._taken_samples = self._given_samples = 0
        return rest

    def _moved(self, audio: Audio, last: bool) -> Audio:
        if audio.ndim != 2 or audio.shape[0] != self.channels:
            raise ValueError(f"audio has shape {audio.shape}; expected ({self.channels}, samples)")
        out = audio if self._stream is None else _moved(self._stream, audio, last)
        self._taken_samples += audio.shape[1]
        self._given_samples += out.shape[1]
        return out


class AdjustableResampler:
    """Resamples a stream by a ratio that may change a little at any time, without a click.

    For two clocks that should agree and do not quite: the host's and the sound card's. It holds back at most about 6 ms
    and is on time to within 3 samples. One thread at a time.

    Attributes:
        from_hz: nominal rate of what goes in.
        to_hz: rate of what comes out.
        channels: channel count of both.
        ratio: input samples taken for each that the nominal rates ask for; 1 until it is set.
    """

    def __init__(self, from_hz: int, to_hz: int, channels: int) -> None:
        """Make a resampler with the nominal ratio of `from_hz` to `to_hz` (8000 to 384000 each).

        Raises:
            ValueError: a rate or the channel count is out of range.
        """
        _check(from_hz, to_hz, channels)
        self.from_hz, self.to_hz, self.channels = from_hz, to_hz, channels
        self.ratio = 1.0
        self._stream = soxr.ResampleStream(
            from_hz * (1.0 + MOST_RATIO_OFFSET), to_hz, channels, dtype="float32", quality="HQ", vr=True
        )
        self._stream.set_io_ratio(float(from_hz), float(to_hz), 0)

    def set_ratio(self, ratio: float, slew_samples: int = 256) -> None:
        """Glide to another ratio.

        Args:
            ratio: input samples for each nominal one, 0.99 to 1.01; above 1 plays the input faster.
            slew_samples: output samples that the glide takes.

        Raises:
            ValueError: the ratio is out of range.
        """
        if not abs(ratio - 1.0) < MOST_RATIO_OFFSET:
            raise ValueError(
                f"clock ratio {ratio:g} is out of range; expected 1 within {MOST_RATIO_OFFSET:g}: "
                "set both ends to the same nominal sample rate"
            )
        self._stream.set_io_ratio(self.from_hz * ratio, float(self.to_hz), slew_samples)
        self.ratio = ratio

    def step(self, audio: Audio) -> Audio:
        """Take the next (channels, samples) float32 and return what is ready, (channels, samples), perhaps nothing."""
        if audio.ndim != 2 or audio.shape[0] != self.channels:
            raise ValueError(f"audio has shape {audio.shape}; expected ({self.channels}, samples)")
        return _moved(self._stream, audio, last=False)

    def flush(self) -> Audio:
        """Return the end of the stream, as if silence followed; the resampler is then used up."""
        return _moved(self._stream, np.zeros((self.channels, 0), np.float32), last=True)


def _moved(stream: soxr.ResampleStream, audio: Audio, last: bool) -> Audio:
    """Return what soxr gives for (channels, samples), channel first again."""
    samples_first = np.ascontiguousarray(audio.T, dtype=np.float32)
    return np.ascontiguousarray(stream.resample_chunk(samples_first, last=last).T)


def _check(from_hz: int, to_hz: int, channels: int) -> None:
    """Raise ValueError for rates or a channel count that cannot be resampled."""
    for name, rate_hz in (("from_hz", from_hz), ("to_hz", to_hz)):
        if not LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ:
            raise ValueError(f"{name} {rate_hz} is out of range; expected {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ} Hz")
    if not 1 <= channels <= 8:
        raise ValueError(f"channels {channels} is out of range; expected 1 to 8")
