"""One song from notes to sound: a singer is cast, the stems are played, and everything is mixed down."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.geometry import STEMS
from training.corpus.effects import Audio, process_stem
from training.corpus.espeak import SPEAKERS, espeak_voice, has_espeak
from training.corpus.folder import VOCALS
from training.corpus.formant import formant_voice
from training.corpus.notes import Song
from training.corpus.render import Orchestra
from training.corpus.singer import finish_vocal, sing
from training.corpus.voices import RECORDED_VOICES, Voice, read_voice

RECORDED, FORMANT, ESPEAK = "recorded", "formant", "espeak"


@dataclass(frozen=True, slots=True)
class Company:
    """The voices that may be cast, and how often each kind is: recorded, formant, espeak."""

    recorded: tuple[Voice, ...]
    spoken: tuple[Voice, ...]
    shares: Mapping[str, float]


def hire(data_dir: Path | None, cache_dir: Path, shares: Mapping[str, float]) -> Company:
    """Read the recorded and spoken voices that this machine has; the formant voice needs nothing."""
    folders = [data_dir / "voices" / name for name in RECORDED_VOICES] if data_dir is not None else []
    recorded = tuple(read_voice(folder, cache_dir) for folder in folders if (folder / "oto.ini").is_file())
    wants_spoken = shares.get(ESPEAK, 0.0) > 0 and has_espeak()
    spoken = tuple(espeak_voice(speaker, cache_dir) for speaker in SPEAKERS) if wants_spoken else ()
    return Company(recorded, spoken, shares)


def cast(company: Company, rng: np.random.Generator) -> Voice:
    """Return the singer of one song, drawn by the shares of the kinds that are there."""
    kinds = {RECORDED: bool(company.recorded), FORMANT: True, ESPEAK: bool(company.spoken)}
    shares = np.array([company.shares.get(kind, 0.0) if there else 0.0 for kind, there in kinds.items()])
    shares = shares if shares.sum() > 0 else np.array([0.0, 1.0, 0.0])
    kind = str(rng.choice(list(kinds), p=shares / shares.sum()))
    if kind == FORMANT:
        return formant_voice(rng)
    bank = company.recorded if kind == RECORDED else company.spoken
    return bank[int(rng.integers(len(bank)))]


def perform(song: Song, company: Company, orchestra: Orchestra) -> tuple[str, dict[str, Audio]]:
    """Return the name of the voice and the stems, vocals too, of `song`: (2, samples) float32 each.

    All chance comes from the song's seed, with a generator for each stem, so that no stem hangs on another.
    """
    song_rng, vocal_rng, *stem_rngs = (np.random.default_rng([song.seed, index]) for index in range(2 + len(STEMS)))
    detune_cents = float(song_rng.uniform(-20, 20)) if song_rng.random() < 0.3 else 0.0
    voice = cast(company, song_rng)
    stems = {VOCALS: finish_vocal(sing(song, voice, vocal_rng, detune_cents), vocal_rng)}
    for stem, rng in zip(STEMS, stem_rngs, strict=True):
        stems[stem] = process_stem(orchestra.play(song, stem, detune_cents), stem, rng)
    return voice.name, stems
