"""A bundle quick to make for tests: the factory bundle's codec and a tiny untrained denoiser."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
import pytest
import torch
from onnx import numpy_helper

from engine.bundle import SamplingFacts
from engine.manifest import read_manifest
from export import graphs
from export.codec import copied_codec
from export.denoiser import denoiser_plan
from export.write import write_bundle
from training.common.configs import config_to_table, load_config
from training.denoiser.config import DenoiserTraining
from training.denoiser.model import Denoiser

ROOT = Path(__file__).parents[1]
TINY = ROOT / "configs" / "denoiser_tiny.toml"
FACTORY = ROOT / "presets" / "factory-bundle"


_TRACED: dict[object, bytes] = {}


@contextmanager
def traced_once() -> Iterator[None]:
    """Let torch trace networks of one shape once in all tests, and put the weights into a copy: a trace takes a minute.

    Whoever writes a bundle compares each graph with torch, so a copy that is wrong is refused.
    """
    trace = graphs.traced

    def remembered(plan: graphs.GraphPlan) -> onnx.ModelProto:
        weights = dict(plan.network.named_parameters())
        shape = (plan.name, *((name, tuple(weight.shape)) for name, weight in weights.items()))
        if shape not in _TRACED:
            _TRACED[shape] = trace(plan).SerializeToString()
        model = onnx.load_from_string(_TRACED[shape])
        for held in model.graph.initializer:
            if held.name in weights:
                held.CopyFrom(numpy_helper.from_array(weights[held.name].detach().numpy(), held.name))
        return model

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graphs, "traced", remembered)
        yield


def write_tiny_bundle(folder: Path) -> Path:
    """Write the bundle and return its folder."""
    torch.manual_seed(0)
    source = read_manifest(FACTORY)
    config = load_config(TINY, DenoiserTraining)
    told = {"denoiser": {"config": config_to_table(config), "step": 7}}
    with traced_once():
        write_bundle(
            folder,
            copied_codec(FACTORY, source),
            denoiser_plan(Denoiser(config.model)),
            source.latent_mean,
            source.latent_std,
            SamplingFacts(steps=6, guidance_scale=1.5),
            told,
            lambda _: None,
            source.harmony,
        )
    return folder
