"""The doors to measures that others trained: CLAP embeddings and AudioBox-Aesthetics.

Neither their packages nor their weights come with Backline. Each door opens when the user has both and names the
weights' file; nothing is fetched, as what a figure was made with must be the user's choice.
"""

import os
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from importlib import import_module
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridge.audio_files import TrackWriter, resampled
from bridge.errors import UserError
from engine.geometry import SAMPLE_RATE_HZ
from engine.spectra import Array

AESTHETIC_AXES = {
    "CE": "content enjoyment",
    "CU": "content usefulness",
    "PC": "production complexity",
    "PQ": "production quality",
}
"""What AudioBox-Aesthetics rates, from 1 to 10 (Tjandra et al. 2025)."""

_CLAP_RATE_HZ = 48_000
_CLAP_WINDOW_SAMPLES = 10 * _CLAP_RATE_HZ  # what it was trained on
_FULL_SCALE = 2**23 - 1
_NO_DOWNLOADS = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")

Embed = Callable[[Array], NDArray[np.float64]]
Rate = Callable[[Array], Mapping[str, float]]


def clap(weights: Path) -> Embed:
    """Return what embeds (2, samples) at 44.1 kHz as (windows, 512), a window every 10 s (LAION-CLAP, Wu et al. 2023).

    Args:
        weights: a checkpoint without fusion, under the name that it was published with: one whose name begins with
            `music` is of the larger encoder.

    Raises:
        UserError: the package or the weights are missing, or they do not fit each other.
    """
    library = _package("laion_clap", "laion-clap", weights, "https://huggingface.co/lukewys/laion_clap")
    encoder = "HTSAT-base" if weights.name.startswith("music") else "HTSAT-tiny"
    model = _opened(weights, lambda: library.CLAP_Module(enable_fusion=False, amodel=encoder))
    _opened(weights, lambda: model.load_ckpt(str(weights)))

    def embed(audio: Array) -> NDArray[np.float64]:
        pieces = list(resampled([audio], SAMPLE_RATE_HZ, _CLAP_RATE_HZ))
        mono = np.concatenate(pieces, axis=1).mean(axis=0)
        windows = max(len(mono) // _CLAP_WINDOW_SAMPLES, 1)
        cut = np.zeros(windows * _CLAP_WINDOW_SAMPLES, np.float32)
        cut[: len(mono)] = mono[: len(cut)]
        found = model.get_audio_embedding_from_data(x=cut.reshape(windows, -1), use_tensor=False)
        return np.asarray(found, np.float64)

    return embed


def aesthetics(weights: Path) -> Rate:
    """Return what rates (2, samples) at 44.1 kHz on the four axes of `AESTHETIC_AXES`.

    Args:
        weights: the published `checkpoint.pt`.

    Raises:
        UserError: the package or the weights are missing, or they do not fit each other.
    """
    address = "https://huggingface.co/facebook/audiobox-aesthetics"
    library = _package("audiobox_aesthetics.infer", "audiobox_aesthetics", weights, address)
    predictor = _opened(weights, lambda: library.initialize_predictor(ckpt=str(weights)))

    def rate(audio: Array) -> Mapping[str, float]:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "rated.wav"
            with TrackWriter(path, SAMPLE_RATE_HZ) as writer:
                writer.write(np.rint(np.clip(audio, -1.0, 1.0) * _FULL_SCALE).astype(np.int32))
            found = predictor.forward([{"path": str(path)}])[0]
        return {axis: float(found[axis]) for axis in AESTHETIC_AXES}

    return rate


def _package(module: str, package: str, weights: Path, address: str) -> Any:
    """Return `module`, imported with downloads switched off."""
    if not weights.is_file():
        raise UserError(f"{weights}: no such file; fetch the weights of {package} from {address} and name their file")
    for name in _NO_DOWNLOADS:
        os.environ.setdefault(name, "1")
    try:
        return import_module(module)
    except ImportError as error:
        raise UserError(f"{package} is not installed ({error}); install it with: pip install {package}") from error


def _opened(weights: Path, load: Callable[[], Any]) -> Any:
    """Return what `load` gives, which prints a line for each of its weights."""
    try:
        with redirect_stdout(StringIO()):
            return load()
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{weights}: cannot be opened ({reason}); give the file as it was published, and run its package once "
            "by itself if it lacks files of its own"
        ) from error
