"""What a bounce is asked for: by the command line, or by the session of an earlier one."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from bridge.audio_files import FileFormat
from bridge.errors import UserError
from bridge.session import Session
from engine.bundle import SamplingFacts
from engine.geometry import STEMS
from engine.harmony import Key
from engine.timeline import Timeline
from engine.wish import Wish
from presets.store import Preset


@dataclass(frozen=True, slots=True)
class BarRange:
    """Bars to make anew, counted from 1, both ends included.

    Attributes:
        first: first bar, or None for the song's start.
        last: last bar, or None for the song's end.

    Raises:
        ValueError: a bar is below 1 or the range is empty.
    """

    first: int | None = None
    last: int | None = None

    def __post_init__(self) -> None:
        """Check the order."""
        for name, bar in (("--from-bar", self.first), ("--to-bar", self.last)):
            if bar is not None and bar < 1:
                raise ValueError(f"{name} {bar} is not possible; bars count from 1")
        if self.first is not None and self.last is not None and self.last < self.first:
            raise ValueError(f"--to-bar {self.last} lies before --from-bar {self.first}; swap them")

    @property
    def whole(self) -> bool:
        """Whether this is the whole song."""
        return self.first is None and self.last is None

    def samples(self, timeline: Timeline, song_samples: int) -> tuple[int, int]:
        """Return first and end sample of the bars within a song of `song_samples`.

        Raises:
            UserError: none of the bars lies in the song.
        """
        start = max(0, timeline.sample_at_bar(self.first - 1)) if self.first else 0
        end = min(song_samples, timeline.sample_at_bar(self.last)) if self.last else song_samples
        if start >= end:
            last_bar = 1 + timeline.bar_at_beat(timeline.beat_at_sample(song_samples - 1))
            raise UserError(
                f"bars {self.first or 1} to {self.last or 'the end'} lie outside the song; its last bar is {last_bar}"
            )
        return start, end


@dataclass(frozen=True, slots=True)
class BounceSettings:
    """All that a bounce is asked for.

    Attributes:
        vocal: the vocal's file.
        out: the folder to make.
        timeline: the song's timeline, or None to estimate a constant tempo from the vocal.
        tempo_confidence: how sure the given timeline is (0 to 1), if it was once estimated.
        time_signature: of a timeline to estimate.
        key: the song's key, if known.
        style: one of `engine.styles.STYLES`, or None.
        stems: the stems to make.
        steps: steps of the sampler, or None for what the bundle was made for.
        guidance: guidance scale, or None for what the bundle was made for.
        seed: another seed is another take.
        bars: what to make anew of the kept take.
        keep: folder of an earlier bounce of the same vocal whose stems stay where they are not made anew.
        preset: gains and chains.
        preset_name: its name, for the session.
        dry: whether to write the stems without gains and chains too.
        file_format: `wav` or `flac`.
        rate_hz: sample rate of the files, or None for the vocal's own.
        bundle: the bundle's folder, or None for the factory bundle.
        provider: what runs the model.
        overwrite: whether an earlier bounce in `out` may go.
    """

    vocal: Path
    out: Path
    timeline: Timeline | None
    preset: Preset
    tempo_confidence: float | None = None
    time_signature: tuple[int, int] = (4, 4)
    key: Key | None = None
    style: str | None = None
    stems: tuple[str, ...] = STEMS
    steps: int | None = None
    guidance: float | None = None
    seed: int = 0
    bars: BarRange = field(default_factory=BarRange)
    keep: Path | None = None
    preset_name: str | None = None
    dry: bool = False
    file_format: FileFormat = "wav"
    rate_hz: int | None = None
    bundle: Path | None = None
    provider: str = "cpu"
    overwrite: bool = False

    def wish(self, sampling: SamplingFacts) -> Wish:
        """Return what is asked of an engine whose bundle works well with `sampling`.

        Raises:
            UserError: a value is unknown or out of range.
        """
        try:
            return Wish(
                style=self.style,
                key=self.key,
                steps=sampling.steps if self.steps is None else self.steps,
                guidance_scale=sampling.guidance_scale if self.guidance is None else self.guidance,
                seed=self.seed,
                stems=self.stems,
            )
        except ValueError as error:
            raise UserError(str(error)) from error


def settings_of(
    session: Session, out: Path, vocal: Path | None, bundle: Path | None, overwrite: bool, dry: bool
) -> BounceSettings:
    """Return the settings that make `session` again.

    Args:
        session: what was recorded.
        out: the folder to make.
        vocal: where the vocal lies now, or None for where it was.
        bundle: the bundle's folder, or None for the factory one.
        overwrite: whether an earlier bounce in `out` may go.
        dry: whether to write the dry stems even if the session did not.
    """
    return BounceSettings(
        vocal=vocal or Path(session.vocal.path),
        out=out,
        timeline=session.timeline.timeline(),
        tempo_confidence=session.tempo_confidence,
        preset=session.preset,
        key=Key.parse(session.key) if session.key else None,
        style=session.style,
        stems=session.stems,
        steps=session.steps,
        guidance=session.guidance,
        seed=session.seed,
        bars=BarRange(session.from_bar, session.to_bar),
        keep=Path(session.keep) if session.keep else None,
        preset_name=session.preset_name,
        dry=session.dry or dry,
        file_format=session.file_format,
        rate_hz=session.rate_hz,
        bundle=bundle,
        provider=session.provider,
        overwrite=overwrite,
    )
