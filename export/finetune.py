"""A bundle trained on with your own songs: `python -m export.finetune --bundle B --songs FOLDER --out NEW`.

Import, encode, train, export, in one command that may be stopped at any moment: the same command goes on where it was.
docs/fine-tuning.md says what the songs must be, how long it takes and how to hear the result.
"""

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from engine.bundle import BundleError
from engine.manifest import Manifest, read_manifest
from engine.runtime import GraphError
from export.codec import copied_codec
from export.denoiser import denoiser_plan, load_denoiser
from export.parity import ParityError
from export.restore import denoiser_checkpoint
from export.write import write_bundle
from training.common.checkpoint import BEST, LAST, CheckpointError
from training.common.configs import config_from_table, load_config
from training.common.devices import Processes, start_processes
from training.common.schedules import Budget
from training.denoiser.config import DenoiserTraining, DistillationConfig
from training.denoiser.data import Batch
from training.denoiser.model import Denoiser, DenoiserConfig
from training.denoiser.objective import training_tensors, v_errors
from training.denoiser.songs import LatentsError, hours
from training.denoiser.state import averaged_denoiser, distilled_guidance
from training.denoiser.teacher import Teacher
from training.denoiser.train import Material, load_material, train
from training.denoiser.validation import validation_batches
from training.encode_songs import encode_songs
from training.folders.__main__ import add_given_options, given_of, import_all
from training.folders.importing import Given

CONFIG = Path("configs/denoiser_finetune.toml")
DISTIL_CONFIG = Path("configs/denoiser_distil_cpu.toml")
SOURCE_FILE = "source.json"
INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class FineTune:
    """What is asked for.

    Attributes:
        bundle: folder of the bundle to go on from.
        songs: folder of the user's songs, in any layout of `training.folders`.
        out: folder of the new bundle, which is not there yet.
        work: folder of what is made on the way, kept so that the training can go on.
        config: a `configs/denoiser_*.toml`; its model is the bundle's, whatever the file says.
        changes: `table.key=value` strings laid over it.
        minutes: of training; None for the config's budget.
        given: what is known of all songs.
        workers: processes that encode.
        distil_minutes: of distilling the guidance into what was learned; None to leave it in two passes.
    """

    bundle: Path
    songs: Path
    out: Path
    work: Path
    config: Path = CONFIG
    changes: Sequence[str] = ()
    minutes: float | None = None
    given: Given = dataclasses.field(default_factory=Given)
    workers: int = 1
    distil_minutes: float | None = None


def fine_tune(asked: FineTune, say: Callable[[str], None]) -> None:
    """Make the new bundle; `say` is told a line for each thing done.

    Raises:
        ValueError: a song, the config or the work folder cannot be used; LatentsError: no song is long enough.
        BundleError, GraphError, ParityError, CheckpointError: the bundle cannot be used or a file is damaged.
        OSError: a file cannot be read or written.
    """
    if asked.out.exists():
        raise ValueError(f"{asked.out}: exists already; name another folder with --out, or remove this one")
    manifest = read_manifest(asked.bundle)
    weights = denoiser_checkpoint(asked.bundle)
    config = _config(asked, weights["config"]["model"])
    distillation = _distillation(asked, manifest, config.model)
    _check_source(asked.work, manifest)
    songs, latents, run, distilled = (asked.work / name for name in ("songs", "latents", "run", "distilled"))
    import_all(asked.songs, songs, asked.given, say)
    encode_songs(asked.bundle, songs, latents, asked.workers, say)
    material = load_material(latents)
    say(_material_line(material))
    processes = start_processes(config.run.device, config.run.threads)
    train(config, material, run, processes, weights["average"]["network"])
    learned = _learned(run)
    losses = _losses_line(asked.bundle, manifest, learned, material, config)
    say(losses)
    if distillation is not None:
        _distil(distillation, learned, material, distilled, processes)
        learned = _learned(distilled)
    _export(asked, manifest, learned, material, losses, say)


def _config(asked: FineTune, model: dict[str, Any]) -> DenoiserTraining:
    config = load_config(asked.config, DenoiserTraining, asked.changes)
    config = dataclasses.replace(config, model=config_from_table(model, DenoiserConfig))
    return config if asked.minutes is None else dataclasses.replace(config, budget=Budget(minutes=asked.minutes))


def _distillation(asked: FineTune, manifest: Manifest, model: DenoiserConfig) -> DenoiserTraining | None:
    """Return how the bundle's guidance is distilled afterwards; None where that is not asked for."""
    if asked.distil_minutes is None:
        return None
    scale = manifest.sampling.guidance_scale
    if scale == 1.0:
        raise ValueError(f"{asked.bundle}: is played without guidance, so there is none to distil; leave out --distil")
    return dataclasses.replace(
        load_config(DISTIL_CONFIG, DenoiserTraining),
        model=model,
        budget=Budget(minutes=asked.distil_minutes),
        distillation=DistillationConfig(scale),
    )


def _check_source(work: Path, manifest: Manifest) -> None:
    """Note which bundle the work folder belongs to; refuse one that belongs to another."""
    work.mkdir(parents=True, exist_ok=True)
    path, source = work / SOURCE_FILE, dict(manifest.sha256)
    if not path.exists():
        path.write_text(json.dumps(source), encoding="utf-8")
    elif json.loads(path.read_text(encoding="utf-8")) != source:
        raise ValueError(f"{work}: was begun with another bundle; name another folder with --work, or remove this one")


def _material_line(material: Material) -> str:
    length = f"{60.0 * hours(material.training):.0f} minutes"
    return f"{len(material.training)} songs to learn from, {length}; {len(material.held_out)} held out"


def _learned(run: Path) -> Path:
    """Return the checkpoint with the best held-out loss; the last one where no song was held out."""
    best = run / BEST
    return best if best.is_file() else run / LAST


def _distil(config: DenoiserTraining, learned: Path, material: Material, out: Path, processes: Processes) -> None:
    """Train a copy of what was `learned` to say in one pass what it says with guidance in two."""
    assert config.distillation is not None
    network, _ = averaged_denoiser(learned)
    weights = network.state_dict()
    teacher = Teacher(network.to(processes.device), config.distillation.guidance_scale, config.run.mixed_precision)
    train(config, material, out, processes, weights, teacher)


def _export(
    asked: FineTune, manifest: Manifest, learned: Path, material: Material, losses: str, say: Callable[[str], None]
) -> None:
    """Write the bundle of the weights in `learned`."""
    network, training, payload = load_denoiser(learned)
    mean, std = payload["latent_mean"].numpy(), payload["latent_std"].numpy()
    told = {
        "denoiser": training,
        "fine_tuned": {
            "from": dict(manifest.sha256),
            "songs": len(material.training),
            "hours": round(hours(material.training), 3),
            "held_out": losses,
            "before": dict(manifest.training.get("denoiser", {})),
        },
    }
    codec = copied_codec(asked.bundle, manifest)
    sampling = dataclasses.replace(manifest.sampling, distilled_guidance_scale=distilled_guidance(training))
    write_bundle(asked.out, codec, denoiser_plan(network), mean, std, sampling, told, say, manifest.harmony)


def _losses_line(bundle: Path, manifest: Manifest, learned: Path, material: Material, config: DenoiserTraining) -> str:
    """Return in words what the held-out songs say of the training."""
    if not material.held_out:
        return "no song was held out, so nothing tells whether it learned more than this one by heart; listen"
    batches = validation_batches(material.held_out, config.data, config.run.validation_batches)
    before = held_out_loss(_denoiser_of(bundle), batches, manifest.sampling.distilled_guidance_scale)
    after = held_out_loss(load_denoiser(learned)[0], batches)
    line = f"loss on the songs held out: {before:.4f} before, {after:.4f} after"
    return line if after < before else f"{line}: no better; give more songs, or fewer minutes"


def _denoiser_of(bundle: Path) -> Denoiser:
    payload = denoiser_checkpoint(bundle)
    network = Denoiser(config_from_table(payload["config"]["model"], DenoiserConfig))
    network.load_state_dict(payload["average"]["network"])
    return network


def held_out_loss(network: Denoiser, batches: Sequence[Batch], distilled_scale: float = 1.0) -> float:
    """Return the mean squared error of v on held-out songs, without guidance.

    Args:
        network: the denoiser.
        batches: of `training.denoiser.validation.validation_batches`.
        distilled_scale: guidance that its weights hold; it is taken out, so that it does not count as an error.
    """
    unguided = Teacher(network.eval(), 1.0 / distilled_scale, mixed=False)
    errors = []
    for batch in batches:
        tensors = training_tensors(batch, torch.device("cpu"))
        v = unguided.guided(tensors.noisy, tensors.timestep, tensors.conditions, tensors.style)
        errors.append(v_errors(v, tensors))
    return torch.cat(errors).mean().item()


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(prog="python -m export.finetune", description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True, help="the bundle to go on from")
    parser.add_argument("--songs", type=Path, required=True, help="folder of your songs, a folder of stems each")
    parser.add_argument("--out", type=Path, required=True, help="the new bundle's folder")
    parser.add_argument("--minutes", type=float, help="of training; else as the config says, an hour")
    parser.add_argument("--distil", type=float, metavar="MINUTES", help="afterwards distil the guidance into it again")
    parser.add_argument("--work", type=Path, help="songs, latents and checkpoints on the way; else OUT.work")
    parser.add_argument("--config", type=Path, default=CONFIG, help="settings of the training")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="such as run.threads=4")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes that encode")
    add_given_options(parser)
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """Fine-tune; return the exit code."""
    options = arguments(words)
    work = options.work or options.out.with_name(f"{options.out.name}.work")
    try:
        asked = FineTune(
            options.bundle,
            options.songs,
            options.out,
            work,
            options.config,
            options.set,
            options.minutes,
            given_of(options),
            options.workers,
            options.distil,
        )
        fine_tune(asked, lambda line: print(line, flush=True))
    except (ValueError, OSError, LatentsError, BundleError, GraphError, ParityError, CheckpointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"interrupted; the same command goes on from {work}", file=sys.stderr)
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
