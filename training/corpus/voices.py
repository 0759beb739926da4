"""Voices as banks of syllables: recorded ones (UTAU `oto.ini` banks), read and analysed once, then cached."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from training.corpus.world import FRAME_SECONDS, VOICE_RATE_HZ, SmallArray, Tracks, analyse

RECORDED_VOICES = ("iona_beta", "erithacus", "yuki")
CACHE_VERSION = 5
SYLLABLES_A_BANK = 120
LONGEST_VOWEL_SECONDS = 0.7
LONGEST_CONSONANT_SECONDS = 0.16
LONGEST_JOINED_CONSONANT_SECONDS = 0.09
"""Of an entry that is recorded after a vowel; more of it would let that vowel be heard."""
LOUDEST_OVER_VOWEL = 2.0
SETTLING_SECONDS = 0.08
VOICED_BELOW_HZ = 1_200.0
VOICED_LOW_SHARE = 0.85
VOICED_LEAST_POWER = 3e-3


@dataclass(frozen=True, slots=True)
class Syllable:
    """One syllable, time in frames of 5 ms.

    Attributes:
        name: what is sung, such as `ka`.
        tracks: the whole syllable; voiced where f0 is above 0.
        vowel_frame: where the vowel begins, which is what falls on the beat.
        stable_frame: from here to the end the vowel is steady and may be stretched.
    """

    name: str
    tracks: Tracks
    vowel_frame: int
    stable_frame: int


@dataclass(frozen=True, slots=True)
class Voice:
    """A bank of syllables and the pitch (MIDI) around which it sounds natural."""

    name: str
    syllables: tuple[Syllable, ...]
    centre_pitch: float


@dataclass(frozen=True, slots=True)
class OtoEntry:
    """One line of `oto.ini`: a file, its alias and five marks in milliseconds."""

    file: str
    alias: str
    offset_ms: float
    consonant_ms: float
    cutoff_ms: float
    preutterance_ms: float
    overlap_ms: float


def parse_oto(text: str) -> list[OtoEntry]:
    """Return the entries of an `oto.ini`; lines that are not `file=alias,5 numbers` are left out."""
    entries = []
    for line in text.splitlines():
        file, _, rest = line.strip().partition("=")
        alias, *marks = rest.split(",")
        try:
            numbers = [float(mark or 0.0) for mark in marks]
        except ValueError:
            continue
        if len(numbers) == 5:
            entries.append(OtoEntry(file, alias, *numbers))
    return entries


def read_oto(path: Path) -> list[OtoEntry]:
    """Read an `oto.ini` in UTF-8 or Shift-JIS."""
    content = path.read_bytes()
    try:
        return parse_oto(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return parse_oto(content.decode("cp932", errors="replace"))


def read_voice(folder: Path, cache_dir: Path) -> Voice:
    """Return the recorded voice in `folder`, analysing it only when `cache_dir` does not hold it yet.

    Raises:
        ValueError: the folder has no usable `oto.ini` and sounds.
    """
    digest = hashlib.sha256((folder / "oto.ini").read_bytes()).hexdigest()[:12]
    cached = cache_dir / f"{folder.name}-{digest}-v{CACHE_VERSION}.npz"
    if not cached.exists():
        syllables = _analyse_folder(folder)
        if not syllables:
            raise ValueError(f"{folder} holds no syllable that its oto.ini describes; expected WAV, FLAC or Ogg files")
        save_syllables(syllables, cached)
    return make_voice(folder.name, load_syllables(cached))


def read_voice_aliases(folder: Path, syllables: Sequence[str]) -> Voice:
    """Return the recorded voice in `folder` with only those of its entries that sing one of `syllables`, uncached.

    An entry's alias may name the vowel before it, as in `a ka`.

    Raises:
        ValueError: the bank has none of them.
    """
    entries = [entry for entry in usable_entries(folder) if entry.alias.rpartition(" ")[2] in syllables]
    analysed = [_analyse_entry(folder, entry) for entry in entries]
    kept = tuple(syllable for syllable in analysed if syllable is not None)
    if not kept:
        raise ValueError(f"{folder} sings none of {', '.join(syllables)}; give a bank with plain vowels or syllables")
    return make_voice(folder.name, kept)


def make_voice(name: str, syllables: tuple[Syllable, ...]) -> Voice:
    """Return a voice whose centre is the median pitch of its syllables' voiced frames."""
    f0_hz = np.concatenate([syllable.tracks.f0_hz for syllable in syllables])
    voiced = f0_hz[f0_hz > 0]
    return Voice(name, syllables, float(69 + 12 * np.log2(np.median(voiced) / 440)))


def usable_entries(folder: Path) -> list[OtoEntry]:
    """Return the entries of the bank that have a consonant mark and a sound file."""
    return [entry for entry in read_oto(folder / "oto.ini") if entry.preutterance_ms > 0 and _sound(folder, entry)]


def _analyse_folder(folder: Path) -> tuple[Syllable, ...]:
    """Analyse an even choice of at most SYLLABLES_A_BANK entries of the bank."""
    entries = usable_entries(folder)
    step = max(1.0, len(entries) / SYLLABLES_A_BANK)
    chosen = [entries[int(i * step)] for i in range(int(len(entries) / step))]
    syllables = (_analyse_entry(folder, entry) for entry in chosen)
    return tuple(syllable for syllable in syllables if syllable is not None)


def _sound(folder: Path, entry: OtoEntry) -> Path | None:
    stem = entry.file.rpartition(".")[0] or entry.file
    candidates = (folder / f"{stem}{suffix}" for suffix in (".ogg", ".wav", ".flac"))
    return next((path for path in candidates if path.exists()), None)


def _analyse_entry(folder: Path, entry: OtoEntry) -> Syllable | None:
    """Cut one entry out of its file, analyse it, and level its vowel; None where its vowel is not voiced."""
    path = _sound(folder, entry)
    assert path is not None
    audio, rate_hz = soundfile.read(path, always_2d=True)
    mono = audio.mean(axis=1)
    seconds = len(mono) / rate_hz
    vowel_at = (entry.offset_ms + entry.preutterance_ms) / 1_000
    end = (entry.offset_ms if entry.cutoff_ms < 0 else seconds * 1_000) / 1_000 - entry.cutoff_ms / 1_000
    follows_vowel = " " in entry.alias.removeprefix("- ")
    longest = LONGEST_JOINED_CONSONANT_SECONDS if follows_vowel else LONGEST_CONSONANT_SECONDS
    begin = max(entry.offset_ms / 1_000, vowel_at - longest)
    end = min(end, seconds, vowel_at + LONGEST_VOWEL_SECONDS)
    if end - vowel_at < 0.1:
        return None
    excerpt = mono[int(begin * rate_hz) : int(end * rate_hz)]
    tracks = analyse(soxr.resample(excerpt, rate_hz, VOICE_RATE_HZ))
    vowel_frame = round((vowel_at - begin) / FRAME_SECONDS)
    fixed = (entry.offset_ms + entry.consonant_ms) / 1_000 - begin
    stable_frame = max(vowel_frame + round(SETTLING_SECONDS / FRAME_SECONDS), round(fixed / FRAME_SECONDS))
    return level_syllable(Syllable(entry.alias, tracks, vowel_frame, stable_frame))


def level_syllable(syllable: Syllable) -> Syllable | None:
    """Bring the vowel to unit power, mend its voicing, drop the unsteady end; None where it is not a vowel."""
    f0_hz, log_envelope = syllable.tracks.f0_hz, syllable.tracks.log_envelope
    frames = len(f0_hz)
    stable_frame = min(syllable.stable_frame, max(syllable.vowel_frame + 4, frames - 24))
    vowel = slice(syllable.vowel_frame, frames - 4)
    voiced = f0_hz[vowel] > 0
    if frames - 4 - stable_frame < 4 or voiced.mean() < 0.7:
        return None
    power = np.exp(log_envelope[vowel]).mean(axis=1)
    level = float(np.log(np.median(power)))
    median_hz = float(np.median(f0_hz[vowel][voiced]))
    sounding = _sounds_voiced(log_envelope - level)
    sounding[syllable.vowel_frame :] = True
    missed = sounding & (f0_hz <= 0)
    aperiodicity_db = syllable.tracks.aperiodicity_db.copy()
    aperiodicity_db[missed] = np.median(aperiodicity_db[vowel][voiced], axis=0)
    repaired_hz = np.where(missed, median_hz, f0_hz).astype(np.float32)
    levelled = log_envelope - np.float32(level)
    loudness = np.log(np.exp(levelled).mean(axis=1, keepdims=True) + 1e-12)
    levelled -= np.maximum(loudness - np.log(LOUDEST_OVER_VOWEL), 0).astype(np.float32)
    kept = slice(0, frames - 4)
    tracks = Tracks(repaired_hz[kept], levelled[kept], aperiodicity_db[kept])
    return Syllable(syllable.name, tracks, syllable.vowel_frame, stable_frame)


def _sounds_voiced(log_envelope: SmallArray) -> NDArray[np.bool_]:
    """Return (frames,) whether a frame is loud below 1.2 kHz, as voiced consonants are whose pitch was not found.

    The envelope is relative to the vowel's.
    """
    low_bins = round(VOICED_BELOW_HZ / (VOICE_RATE_HZ / 2) * (log_envelope.shape[1] - 1))
    power = np.exp(log_envelope)
    total = power.mean(axis=1)
    low_share = power[:, :low_bins].sum(axis=1) / np.maximum(power.sum(axis=1), 1e-20)
    voiced: NDArray[np.bool_] = (low_share > VOICED_LOW_SHARE) & (total > VOICED_LEAST_POWER)
    return voiced


def save_syllables(syllables: tuple[Syllable, ...], path: Path) -> None:
    """Write the syllables as one compressed npz; it appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.npz")
    np.savez_compressed(
        partial,
        names=np.array([syllable.name for syllable in syllables]),
        marks=np.array([[len(s.tracks.f0_hz), s.vowel_frame, s.stable_frame] for s in syllables]),
        f0_hz=np.concatenate([syllable.tracks.f0_hz for syllable in syllables]),
        log_envelope=np.concatenate([syllable.tracks.log_envelope for syllable in syllables]).astype(np.float16),
        aperiodicity_db=np.concatenate([syllable.tracks.aperiodicity_db for syllable in syllables]),
    )
    partial.replace(path)


def load_syllables(path: Path) -> tuple[Syllable, ...]:
    """Read what `save_syllables` wrote."""
    with np.load(path) as stored:
        f0_hz, log_envelope = stored["f0_hz"], stored["log_envelope"].astype(np.float32)
        aperiodicity_db, marks = stored["aperiodicity_db"], stored["marks"]
        names = [str(name) for name in stored["names"]]
    starts = np.concatenate([[0], np.cumsum(marks[:, 0])])
    return tuple(
        Syllable(name, _cut(f0_hz, log_envelope, aperiodicity_db, start, start + length), int(vowel), int(stable))
        for name, (length, vowel, stable), start in zip(names, marks, starts[:-1], strict=True)
    )


def _cut(f0_hz: SmallArray, log_envelope: SmallArray, aperiodicity_db: SmallArray, start: int, stop: int) -> Tracks:
    return Tracks(f0_hz[start:stop], log_envelope[start:stop], aperiodicity_db[start:stop])
