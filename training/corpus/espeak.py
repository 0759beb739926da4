"""Syllables spoken by espeak-ng, where it is installed, for the singer to bring onto a melody."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import soundfile
import soxr

from training.corpus.voices import (
    CACHE_VERSION,
    Syllable,
    Voice,
    level_syllable,
    load_syllables,
    make_voice,
    save_syllables,
)
from training.corpus.world import FRAME_SECONDS, VOICE_RATE_HZ, analyse

PROGRAM = "espeak-ng"
SPEAKERS = ("en-us+m3", "en-us+f2", "en-gb+f4", "en-us+m7")
# espeak-ng's phoneme mnemonics, English.
SPOKEN = (
    "la:", "lu:", "li:", "na:", "nu:", "ma:", "mi:", "mo:", "da:", "du:", "di:", "ba:", "bi:", "ta:", "ti:", "ka:",
    "ku:", "sa:", "si:", "Sa:", "Si:", "fa:", "ha:", "hu:", "wa:", "wi:", "ja:", "ju:", "ra:", "ru:",
)  # fmt: skip
SPEED_WORDS_A_MINUTE = 90
QUIET_FRAMES_KEPT = 6


def has_espeak() -> bool:
    """Return whether espeak-ng is installed."""
    return shutil.which(PROGRAM) is not None


def espeak_voice(speaker: str, cache_dir: Path) -> Voice:
    """Return one of SPEAKERS as a voice, analysed once and cached.

    Raises:
        ValueError: espeak-ng gave no usable syllable.
    """
    cached = cache_dir / f"espeak-{speaker.replace('+', '-')}-v{CACHE_VERSION}.npz"
    if not cached.exists():
        spoken = [speak(phonemes, speaker) for phonemes in SPOKEN]
        syllables = tuple(syllable for syllable in spoken if syllable is not None)
        if len(syllables) < 5:
            raise ValueError(
                f"espeak-ng's voice {speaker!r} gave {len(syllables)} usable syllables; reinstall espeak-ng"
            )
        save_syllables(syllables, cached)
    return make_voice("espeak", load_syllables(cached))


def speak(phonemes: str, speaker: str) -> Syllable | None:
    """Speak one syllable and analyse it; None where no steady vowel is found."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spoken.wav"
        command = [PROGRAM, "-v", speaker, "-s", str(SPEED_WORDS_A_MINUTE), "-w", str(path), f"[[{phonemes}]]"]
        subprocess.run(command, check=True, capture_output=True)
        audio, rate_hz = soundfile.read(path)
    tracks = analyse(soxr.resample(np.asarray(audio), rate_hz, VOICE_RATE_HZ))
    power_db = 10 / np.log(10) * np.logaddexp.reduce(tracks.log_envelope, axis=1)
    vowel_like = (tracks.f0_hz > 0) & (power_db > power_db.max() - 8)
    runs = np.flatnonzero(vowel_like)
    if len(runs) < round(0.1 / FRAME_SECONDS):
        return None
    vowel_frame, stop = int(runs[0]), int(runs[-1]) + 1
    audible = np.flatnonzero(power_db > power_db.max() - 45)
    start = max(0, int(audible[0]) - QUIET_FRAMES_KEPT, vowel_frame - round(0.16 / FRAME_SECONDS))
    kept = type(tracks)(tracks.f0_hz[start:stop], tracks.log_envelope[start:stop], tracks.aperiodicity_db[start:stop])
    return level_syllable(Syllable(phonemes, kept, vowel_frame - start, (vowel_frame + stop) // 2 - start))
