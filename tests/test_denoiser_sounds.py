"""What the denoiser is told in training of how stems sound."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.geometry import STEMS
from engine.styles import STYLES
from tests.synthetic_latents import write_songs
from training.denoiser.config import DataConfig
from training.denoiser.data import batch_generator, make_batch
from training.denoiser.songs import LatentSong, load_songs, load_statistics
from training.denoiser.sounds import SOUND_CHANNELS, sound_weights, sounds_of, usual_sounds

DATA = DataConfig(window_frames=(64,), window_shares=(1.0,), windows_per_batch=64)


def stems(gain: float) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    return {stem: (gain * rng.standard_normal((2, 132_300))).astype(np.float32) for stem in STEMS}


@pytest.fixture
def song(tmp_path: Path) -> LatentSong:
    write_songs(tmp_path, 2, 96)
    return load_songs(tmp_path, load_statistics(tmp_path))[0]


def test_louder_stems_have_higher_levels_and_the_same_variation() -> None:
    soft, loud = sounds_of(stems(0.03)), sounds_of(stems(0.3))
    np.testing.assert_allclose(loud[:, :24] - soft[:, :24], np.log(10.0), atol=0.03)
    np.testing.assert_allclose(loud[:, 24:], soft[:, 24:], atol=0.03)


def test_weights_end_with_the_known_flag() -> None:
    weights = sound_weights(sounds_of(stems(0.1)))
    assert weights.shape == (SOUND_CHANNELS,)
    assert weights[-1] == 1.0
    assert np.abs(weights[:-1]).max() < 12.0
    assert not sound_weights(None).any()


def test_a_style_has_the_median_of_its_songs_and_one_without_songs_that_of_all() -> None:
    ballad, rock, waltz = np.eye(len(STYLES), dtype=bool)[[0, 2, 9]]
    known = [sound_weights(np.full((3, 48), level, np.float32)) for level in (-6.0, -5.0, -3.0)]
    usual = usual_sounds([ballad, ballad, rock, waltz], [*known, sound_weights(None)])
    np.testing.assert_allclose(usual[0], (known[0] + known[1]) / 2, rtol=1e-5)
    np.testing.assert_allclose(usual[2], known[2], rtol=1e-5)
    for row in (1, 9):
        np.testing.assert_allclose(usual[row], np.median(known, axis=0), rtol=1e-5)
    assert not usual_sounds([ballad], [sound_weights(None)]).any()


def test_songs_without_sounds_are_trained_without(song: LatentSong) -> None:
    style = make_batch([song], DATA, batch_generator(0, 0, 0)).style
    assert style.shape == (64, len(STYLES) + SOUND_CHANNELS)
    assert style[:, : len(STYLES)].any()
    assert not style[:, len(STYLES) :].any()


def test_sounds_are_blurred_and_told_only_where_the_style_is(song: LatentSong) -> None:
    told = replace(song, sounds=sound_weights(np.full((3, 48), -5.0, np.float32)))
    style = make_batch([told], DATA, batch_generator(0, 0, 0)).style
    sounds, flag = style[:, len(STYLES) : -1], style[:, -1]
    assert set(flag) == {0.0, 1.0}
    assert not sounds[flag == 0.0].any()
    assert style[flag == 1.0, : len(STYLES)].any(axis=1).all()
    assert 0.4 < flag.mean() < 0.8
    off = sounds[flag == 1.0] - told.sounds[:-1]
    assert 0.25 < off.std() < 0.35
