"""Song folders to training arrays: `python -m training.codec.prepare --corpus DIR --out DIR [--follow SECONDS]`.

Each song becomes a folder of .npy files that training maps into memory. In the order vocals, drums, bass, other:
features (4, frames, FEATURE_CHANNELS), curves (4, frames, 2), partials (4, frames, 2, OSCILLATORS), all float16;
pitch (14, frames) float16 of the vocal; curves_mix (2, frames); audio (4, 2, samples) int16; and song.json.
"""

import argparse
import multiprocessing
import os
import shutil
import time
from pathlib import Path

import numpy as np
import soundfile

from engine.features import features_of
from engine.geometry import LATENT_HOP_SAMPLES, STEMS
from training.codec.targets import partials

PARTS = ("vocals", *STEMS)


def prepare_song(song: Path, out: Path) -> None:
    """Write one song's arrays into `out / song.name`; a folder that stands there already is complete and kept."""
    target = out / song.name
    if target.exists():
        return
    working = out / f".{song.name}.partial"
    shutil.rmtree(working, ignore_errors=True)
    working.mkdir(parents=True)
    audio = np.stack([_read(song / f"{part}.flac") for part in PARTS])
    audio = audio[:, :, : audio.shape[2] // LATENT_HOP_SAMPLES * LATENT_HOP_SAMPLES]
    features = [features_of(part) for part in audio]
    np.save(working / "features.npy", np.stack([part.packed.T for part in features]).astype(np.float16))
    np.save(working / "curves.npy", np.stack([part.curves.T for part in features]).astype(np.float16))
    np.save(
        working / "partials.npy", np.stack([np.moveaxis(partials(part), 2, 0) for part in audio]).astype(np.float16)
    )
    np.save(working / "pitch.npy", features[0].pitch.astype(np.float16))
    np.save(working / "curves_mix.npy", features_of(audio[1:].sum(axis=0)).curves.astype(np.float16))
    np.save(working / "audio.npy", np.round(np.clip(audio, -1, 1) * 32_767).astype(np.int16))
    shutil.copy(song / "song.json", working / "song.json")
    working.rename(target)


def _read(path: Path) -> np.ndarray:
    audio, _ = soundfile.read(path, dtype="float32", always_2d=True)
    return np.ascontiguousarray(audio.T)


def main() -> None:
    """Prepare every song of the corpus; with --follow, wait for songs that are still being rendered."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--follow", type=float, default=0.0, help="stop after this many seconds without a new song")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    os.environ["OMP_NUM_THREADS"] = "1"  # each worker is one process of its own: its matrix products stay on one core
    last_new = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(arguments.workers) as pool:
        while True:
            songs = [
                path.parent
                for path in sorted(arguments.corpus.glob("*/song.json"))
                if not path.parent.name.startswith(".")
            ]
            todo = [song for song in songs if not (arguments.out / song.name).exists()]
            if todo:
                pool.starmap(prepare_song, [(song, arguments.out) for song in todo])
                last_new = time.monotonic()
                print(f"{len(songs)} songs prepared", flush=True)
            elif time.monotonic() - last_new >= arguments.follow:
                return
            else:
                time.sleep(5)


if __name__ == "__main__":
    main()
