"""The codec's losses: features and pitch from the latents, spectra and partials of the sound, Kullback-Leibler."""

from functools import cache

import numpy as np
import torch
from torch import Tensor

from engine.features import FEATURE_SLICES
from engine.geometry import SAMPLE_RATE_HZ, SPECTRA_PER_FRAME, SPECTRUM_HOP_SAMPLES, SPECTRUM_WINDOW_SAMPLES
from engine.metrics import fold_matrix
from engine.spectra import (
    CONSTANT_Q_FFT_SAMPLES,
    CONSTANT_Q_WINDOW_SAMPLES,
    FLOOR_DB,
    constant_q,
    constant_q_bank,
    mel_bank,
)
from training.codec import bank

STFT_WINDOWS = (4_096, 2_048, 1_024, 512, 256, 128)
_MEL_WINDOWS = (1_024, 2_048)
_LOG_FLOOR = 1e-4
_SOUNDING, _HEARD = 0.3, 0.25  # of a frame's loudest band, scaled: -56 and -60 dB
STRONGEST_POWER = 4.0
_CONSTANT_Q_FFT_BINS = 1_680  # the highest filter ends below 4.5 kHz


def constant_q_fold() -> Tensor:
    """Return (12, constant-Q bins): 1 where a bin belongs to a pitch class, from C on."""
    return torch.from_numpy(fold_matrix()).float()


def kullback_leibler(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the divergence of N(mean, variance) from N(0, 1), averaged over everything (000, eq. 8)."""
    return 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).mean()


def square_root_amplitude(scaled: Tensor) -> Tensor:
    """Turn scaled decibels into the square root of the amplitude."""
    return torch.pow(10.0, 2.0 * (scaled.clamp(-0.5, 1.1) - 1.0))


def pitch_profile_loss(estimate: Tensor, target: Tensor) -> Tensor:
    """Return the squared error of constant-Q profiles, each frame relative to its loudest bin.

    Args:
        estimate: (batch, constant-Q bins, frames) in scaled decibels.
        target: the same.
    """
    estimate, target = square_root_amplitude(estimate), square_root_amplitude(target)
    loudest = target.amax(dim=1, keepdim=True)
    weight = (loudest > 0.03).float()  # above -60 dB
    return (weight * ((estimate - target) / (loudest + 0.01)) ** 2).mean()


def feature_losses(estimate: Tensor, target: Tensor, tonal: Tensor) -> dict[str, Tensor]:
    """Return how far features are off, by name: what decoded sound is measured by, and squared errors by channel.

    `mel` is the distance of mid's mel bands in decibels where something sounds, `pitch` that of pitch profiles,
    `chroma` the divergence of the shares of energy on the pitch classes, `strongest` the same with the strongest class
    counting most.

    Args:
        estimate: (batch, FEATURE_CHANNELS, frames).
        target: the same.
        tonal: (batch,), true where there is pitch.
    """
    losses = {name: ((estimate[:, rows] - target[:, rows]) ** 2).mean() for name, rows in FEATURE_SLICES.items()}
    estimated, wanted = (x[:, FEATURE_SLICES["mid"]] for x in (estimate, target))
    sounding = (wanted.amax(dim=1) > _SOUNDING).float()
    off_db = (estimated - wanted).abs().mean(dim=1) * -FLOOR_DB
    losses["mel"] = (off_db * sounding).sum() / sounding.sum().clamp(min=1)
    estimated, wanted = (x[:, FEATURE_SLICES["harmonic"]] for x in (estimate, target))
    losses["pitch"] = pitch_profile_loss(estimated, wanted)
    fold = constant_q_fold().to(target.device)
    own, energy = ((fold @ square_root_amplitude(x) ** 4).transpose(1, 2) for x in (estimated, wanted))
    heard = (wanted.amax(dim=1) > _HEARD).float() * tonal.float()[:, None]
    losses["chroma"] = _class_divergence(own, energy, heard)
    losses["strongest"] = _class_divergence(own, energy, heard, STRONGEST_POWER)
    return losses


def _class_divergence(estimate: Tensor, target: Tensor, heard: Tensor, power: float = 1.0) -> Tensor:
    """Return the mean divergence of the shares of energy on the pitch classes from those of the target.

    Args:
        estimate: (batch, frames, classes) energies.
        target: the same.
        heard: (batch, frames), 1 for the frames that count, else 0.
        power: of the energies before shares are taken. The plain shares of two classes that are nearly as strong hardly
            tell which is the stronger one; their powers do.
    """
    own, shares = (torch.log_softmax(power * torch.log(x + 1e-9), dim=2) for x in (estimate, target))
    divergence = (torch.exp(shares) * (shares - own)).sum(dim=2)
    return (divergence * heard).sum() / heard.sum().clamp(min=1)


def stft_magnitude(audio: Tensor, window: int, hop: int) -> Tensor:
    """Return Hann magnitudes, 1 for a full-scale sine: (rows, samples) -> (rows, bins, frames)."""
    hann = torch.hann_window(window, device=audio.device)
    spectrum = torch.stft(audio, window, hop, window=hann, center=False, return_complex=True)
    return torch.sqrt(spectrum.real**2 + spectrum.imag**2 + 1e-14) * (2.0 / hann.sum())


def stft_loss(estimate: Tensor, target: Tensor, window: int) -> Tensor:
    """Return spectral convergence plus log-magnitude error at one resolution (Yamamoto et al. 2020).

    Training draws the window from `STFT_WINDOWS` anew in every step: many resolutions for the price of one.

    Args:
        estimate: (rows, samples).
        target: the same.
        window: in samples.
    """
    a, b = (stft_magnitude(x, window, window // 4) for x in (estimate, target))
    convergence = torch.linalg.vector_norm(a - b, dim=(1, 2)) / (torch.linalg.vector_norm(b, dim=(1, 2)) + 0.05)
    logarithm = (torch.log(a + _LOG_FLOOR) - torch.log(b + _LOG_FLOOR)).abs().mean()
    return 0.5 * convergence.clamp(max=3.0).mean() + logarithm


def mid_side(audio: Tensor) -> Tensor:
    """Return mid and side, (2 x batch, samples), of left and right (batch, 2, samples)."""
    return torch.cat([audio.mean(dim=1), (audio[:, 0] - audio[:, 1]) / 2])


def left_right(audio: Tensor) -> Tensor:
    """Return left and right, (2 x batch, samples), of (batch, 2, samples)."""
    return torch.cat([audio[:, 0], audio[:, 1]])


class SoundLosses(torch.nn.Module):
    """Losses of decoded sound that need filter banks: mel and pitch."""

    short_mel: Tensor
    long_mel: Tensor
    constant_q: Tensor
    fold: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name, window in (("short_mel", _MEL_WINDOWS[0]), ("long_mel", _MEL_WINDOWS[1])):
            self.register_buffer(name, torch.from_numpy(mel_bank(80, 25.0, 20_000.0, window)), persistent=False)
        self.register_buffer(
            "constant_q", torch.from_numpy(constant_q_bank()[:, :_CONSTANT_Q_FFT_BINS]), persistent=False
        )
        self.register_buffer("fold", constant_q_fold(), persistent=False)

    def mel_loss(self, estimate: Tensor, target: Tensor) -> Tensor:
        """Return the L1 distance of log mel spectra of signals (rows, samples) in nepers, mean over two windows."""
        distances = [(_log_mel(estimate, mel) - _log_mel(target, mel)).abs().mean() for mel in self._mels]
        return torch.stack(distances).mean()

    def mid_mel_loss(self, estimate: Tensor, target: Tensor) -> Tensor:
        """Return the distance of mid of (batch, 2, samples) by the long window: what the evaluation measures."""
        estimated, wanted = (_log_mel(audio.mean(dim=1), self.long_mel) for audio in (estimate, target))
        return (estimated - wanted).abs().mean()

    @property
    def _mels(self) -> tuple[Tensor, Tensor]:
        return self.short_mel, self.long_mel

    def pitch_losses(self, estimate: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return how far mid's pitch is off in (batch, 2, samples): by profiles, classes, and the strongest class.

        The first is a squared error of constant-Q profiles relative to each frame's loudest bin; the second the
        divergence of the shares of energy on the pitch classes; the third the same with the strongest class counting
        most. Frames below -60 dB do not count.
        """
        a, b = (self._profile(audio.mean(dim=1)) for audio in (estimate, target))
        loudest = b.amax(dim=2, keepdim=True)
        heard = (loudest > 0.03).float()
        profile = (heard * ((a - b) / (loudest + 0.01)) ** 2).mean()
        own, wanted, frames = a**4 @ self.fold.T, b**4 @ self.fold.T, heard[:, :, 0]
        classes = _class_divergence(own, wanted, frames)
        return profile, classes, _class_divergence(own, wanted, frames, STRONGEST_POWER)

    def _profile(self, mid: Tensor) -> Tensor:
        windows = mid.unfold(-1, CONSTANT_Q_WINDOW_SAMPLES, 2_048)
        hann = torch.hann_window(CONSTANT_Q_WINDOW_SAMPLES, device=mid.device)
        spectrum = torch.fft.rfft(windows * hann, CONSTANT_Q_FFT_SAMPLES)[..., :_CONSTANT_Q_FFT_BINS] * (
            2.0 / hann.sum()
        )
        power = (spectrum.real**2 + spectrum.imag**2) @ self.constant_q.T
        return (power + 1e-10) ** 0.25


def _log_mel(audio: Tensor, mel: Tensor) -> Tensor:
    """Return log mel magnitudes (rows, bands, frames) in nepers of audio (rows, samples), of the bank's own window."""
    window = 2 * (mel.shape[1] - 1)
    return 0.5 * torch.log(mel @ stft_magnitude(audio, window, window // 4) ** 2 + _LOG_FLOOR**2)


def bank_targets(partials: Tensor, mid: Tensor) -> tuple[Tensor, Tensor]:
    """Bring partials to the hops and cut them where the short window hears less: onsets stay sharp.

    Args:
        partials: (batch, frames, 2, OSCILLATORS), amplitude and offset at the frames' centres.
        mid: (batch, frames x 2048) sound.

    Returns:
        amplitudes and offsets, (batch, 4 x frames, OSCILLATORS) each.
    """
    batch, frames, _, oscillators = partials.shape
    by_row = partials.permute(0, 2, 3, 1).reshape(batch, 2 * oscillators, frames)
    hops = torch.nn.functional.interpolate(by_row, scale_factor=SPECTRA_PER_FRAME, mode="linear")
    amplitude, offset = hops.reshape(batch, 2, oscillators, -1).transpose(2, 3).unbind(1)
    margin = (SPECTRUM_WINDOW_SAMPLES - SPECTRUM_HOP_SAMPLES) // 2
    heard = stft_magnitude(
        torch.nn.functional.pad(mid, (margin, margin)), SPECTRUM_WINDOW_SAMPLES, SPECTRUM_HOP_SAMPLES
    )
    bins = torch.from_numpy(bank.frequencies_hz() * SPECTRUM_WINDOW_SAMPLES / SAMPLE_RATE_HZ).round().long()
    nearby = torch.nn.functional.max_pool1d(heard.transpose(1, 2), 3, 1, 1)[:, :, bins]
    nearest = partials.repeat_interleave(SPECTRA_PER_FRAME, dim=1)  # offsets do not blend between two partials
    return torch.minimum(amplitude, 1.1 * nearby), torch.where(nearest[:, :, 0] > 0, nearest[:, :, 1], offset)


@cache
def heard_classes() -> Tensor:
    """Return (OSCILLATORS, 12): the power that a constant-Q spectrum hears on each pitch class of each oscillator.

    Low notes blur into their neighbours' classes there. A loss that compares the bank's own classes with what such a
    spectrum hears of the target is lowest with false partials octaves higher, which make up for the blur.
    """
    turns = np.arange(CONSTANT_Q_WINDOW_SAMPLES)[None] * bank.frequencies_hz()[:, None] / SAMPLE_RATE_HZ
    power = constant_q(np.cos(2.0 * np.pi * turns).astype(np.float32)) ** 2
    return torch.from_numpy(power @ fold_matrix().T).float()


def chroma_loss(compressed: Tensor, harmonic: Tensor) -> Tensor:
    """Return the divergence of the bank's shares of energy on the pitch classes from those of the target.

    Both as a constant-Q spectrum hears them.

    Args:
        compressed: (batch, 4 x frames, OSCILLATORS) compressed amplitudes.
        harmonic: (batch, constant-Q bins, frames) in scaled decibels; frames below -60 dB do not count.
    """
    heard = (harmonic.amax(dim=1) > _HEARD).float()
    target = (constant_q_fold().to(harmonic.device) @ square_root_amplitude(harmonic) ** 4).transpose(1, 2)
    energy = (compressed ** (2 / bank.AMPLITUDE_POWER)).unflatten(1, (-1, SPECTRA_PER_FRAME)).mean(dim=2)
    return _class_divergence(energy @ heard_classes().to(compressed.device), target, heard)


def semitone_losses(compressed: Tensor, target_amplitude: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return how far the bank's energy is off by semitone: shares, levels and loudness.

    Squared errors of compressed amplitudes make what is uncertain far too soft, and say little of a false partial in
    another octave. The first is the divergence of the shares of energy (what is wanted must be there), the second the
    distance in nepers down to 50 dB below the hop's energy (what is not wanted must not), the third that of the hop's
    whole energy. Hops below -60 dB do not count.

    Args:
        compressed: (batch, hops, OSCILLATORS) compressed amplitudes.
        target_amplitude: the same, not compressed.
    """
    fold = torch.from_numpy(bank.semitone_fold()).to(compressed.device)
    target = target_amplitude.clamp(min=0) ** 2 @ fold.T
    energy = compressed ** (2 / bank.AMPLITUDE_POWER) @ fold.T
    whole = target.sum(dim=2, keepdim=True)
    heard = (whole[:, :, 0] > 1e-6).float()
    target, energy = (groups / whole.clamp(min=1e-6) + 1e-5 for groups in (target, energy))
    own = energy.sum(dim=2, keepdim=True)
    shares = target / target.sum(dim=2, keepdim=True)
    divergence = (shares * (torch.log(shares) - torch.log(energy / own))).sum(dim=2)
    distance = 0.5 * (torch.log(energy) - torch.log(target)).abs().mean(dim=2)
    loudness = 0.5 * (torch.log(own) - torch.log(target.sum(dim=2, keepdim=True))).abs()[:, :, 0]
    count = heard.sum().clamp(min=1)
    return tuple((heard * each).sum() / count for each in (divergence, distance, loudness))  # type: ignore[return-value]


def bank_loss(
    compressed: Tensor, offset: Tensor, target_amplitude: Tensor, target_offset: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the squared error of compressed amplitudes, and of offsets weighted by what is to be heard of them."""
    target = target_amplitude.clamp(min=0) ** bank.AMPLITUDE_POWER
    # In square roots and relative to the frame's loudest, the strongest partials count: they are the pitch heard.
    estimate_root, target_root = (x ** (0.5 / bank.AMPLITUDE_POWER) for x in (compressed, target))
    loudest = target_root.amax(dim=2, keepdim=True)
    profile = (((estimate_root - target_root) / (loudest + 0.02)) ** 2).sum(dim=2).mean()
    amplitude_loss = ((compressed - target) ** 2).sum(dim=2).mean() + 0.3 * profile
    offset_loss = (target * (offset - target_offset) ** 2).sum() / (target.sum() + 1.0)
    return amplitude_loss, offset_loss
