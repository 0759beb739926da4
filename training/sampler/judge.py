"""A judge of latents: tells what songs hold from what a sampler makes, at each frame and at every fourth and sixteenth.

It hears how a stem moves, not its mean over the window: which drum kit a song has, its vocal does not tell, and a
sampler that guesses at random lies farther from the song than one that stays with the likeliest. What moves within a
song (strokes and the gaps between them, rests, fills) is what few steps lose, as they end near the mean of all that
might be played.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from engine.conditions import LAYOUT
from engine.geometry import LATENT_CHANNELS, STEMS
from engine.styles import STYLES

HEARD_GROUPS = (LAYOUT.timeline, LAYOUT.attention, LAYOUT.vocal_pitch)
RATES = (1, 4, 16)
SLOPE = 0.2


class _Block(nn.Module):
    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.wide = spectral_norm(nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation))
        self.mixing = spectral_norm(nn.Conv1d(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.wide(functional.leaky_relu(x, SLOPE))
        return x + self.mixing(functional.leaky_relu(hidden, SLOPE))


class Judge(nn.Module):
    """Convolutions with spectral norms (Miyato et al. 2018) at three rates, each with a judgement of its own."""

    def __init__(self, stems: Sequence[str], width: int) -> None:
        """Make a judge that hears `stems`, with fresh weights from torch's random generator."""
        super().__init__()
        self.rows = [STEMS.index(stem) for stem in stems]
        heard = len(stems) * LATENT_CHANNELS + sum(group.channels for group in HEARD_GROUPS) + len(STYLES)
        self.begin = spectral_norm(nn.Conv1d(heard, width, 5, padding=2))
        self.blocks = nn.ModuleList(nn.Sequential(*(_Block(width, dilation) for dilation in (1, 3, 9))) for _ in RATES)
        self.slower = nn.ModuleList(spectral_norm(nn.Conv1d(width, width, 4, stride=4)) for _ in RATES[1:])
        self.judgements = nn.ModuleList(spectral_norm(nn.Conv1d(width, 1, 3, padding=1)) for _ in RATES)

    def forward(self, latents: Tensor, conditions: Tensor, style: Tensor, noise_std: float = 0.0) -> list[Tensor]:
        """Return a judgement for each rate, (batch, frames / rate), above 0 for real.

        Args:
            latents: (batch, 192, frames); only the judge's stems are heard.
            conditions: (batch, CONDITION_CHANNELS, frames).
            style: (batch, styles).
            noise_std: of the noise that is added to what is heard.
        """
        frames = latents.shape[-1]
        own = latents.unflatten(1, (len(STEMS), LATENT_CHANNELS))[:, self.rows].flatten(1, 2)
        own = own - own.mean(dim=2, keepdim=True)
        told = [conditions[:, group.whole] for group in HEARD_GROUPS]
        told.append(style[:, :, None].expand(-1, -1, frames))
        hidden = self.begin(torch.cat([own + noise_std * torch.randn_like(own), *told], dim=1))
        judged = []
        for place, (blocks, judgement) in enumerate(zip(self.blocks, self.judgements, strict=True)):
            hidden = blocks(self.slower[place - 1](hidden) if place else hidden)
            judged.append(judgement(functional.leaky_relu(hidden, SLOPE))[:, 0].float())
        return judged

    def counted(self, generated: Tensor) -> list[Tensor]:
        """Return for each rate where a judgement counts: where at least half is made, of any stem that is heard.

        Args:
            generated: (batch, stems, frames), 1 where something is made.
        """
        made = generated[:, self.rows].amax(dim=1, keepdim=True)
        return [(functional.avg_pool1d(made, rate)[:, 0] >= 0.5).float() for rate in RATES]


def judge_loss(real: Sequence[Tensor], made: Sequence[Tensor], counted: Sequence[Tensor]) -> Tensor:
    """Return the hinge loss of the judge, the mean over rates; 2 for a judge that knows nothing."""
    losses = [
        _mean(torch.relu(1.0 - r), where) + _mean(torch.relu(1.0 + m), where)
        for r, m, where in zip(real, made, counted, strict=True)
    ]
    return torch.stack(losses).mean()


def sampler_loss(made: Sequence[Tensor], counted: Sequence[Tensor]) -> Tensor:
    """Return what the sampler wants low: how far the judge takes for unreal what it made, the mean over rates."""
    return -torch.stack([_mean(m, where) for m, where in zip(made, counted, strict=True)]).mean()


def _mean(values: Tensor, where: Tensor) -> Tensor:
    return (values * where).sum() / where.sum().clamp_min(1.0)
