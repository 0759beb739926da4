"""How softly a decoder's oscillators play each band: `python -m export.balance --bundle B --songs DIR [--write]`.

The bank's amplitudes are learned compressed, and what is uncertain comes out as a mean of compressed values: far below
the mean power, most of all for the bass. So vocals, bass and harmony of songs are sent through the codec, their power
is compared band by band with the songs' own, and what each oscillator lacks is written into the height of its main
lobe in the decoder's graph. Measure on train songs; run it once, after the codec's training.
"""

import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.bundle import Bundle, BundleError
from engine.geometry import SAMPLE_RATE_HZ
from engine.manifest import file_facts
from engine.runtime import GraphError
from engine.spectra import Array
from export.codec import DECODER_GRAPH
from export.graphs import scale_rows
from export.levels import change_manifest, measuring_parser, part_file, song_folders, through_codec
from training.codec import bank
from training.folders.audio import read_track

LOBES = "decoder.lobes"
PITCHED = ("vocals", "bass", "other")
BAND_EDGES_HZ = np.geomspace(27.5, 5_000.0, 31)
LARGEST_GAIN_DB = 18.0
PASSES = 2  # the bank is not alone in its bands: what a gain brings is measured again
_WELCH_SAMPLES = 16_384
_SILENT_POWER = 1e-9

Floats = NDArray[np.float64]


def band_powers(audio: Array) -> Floats:
    """Return the power of (2, samples) at 44.1 kHz in each band, summed over channels: (bands,)."""
    from scipy.signal import welch

    hertz, density = welch(audio, SAMPLE_RATE_HZ, nperseg=min(_WELCH_SAMPLES, audio.shape[1]))
    band = np.searchsorted(BAND_EDGES_HZ, hertz, side="right") - 1
    inside = (band >= 0) & (band < len(BAND_EDGES_HZ) - 1)
    sums = np.zeros(len(BAND_EDGES_HZ) - 1)
    np.add.at(sums, band[inside], density.sum(axis=0)[inside])
    return sums


def lacking_db(real: Sequence[Floats], coded: Sequence[Floats]) -> Floats:
    """Return what the codec lacks in each band in dB: of mean powers, each signal relative to its own real power.

    Raises:
        ValueError: no signal sounds.
    """
    pairs = [(own / own.sum(), made / own.sum()) for own, made in zip(real, coded, strict=True) if own.sum() > 0]
    if not pairs:
        raise ValueError("none of these songs has vocals, bass or harmony that sound; name other songs")
    wanted, found = np.mean(pairs, axis=0) + _SILENT_POWER
    lacking: Floats = 10.0 * np.log10(wanted / found)
    return np.convolve(np.pad(lacking, 1, "edge"), (0.25, 0.5, 0.25), "valid")


def oscillator_gains_db(lacking: Floats) -> Floats:
    """Return what the bands lack at each oscillator in dB: (OSCILLATORS,)."""
    centres = np.sqrt(BAND_EDGES_HZ[1:] * BAND_EDGES_HZ[:-1])
    return np.interp(np.log(bank.frequencies_hz()), np.log(centres), lacking)


def scale_lobes(bundle: Path, gains_db: Floats) -> None:
    """Make the oscillators of the bundle in the folder `bundle` louder by `gains_db` (OSCILLATORS,).

    Raises:
        BundleError: its decoder has no such bank.
    """
    path = bundle / DECODER_GRAPH
    partial = path.with_name(f".{path.name}.partial")
    if not scale_rows(path, partial, LOBES, 10.0 ** (gains_db / 20.0)):
        raise BundleError(
            f"{path}: has no bank of {bank.OSCILLATORS} oscillators; give a bundle of Backline's own codec"
        )
    partial.replace(path)
    change_manifest(bundle, ("files", DECODER_GRAPH), file_facts(path))


def powers(bundle: Bundle, folders: Sequence[Path], seconds: float) -> tuple[list[Floats], list[Floats]]:
    """Return band powers of each pitched part of songs, as it is and through the codec."""
    real, coded = [], []
    for folder in folders:
        for part in PITCHED:
            audio = _middle(read_track(part_file(folder, part)), seconds)
            real.append(band_powers(audio))
            coded.append(band_powers(through_codec(bundle, audio)))
    return real, coded


def _middle(audio: Array, seconds: float) -> Array:
    """Return so much from the middle of (2, samples), where all that plays at all mostly does."""
    samples = int(seconds * SAMPLE_RATE_HZ)
    start = max(audio.shape[1] - samples, 0) // 2
    return audio[:, start : start + samples]


def balance(
    bundle: Path, songs: Path, split: str, count: int, seconds: float, threads: int = 0
) -> tuple[Floats, list[Floats]]:
    """Make the bank of the bundle in the folder `bundle` as loud as songs are.

    Returns:
        The gains (OSCILLATORS,) in dB, and what each band lacked before each pass and after the last.
    """
    folders, gains_db, lacks = song_folders(songs, split, count), np.zeros(bank.OSCILLATORS), list[Floats]()
    for turn in range(PASSES + 1):
        lacks.append(lacking_db(*powers(Bundle.load(bundle, threads=threads), folders, seconds)))
        if turn < PASSES:
            wanted_db = np.clip(gains_db + oscillator_gains_db(lacks[-1]), 0.0, LARGEST_GAIN_DB)
            scale_lobes(bundle, wanted_db - gains_db)
            gains_db = wanted_db
    return gains_db, lacks


def main() -> int:
    """Measure, print and, if asked, write; return the exit code."""
    options = measuring_parser("balance", __doc__, "train", 24, 15.0).parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "bundle"
            shutil.copytree(options.bundle, copy)
            asked = options.songs, options.split, options.count, options.seconds, options.threads
            gains_db, lacks = balance(copy, *asked)
        if options.write:
            scale_lobes(options.bundle, gains_db)
    except (OSError, KeyError, ValueError, BundleError, GraphError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("   band Hz    lacks, dB: before and after each pass")
    for low, high, *row in zip(BAND_EDGES_HZ, BAND_EDGES_HZ[1:], *lacks, strict=False):
        print(f"{low:5.0f} to {high:5.0f}" + "".join(f"{value:8.1f}" for value in row))
    print(f"oscillators: {gains_db.min():.1f} to {gains_db.max():.1f} dB" + (", written" if options.write else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
