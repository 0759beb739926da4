"""Real recordings through the whole chain: no error, stems at a level that can be mixed, pictures to look at."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bridge.audio_files import read_stereo
from bridge.bounce import BounceSettings, bounce
from bridge.errors import UnsureError, UserError
from bridge.evaluation.pictures import write_spectrograms
from bridge.evaluation.report import Table, number, verdict
from engine.geometry import SAMPLE_RATE_HZ, STEMS
from engine.spectra import Array
from engine.timeline import Timeline
from presets.store import PLAIN

LOWEST_LUFS, HIGHEST_LUFS = -35.0, -10.0
FALLBACK_BPM = 100.0
SUFFIXES = (".wav", ".flac", ".aiff", ".ogg", ".mp3")
_SHORTEST_SECONDS = 0.4  # a block of ITU-R BS.1770


@dataclass(frozen=True, slots=True)
class RealFigures:
    """What came of one recording.

    Attributes:
        name: the file's.
        seconds: its length.
        bpm: the tempo that was played.
        estimated: whether the tempo was heard in the vocal; else it was set to 100.
        lufs: loudness of each stem, ITU-R BS.1770.
        picture: file name of the spectrograms.
    """

    name: str
    seconds: float
    bpm: float
    estimated: bool
    lufs: dict[str, float]
    picture: str

    @property
    def met(self) -> bool:
        """Return whether every stem lies between the limits."""
        return all(LOWEST_LUFS <= level <= HIGHEST_LUFS for level in self.lufs.values())


def real_figures(folder: Path, out: Path, bundle: Path, tell: Callable[[], None]) -> list[RealFigures]:
    """Bounce every recording in `folder` and measure the stems; pictures go to `out`.

    Args:
        folder: holds recordings of a voice alone.
        out: where the spectrograms go.
        bundle: the bundle's folder.
        tell: called after each recording.

    Raises:
        UserError: there is no recording, or one cannot be bounced.
    """
    vocals = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
    if not vocals:
        raise UserError(f"{folder}: holds no recording ({', '.join(SUFFIXES)}); name another folder with --real")
    figures = []
    for vocal in vocals:
        with TemporaryDirectory() as made:
            figures.append(_figures(vocal, Path(made) / "bounce", out, bundle))
        tell()
    return figures


def real_table(figures: list[RealFigures]) -> Table:
    """Return the rows about real recordings."""
    rows = []
    for one in figures:
        tempo = f"{one.bpm:g} ({'heard' if one.estimated else 'set'})"
        levels = [number(one.lufs[stem], 1) for stem in STEMS]
        picture = f"[{one.picture}]({one.picture})"
        rows.append((one.name, number(one.seconds, 1, "s"), tempo, *levels, picture, verdict(one.met)))
    title = f"Real a cappella recordings: loudness of the stems in LUFS, wanted {LOWEST_LUFS:.0f} to {HIGHEST_LUFS:.0f}"
    return Table(title, ("recording", "length", "bpm", *STEMS, "spectrograms", ""), tuple(rows))


def loudness_lufs(audio: Array) -> float:
    """Return the integrated loudness of (2, samples) at 44.1 kHz; -inf for silence, NaN below 0.4 s."""
    from pyloudnorm import Meter

    if audio.shape[1] < _SHORTEST_SECONDS * SAMPLE_RATE_HZ:
        return float("nan")
    if not audio.any():
        return float("-inf")
    with np.errstate(divide="ignore"):
        return float(Meter(SAMPLE_RATE_HZ).integrated_loudness(audio.T.astype(np.float64)))


def _figures(vocal: Path, made: Path, out: Path, bundle: Path) -> RealFigures:
    settings = BounceSettings(vocal=vocal, out=made, timeline=None, preset=PLAIN, bundle=bundle, rate_hz=SAMPLE_RATE_HZ)
    try:
        session, estimated = bounce(settings, _ignore), True
    except UnsureError:
        settings = replace(settings, timeline=Timeline.constant(FALLBACK_BPM))
        session, estimated = bounce(settings, _ignore), False
    stems = {stem: read_stereo(made / f"{stem}.wav", SAMPLE_RATE_HZ) for stem in STEMS}
    sung = read_stereo(made / "vocal.wav", SAMPLE_RATE_HZ)
    picture = f"spectrograms-{vocal.stem}.png"
    write_spectrograms(out / picture, vocal.name, {"vocal": sung, **stems})
    return RealFigures(
        name=vocal.name,
        seconds=sung.shape[1] / SAMPLE_RATE_HZ,
        bpm=session.timeline.timeline().bpm_at_beat(0.0),
        estimated=estimated,
        lufs={stem: loudness_lufs(audio) for stem, audio in stems.items()},
        picture=picture,
    )


def _ignore(stage: str, share: float) -> None:  # noqa: ARG001 - nobody listens
    return None
