"""The inverse transform in torch, for the losses: the same frames, window and overlap as `engine.codec`'s numpy one."""

import torch
from torch import Tensor

from engine.geometry import SPECTRUM_HOP_SAMPLES, SPECTRUM_WINDOW_SAMPLES
from engine.spectra import hann

# Overlapped squared Hann windows at a quarter of their length add up to 1.5.
_OVERLAP_GAIN = 1.5
_EDGE_SAMPLES = SPECTRUM_WINDOW_SAMPLES // 2 - SPECTRUM_HOP_SAMPLES // 2


def inverse_stft(spectrum: Tensor) -> Tensor:
    """Turn spectra into sound.

    Args:
        spectrum: (batch, channels, hops, SPECTRUM_BINS, 2), zero-phase, 1 at a full-scale sine's peak.

    Returns:
        (batch, channels, hops x 512): hop h is centred at sample 512 h + 256. The first and last 768 samples
        lack the overlap of hops outside.
    """
    batch, channels, hops = spectrum.shape[:3]
    window = torch.from_numpy(hann(SPECTRUM_WINDOW_SAMPLES)).to(spectrum.device)
    gain = window.sum() / (2 * _OVERLAP_GAIN)
    frames = torch.fft.irfft(torch.view_as_complex(spectrum.float().contiguous()), SPECTRUM_WINDOW_SAMPLES)
    frames = torch.fft.fftshift(frames, dim=-1) * (window * gain)
    samples = (hops - 1) * SPECTRUM_HOP_SAMPLES + SPECTRUM_WINDOW_SAMPLES
    summed = torch.nn.functional.fold(
        frames.reshape(batch * channels, hops, -1).transpose(1, 2),
        (1, samples),
        (1, SPECTRUM_WINDOW_SAMPLES),
        stride=(1, SPECTRUM_HOP_SAMPLES),
    )
    sound = summed.reshape(batch, channels, samples)
    return sound[..., _EDGE_SAMPLES : _EDGE_SAMPLES + hops * SPECTRUM_HOP_SAMPLES]
