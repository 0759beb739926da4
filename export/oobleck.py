"""Stable Audio Open's autoencoder as a codec: the same bundle, with graphs from audio to latents and back.

The weights are the user's: a folder that `diffusers.AutoencoderOobleck.from_pretrained` reads. The latents are the
means of the encoder's distribution; weight norms are multiplied out, so that the graphs hold plain convolutions.
"""

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import remove_weight_norm

from engine.bundle import CodecFacts
from engine.geometry import AUDIO_CHANNELS, LATENT_CHANNELS, LATENT_HOP_SAMPLES, SAMPLE_RATE_HZ
from export.codec import CodecExport
from export.graphs import BATCH, FRAMES, Axis, GraphPlan

KIND = "oobleck"
ENCODER_AXES = {"audio": {0: BATCH, 2: Axis("frames", LATENT_HOP_SAMPLES)}}
DECODER_AXES = {"latents": {0: BATCH, 2: FRAMES}}
EXAMPLE_FRAMES = 2
CASES = ((1, 3), (2, 1))


class OobleckEncoder(nn.Module):
    """Audio to the means of the latents."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, audio: Tensor) -> Tensor:
        """Map audio (batch, 2, 2048 x frames) in [-1, 1] to latents (batch, 64, frames)."""
        mean, _ = self.encoder(audio).chunk(2, dim=1)
        return mean


class OobleckDecoder(nn.Module):
    """Latents to audio."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, latents: Tensor) -> Tensor:
        """Map latents (batch, 64, frames) to audio (batch, 2, 2048 x frames)."""
        return self.decoder(latents)


def load_oobleck(folder: Path) -> CodecExport:
    """Return the export of the autoencoder in `folder`.

    Raises:
        ValueError: diffusers is not installed, the folder holds no such autoencoder, or its geometry is another one.
    """
    try:
        from diffusers import AutoencoderOobleck
    except ImportError as error:
        raise ValueError("this codec needs the package diffusers; install the extra `train`") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # diffusers still builds it with torch's older weight norm
            autoencoder = AutoencoderOobleck.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder} holds no AutoencoderOobleck ({error}); give the model's `vae` folder") from error
    return oobleck_export(autoencoder, {"source": folder.name})


def oobleck_export(autoencoder: Any, training: dict[str, Any]) -> CodecExport:
    """Return the export of a `diffusers.AutoencoderOobleck`, whose weight norms are multiplied out in place.

    Raises:
        ValueError: it has another sampling rate, hop, or number of channels.
    """
    _check_geometry(autoencoder.config)
    plain_convolutions(autoencoder)
    autoencoder.eval().requires_grad_(False)
    encoder, decoder = OobleckEncoder(autoencoder.encoder), OobleckDecoder(autoencoder.decoder)
    facts = CodecFacts(
        KIND,
        encoder_lookahead_frames=frames_of(encoder_lookahead_samples(encoder)),
        decoder_lookahead_frames=decoder_lookahead_frames(decoder),
        options={"encoder_input": "audio", "decoder_output": "audio"},
    )
    return CodecExport(
        GraphPlan("encoder.onnx", encoder, _example_audio, ENCODER_AXES, ("latents",), EXAMPLE_FRAMES, cases=CASES),
        GraphPlan("decoder.onnx", decoder, _example_latents, DECODER_AXES, ("audio",), EXAMPLE_FRAMES, cases=CASES),
        facts,
        training,
    )


def _check_geometry(config: Any) -> None:
    hop = 1
    for ratio in config.downsampling_ratios:
        hop *= ratio
    found = (config.sampling_rate, config.audio_channels, config.decoder_input_channels, hop)
    expected = (SAMPLE_RATE_HZ, AUDIO_CHANNELS, LATENT_CHANNELS, LATENT_HOP_SAMPLES)
    if found != expected:
        raise ValueError(f"the autoencoder has rate, channels, latents and hop {found}; Backline needs {expected}")


def plain_convolutions(network: nn.Module) -> None:
    """Multiply the weight norms of `network` out, in place."""
    for module in network.modules():
        if hasattr(module, "weight_g"):
            remove_weight_norm(module)


def _convolutions(network: nn.Module) -> list[nn.Conv1d | nn.ConvTranspose1d]:
    """Return the convolutions of `network` in the order in which they run."""
    return [module for module in network.modules() if isinstance(module, nn.Conv1d | nn.ConvTranspose1d)]


def encoder_lookahead_samples(encoder: nn.Module) -> int:
    """Return how many samples after a frame's first one the encoder reads for that frame.

    A convolution with kernel k, dilation d and padding p reads (k - 1) d - p steps ahead at its input's rate. Side
    branches of residual blocks read no further than the main one.
    """
    rate, ahead = 1, 0
    for layer in _convolutions(encoder):
        ahead += rate * ((layer.kernel_size[0] - 1) * layer.dilation[0] - int(layer.padding[0]))
        rate *= layer.stride[0]
    return ahead


def frames_of(samples_ahead: int) -> int:
    """Return the latent frames after its own that a frame waits for which reads `samples_ahead` after its start."""
    return max(0, samples_ahead // LATENT_HOP_SAMPLES)


def decoder_lookahead_frames(decoder: nn.Module) -> int:
    """Return how many latent frames after its own the last sample of a frame waits for.

    Backwards from the sample: for output n, a transposed convolution with stride s and padding p needs input
    (n + p) // s, a plain one with kernel k, dilation d and padding p input n + (k - 1) d - p.
    """
    position = LATENT_HOP_SAMPLES - 1
    for layer in reversed(_convolutions(decoder)):
        if isinstance(layer, nn.ConvTranspose1d):
            position = (position + int(layer.padding[0])) // layer.stride[0]
        else:
            position += (layer.kernel_size[0] - 1) * layer.dilation[0] - int(layer.padding[0])
    return position


def _example_audio(batch: int, frames: int) -> tuple[Tensor, ...]:
    return (torch.rand(batch, AUDIO_CHANNELS, LATENT_HOP_SAMPLES * frames) * 2.0 - 1.0,)


def _example_latents(batch: int, frames: int) -> tuple[Tensor, ...]:
    return (torch.randn(batch, LATENT_CHANNELS, frames),)
