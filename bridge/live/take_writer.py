"""Writing a take's files: chunks as latents with what they were made for, quanta merged where they only go on."""

from __future__ import annotations

import zlib
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bridge.live.quantum import Quantum, Voice, follows, touched
from bridge.live.take_records import (
    FRAME_BYTES,
    HEADER_FILE,
    LATENTS_FILE,
    LOG_FILE,
    BrokenLine,
    ChordRecord,
    ChunkLine,
    LatentsPlace,
    Line,
    MoreLine,
    QuantumLine,
    ReseedRecord,
    TakeCounts,
    TakeHeader,
    TimelineLine,
)
from bridge.live.work import Delivery
from bridge.session import TimelineRecord
from engine.geometry import LATENT_HOP_SAMPLES
from engine.harmony import ChordSpan
from engine.live_chunk import ChunkPlan, Score
from engine.stem_decoder import LATE_SAMPLES, PIECE_FRAMES
from engine.timeline import Timeline

Array = NDArray[np.float32]

KEPT_CHUNKS = 64  # whose latents are at hand, 50 kB each, in case that their backup is played
KNOWN_CHUNKS = 4_096  # whose reach is known: a quarter of an hour of the shortest, of which the last bars may sound
MAX_MERGED_SAMPLES = 1 << 17


class Played(NamedTuple):
    """A quantum and its song position."""

    quantum: Quantum
    song_position: float


@dataclass(slots=True)
class _Kept:
    """A chunk's latents, and how many frames of them are on the disk."""

    first_frame: int
    latents: Array
    written_frames: int

    def frames_until(self, sample: int) -> int:
        """Return how many frames must be decoded for the sound up to song position `sample`: whole pieces."""
        frames = -(-(sample + LATE_SAMPLES) // LATENT_HOP_SAMPLES) - self.first_frame
        return -(-frames // PIECE_FRAMES) * PIECE_FRAMES

    @property
    def reach_sample(self) -> int:
        """Song position up to which what is on the disk sounds."""
        return (self.first_frame + self.written_frames) * LATENT_HOP_SAMPLES - LATE_SAMPLES


class TakeWriter:
    """Writes a take's files; for one thread.

    Args:
        folder: the take's, which exists and is empty.
        header: without counts.

    Raises:
        OSError: the files cannot be made.
    """

    def __init__(self, folder: Path, header: TakeHeader) -> None:
        self._folder, self._header = folder, header
        self._write_header(header)
        self._log: BinaryIO = (folder / LOG_FILE).open("wb")
        self._latents: BinaryIO = (folder / LATENTS_FILE).open("wb")
        self._latents_bytes = self._records = self._chunks = self._samples = 0
        self._kept: OrderedDict[int, _Kept] = OrderedDict()
        self._reach: dict[int, int] = {}
        self._wanted: dict[int, int] = {}
        self._timeline: Timeline | None = None
        self._timeline_id = 0
        self._merged: Played | None = None

    def chunk(self, delivery: Delivery, end_sample: int) -> None:
        """Write a chunk whose roll held sound up to song position `end_sample` when it was delivered."""
        made, number = delivery.chunk, delivery.roll.number
        self._note_timeline(made.score.timeline)
        settling = None if delivery.entry.continues else self._place(delivery.entry.settling)
        kept = _Kept(made.plan.first_frame, np.array(made.latents, np.float32), 0)
        kept.written_frames = min(made.plan.chunk_frames + PIECE_FRAMES, made.latents.shape[1])
        latents = self._place(kept.latents[:, : kept.written_frames])
        audio = delivery.roll.audio()[:, :, : end_sample - delivery.roll.start_sample]
        self._write(_chunk_line(delivery, self._timeline_id, settling, latents, audio))
        self._chunks += 1
        self._kept[number], self._reach[number] = kept, kept.reach_sample
        while len(self._kept) > KEPT_CHUNKS:
            self._kept.popitem(last=False)
        self._reach.pop(number - KNOWN_CHUNKS, None)
        self._need(number, self._wanted.pop(number, 0))

    def quantum(self, quantum: Quantum, song_position: float) -> None:
        """Write a quantum, or make the one before it longer."""
        for voice in quantum.voices:
            self._need(voice.roll, touched(voice, quantum.samples)[1])
        self._samples += quantum.samples
        before = self._merged
        if before is not None:
            samples = before.quantum.samples + quantum.samples
            if samples <= MAX_MERGED_SAMPLES and follows(quantum, before.quantum):
                self._merged = before._replace(quantum=before.quantum._replace(samples=samples))
                return
            self._write_merged()
        self._merged = Played(quantum, song_position)

    def flush(self) -> None:
        """Let everything so far be on the disk, whatever becomes of this process."""
        self._write_merged()
        self._latents.flush()
        self._log.flush()

    def end(self, broken: str = "") -> None:
        """Close the files; `broken` says why the take ends before the music did."""
        try:
            self._write_merged()
            if broken:
                self._write(BrokenLine(reason=broken))
        finally:
            try:
                self._latents.close()
            finally:
                self._log.close()
        counts = TakeCounts(
            samples=self._samples, chunks=self._chunks, records=self._records, latents_bytes=self._latents_bytes
        )
        self._write_header(self._header.model_copy(update={"counts": counts, "broken": broken}))

    def _need(self, number: int, end_sample: int) -> None:
        """Have the latents on the disk that roll `number` sounds from up to `end_sample`."""
        if end_sample <= self._reach.get(number, -1):
            return
        if number not in self._reach:  # it plays already and its delivery is still to come
            self._wanted[number] = max(end_sample, self._wanted.get(number, 0))
            return
        kept = self._kept.get(number)
        frames = 0 if kept is None else kept.frames_until(end_sample)
        if kept is None or frames > kept.latents.shape[1]:
            raise ValueError(
                f"roll {number} is played up to sample {end_sample}, but its latents there are not at hand"
            )
        more = self._place(kept.latents[:, kept.written_frames : frames])
        kept.written_frames = frames
        self._reach[number] = kept.reach_sample
        self._write(MoreLine(number=number, latents=more))

    def _note_timeline(self, timeline: Timeline) -> None:
        if timeline is not self._timeline and timeline != self._timeline:
            self._timeline_id += 1
            self._write(TimelineLine(id=self._timeline_id, timeline=TimelineRecord.of(timeline)))
        self._timeline = timeline

    def _place(self, latents: Array) -> LatentsPlace:
        """Append latents (192, frames) and return where they are."""
        place = LatentsPlace(offset=self._latents_bytes, frames=latents.shape[1])
        self._latents.write(np.ascontiguousarray(latents, "<f4").tobytes())
        self._latents_bytes += latents.shape[1] * FRAME_BYTES
        return place

    def _write_merged(self) -> None:
        merged, self._merged = self._merged, None
        if merged is not None:
            self._write(_quantum_line(*merged))

    def _write(self, line: Line) -> None:
        if isinstance(line, ChunkLine | MoreLine):
            self._latents.flush()  # a line is never on the disk before what it points at
        self._log.write(line.model_dump_json().encode() + b"\n")
        self._records += 1

    def _write_header(self, header: TakeHeader) -> None:
        partial = self._folder / f".{HEADER_FILE}.partial"
        partial.write_text(header.model_dump_json(indent=2) + "\n", encoding="utf-8")
        partial.replace(self._folder / HEADER_FILE)


def _quantum_line(quantum: Quantum, song_position: float) -> QuantumLine:
    voices = tuple(
        Voice(
            int(voice.roll),
            float(voice.start),
            float(voice.step),
            float(voice.from_gain),
            float(voice.to_gain),
            int(voice.ramp_samples),
        )
        for voice in quantum.voices
    )
    gains: dict[str, Any] = {
        "from_gains": tuple(map(float, quantum.from_gains)),
        "to_gains": tuple(map(float, quantum.to_gains)),
    }
    return QuantumLine(at=float(song_position), samples=quantum.samples, voices=voices, **gains)


def _chunk_line(
    delivery: Delivery, timeline_id: int, settling: LatentsPlace | None, latents: LatentsPlace, audio: Array
) -> ChunkLine:
    made, wish = delivery.chunk, delivery.chunk.score.wish
    plan = made.plan
    return ChunkLine(
        number=delivery.roll.number,
        first_frame=plan.first_frame,
        chunk_frames=plan.chunk_frames,
        backup_frames=plan.backup_frames,
        past_frames=plan.past_frames,
        timeline=timeline_id,
        continues=delivery.entry.continues,
        settling=settling,
        latents=latents,
        audio_samples=audio.shape[2],
        audio_crc32=audio_crc32(audio),
        seed=wish.seed,
        reseeds=_reseeds(made.score, plan),
        steps=wish.steps,
        guidance=wish.guidance_scale,
        style=wish.style,
        arousal=wish.arousal,
        focus=wish.focus,
        key=wish.key.name if wish.key else None,
        chords=tuple(_chord(span) for span in _near(made.score, plan)),
        visible_end_frame=made.visible_end_frame,
        sampled=made.sampled,
        conditions_sha256=made.conditions_sha256,
        seconds=delivery.seconds,
        slack_seconds=delivery.slack_seconds,
    )


def audio_crc32(audio: Array) -> int:
    """Return the checksum of audio (stems, 2, samples)."""
    return zlib.crc32(np.ascontiguousarray(audio, "<f4").tobytes())


def _reseeds(score: Score, plan: ChunkPlan) -> tuple[ReseedRecord, ...]:
    """Return the re-rolls that the chunk's window touches."""
    end = plan.window_start + plan.window_frames
    return tuple(
        ReseedRecord(stems=old.stems, start_frame=old.start_frame, end_frame=old.end_frame, seed=old.seed)
        for old in score.reseeds
        if old.start_frame < end and (old.end_frame is None or old.end_frame > plan.window_start)
    )


def _near(score: Score, plan: ChunkPlan) -> list[ChordSpan]:
    """Return the chords that the chunk overlaps."""
    start, end = (
        score.timeline.beat_at_position(frame * LATENT_HOP_SAMPLES) for frame in (plan.first_frame, plan.end_frame)
    )
    return [span for span in score.wish.chords if span.start_beat < end and span.end_beat > start]


def _chord(span: ChordSpan) -> ChordRecord:
    chord = span.chord
    return ChordRecord(
        start_beat=float(span.start_beat),
        end_beat=float(span.end_beat),
        root=int(chord.root),
        pitch_classes=tuple(map(int, chord.pitch_classes)),
        bass=int(chord.bass),
        label=chord.label,
    )
