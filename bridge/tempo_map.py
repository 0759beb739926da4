"""The one door to MIDI files: a DAW's tempo map and time signatures as a timeline."""

from __future__ import annotations

from pathlib import Path

import mido

from bridge.errors import UserError
from engine.timeline import Timeline

DEFAULT_TEMPO_US_PER_BEAT = 500_000
MICROSECONDS_PER_MINUTE = 60_000_000


def read_tempo_map(path: Path, time_signature: tuple[int, int] | None = None, first_beat_sample: int = 0) -> Timeline:
    """Return the timeline of the MIDI file at `path`.

    Args:
        path: a standard MIDI file, as a DAW exports it with its tempo track.
        time_signature: `(numerator, denominator)` in place of the file's own.
        first_beat_sample: sample of the file's beat 0.

    Raises:
        UserError: the file is missing, not MIDI, counts in film frames, or holds an impossible tempo or signature.
    """
    if path.is_dir() or not path.exists():
        raise UserError(f"{path}: no such MIDI file; check the path given to --tempo-map")
    try:
        song = mido.MidiFile(str(path))
    except (OSError, EOFError, ValueError, IndexError, KeyError) as error:
        raise UserError(
            f"{path}: not a MIDI file that can be read; export the tempo map as a standard MIDI file"
        ) from error
    if not 0 < song.ticks_per_beat < 0x8000:
        raise UserError(f"{path}: counts in film frames, not in beats; export it with ticks per quarter note")
    tempos, signatures = _points(song)
    if time_signature is not None:
        signatures = {0.0: time_signature}
    signatures.setdefault(0.0, (4, 4))
    tempos.setdefault(0.0, _bpm(DEFAULT_TEMPO_US_PER_BEAT))
    try:
        return Timeline(
            tuple(sorted(tempos.items())),
            tuple((beat, top, bottom) for beat, (top, bottom) in sorted(signatures.items())),
            first_beat_sample,
        )
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error


def _points(song: mido.MidiFile) -> tuple[dict[float, float], dict[float, tuple[int, int]]]:
    """Return tempos and time signatures by beat; of several at one beat the last one holds."""
    tempos: dict[float, float] = {}
    signatures: dict[float, tuple[int, int]] = {}
    for track in song.tracks:
        tick = 0
        for message in track:
            tick += message.time
            beat = tick / song.ticks_per_beat
            if message.type == "set_tempo":
                tempos[beat] = _bpm(message.tempo)
            elif message.type == "time_signature":
                signatures[beat] = (message.numerator, message.denominator)
    return tempos, signatures


def _bpm(microseconds_per_beat: int) -> float:
    """Return quarter notes a minute; the whole number where MIDI's microseconds only just miss it."""
    if microseconds_per_beat <= 0:
        return 0.0
    bpm = MICROSECONDS_PER_MINUTE / microseconds_per_beat
    nearest = round(bpm, 3)
    return nearest if round(MICROSECONDS_PER_MINUTE / nearest) == microseconds_per_beat else bpm
