"""Voice from tracks: pulses and noise through minimum-phase filters, WORLD's synthesis in batched numpy.

The method is that of M. Morise et al., "WORLD: a vocoder-based high-quality speech synthesis system" (2016). Done for
all the pulses of a phrase at once it costs a third of the vocoder's own synthesis, and its noise is the caller's.
"""

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from training.corpus.world import (
    APERIODICITY_BANDS,
    ENVELOPE_BINS,
    FFT_SAMPLES,
    FRAME_SECONDS,
    VOICE_RATE_HZ,
    SmallArray,
    Tracks,
)

HOP_SAMPLES = round(FRAME_SECONDS * VOICE_RATE_HZ)
NOISE_WINDOW_SAMPLES = 2 * HOP_SAMPLES
SUBSAMPLE_STEPS = 32
LEAST_PERIODIC_POWER = 1e-5


def synthesise(tracks: Tracks, rng: np.random.Generator) -> SmallArray:
    """Return (frames * HOP_SAMPLES,) float32 mono voice at VOICE_RATE_HZ."""
    samples = len(tracks.f0_hz) * HOP_SAMPLES
    output = np.zeros(samples + FFT_SAMPLES, dtype=np.float32)
    noise_share_db = aperiodicity_by_bin(tracks)
    _add_pulses(output, tracks, noise_share_db)
    noise = shaped_noise(tracks.log_envelope + noise_share_db * np.float32(np.log(10) / 10), rng)
    return np.asarray(output[:samples] + noise[:samples], dtype=np.float32)


def aperiodicity_by_bin(tracks: Tracks) -> SmallArray:
    """Return (frames, ENVELOPE_BINS) dB: the share of noise in each bin's power, 0 where unvoiced.

    As in WORLD, the coded bands stand at 3, 6, ... kHz, between -60 dB at 0 Hz and 0 dB at the Nyquist frequency.
    """
    knots = np.linspace(0, 1, APERIODICITY_BANDS + 2)
    bins = np.linspace(0, 1, ENVELOPE_BINS)
    blend = np.stack([np.interp(bins, knots, row) for row in np.eye(len(knots))]).astype(np.float32)
    frames = len(tracks.f0_hz)
    ends = np.full((frames, 1), -60.0, dtype=np.float32), np.zeros((frames, 1), dtype=np.float32)
    bands = np.concatenate([ends[0], np.minimum(tracks.aperiodicity_db, 0.0), ends[1]], axis=1)
    shares = bands @ blend
    shares[tracks.f0_hz <= 0] = 0.0
    return np.asarray(shares, dtype=np.float32)


def minimum_phase(log_power: SmallArray) -> NDArray[np.complex64]:
    """Return (frames, ENVELOPE_BINS) minimum-phase spectra with the given log power, by way of the folded cepstrum."""
    cepstrum = scipy.fft.irfft(0.5 * log_power, FFT_SAMPLES, axis=-1)
    cepstrum[:, 1 : FFT_SAMPLES // 2] *= 2
    cepstrum[:, FFT_SAMPLES // 2 + 1 :] = 0
    spectrum: NDArray[np.complex64] = np.exp(scipy.fft.rfft(cepstrum, axis=-1))
    return spectrum


def pulse_times(f0_hz: SmallArray) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the times in samples of the glottal pulses, and the frame of each; none in unvoiced frames."""
    voiced = np.flatnonzero(f0_hz > 0)
    if len(voiced) == 0:
        return np.zeros(0), np.zeros(0, dtype=np.int64)
    samples = np.arange(len(f0_hz) * HOP_SAMPLES)
    smooth_hz = np.interp(samples / HOP_SAMPLES, voiced, f0_hz[voiced])
    phase = np.cumsum(smooth_hz / VOICE_RATE_HZ)
    turns = np.arange(1, int(phase[-1]) + 1)
    times = np.interp(turns, phase, samples)
    frames = np.minimum(np.rint(times / HOP_SAMPLES).astype(np.int64), len(f0_hz) - 1)
    sounding = f0_hz[frames] > 0
    return times[sounding], frames[sounding]


def _add_pulses(output: SmallArray, tracks: Tracks, noise_share_db: SmallArray) -> None:
    """Add each pulse's response, shifted by a fraction of a sample, to `output`."""
    times, frames = pulse_times(tracks.f0_hz)
    if len(times) == 0:
        return
    used, row_of_pulse = np.unique(frames, return_inverse=True)
    periodic = np.log(np.maximum(1 - 10 ** (noise_share_db[used] / 10), LEAST_PERIODIC_POWER))
    filters = minimum_phase(tracks.log_envelope[used] + periodic)
    filters *= np.sqrt(VOICE_RATE_HZ / tracks.f0_hz[used])[:, None].astype(np.float32)
    steps = np.rint(times * SUBSAMPLE_STEPS).astype(np.int64)
    starts, parts = np.divmod(steps, SUBSAMPLE_STEPS)
    bins = np.arange(ENVELOPE_BINS)
    delays = np.exp(-2j * np.pi * np.outer(np.arange(SUBSAMPLE_STEPS) / SUBSAMPLE_STEPS, bins) / FFT_SAMPLES)
    responses = scipy.fft.irfft(filters[row_of_pulse] * delays.astype(np.complex64)[parts], FFT_SAMPLES, axis=-1)
    for start, response in zip(starts.tolist(), responses, strict=True):
        output[start : start + FFT_SAMPLES] += response


def shaped_noise(log_power: SmallArray, rng: np.random.Generator) -> SmallArray:
    """Return white noise filtered frame by frame to `log_power` (frames, ENVELOPE_BINS), overlapped and added."""
    frames = len(log_power)
    white = rng.standard_normal((frames + 1) * HOP_SAMPLES, dtype=np.float32)
    window = np.sqrt(np.hanning(NOISE_WINDOW_SAMPLES + 1)[:-1]).astype(np.float32)
    pieces = np.lib.stride_tricks.sliding_window_view(white, NOISE_WINDOW_SAMPLES)[::HOP_SAMPLES][:frames] * window
    shaped = scipy.fft.irfft(
        scipy.fft.rfft(pieces, FFT_SAMPLES, axis=-1) * np.exp(0.5 * log_power), FFT_SAMPLES, axis=-1
    )
    output = np.zeros(frames * HOP_SAMPLES + 2 * FFT_SAMPLES, dtype=np.float32)
    # The filters have no delay, so half of what they spread lies before the piece: at the end of the circle.
    ahead = FFT_SAMPLES // 2 - HOP_SAMPLES
    rolled = np.roll(shaped, ahead, axis=-1)
    for frame, piece in enumerate(rolled):
        output[frame * HOP_SAMPLES : frame * HOP_SAMPLES + FFT_SAMPLES] += piece
    return output[ahead + HOP_SAMPLES :]
