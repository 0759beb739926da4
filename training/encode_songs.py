"""Song folders to latents with a bundle's own encoder: `python -m training.encode_songs --bundle B --songs DIR`.

What a denoiser needs that goes on from a bundle: fine-tuning on a user's stems, or distillation. The normalisation is
the bundle's. Files are those of `training.encode_corpus`; songs that have latents already are kept.
"""

import argparse
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile

from engine.bundle import Bundle, BundleError
from engine.codec import encode
from engine.features import features_of
from engine.geometry import AUDIO_CHANNELS, SAMPLE_RATE_HZ, STEMS
from engine.runtime import GraphError
from engine.spectra import Array
from training.corpus.folder import SONG_FILE, VOCALS, is_finished
from training.denoiser.songs import STATISTICS, LatentsError, load_statistics
from training.denoiser.sounds import sounds_of
from training.encode_corpus import write_latents

_bundles: list[Bundle] = []


def encode_folder(bundle: Bundle, folder: Path, target: Path) -> None:
    """Write the latents of the song in `folder` to `target`, all of the file or nothing.

    Raises:
        ValueError: a stem is missing or damaged, or the stems have different lengths.
    """
    audio = {part: _read(folder, part) for part in (VOCALS, *STEMS)}
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
        sounds=sounds_of(audio),
        song=(folder / SONG_FILE).read_text(encoding="utf-8"),
    )


def _read(folder: Path, part: str) -> Array:
    """Return (2, samples) of a stem.

    Raises:
        ValueError: it is missing, damaged, or not stereo at 44.1 kHz.
    """
    path = next((folder / f"{part}{end}" for end in (".flac", ".wav") if (folder / f"{part}{end}").is_file()), None)
    if path is None:
        raise ValueError(f"{folder}: has no {part}.flac or {part}.wav; see docs/contracts.md for a song folder")
    try:
        audio, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, RuntimeError) as error:
        raise ValueError(f"{path}: cannot be read ({error}); make the song again") from error
    if rate_hz != SAMPLE_RATE_HZ or audio.shape[1] != AUDIO_CHANNELS:
        found = f"{audio.shape[1]} channels at {rate_hz} Hz"
        raise ValueError(f"{path}: has {found}; import it with python -m training.folders first")
    return np.ascontiguousarray(audio.T)


def _start_worker(bundle: Path) -> None:
    _bundles.append(Bundle.load(bundle, threads=1))


def _encode_job(job: tuple[Path, Path]) -> str:
    folder, target = job
    encode_folder(_bundles[0], folder, target)
    return target.stem


def encode_all(bundle: Path, jobs: Sequence[tuple[Path, Path]], workers: int) -> Iterator[str]:
    """Encode each (song folder, latents file) of `jobs` and yield the songs' names as they end.

    One worker is this process, more are processes of their own.
    """
    if workers == 1:
        loaded = Bundle.load(bundle, threads=1)
        for folder, target in jobs:
            encode_folder(loaded, folder, target)
            yield target.stem
        return
    os.environ["OMP_NUM_THREADS"] = "1"  # each worker is one process of its own: its matrix products stay on one core
    with multiprocessing.get_context("spawn").Pool(workers, _start_worker, (bundle,)) as pool:
        yield from pool.imap_unordered(_encode_job, jobs)


def encode_songs(bundle: Path, songs: Path, out: Path, workers: int, say: Callable[[str], None]) -> None:
    """Write the latents of every finished song folder in `songs` to `out`; those that are there already are kept.

    Raises:
        BundleError, GraphError: the bundle cannot be used.
        ValueError: there are no songs, one is damaged, or `out` holds the latents of another bundle.
    """
    loaded = Bundle.load(bundle, threads=1)
    folders = [path for path in sorted(songs.iterdir()) if is_finished(path) and path.name[0] != "."]
    if not folders:
        raise ValueError(f"{songs}: holds no song folders; import some with python -m training.folders")
    out.mkdir(parents=True, exist_ok=True)
    _write_statistics(out, loaded)
    waiting = [(folder, target) for folder in folders if not (target := out / f"{folder.name}.npz").exists()]
    for done, name in enumerate(encode_all(bundle, waiting, min(workers, len(waiting))) if waiting else (), start=1):
        say(f"{done}/{len(waiting)} encoded: {name}")


def _write_statistics(out: Path, bundle: Bundle) -> None:
    """Write the bundle's normalisation, or refuse a folder that has another one."""
    path = out / STATISTICS
    if not path.exists():
        partial = path.with_name(f".{path.name}.partial")
        with partial.open("wb") as file:
            np.savez(file, mean=bundle.latent_mean, std=bundle.latent_std)
        partial.replace(path)
        return
    found = load_statistics(out)
    if not (np.array_equal(found.mean, bundle.latent_mean) and np.array_equal(found.std, bundle.latent_std)):
        raise ValueError(f"{out}: holds latents of another bundle; name another folder with --out")


def main(words: Sequence[str] | None = None) -> int:
    """Encode every finished song folder; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.encode_songs", description=__doc__)
    parser.add_argument(
        "--bundle", type=Path, required=True, help="the bundle whose encoder and normalisation are used"
    )
    parser.add_argument("--songs", type=Path, required=True, help="folder of song folders; see docs/contracts.md")
    parser.add_argument("--out", type=Path, default=Path(".cache/latents"))
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    options = parser.parse_args(words)
    try:
        encode_songs(options.bundle, options.songs, options.out, options.workers, _to_stderr)
    except (BundleError, GraphError, LatentsError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
