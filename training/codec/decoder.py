"""The decoder: causal ConvNeXt at the latent rate, then at 86 Hz, then one spectrum from three sources.

| source | what it makes | outputs a hop |
| --- | --- | --- |
| oscillator bank | steady partials: amplitude and offset (from the partials' head), pan | 270 x 2 + 24 |
| learned bins | onsets and drums: magnitude and phase of each bin (the way of Vocos), pan | 1025 x 2 + 24 |
| shaped noise | breath, cymbals, tails: levels of mid and side by mel band, on noise given from outside | 64 + 32 |

The spectrum is zero-phase (a pulse in the middle of the window has phase 0) and 1 at a full-scale sine's peak.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from engine.geometry import (
    LATENT_CHANNELS,
    SAMPLE_RATE_HZ,
    SPECTRA_PER_FRAME,
    SPECTRUM_BINS,
    SPECTRUM_WINDOW_SAMPLES,
)
from training.codec import bank
from training.codec.layers import CausalStack
from training.codec.partials_head import CONTEXT_FRAMES, PartialsHead

PAN_BANDS = 24
NOISE_BANDS = (64, 32)  # mid, side
_NOISE_FADES_IN_HZ = (150.0, 400.0)  # below lie bass notes, which noise would hide, and kick drums, which are no noise
# Where the bank plays, low learned bins only blur its pitch (their phases hold no tone); drums have no bank.
_GIVES_WAY_HZ = (500.0, 750.0)
_GIVES_WAY_LEVEL = 1e-3
_SILENT_LOG = -7.0  # about -60 dB: where the learned and the noise levels start


@dataclass(frozen=True, slots=True)
class DecoderConfig:
    """Sizes of the decoder. A frame waits for one latent after its own, as `engine.codec` declares."""

    slow_width: int = 256
    slow_blocks: int = 2
    fast_width: int = 256
    fast_blocks: int = 4
    partials_width: int = 608
    kernel: int = 7
    expansion: int = 3


@dataclass(frozen=True, slots=True)
class SpectrumParts:
    """What the heads say of each hop, (batch, hops, rows) each; phases in radians, offsets and pans in [-1, 1]."""

    compressed_amplitude: Tensor
    offset: Tensor
    bank_pan: Tensor
    learned_log: Tensor
    learned_phase: Tensor
    learned_pan: Tensor
    noise_mid_log: Tensor
    noise_side_log: Tensor


class Decoder(nn.Module):
    """Latents to spectrum parts and to the spectrum of left and right."""

    lobes: Tensor
    hop_cycles: Tensor
    range_cycles: Tensor
    bank_pan_bands: Tensor
    bin_pan_bands: Tensor
    mid_noise_bands: Tensor
    side_noise_bands: Tensor
    noise_gain: Tensor
    gives_way: Tensor
    low_oscillators: Tensor

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.into = nn.Linear(LATENT_CHANNELS, config.slow_width)
        self.slow = CausalStack(config.slow_blocks, config.slow_width, config.kernel, config.expansion)
        self.upsample = nn.Linear(config.slow_width, SPECTRA_PER_FRAME * config.fast_width)
        self.fast = CausalStack(config.fast_blocks, config.fast_width, config.kernel, config.expansion)
        self.partials = PartialsHead(config.partials_width)
        self.norm = nn.LayerNorm(config.fast_width)
        self.sizes = (PAN_BANDS, SPECTRUM_BINS, SPECTRUM_BINS, PAN_BANDS, *NOISE_BANDS)
        self.out = nn.Linear(config.fast_width, sum(self.sizes))
        self._start_quiet()
        self._register_tables()

    def _start_quiet(self) -> None:
        with torch.no_grad():
            self.out.weight *= 0.3
            parts = self.out.bias.zero_().split(self.sizes)
            for index in (1, 4, 5):
                parts[index].fill_(_SILENT_LOG)

    def _register_tables(self) -> None:
        tables = {
            "lobes": bank.lobes()[:, : bank.bins_used()],
            "hop_cycles": bank.hop_cycles(),
            "range_cycles": bank.range_cycles(),
            "bank_pan_bands": interpolation(PAN_BANDS, bank.frequencies_hz()),
            "bin_pan_bands": interpolation(PAN_BANDS, _bins_hz()),
            "mid_noise_bands": interpolation(NOISE_BANDS[0], _bins_hz()),
            "side_noise_bands": interpolation(NOISE_BANDS[1], _bins_hz()),
            "noise_gain": np.interp(_bins_hz(), _NOISE_FADES_IN_HZ, (0.0, 1.0)),
            "gives_way": np.interp(_bins_hz(), _GIVES_WAY_HZ, (1.0, 0.0)),
            "low_oscillators": bank.frequencies_hz() < _GIVES_WAY_HZ[0],
        }
        for name, table in tables.items():
            self.register_buffer(name, torch.from_numpy(table.astype(np.float32)), persistent=False)

    def initial_state(self, batch: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the states before the first frame: latents held back, slow stack, fast stack, oscillator phases."""
        held = torch.zeros(batch, LATENT_CHANNELS, CONTEXT_FRAMES - 1)
        phase = torch.zeros(batch, bank.OSCILLATORS)
        return held, self.slow.initial_state(batch), self.fast.initial_state(batch), phase

    def parts(
        self, latents: Tensor, held: Tensor, slow: Tensor, fast: Tensor
    ) -> tuple[SpectrumParts, Tensor, Tensor, Tensor]:
        """Map latents (batch, 64, frames) to the parts of 4 x frames hops, and the new states but the phases."""
        waiting = torch.cat([held, latents], dim=2)
        amplitude, offset = self.partials(waiting)  # of the frames before these: the hops that come out now
        hidden, slow = self.slow(self.into(latents.transpose(1, 2)).transpose(1, 2), slow)
        upsampled = self.upsample(hidden.transpose(1, 2)).reshape(latents.shape[0], -1, self.config.fast_width)
        hidden, fast = self.fast(upsampled.transpose(1, 2), fast)
        raw = self.out(self.norm(hidden.transpose(1, 2))).split(self.sizes, dim=-1)
        parts = SpectrumParts(
            compressed_amplitude=bank.ramp(amplitude),
            offset=torch.tanh(offset),
            bank_pan=torch.tanh(raw[0]),
            learned_log=raw[1].clamp(max=1.0),
            learned_phase=raw[2],
            learned_pan=torch.tanh(raw[3]),
            noise_mid_log=raw[4].clamp(max=1.0),
            noise_side_log=raw[5].clamp(max=1.0),
        )
        return parts, waiting[:, :, 1 - CONTEXT_FRAMES :], slow, fast

    def spectrum(self, parts: SpectrumParts, noise: Tensor, phase: Tensor) -> tuple[Tensor, Tensor]:
        """Write the three sources into one spectrum.

        Args:
            parts: of `hops` hops.
            noise: (2 mid/side, 2 re/im, hops, SPECTRUM_BINS), unit variance.
            phase: (batch, OSCILLATORS) cycles.

        Returns:
            (batch, 2 left/right, hops, SPECTRUM_BINS, 2 re/im), and the phases after the last hop.
        """
        amplitude = parts.compressed_amplitude ** (1 / bank.AMPLITUDE_POWER)
        bank_mid, bank_side, phase = self._bank(parts, amplitude, phase)
        low_level = (amplitude * self.low_oscillators).sum(dim=2, keepdim=True)
        level = torch.exp(parts.learned_log - self.gives_way * torch.log1p((low_level / _GIVES_WAY_LEVEL) ** 2))
        learned = torch.stack([level * torch.cos(parts.learned_phase), level * torch.sin(parts.learned_phase)])
        pan = parts.learned_pan @ self.bin_pan_bands
        noise_mid = torch.exp(parts.noise_mid_log @ self.mid_noise_bands) * self.noise_gain
        noise_side = torch.exp(parts.noise_side_log @ self.side_noise_bands) * self.noise_gain
        mid = learned + bank_mid + noise[0][:, None] * noise_mid
        side = learned * pan + bank_side + noise[1][:, None] * noise_side
        left_right = torch.stack([mid + side, mid - side])  # (2, 2 re/im, batch, hops, bins)
        return left_right.permute(2, 0, 3, 4, 1), phase

    def _bank(self, parts: SpectrumParts, amplitude: Tensor, phase: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        turned, phase = bank.oscillator_phases(parts.offset, phase, self.hop_cycles, self.range_cycles)
        radians = 2 * np.pi * (turned - torch.floor(turned))
        phasors = torch.stack([amplitude * torch.cos(radians), amplitude * torch.sin(radians)])
        panned = phasors * (parts.bank_pan @ self.bank_pan_bands)
        empty = SPECTRUM_BINS - self.lobes.shape[1]
        mid, side = (nn.functional.pad(source @ self.lobes, (0, empty)) for source in (phasors, panned))
        return mid, side, phase

    def forward(
        self, latents: Tensor, noise: Tensor, held: Tensor, slow: Tensor, fast: Tensor, phase: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Decode latents (batch, 64, frames) to the spectrum, with the new states; the graph of a bundle."""
        parts, held, slow, fast = self.parts(latents, held, slow, fast)
        spectrum, phase = self.spectrum(parts, noise, phase)
        return spectrum, held, slow, fast, phase


def interpolation(bands: int, frequencies_hz: np.ndarray) -> np.ndarray:
    """Return (bands, frequencies): linear interpolation between band centres that are even on the mel scale."""
    mels = 2595 * np.log10(1 + frequencies_hz / 700)
    position = np.clip(mels / (2595 * np.log10(1 + 22_050 / 700)) * (bands - 1), 0, bands - 1)
    return np.maximum(1 - np.abs(position[None] - np.arange(bands)[:, None]), 0.0)


def _bins_hz() -> np.ndarray:
    return np.arange(SPECTRUM_BINS) * (SAMPLE_RATE_HZ / SPECTRUM_WINDOW_SAMPLES)
