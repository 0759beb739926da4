"""An earlier bounce whose sound stays: its dry stems read back, and the range to make anew."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bridge.audio_files import Audio, audio_facts, file_sha256, read_stereo
from bridge.bounce_settings import BarRange
from bridge.errors import UserError
from bridge.output_folder import SESSION_FILE
from bridge.rendering import factor
from bridge.session import FileRecord, read_session
from bridge.vocal import Vocal
from engine.geometry import SAMPLE_RATE_HZ, STEMS
from engine.timeline import Timeline
from engine.wish import Kept

LENGTH_TOLERANCE_SAMPLES = 4
SUFFIXES = (".wav", ".flac")


@dataclass(frozen=True, slots=True)
class KeptTake:
    """What stays.

    Attributes:
        kept: for the engine; None for a first take.
        records: the files that were read, by stem.
    """

    kept: Kept | None = None
    records: dict[str, FileRecord] = field(default_factory=dict)


def load_kept(
    folder: Path | None, bars: BarRange, new_stems: tuple[str, ...], vocal: Vocal, timeline: Timeline
) -> KeptTake:
    """Return the take in `folder`, an earlier bounce of the same vocal; nothing for no folder.

    Args:
        folder: a bounce's folder, or one with `drums.wav` and so on of the user's own.
        bars: what to make anew.
        new_stems: the stems to make anew in those bars; the others stay whole.
        vocal: the vocal, whose length the stems must have.
        timeline: where the bars lie.

    Raises:
        UserError: bars without a folder, no stems in it, stems that do not fit, or stems with effects on them.
    """
    if folder is None:
        if not bars.whole:
            raise UserError("--from-bar and --to-bar make part of an earlier bounce anew; name its folder with --keep")
        return KeptTake()
    if not folder.is_dir():
        raise UserError(f"{folder}: is not a folder; name the folder of an earlier bounce with --keep")
    source, gain_db = _dry_source(folder)
    paths = {stem: path for stem in STEMS if (path := _stem_file(source, stem)) is not None}
    if not paths:
        raise UserError(f"{source}: holds no stem ({', '.join(STEMS)} as .wav or .flac); name the folder of a bounce")
    stems = {stem: _read(path, gain_db, vocal) for stem, path in paths.items()}
    start, end = bars.samples(timeline, vocal.audio.shape[1])
    kept = Kept(stems, start, end, new_stems)
    return KeptTake(
        kept, {stem: FileRecord(path=str(path.absolute()), sha256=file_sha256(path)) for stem, path in paths.items()}
    )


def _dry_source(folder: Path) -> tuple[Path, float]:
    """Return where in a bounce's folder the stems lie as the engine gave them, and the gain they carry."""
    if not (folder / SESSION_FILE).is_file():
        return folder, 0.0
    session = read_session(folder)
    if (folder / "dry").is_dir():
        return folder / "dry", session.dry_gain_db
    if any(session.preset.changes_sound(stem) for stem in STEMS):
        raise UserError(
            f"{folder}: its stems carry the effects of a preset; bounce it once more with --session "
            f"{folder / SESSION_FILE} --dry and keep that"
        )
    return folder, session.headroom_db


def _stem_file(folder: Path, stem: str) -> Path | None:
    return next((path for suffix in SUFFIXES if (path := folder / f"{stem}{suffix}").is_file()), None)


def _read(path: Path, gain_db: float, vocal: Vocal) -> Audio:
    """Return a kept stem (2, samples) at 44.1 kHz, as long as the vocal, without the gain it was written with."""
    facts = audio_facts(path)
    seconds = facts.frames / facts.rate_hz
    vocal_seconds = vocal.facts.frames / vocal.facts.rate_hz
    if abs(seconds - vocal_seconds) * min(facts.rate_hz, vocal.facts.rate_hz) > LENGTH_TOLERANCE_SAMPLES:
        raise UserError(
            f"{path}: is {seconds:.3f} s long and the vocal {vocal_seconds:.3f} s; keep a bounce of this same vocal"
        )
    audio = read_stereo(path, SAMPLE_RATE_HZ)
    samples = vocal.audio.shape[1]
    fitted = np.pad(audio[:, :samples], ((0, 0), (0, max(0, samples - audio.shape[1]))))
    return fitted if gain_db == 0.0 else fitted / np.float32(factor(gain_db))
