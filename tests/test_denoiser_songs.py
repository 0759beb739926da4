import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.conditions import LAYOUT
from engine.styles import STYLES
from tests.synthetic_latents import write_songs
from training.denoiser.config import DataConfig
from training.denoiser.data import batch_generator, make_batch
from training.denoiser.songs import LatentsError, LatentSong, load_song, load_statistics, split_songs


def song_with(tmp_path: Path, **changes: object) -> LatentSong:
    """Return a synthetic song whose song.json has `changes`; None takes a key out."""
    write_songs(tmp_path, 1, 120)
    path = tmp_path / "song000.npz"
    with np.load(path) as arrays:
        held = {name: arrays[name] for name in arrays.files}
    facts = json.loads(str(held["song"])) | changes
    held["song"] = np.array(json.dumps({name: value for name, value in facts.items() if value != "absent"}))
    np.savez(path, **held)
    return load_song(path, load_statistics(tmp_path))


@pytest.mark.parametrize("key", [None, "", "D dorian", "absent"])
def test_a_key_that_is_unknown_is_flagged_absent(tmp_path: Path, key: str | None) -> None:
    song = song_with(tmp_path, key=key)
    assert not song.packed[LAYOUT.key.whole].any()
    assert (song.packed[LAYOUT.chord.flag][:, :100] == 1.0).all()


@pytest.mark.parametrize("chords", [None, [], "absent"])
def test_chords_that_are_unknown_are_flagged_absent(tmp_path: Path, chords: object) -> None:
    song = song_with(tmp_path, chords=chords)
    assert not song.packed[LAYOUT.chord.whole].any()
    assert (song.packed[LAYOUT.key.flag] == 1.0).all()


@pytest.mark.parametrize("style", [None, "absent"])
def test_a_style_that_is_unknown_is_no_style(tmp_path: Path, style: str | None) -> None:
    song = song_with(tmp_path, style=style)
    assert song.style.shape == (len(STYLES),)
    assert not song.style.any()
    data = DataConfig(window_frames=(64,), window_shares=(1.0,), windows_per_batch=16)
    assert not make_batch([song], data, batch_generator(0, 0, 0)).style.any()


def test_a_known_style_is_one_and_reaches_the_batch(tmp_path: Path) -> None:
    song = song_with(tmp_path, style="funk")
    assert np.flatnonzero(song.style).tolist() == [STYLES.index("funk")]
    data = DataConfig(window_frames=(64,), window_shares=(1.0,), windows_per_batch=16)
    style = make_batch([song], data, batch_generator(0, 0, 0)).style
    assert set(style.argmax(axis=1)[style.any(axis=1)]) == {STYLES.index("funk")}
    assert 1 <= style.any(axis=1).sum() <= 16


def test_a_style_nobody_knows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LatentsError, match="polka"):
        song_with(tmp_path, style="polka")


def test_one_song_alone_is_trained_on(tmp_path: Path) -> None:
    song = replace(song_with(tmp_path), split="train")
    assert [len(part) for part in split_songs([song])] == [1, 0]
    assert [len(part) for part in split_songs([song, song])] == [1, 1]
