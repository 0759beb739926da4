"""The one door to the WORLD vocoder (pyworld): it analyses syllables.

Tracks have one column of time every 5 ms. Aperiodicity is kept in WORLD's coded form: a few bands in decibels.
"""

import importlib.util
import sys
import types
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

VOICE_RATE_HZ = 24_000
FRAME_SECONDS = 0.005
FFT_SAMPLES = 1_024
ENVELOPE_BINS = FFT_SAMPLES // 2 + 1
APERIODICITY_BANDS = 3
LOWEST_F0_HZ = 71.0

FloatArray = NDArray[np.float64]
SmallArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Tracks:
    """What WORLD says about a stretch of voice.

    Attributes:
        f0_hz: (frames,) fundamental, 0 where unvoiced.
        log_envelope: (frames, ENVELOPE_BINS) natural logarithm of the power envelope.
        aperiodicity_db: (frames, APERIODICITY_BANDS) coded aperiodicity.
    """

    f0_hz: SmallArray
    log_envelope: SmallArray
    aperiodicity_db: SmallArray


def _load_pyworld() -> Any:
    """Import pyworld, which asks setuptools' retired `pkg_resources` for nothing but its own version number."""
    if "pkg_resources" not in sys.modules and importlib.util.find_spec("pyworld") is not None:
        stand_in = types.ModuleType("pkg_resources")
        stand_in.get_distribution = lambda _name: types.SimpleNamespace(version="")  # type: ignore[attr-defined]
        sys.modules["pkg_resources"] = stand_in
        try:
            import pyworld
        finally:
            del sys.modules["pkg_resources"]
    else:
        import pyworld
    return pyworld


_pyworld = _load_pyworld()


def estimate_f0(
    audio: NDArray[Any], sample_rate_hz: int, floor_hz: float = 71.0, ceiling_hz: float = 1_000.0
) -> FloatArray:
    """Return (frames,) fundamental in Hz every 5 ms, 0 where unvoiced, of mono `audio` (samples,)."""
    signal = np.ascontiguousarray(audio, dtype=np.float64)
    f0_hz, times = _pyworld.dio(
        signal, sample_rate_hz, f0_floor=floor_hz, f0_ceil=ceiling_hz, frame_period=FRAME_SECONDS * 1_000
    )
    refined: FloatArray = _pyworld.stonemask(signal, f0_hz, times, sample_rate_hz)
    return refined


def analyse(audio: NDArray[Any]) -> Tracks:
    """Return the tracks of mono `audio` (samples,) at VOICE_RATE_HZ."""
    signal = np.ascontiguousarray(audio, dtype=np.float64)
    f0_hz = estimate_f0(signal, VOICE_RATE_HZ)
    times = np.arange(len(f0_hz)) * FRAME_SECONDS
    envelope = _pyworld.cheaptrick(signal, f0_hz, times, VOICE_RATE_HZ, fft_size=FFT_SAMPLES)
    aperiodicity = _pyworld.d4c(signal, f0_hz, times, VOICE_RATE_HZ, fft_size=FFT_SAMPLES)
    coded = _pyworld.code_aperiodicity(aperiodicity, VOICE_RATE_HZ)
    return Tracks(
        f0_hz.astype(np.float32),
        np.log(envelope + 1e-16).astype(np.float32),
        coded.astype(np.float32),
    )
