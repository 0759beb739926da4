"""Prepared songs to latents for the denoiser: `python -m training.encode_corpus --config CODEC.toml --out DIR`.

One `<song>.npz` a song: latents float16 (4, 64, frames) of vocals, drums, bass, other as the encoder gives them; pitch
(14, frames); curves_vocal and curves_mix (2, frames); sounds (3, 48) of `training.denoiser.sounds`; song, the text of
song.json. And `statistics.npz`: the mean and standard deviation (64,) of the training songs' stems.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from engine.geometry import STEMS
from training.codec.config import CodecTrainingConfig
from training.codec.encoder import Encoder
from training.codec.features_stage import frozen_encoder
from training.common.configs import load_config
from training.denoiser.sounds import sounds_of


def encode_song(encoder: Encoder, song: Path, target: Path) -> None:
    """Write the latents of one prepared song, all of the file or nothing."""
    features = np.load(song / "features.npy", mmap_mode="r")
    curves = np.load(song / "curves.npy").astype(np.float32)
    audio = np.load(song / "audio.npy", mmap_mode="r")
    with torch.no_grad():
        packed = torch.from_numpy(features.astype(np.float32)).transpose(1, 2)
        mean, _, _ = encoder(packed, torch.from_numpy(curves).transpose(1, 2), encoder.stack.initial_state(len(packed)))
    write_latents(
        target,
        latents=mean.numpy(),
        pitch=np.load(song / "pitch.npy"),
        curves_vocal=curves[0].T,
        curves_mix=np.load(song / "curves_mix.npy"),
        sounds=sounds_of(dict(zip(STEMS, audio[1:].astype(np.float32) / 32_767, strict=True))),
        song=(song / "song.json").read_text(encoding="utf-8"),
    )


def write_latents(target: Path, *, song: str, **arrays: NDArray[np.floating]) -> None:
    """Write `arrays` as float16 beside `song`, the text of song.json: all of the file `target` or nothing."""
    partial = target.with_name(f".{target.name}.partial")
    with partial.open("wb") as file:
        halves = {name: array.astype(np.float16) for name, array in arrays.items()}
        np.savez_compressed(file, allow_pickle=False, song=np.array(song), **halves)
    partial.replace(target)


def write_statistics(out: Path) -> None:
    """Write mean and deviation of each latent channel over the accompaniment stems of the training songs."""
    count, total, squares = 0, np.zeros(64), np.zeros(64)
    for path in sorted(out.glob("*.npz")):
        if path.name == "statistics.npz":
            continue
        with np.load(path) as song:
            if json.loads(str(song["song"]))["split"] != "train":
                continue
            latents = song["latents"][1:].astype(np.float64)
        count += latents.shape[0] * latents.shape[2]
        total += latents.sum(axis=(0, 2))
        squares += (latents**2).sum(axis=(0, 2))
    if not count:
        raise SystemExit(f"{out} has no training song; prepare songs of the split 'train' first")
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 1e-8))
    np.savez(out / "statistics.npz", mean=mean.astype(np.float32), std=deviation.astype(np.float32))


def main() -> None:
    """Encode every prepared song that has no latents yet, then take the statistics unless they are there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path(".cache/latents"))
    arguments = parser.parse_args()
    config = load_config(arguments.config, CodecTrainingConfig)
    arguments.out.mkdir(parents=True, exist_ok=True)
    encoder = frozen_encoder(config)
    for ready in sorted(config.prepared.glob("*/song.json")):
        target = arguments.out / f"{ready.parent.name}.npz"
        if not ready.parent.name.startswith(".") and not target.exists():
            encode_song(encoder, ready.parent, target)
    if not (arguments.out / "statistics.npz").exists():
        write_statistics(arguments.out)


if __name__ == "__main__":
    main()
