"""Tracks of any format, rate and width as stems of one length: stereo at 44.1 kHz."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile
import soxr

from engine.geometry import SAMPLE_RATE_HZ
from engine.spectra import Array
from training.folders.layouts import PARTS, SourceSong

LARGEST_PEAK = 0.99


class TrackError(ValueError):
    """A track cannot be read; the message names the file, the reason and the remedy."""


def read_stems(song: SourceSong) -> dict[str, Array]:
    """Return vocals, drums, bass and other, each (2, samples) float32 at 44.1 kHz, silence where a stem is missing.

    All have the length of the longest. Where the sum of tracks is too loud for a file, all are lowered alike.

    Raises:
        TrackError: a file is damaged or of another kind, or the song is silent.
    """
    summed = {part: _summed([read_track(path) for path in song.tracks[part]]) for part in PARTS}
    samples = max(audio.shape[1] for audio in summed.values())
    stems = {part: np.pad(audio, ((0, 0), (0, samples - audio.shape[1]))) for part, audio in summed.items()}
    return _within_range(stems, song.folder)


def read_track(path: Path) -> Array:
    """Return the file at `path` as (2, samples) float32 at 44.1 kHz; of more than two channels, the first two.

    Raises:
        TrackError: it cannot be read, or holds what is not a number.
    """
    try:
        audio, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, RuntimeError) as error:
        raise TrackError(f"{path}: cannot be read ({error}); export it again as WAV or FLAC") from error
    if not np.isfinite(audio).all():
        raise TrackError(f"{path}: holds samples that are no numbers; export it again")
    stereo = np.repeat(audio, 2, axis=1) if audio.shape[1] == 1 else audio[:, :2]
    if rate_hz != SAMPLE_RATE_HZ:
        stereo = soxr.resample(stereo, rate_hz, SAMPLE_RATE_HZ)
    return np.ascontiguousarray(stereo.T, dtype=np.float32)


def _summed(tracks: Sequence[Array]) -> Array:
    total = np.zeros((2, max((track.shape[1] for track in tracks), default=0)), dtype=np.float32)
    for track in tracks:
        total[:, : track.shape[1]] += track
    return total


def _within_range(stems: Mapping[str, Array], folder: Path) -> dict[str, Array]:
    peak = max(float(np.abs(audio).max(initial=0.0)) for audio in stems.values())
    if peak == 0.0:
        raise TrackError(f"{folder}: is silent; export its stems again, or move it out of the folder")
    gain = np.float32(min(1.0, LARGEST_PEAK / peak))
    return {part: audio * gain for part, audio in stems.items()}
