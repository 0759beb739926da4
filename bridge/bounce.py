"""The composition of `backline bounce`: a vocal's file and settings in, a folder of stems, mix and session out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from bridge.audio_files import audio_facts, file_sha256, resampled_length
from bridge.bounce_settings import BounceSettings
from bridge.errors import UserError
from bridge.kept_take import KeptTake, load_kept
from bridge.output_folder import SESSION_FILE, check_output, check_room, staged_folder
from bridge.rendering import Levels, Rendering, apply_chains, find_levels, sliced, write_dry, write_tracks
from bridge.session import FileRecord, Session, TimelineRecord, backline_version, write_session
from bridge.tempo import estimate_timeline
from bridge.vocal import Vocal, read_vocal
from engine.accompany import accompany
from engine.bundle import Bundle, BundleError, SamplingFacts
from engine.runtime import GraphError
from engine.timeline import Timeline
from engine.wish import Wish

__all__ = ["BounceSettings", "bounce"]

Progress = Callable[[str, float], None]
BYTES_PER_SAMPLE = 6


def bounce(settings: BounceSettings, progress: Progress, expected: Session | None = None) -> Session:
    """Make the accompaniment of a vocal and write it to `settings.out`.

    Args:
        settings: what is asked for.
        progress: called with a stage and the done share of it.
        expected: the session to make again; its vocal, kept stems and bundle must be the same files.

    Returns:
        What was done, as it stands in `session.json`.

    Raises:
        UserError: a file, a setting or the bundle is wrong, or nothing can be written.
    """
    settings.wish(SamplingFacts())  # what is wrong with it is known before any file is read
    facts = audio_facts(settings.vocal)
    check_output(settings.out, settings.overwrite, tuple(filter(None, (settings.vocal, settings.keep))))
    bundle, bundle_sha256 = open_bundle(settings.bundle, settings.provider)
    wish = settings.wish(bundle.sampling)
    vocal = read_vocal(facts)
    check_same("the vocal", expected and expected.vocal.sha256, vocal.sha256)
    check_same("the bundle", expected and expected.bundle_sha256, bundle_sha256)
    timeline, confidence = song_timeline(settings, vocal)
    take = load_kept(settings.keep, settings.bars, settings.stems, vocal, timeline)
    check_same("the kept take", expected and expected.kept, take.records)
    stems = make_stems(bundle, vocal, timeline, wish, take, progress)
    rendering = _rendering(settings, vocal, stems)
    check_room(settings.out, _wanted_bytes(rendering, settings.dry))
    with staged_folder(settings.out) as folder:
        session = _session(settings, wish, vocal, timeline, confidence, bundle_sha256, take)
        session = _render(rendering, session, folder, progress)
        write_session(session, folder / SESSION_FILE)
    return session


def open_bundle(path: Path | None, provider: str) -> tuple[Any, str]:
    """Return the bundle at `path`, or the factory one, and the digest of its manifest, which holds all others."""
    folder = path or factory_bundle()
    try:
        return Bundle.load(folder, providers=(provider,)), file_sha256(folder / "manifest.json")
    except (BundleError, GraphError, ValueError) as error:
        raise UserError(str(error)) from error
    except OSError as error:
        raise UserError(
            f"{folder}: no bundle that can be read ({error.strerror}); name another with --bundle"
        ) from error


def factory_bundle() -> Path:
    """Return the folder of the bundle that ships with Backline."""
    return Path(str(resources.files("presets"))) / "factory-bundle"


def song_timeline(settings: BounceSettings, vocal: Vocal) -> tuple[Timeline, float | None]:
    """Return the given timeline, or the estimated one and how sure it is (0 to 1)."""
    if settings.timeline is not None:
        return settings.timeline, settings.tempo_confidence
    return estimate_timeline(vocal, settings.time_signature)


def make_stems(
    bundle: Any, vocal: Vocal, timeline: Timeline, wish: Wish, take: KeptTake, progress: Progress
) -> dict[str, Any]:
    """Return the stems at 44.1 kHz: those made and those kept."""
    try:
        stems = dict(accompany(bundle, vocal.audio, timeline, wish, take.kept, progress))
    except (ValueError, GraphError) as error:
        raise UserError(str(error)) from error
    for name, stem in stems.items():
        if not all(np.isfinite(block).all() for block in sliced(stem)):
            raise UserError(f"the model gave no sound for {name} (NaN); try another --seed, --steps or --provider cpu")
    return stems


def check_same(what: str, expected: object, found: object) -> None:
    """Refuse to make a session again from other things than it was made of."""
    if expected is not None and expected != found:
        raise UserError(f"{what} is not the one of the session; give the same file, or bounce without --session")


def _rendering(settings: BounceSettings, vocal: Vocal, stems: Mapping[str, Any]) -> Rendering:
    rate_hz = settings.rate_hz or vocal.facts.rate_hz
    frames = resampled_length(vocal.facts.frames, vocal.facts.rate_hz, rate_hz)
    return Rendering(stems, vocal.facts, settings.preset, rate_hz, frames)


def _wanted_bytes(rendering: Rendering, dry: bool) -> int:
    """Return the bytes of all files at their largest."""
    files = len(rendering.stems) * (2 if dry else 1) + 2 + int(rendering.mastered)
    return files * rendering.frames * BYTES_PER_SAMPLE + 1_000_000


def _render(rendering: Rendering, session: Session, folder: Path, progress: Progress) -> Session:
    """Write all sound into `folder` and return the session with what came out."""
    seconds = 2.0 * rendering.frames / rendering.rate_hz
    done = 0.0

    def advance(more_seconds: float) -> None:
        nonlocal done
        done += more_seconds
        progress("mix", min(1.0, done / seconds))

    dry_gain_db = 0.0
    if session.dry:
        (folder / "dry").mkdir()
        dry_gain_db = write_dry(rendering, folder / "dry", session.file_format)
    apply_chains(rendering.stems, rendering.preset)
    levels = find_levels(rendering, advance)
    write_tracks(rendering, levels, folder, session.file_format, advance)
    files = {
        path.relative_to(folder).as_posix(): file_sha256(path)
        for path in sorted(folder.rglob(f"*.{session.file_format}"))
    }
    warnings = session.warnings + _level_warnings(rendering, levels)
    found = {"headroom_db": levels.headroom_db, "master_gain_db": levels.master_gain_db, "dry_gain_db": dry_gain_db}
    return session.model_copy(update={**found, "files": files, "warnings": warnings})


def _level_warnings(rendering: Rendering, levels: Levels) -> tuple[str, ...]:
    notes = []
    if levels.headroom_db:
        notes.append(f"the mix would clip: all tracks and their sum are lowered by {-levels.headroom_db:.2f} dB")
    silent = [name for name, stem in rendering.stems.items() if not np.any(stem)]
    if silent:
        notes.append(f"silent: {', '.join(silent)}")
    return tuple(notes)


def _session(
    settings: BounceSettings,
    wish: Wish,
    vocal: Vocal,
    timeline: Timeline,
    confidence: float | None,
    bundle_sha256: str,
    take: KeptTake,
) -> Session:
    """Return the session before anything was rendered."""
    return Session(
        backline_version=backline_version(),
        vocal=FileRecord(path=str(settings.vocal.absolute()), sha256=vocal.sha256),
        bundle_sha256=bundle_sha256,
        timeline=TimelineRecord.of(timeline),
        tempo_confidence=confidence,
        key=settings.key.name if settings.key else None,
        style=settings.style,
        stems=settings.stems,
        steps=wish.steps,
        guidance=wish.guidance_scale,
        seed=settings.seed,
        from_bar=settings.bars.first,
        to_bar=settings.bars.last,
        keep=str(settings.keep.absolute()) if settings.keep else None,
        kept=take.records,
        preset_name=settings.preset_name,
        preset=settings.preset,
        dry=settings.dry,
        file_format=settings.file_format,
        rate_hz=settings.rate_hz or vocal.facts.rate_hz,
        provider=settings.provider,
        headroom_db=0.0,
        master_gain_db=0.0,
        dry_gain_db=0.0,
        files={},
        warnings=vocal.warnings,
    )
