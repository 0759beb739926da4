"""The demo vocal that ships: an original melody of the project's own, sung by a voice that may be given away.

`python -m training.corpus.demo --out presets/demo/vocal.flac [--voice FOLDER]`; the folder is that of an UTAU bank
whose licence allows it, such as Yuki's (public domain); without it the project's own formant voice sings.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from engine.geometry import SAMPLE_RATE_HZ
from training.corpus.effects import Audio, apply_chain, random_reverb, set_loudness_limited
from training.corpus.formant import formant_voice
from training.corpus.melody import Manner, octave_shift, split_phrases, sung_notes
from training.corpus.notes import Note, Song
from training.corpus.singer import Timbre, sing_notes
from training.corpus.voices import Voice, read_voice_aliases

DEMO_BPM = 92.0
DEMO_SEED = 92
DEMO_LOUDNESS_DB = -18.0
REST = 0

# Twelve bars of 4/4 in A minor, (MIDI pitch, beats) with REST for silence: a verse of two phrases, then a lift.
DEMO_BARS: tuple[tuple[tuple[int, float], ...], ...] = (
    ((REST, 0.5), (64, 0.5), (69, 1.0), (67, 0.5), (69, 0.5), (64, 1.0)),  # Am
    ((REST, 0.5), (69, 0.5), (72, 1.0), (71, 0.5), (69, 1.5)),  # F
    ((REST, 0.5), (67, 0.5), (67, 1.0), (64, 0.5), (62, 0.5), (64, 1.0)),  # C
    ((62, 3.0), (REST, 1.0)),  # G
    ((REST, 0.5), (64, 0.5), (69, 1.0), (67, 0.5), (69, 0.5), (72, 1.0)),  # Am
    ((72, 0.5), (71, 0.5), (69, 1.5), (67, 0.5), (65, 1.0)),  # F
    ((REST, 0.5), (65, 0.5), (69, 1.0), (65, 0.5), (64, 0.5), (62, 1.0)),  # Dm
    ((64, 1.0), (68, 1.0), (71, 1.5), (REST, 0.5)),  # E
    ((72, 1.5), (71, 0.5), (69, 1.0), (72, 1.0)),  # F
    ((71, 1.5), (69, 0.5), (67, 1.0), (74, 1.0)),  # G
    ((72, 1.0), (71, 0.5), (72, 0.5), (71, 1.0), (68, 1.0)),  # Am, E
    ((69, 3.5), (REST, 0.5)),  # Am
)
DEMO_MANNER = Manner(
    portamento_seconds=0.06,
    vibrato_hz=5.4,
    vibrato_cents=32.0,
    drift_cents=4.0,
    scoop_cents=70.0,
    scoop_chance=0.12,
    detune_cents=0.0,
)
DEMO_TIMBRE = Timbre(scale=1.0, tilt_db_octave=0.0, breath_db=0.0)
# Syllables that flow: nasals, liquids, glides and plain vowels, in the spellings that banks use.
FLOWING_KANA = "あおえいうらりるれろなにねのまみもやよわ"
FLOWING_LATIN = "a o e i la ra ri ru re ro na ni ne no ma mi me mo ya yo wa"
FLOWING = (*FLOWING_KANA, *FLOWING_LATIN.split())


def demo_song() -> Song:
    """Return the demo's melody as a Song without accompaniment."""
    notes: list[Note] = []
    beat = 0.0
    for bar in DEMO_BARS:
        for pitch, beats in bar:
            if pitch != REST:
                on_the_beat = beat % 1 == 0
                notes.append(Note(beat, beats, pitch, 96 if on_the_beat else 84))
            beat += beats
    return Song(
        "demo", "composer", "test", "pop", ((0.0, DEMO_BPM),), ((0.0, 4, 4),), 4, "A minor", (),
        ((0.0, 32.0, "verse"), (32.0, 48.0, "lift")), beat, tuple(notes), (), DEMO_SEED,
    )  # fmt: skip


def demo_vocal(voice: Voice) -> Audio:
    """Return the demo sung by `voice`, with a little room: (1, samples) float32."""
    song, rng = demo_song(), np.random.default_rng(DEMO_SEED)
    phrases = split_phrases(sung_notes(song, octave_shift(song, voice.centre_pitch)))
    dry = sing_notes(song, phrases, voice, DEMO_MANNER, DEMO_TIMBRE, rng)
    wet = apply_chain(np.repeat(dry, 2, axis=0), [random_reverb(np.random.default_rng(4), 0.08)])
    return set_loudness_limited(wet.mean(axis=0, keepdims=True), DEMO_LOUDNESS_DB)


def make_demo_vocal(out: Path, voice_folder: Path | None = None) -> None:
    """Write the demo vocal to `out`: mono 16-bit FLAC at 44.1 kHz, 92 BPM, 4/4, its first sample on the first downbeat.

    Args:
        out: the file to write.
        voice_folder: an UTAU bank; None for the project's formant voice.

    Raises:
        ValueError: `voice_folder` holds no usable bank.
    """
    voice = read_voice_aliases(voice_folder, FLOWING) if voice_folder else formant_voice(np.random.default_rng(8))
    out.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(out, demo_vocal(voice)[0], SAMPLE_RATE_HZ, subtype="PCM_16", format="FLAC")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.corpus.demo", description="Make the demo vocal.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--voice", type=Path, default=None, help="folder of an UTAU bank; default: the formant voice")
    options = parser.parse_args(arguments)
    try:
        make_demo_vocal(options.out, options.voice)
    except (ValueError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
