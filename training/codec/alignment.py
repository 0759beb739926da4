"""New latents turned to where old ones lay, so that what goes on from the old ones need learn only what is new.

An encoder that is trained on holds more, but in axes of its own, and of other sizes. Its latents are whitened, turned
by the rotation that brings them nearest to the whitened old ones (Schönemann 1966), and given the old ones' covariance
again: nothing that they hold is lost, as it would be in a projection. The map goes into the encoder's last layers.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from training.codec.data import PreparedSongs
from training.codec.encoder import Encoder

_BATCHES, _CLIPS, _FRAMES = 24, 64, 32
_SETTLING_FRAMES = 4  # of a clip without a past
_SMALLEST = 1e-9


@torch.no_grad()
def align(encoder: Encoder, reference: Encoder, songs: PreparedSongs) -> float:
    """Turn the means of `encoder` to those of `reference`.

    Args:
        encoder: changed in place.
        reference: whose latents others know.
        songs: to measure both on, without vocals.

    Returns:
        What still differs, as a share of the latents' variance.
    """
    pairs = [(_means(reference, *inputs), _means(encoder, *inputs)) for inputs in _inputs(songs)]
    old, new = (torch.cat(latents).double() for latents in zip(*pairs, strict=True))
    old_mean, new_mean, spread = old.mean(dim=0), new.mean(dim=0), old.std(dim=0)
    old, new = (old - old_mean) / spread, new - new_mean
    whitening, colouring = _power(torch.cov(new.T), -0.5), _power(torch.cov(old.T), 0.5)
    left, _, right = torch.linalg.svd(whitening @ (new.T @ old) @ colouring)
    turn = whitening @ (left @ right) @ colouring
    turn /= (new @ turn).std(dim=0)
    rest = ((new @ turn - old) ** 2).mean()
    matrix = turn * spread
    encoder.turn(matrix.float(), (old_mean - new_mean @ matrix).float())
    return float(rest)


def _inputs(songs: PreparedSongs) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield features and curves of clips of the accompaniment."""
    rng = np.random.default_rng(0)
    for _ in range(_BATCHES):
        clips = songs.clips(rng, _CLIPS, _FRAMES, with_audio=False)
        played = clips.part > 0
        yield clips.features[played], clips.curves[played]


def _means(encoder: Encoder, features: Tensor, curves: Tensor) -> Tensor:
    """Return latents, (frames of all clips, 64)."""
    mean, _, _ = encoder(features, curves, encoder.stack.initial_state(len(features)))
    return mean[:, :, _SETTLING_FRAMES:].transpose(1, 2).flatten(0, 1)


def _power(covariance: Tensor, exponent: float) -> Tensor:
    values, axes = torch.linalg.eigh(covariance)
    return (axes * values.clamp(min=_SMALLEST) ** exponent) @ axes.T
