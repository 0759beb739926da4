"""What a take is made of on disk: a header, one record a line, and raw latents that the records point into.

```text
NAME/take.json     TakeHeader; at the end with counts
NAME/log.jsonl     one record a line, appended
NAME/latents.f32   little-endian float32, (192, frames) blocks one after another
```

Latents and not sound are kept: about 27 kB a second, 95 MB an hour, and the sound comes back from them to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from bridge.errors import UserError
from bridge.live.quantum import Quantum, Voice
from bridge.session import TimelineRecord
from engine.geometry import ACCOMPANIMENT_CHANNELS, SAMPLE_RATE_HZ

HEADER_FILE = "take.json"
LOG_FILE = "log.jsonl"
LATENTS_FILE = "latents.f32"
MAX_LINE_BYTES = 4_000_000
MAX_QUANTUM_SAMPLES = 1 << 20
FRAME_BYTES = ACCOMPANIMENT_CHANNELS * 4

_Count = Annotated[int, Field(ge=0)]
_Gains = tuple[float, float, float]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TakeCounts(_Frozen):
    """How much a take holds.

    Attributes:
        samples: samples played, at 44.1 kHz, rests included.
        chunks: chunks made.
        records: lines of the log.
        latents_bytes: size of the latents' file.
    """

    samples: _Count = 0
    chunks: _Count = 0
    records: _Count = 0
    latents_bytes: _Count = 0


class TakeHeader(_Frozen):
    """What holds for the whole take.

    Attributes:
        backline_version: of the Backline that played.
        bundle: name of the bundle's folder.
        bundle_sha256: digest of its manifest, which holds all others.
        provider: what ran the model.
        threads: threads within an operator; 0 was left to onnxruntime.
        created: when it began, ISO 8601.
        rate_hz: sample rate of all positions.
        counts: at the end; None for a take that is still played, or was cut off.
        broken: why not all was kept; empty if all was.
    """

    format_version: Literal[1] = 1
    backline_version: str
    bundle: str
    bundle_sha256: str
    provider: str = "cpu"
    threads: _Count = 0
    created: str
    rate_hz: Annotated[int, Field(ge=SAMPLE_RATE_HZ, le=SAMPLE_RATE_HZ)] = SAMPLE_RATE_HZ
    counts: TakeCounts | None = None
    broken: str = ""


class LatentsPlace(_Frozen):
    """A block (192, frames) in the latents' file, `offset` bytes from its start."""

    offset: _Count
    frames: Annotated[int, Field(ge=0, le=65_536)]

    @property
    def end(self) -> int:
        """Byte after the block."""
        return self.offset + self.frames * FRAME_BYTES


class ReseedRecord(_Frozen):
    """A re-roll; see `engine.live_chunk.Reseed`."""

    stems: tuple[str, ...]
    start_frame: int
    end_frame: int | None
    seed: int


class ChordRecord(_Frozen):
    """A chord that the chunk was made for; see `engine.harmony.ChordSpan`."""

    start_beat: float
    end_beat: float
    root: int
    pitch_classes: tuple[int, ...]
    bass: int
    label: str


class TimelineLine(_Frozen):
    """A timeline that chunks from here on may be made for."""

    kind: Literal["timeline"] = "timeline"
    id: int
    timeline: TimelineRecord


class ChunkLine(_Frozen):
    """A chunk: what it was made for, what came out, and how its sound begins.

    Attributes:
        number: of its roll.
        first_frame: as in `engine.live_chunk.ChunkPlan`, with the three that follow.
        timeline: the id of its timeline.
        continues: whether the decoder went on from the state kept at the first frame; see `engine.band.Entry`.
        settling: latents decoded before, if not.
        latents: of the chunk and as much of its backup as had been decoded; more may follow in `MoreLine`s.
        audio_samples: how much sound there was when it was delivered.
        audio_crc32: of that sound, (3, 2, samples) float32, so that a bounce can tell whether it is the same.
        conditions_sha256: of conditions and noise; empty if nothing was sampled.
        seconds: how long it took.
        slack_seconds: how early it was there; None if nobody waited.
    """

    kind: Literal["chunk"] = "chunk"
    number: _Count
    first_frame: _Count
    chunk_frames: Annotated[int, Field(gt=0)]
    backup_frames: _Count
    past_frames: _Count
    timeline: int
    continues: bool
    settling: LatentsPlace | None
    latents: LatentsPlace
    audio_samples: _Count
    audio_crc32: _Count
    seed: int
    reseeds: tuple[ReseedRecord, ...]
    steps: int
    guidance: float
    style: str | None
    arousal: float | None
    focus: float | None
    key: str | None
    chords: tuple[ChordRecord, ...]
    visible_end_frame: int
    sampled: bool
    conditions_sha256: str
    seconds: float
    slack_seconds: float | None


class MoreLine(_Frozen):
    """More of a chunk's backup, which was played."""

    kind: Literal["more"] = "more"
    number: _Count
    latents: LatentsPlace


class QuantumLine(_Frozen):
    """Something that was played; see `bridge.live.quantum.Quantum`; `at` is its song position in samples."""

    kind: Literal["quantum"] = "quantum"
    at: float
    samples: Annotated[int, Field(ge=1, le=MAX_QUANTUM_SAMPLES)]
    voices: Annotated[tuple[Voice, ...], Field(max_length=16)]
    from_gains: _Gains
    to_gains: _Gains

    @property
    def quantum(self) -> Quantum:
        """What can be rendered."""
        return Quantum(self.samples, self.voices, self.from_gains, self.to_gains)


class BrokenLine(_Frozen):
    """Here the record ends, for a reason."""

    kind: Literal["broken"] = "broken"
    reason: str


Line: TypeAlias = TimelineLine | ChunkLine | MoreLine | QuantumLine | BrokenLine
_lines: TypeAdapter[Line] = TypeAdapter(Annotated[Line, Field(discriminator="kind")])


def read_header(folder: Path) -> TakeHeader:
    """Return the header of the take in `folder`.

    Raises:
        UserError: it is missing or damaged, or of another version.
    """
    path = folder / HEADER_FILE
    try:
        return TakeHeader.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); is {folder.name!r} a take?") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"])) or "the file"
        raise UserError(f"{path}: not a take of this version: {key}: {first['msg']}") from error


def read_lines(folder: Path, limit_bytes: int | None = None) -> Iterator[Line]:
    """Yield the log's records up to the last complete line.

    A line that cannot be understood ends the log: a `BrokenLine` that says so comes in its place. A last line that
    is cut off, as a crash leaves it, is not counted.

    Args:
        folder: the take's.
        limit_bytes: up to where to read, for a log that grows; None for the end.

    Raises:
        UserError: the log cannot be opened.
    """
    path = folder / LOG_FILE
    try:
        file = path.open("rb")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); the take cannot be used") from error
    with file:
        number = 0
        while text := file.readline(MAX_LINE_BYTES):
            number += 1
            if not text.endswith(b"\n") and len(text) < MAX_LINE_BYTES:
                return
            if limit_bytes is not None and file.tell() > limit_bytes:
                return
            try:
                line = _lines.validate_json(text)
            except ValidationError:
                yield BrokenLine(reason=f"line {number} of {LOG_FILE} is damaged")
                return
            yield line
            if isinstance(line, BrokenLine):
                return
