"""Multi-resolution spectrogram discriminators (Jang et al. 2021; Kumar et al. 2023), hinge and matching losses."""

import torch
from torch import Tensor, nn

WINDOWS = (2_048, 1_024, 512)


class SpectrogramDiscriminator(nn.Module):
    """Convolutions over the compressed complex spectrogram of one window length."""

    def __init__(self, window: int, width: int = 24) -> None:
        super().__init__()
        self.window = window
        shapes = [
            (2, width, (1, 2)),
            (width, width, (1, 2)),
            (width, width * 2, (2, 2)),
            (width * 2, width * 2, (1, 2)),
        ]
        self.layers = nn.ModuleList(
            nn.utils.parametrizations.weight_norm(nn.Conv2d(a, b, (3, 5), stride, (1, 2))) for a, b, stride in shapes
        )
        self.out = nn.utils.parametrizations.weight_norm(nn.Conv2d(width * 2, 1, (3, 3), padding=1))

    def forward(self, audio: Tensor) -> list[Tensor]:
        """Return the activations of every layer, the judgement last, of audio (rows, samples)."""
        window = torch.hann_window(self.window, device=audio.device)
        spectrum = torch.stft(audio, self.window, self.window // 4, window=window, center=False, return_complex=True)
        level = torch.sqrt(spectrum.real**2 + spectrum.imag**2 + 1e-8)
        compressed = torch.stack([spectrum.real, spectrum.imag], dim=1) * (level**-0.7).unsqueeze(1)
        hidden, seen = compressed.transpose(2, 3), []  # (rows, 2, frames, bins)
        for layer in self.layers:
            hidden = nn.functional.leaky_relu(layer(hidden), 0.1)
            seen.append(hidden)
        seen.append(self.out(hidden))
        return seen


class Discriminators(nn.Module):
    """One discriminator a window length, on left and right alike."""

    def __init__(self) -> None:
        super().__init__()
        self.each = nn.ModuleList(SpectrogramDiscriminator(window) for window in WINDOWS)

    def forward(self, audio: Tensor) -> list[list[Tensor]]:
        """Return the activations of every discriminator for audio (batch, 2, samples)."""
        rows = audio.flatten(0, 1)
        return [discriminator(rows) for discriminator in self.each]


def discriminator_loss(real: list[list[Tensor]], fake: list[list[Tensor]]) -> Tensor:
    """Return the hinge loss of the discriminators."""
    losses = [torch.relu(1 - r[-1]).mean() + torch.relu(1 + f[-1]).mean() for r, f in zip(real, fake, strict=True)]
    return torch.stack(losses).mean()


def generator_losses(real: list[list[Tensor]], fake: list[list[Tensor]]) -> tuple[Tensor, Tensor]:
    """Return the decoder's adversarial loss and its feature-matching loss."""
    adversarial = torch.stack([-f[-1].mean() for f in fake]).mean()
    matching = [
        (a - b.detach()).abs().mean() / (b.detach().abs().mean() + 1e-3)
        for r, f in zip(real, fake, strict=True)
        for b, a in zip(r[:-1], f[:-1], strict=True)
    ]
    return adversarial, torch.stack(matching).mean()
