"""A bundle quick to make for tests: the factory bundle's codec and a tiny untrained denoiser."""

from pathlib import Path

import torch

from engine.bundle import SamplingFacts
from engine.manifest import read_manifest
from export.codec import copied_codec
from export.denoiser import denoiser_plan
from export.write import write_bundle
from training.common.configs import config_to_table, load_config
from training.denoiser.config import DenoiserTraining
from training.denoiser.model import Denoiser

ROOT = Path(__file__).parents[1]
TINY = ROOT / "configs" / "denoiser_tiny.toml"
FACTORY = ROOT / "presets" / "factory-bundle"


def write_tiny_bundle(folder: Path) -> Path:
    """Write the bundle and return its folder."""
    torch.manual_seed(0)
    source = read_manifest(FACTORY)
    config = load_config(TINY, DenoiserTraining)
    told = {"denoiser": {"config": config_to_table(config), "step": 7}}
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
