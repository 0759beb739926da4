"""What a take's log says as a whole: which rolls there are, how far they can be played, and where music was heard.

Two runs through the log; what stays in memory is a little for each chunk, nothing for each quantum.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from bridge.live.quantum import Quantum, touched
from bridge.live.take_records import (
    LATENTS_FILE,
    LOG_FILE,
    BrokenLine,
    ChunkLine,
    LatentsPlace,
    MoreLine,
    QuantumLine,
    TakeHeader,
    read_header,
    read_lines,
)
from engine.geometry import LATENT_HOP_SAMPLES, SAMPLE_RATE_HZ
from engine.stem_decoder import LATE_SAMPLES

REST_SAMPLES = 2 * SAMPLE_RATE_HZ  # a silence from which on what follows is another part


@dataclass(slots=True)
class LoggedRoll:
    """A roll as far as it is in the log.

    Attributes:
        chunk: its record.
        places: where its latents are, in order.
        last_use: the number of the last quantum that plays it; -1 for none.
    """

    chunk: ChunkLine
    places: list[LatentsPlace]
    last_use: int = -1

    @property
    def frames(self) -> int:
        """Frames of latents that there are."""
        return sum(place.frames for place in self.places)

    @property
    def start_sample(self) -> int:
        """Song position of its first sample; see `bridge.live.lane.Roll`."""
        return max(self.chunk.first_frame * LATENT_HOP_SAMPLES - LATE_SAMPLES, 0)

    @property
    def end_sample(self) -> int:
        """Song position up to which it can be played."""
        return (self.chunk.first_frame + self.frames) * LATENT_HOP_SAMPLES - LATE_SAMPLES


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a take without a long rest.

    Attributes:
        start_sample: where it begins in the take.
        samples: how long it is.
        song_position: where in the song it begins, in samples.
        first_quantum: number of its first quantum in the log.
        end_quantum: number after its last.
        first_roll: the lowest number of a roll that sounds in it; None for none.
    """

    start_sample: int
    samples: int
    song_position: float
    first_quantum: int
    end_quantum: int
    first_roll: int | None


@dataclass(frozen=True, slots=True)
class TakeIndex:
    """A take, as far as it can be rendered.

    Attributes:
        folder: where it lies.
        header: what it says of itself.
        rolls: by number.
        whole: all of it, rests too.
        parts: the stretches in which something sounded.
        ended: why it ends before the music did; empty if it does not.
        log_bytes: size of the log when it was read; it may grow.
    """

    folder: Path
    header: TakeHeader
    rolls: dict[int, LoggedRoll]
    whole: Part
    parts: tuple[Part, ...]
    ended: str
    log_bytes: int


def read_index(folder: Path) -> TakeIndex:
    """Return what the take in `folder` holds, as far as it is written.

    Raises:
        UserError: its header or its log cannot be read.
    """
    header = read_header(folder)
    log_bytes = (folder / LOG_FILE).stat().st_size if (folder / LOG_FILE).is_file() else 0
    rolls, ended = _read_rolls(folder, log_bytes)
    extent = _Extent(rolls)
    for number, line in enumerate(_quantum_lines(folder, log_bytes)):
        if reason := extent.missing(line.quantum):
            ended = reason
            break
        extent.add(number, line)
    whole, parts = extent.finished()
    return TakeIndex(folder, header, rolls, whole, parts, header.broken or ended, log_bytes)


def quanta(index: TakeIndex, part: Part) -> Iterator[Quantum]:
    """Yield the quanta of a part, in order."""
    lines = _quantum_lines(index.folder, index.log_bytes)
    return (line.quantum for line in islice(lines, part.first_quantum, part.end_quantum))


def _quantum_lines(folder: Path, log_bytes: int) -> Iterator[QuantumLine]:
    return (line for line in read_lines(folder, log_bytes) if isinstance(line, QuantumLine))


def _read_rolls(folder: Path, log_bytes: int) -> tuple[dict[int, LoggedRoll], str]:
    """Return the rolls whose latents are there, and why the log ends early, if it does."""
    latents = folder / LATENTS_FILE
    latents_bytes = latents.stat().st_size if latents.is_file() else 0
    rolls: dict[int, LoggedRoll] = {}
    for line in read_lines(folder, log_bytes):
        if isinstance(line, BrokenLine):
            return rolls, line.reason
        if isinstance(line, ChunkLine):
            settled = line.settling is None or line.settling.end <= latents_bytes
            if settled and line.latents.end <= latents_bytes:
                rolls[line.number] = LoggedRoll(line, [line.latents])
        elif isinstance(line, MoreLine) and line.number in rolls and line.latents.end <= latents_bytes:
            rolls[line.number].places.append(line.latents)
    return rolls, ""


@dataclass(slots=True)
class _Extent:
    """Walks through the quanta, and finds parts and uses of rolls."""

    rolls: dict[int, LoggedRoll]
    samples: int = 0
    count: int = 0
    position: float = 0.0
    rested: int = REST_SAMPLES
    parts: list[Part] = field(default_factory=list)

    def missing(self, quantum: Quantum) -> str:
        """Return what is missing to render `quantum`, or nothing."""
        for voice in quantum.voices:
            roll = self.rolls.get(voice.roll)
            if roll is None:
                return f"chunk {voice.roll} was played, but is not in the log"
            first, end = touched(voice, quantum.samples)
            if first < roll.start_sample or end > roll.end_sample:
                return f"chunk {voice.roll} was played beyond what is in the log"
        return ""

    def add(self, number: int, line: QuantumLine) -> None:
        """Take the next quantum."""
        if number == 0:
            self.position = line.at
        for voice in line.voices:
            self.rolls[voice.roll].last_use = number
        if line.voices:
            self._sounds(number, line)
        else:
            self.rested += line.samples
        self.samples, self.count = self.samples + line.samples, number + 1

    def _sounds(self, number: int, line: QuantumLine) -> None:
        lowest = min(voice.roll for voice in line.voices)
        if self.rested >= REST_SAMPLES or not self.parts:
            self.parts.append(Part(self.samples, line.samples, line.at, number, number + 1, lowest))
        else:
            part = self.parts[-1]
            lowest = lowest if part.first_roll is None else min(lowest, part.first_roll)
            samples = self.samples + line.samples - part.start_sample
            self.parts[-1] = Part(
                part.start_sample, samples, part.song_position, part.first_quantum, number + 1, lowest
            )
        self.rested = 0

    def finished(self) -> tuple[Part, tuple[Part, ...]]:
        """Return the whole, and its parts."""
        used = [part.first_roll for part in self.parts if part.first_roll is not None]
        whole = Part(0, self.samples, self.position, 0, self.count, min(used, default=None))
        return whole, tuple(self.parts)
