"""Synthetic latent songs for tests: an accompaniment that follows from vocal and timeline, so it can be learned."""

import json
from pathlib import Path

import numpy as np

from engine.conditions import TIMELINE_CHANNELS, timeline_conditions
from engine.geometry import LATENT_CHANNELS, STEMS
from engine.styles import STYLES
from engine.timeline import Timeline

FACTORS = 3
KEYS = ("C major", "A minor", "Eb major", "F# minor")


def song_text(index: int, frames: int, bpm: float, split: str) -> str:
    """Return the song.json of song `index`."""
    beats = frames * 2048 / 44_100 * bpm / 60.0
    chords = [
        [4.0 * bar, 4.0 * bar + 4.0, bar % 12, [bar % 12, (bar + 4) % 12, (bar + 7) % 12], bar % 12, "test"]
        for bar in range(int(beats // 4) + 1)
    ]
    song = {
        "id": f"song{index:03d}",
        "source": "composer",
        "split": split,
        "style": STYLES[index % len(STYLES)],
        "tempo_map": [[0.0, bpm]],
        "time_signatures": [[0.0, 4, 4]],
        "subdivision": 4,
        "key": KEYS[index % len(KEYS)],
        "chords": chords,
        "sections": [[0.0, beats, "verse"]],
        "voice": "test",
        "seed": index,
    }
    return json.dumps(song)


def write_songs(directory: Path, count: int, frames: int, seed: int = 0) -> None:
    """Write `count` songs of `frames` frames and their statistics; the last quarter is for validation."""
    directory.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((len(STEMS), LATENT_CHANNELS, FACTORS + TIMELINE_CHANNELS)) / np.sqrt(FACTORS)
    singing = rng.standard_normal((LATENT_CHANNELS, FACTORS)) / np.sqrt(FACTORS)
    for index in range(count):
        bpm = float(rng.integers(60, 180))
        factors = np.repeat(rng.standard_normal((FACTORS, -(-frames // 16))), 16, axis=1)[:, :frames]
        vocal, grid = singing @ factors, timeline_conditions(Timeline.constant(bpm), 0, frames)[:TIMELINE_CHANNELS]
        stems = mixing @ np.concatenate([3.0 * factors, 0.5 * grid])
        pitch = np.zeros((14, frames))
        pitch[index % 12] = pitch[12] = 1.0
        np.savez(
            directory / f"song{index:03d}.npz",
            latents=(0.5 + 2.0 * np.concatenate([vocal[None], stems])).astype(np.float16),
            pitch=pitch.astype(np.float16),
            curves_vocal=rng.random((2, frames)).astype(np.float16),
            curves_mix=rng.random((2, frames)).astype(np.float16),
            song=np.array(song_text(index, frames, bpm, "validation" if index >= 0.75 * count else "train")),
        )
    mean, std = np.full(LATENT_CHANNELS, 0.5, np.float32), np.full(LATENT_CHANNELS, 2.0, np.float32)
    np.savez(directory / "statistics.npz", mean=mean, std=std)
