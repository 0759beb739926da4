"""The denoiser's graph: how it is called, and what a bundle says of its training."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.conditions import CONDITION_CHANNELS
from engine.geometry import ACCOMPANIMENT_CHANNELS
from engine.schedule import TIMESTEPS
from engine.styles import STYLES
from export.graphs import BATCH, Axis, GraphPlan
from training.denoiser.model import FRAMES_MULTIPLE, Denoiser, with_usual_sounds
from training.denoiser.state import averaged_denoiser

OPEN_FRAMES = Axis("frames", FRAMES_MULTIPLE)
AXES = {
    "x": {0: BATCH, 2: OPEN_FRAMES},
    "timestep": {0: BATCH},
    "conditions": {0: BATCH, 2: OPEN_FRAMES},
    "style": {0: BATCH},
}


def denoiser_plan(network: Denoiser) -> GraphPlan:
    """Return the plan of `denoiser.onnx`."""
    return GraphPlan("denoiser.onnx", network.eval(), example_inputs, AXES, ("v",))


def example_inputs(batch: int, frames: int) -> tuple[Tensor, ...]:
    """Return random inputs for `batch` windows of 4 x `frames` frames."""
    length = FRAMES_MULTIPLE * frames
    conditions = torch.randn(batch, CONDITION_CHANNELS, length)
    timestep = torch.randint(0, TIMESTEPS, (batch,)).float()
    style = torch.eye(len(STYLES))[torch.randint(0, len(STYLES), (batch,))]
    return torch.randn(batch, ACCOMPANIMENT_CHANNELS, length), timestep, conditions, style


def load_denoiser(checkpoint: Path) -> tuple[Denoiser, dict[str, Any], dict[str, Any]]:
    """Return the averaged network of `checkpoint`, the facts for a manifest, and the checkpoint's payload.

    Each style has its usual sounds in its weights.

    Raises:
        CheckpointError: the file is missing, damaged or of another kind.
    """
    network, payload = averaged_denoiser(checkpoint)
    if "style_sounds" in payload:
        with_usual_sounds(network, payload["style_sounds"])
    names = ("config", "step", "elapsed_seconds", "held_out_loss")
    return network, {name: payload[name] for name in names if name in payload}, payload
