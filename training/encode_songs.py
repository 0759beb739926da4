"""Song folders to latents with a bundle's own encoder: `python -m training.encode_songs --bundle B --songs DIR`.

What a denoiser needs that goes on from a bundle: fine-tuning on a user's stems, or distillation. The normalisation is
the bundle's. Files are those of `training.encode_corpus`; songs that have latents already are kept.
"""

import argparse
import multiprocessing
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import soundfile

from engine.bundle import Bundle, BundleError
from engine.codec import encode
from engine.features import features_of
from engine.geometry import STEMS
from engine.runtime import GraphError
from engine.spectra import Array
from training.corpus.folder import SONG_FILE, VOCALS, is_finished
from training.denoiser.songs import STATISTICS
from training.encode_corpus import write_latents

_bundles: list[Bundle] = []


def encode_folder(bundle: Bundle, folder: Path, target: Path) -> None:
    """Write the latents of the song in `folder` to `target`, all of the file or nothing.

    Raises:
        OSError: a stem is missing or damaged.
        ValueError: the stems have different lengths.
    """
    audio = {part: _read(folder / f"{part}.flac") for part in (VOCALS, *STEMS)}
    lengths = {stem.shape[1] for stem in audio.values()}
    if len(lengths) != 1:
        raise ValueError(f"{folder}: its stems are {sorted(lengths)} samples long; make them one length")
    encoded = [encode(bundle, stem) for stem in audio.values()]
    mix = features_of(np.sum([audio[stem] for stem in STEMS], axis=0))
    write_latents(
        target,
        latents=np.stack([stem.latents for stem in encoded]),
        pitch=encoded[0].pitch,
        curves_vocal=encoded[0].curves,
        curves_mix=mix.curves,
        song=(folder / SONG_FILE).read_text(encoding="utf-8"),
    )


def _read(path: Path) -> Array:
    audio, _ = soundfile.read(path, dtype="float32", always_2d=True)
    return np.ascontiguousarray(audio.T)


def _start_worker(bundle: Path) -> None:
    _bundles.append(Bundle.load(bundle, threads=1))


def _encode_job(job: tuple[Path, Path]) -> str:
    folder, target = job
    encode_folder(_bundles[0], folder, target)
    return target.stem


def encode_all(bundle: Path, jobs: Iterable[tuple[Path, Path]], workers: int) -> Iterator[str]:
    """Encode each (song folder, latents file) of `jobs` in `workers` processes; yield the songs' names as they end."""
    os.environ["OMP_NUM_THREADS"] = "1"  # each worker is one process of its own: its matrix products stay on one core
    with multiprocessing.get_context("spawn").Pool(workers, _start_worker, (bundle,)) as pool:
        yield from pool.imap_unordered(_encode_job, jobs)


def main() -> int:
    """Encode every finished song folder; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--bundle", type=Path, required=True, help="the bundle whose encoder and normalisation are used"
    )
    parser.add_argument("--songs", type=Path, required=True, help="folder of song folders; see docs/contracts.md")
    parser.add_argument("--out", type=Path, default=Path(".cache/latents"))
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    options = parser.parse_args()
    try:
        bundle = Bundle.load(options.bundle, threads=1)
        options.out.mkdir(parents=True, exist_ok=True)
        np.savez(options.out / STATISTICS, mean=bundle.latent_mean, std=bundle.latent_std)
        folders = [path for path in sorted(options.songs.iterdir()) if is_finished(path) and path.name[0] != "."]
        jobs = [(folder, options.out / f"{folder.name}.npz") for folder in folders]
        waiting = [(folder, target) for folder, target in jobs if not target.exists()]
        for done, name in enumerate(encode_all(options.bundle, waiting, options.workers), start=1):
            print(f"{done}/{len(waiting)} {name}", file=sys.stderr, flush=True)
    except (BundleError, GraphError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
