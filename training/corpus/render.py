"""Instruments: each stem's parts played by FluidSynth, in process, one synthesiser a worker."""

import ctypes
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.geometry import AUDIO_CHANNELS, SAMPLE_RATE_HZ
from training.corpus.clock import beats_to_samples, song_samples
from training.corpus.effects import Audio
from training.corpus.notes import Part, Song

SOUNDFONT_VARIABLE = "BACKLINE_SOUNDFONT"
SOUNDFONT_PLACES = (
    "/usr/share/sounds/sf2/FluidR3_GM.sf2",
    "/usr/share/soundfonts/FluidR3_GM.sf2",
    "/opt/homebrew/share/soundfonts/FluidR3_GM.sf2",
    "/usr/local/share/soundfonts/FluidR3_GM.sf2",
    "~/Library/Audio/Sounds/Banks/FluidR3_GM.sf2",
    "C:/soundfonts/FluidR3_GM.sf2",
)
SYNTH_BLOCK_SAMPLES = 64
"""FluidSynth acts on events at block borders only."""
DRUM_BANK = 128
DRUM_CHANNEL = 9
MELODIC_CHANNELS = tuple(channel for channel in range(16) if channel != DRUM_CHANNEL)
BEND_UNITS_A_CENT = 8_192 / 200


class RenderError(Exception):
    """The instruments cannot be rendered; the message names the remedy."""


def find_soundfont(setting: str | None = None) -> Path:
    """Return the soundfont of `setting`, else of the environment's BACKLINE_SOUNDFONT, else of the usual places.

    Raises:
        RenderError: none is there.
    """
    named = setting or os.environ.get(SOUNDFONT_VARIABLE)
    for place in [named] if named else SOUNDFONT_PLACES:
        path = Path(place).expanduser()
        if path.is_file():
            return path
    where = named or ", ".join(SOUNDFONT_PLACES)
    raise RenderError(
        f"no soundfont at {where}; install one (Debian: apt install fluid-soundfont-gm) or name a General MIDI .sf2 "
        f"file in {SOUNDFONT_VARIABLE} or in the corpus configuration's `soundfont`"
    )


@dataclass(frozen=True, slots=True)
class Event:
    """A note-on (velocity above 0) or note-off of one channel, at a block of 64 samples."""

    block: int
    velocity: int
    channel: int
    pitch: int


class Orchestra:
    """Plays stems with one soundfont, whose samples it keeps in memory.

    Each stem gets a new synthesiser: one that has played before does not repeat itself to the bit, even after a reset.
    """

    def __init__(self, soundfont: Path) -> None:
        """Load `soundfont`; FluidSynth shares its samples with the synthesisers made later."""
        self._soundfont = soundfont
        self._keeper = Synthesiser(soundfont)

    def play(self, song: Song, stem: str, detune_cents: float = 0.0) -> Audio:
        """Return `stem` of `song`, dry: (2, samples) float32, cut at the song's length.

        Note times are exact to half a synthesiser block (0.7 ms).
        """
        samples = song_samples(song)
        blocks = -(-samples // SYNTH_BLOCK_SAMPLES)
        buffer = np.zeros((blocks * SYNTH_BLOCK_SAMPLES, AUDIO_CHANNELS), dtype=np.float32)
        parts = [part for part in song.parts if part.stem == stem]
        for group in _channel_groups(parts, stem):
            synthesiser = Synthesiser(self._soundfont)
            synthesiser.add_parts(song, group, stem, detune_cents, buffer)
            synthesiser.close()
        return np.ascontiguousarray(buffer[:samples].T)


class Synthesiser:
    """One FluidSynth; its own reverb and chorus stay off, since stems get their effects later."""

    def __init__(self, soundfont: Path) -> None:
        """Open FluidSynth and load `soundfont`."""
        self._synth, self._write_float = _open_synth()
        self._font = self._synth.sfload(str(soundfont))
        if self._font < 0:
            raise RenderError(f"FluidSynth cannot read the soundfont {soundfont}; name another General MIDI .sf2 file")

    def close(self) -> None:
        """Free the synthesiser."""
        self._synth.delete()

    def add_parts(
        self, song: Song, parts: list[Part], stem: str, detune_cents: float, buffer: NDArray[np.float32]
    ) -> None:
        """Add to `buffer` (samples, 2) the parts, each on a channel of its own."""
        channels = [DRUM_CHANNEL] if stem == "drums" else list(MELODIC_CHANNELS)
        events: list[Event] = []
        for part, channel in zip(parts, channels, strict=False):
            self._set_up_channel(part, channel, stem, detune_cents)
            events += part_events(song, part, channel)
        last = len(buffer) // SYNTH_BLOCK_SAMPLES
        done = 0
        for event in sorted(events, key=lambda event: (event.block, event.velocity, event.channel, event.pitch)):
            if event.block >= last:
                break
            self._render(buffer, done, event.block)
            done = event.block
            self._send(event)
        self._render(buffer, done, last)

    def _set_up_channel(self, part: Part, channel: int, stem: str, detune_cents: float) -> None:
        bank = DRUM_BANK if stem == "drums" else 0
        if self._synth.program_select(channel, self._font, bank, part.program) != 0:
            self._synth.program_select(channel, self._font, bank, 0)
        self._synth.cc(channel, 7, int(np.clip(round(100 * 10 ** (part.gain_db / 40)), 1, 127)))
        self._synth.cc(channel, 10, int(np.clip(round(64 + 63 * part.pan), 0, 127)))
        if stem != "drums":
            self._synth.pitch_bend(channel, round(detune_cents * BEND_UNITS_A_CENT))

    def _send(self, event: Event) -> None:
        if event.velocity > 0:
            self._synth.noteon(event.channel, event.pitch, event.velocity)
        else:
            self._synth.noteoff(event.channel, event.pitch)

    def _render(self, buffer: NDArray[np.float32], start_block: int, stop_block: int) -> None:
        """Add the blocks from `start_block` to `stop_block` to `buffer`, in time."""
        samples = (stop_block - start_block) * SYNTH_BLOCK_SAMPLES
        if samples <= 0:
            return
        scratch = np.zeros((samples, AUDIO_CHANNELS), dtype=np.float32)
        pointer = scratch.ctypes.data_as(ctypes.c_void_p)
        self._write_float(self._synth.synth, samples, pointer, 0, AUDIO_CHANNELS, pointer, 1, AUDIO_CHANNELS)
        buffer[start_block * SYNTH_BLOCK_SAMPLES : stop_block * SYNTH_BLOCK_SAMPLES] += scratch


def _open_synth() -> tuple[Any, Any]:
    """Return a FluidSynth and its float writer (the 16-bit one dithers, and so would not repeat)."""
    try:
        import fluidsynth
    except ImportError as error:
        raise RenderError(
            "the FluidSynth library is missing; install it (Debian: apt install fluidsynth; macOS: brew install "
            "fluid-synth) and the Python package pyfluidsynth"
        ) from error
    settings = {"synth.reverb.active": 0, "synth.chorus.active": 0, "synth.cpu-cores": 1, "synth.lock-memory": 0}
    synth = fluidsynth.Synth(gain=0.5, samplerate=float(SAMPLE_RATE_HZ), channels=16, **settings)
    writer = fluidsynth._fl.fluid_synth_write_float
    writer.argtypes = [ctypes.c_void_p, ctypes.c_int, *[ctypes.c_void_p, ctypes.c_int, ctypes.c_int] * 2]
    writer.restype = ctypes.c_int
    return synth, writer


def _channel_groups(parts: list[Part], stem: str) -> list[list[Part]]:
    """Split `parts` into groups that have channels enough: one drum part, or fifteen others, at a time."""
    size = 1 if stem == "drums" else len(MELODIC_CHANNELS)
    return [parts[start : start + size] for start in range(0, len(parts), size)]


def part_events(song: Song, part: Part, channel: int) -> list[Event]:
    """Return the note-ons and note-offs of `part`; a repeated pitch is released before it sounds again."""
    starts = beats_to_samples(song, [note.start_beat for note in part.notes])
    stops = beats_to_samples(song, [note.start_beat + note.duration_beats for note in part.notes])
    events = []
    for note, start, stop in zip(part.notes, starts, stops, strict=True):
        on_block = max(0, round(start / SYNTH_BLOCK_SAMPLES))
        off_block = max(on_block + 1, round(stop / SYNTH_BLOCK_SAMPLES))
        events.append(Event(on_block, int(np.clip(note.velocity, 1, 127)), channel, note.pitch))
        events.append(Event(off_block, 0, channel, note.pitch))
    return events
