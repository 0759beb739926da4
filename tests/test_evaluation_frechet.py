"""Fréchet distances: against closed forms and scipy, on sounds of known likeness, and the doors to others' models."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy.linalg import sqrtm

from bridge.audio_files import read_stereo
from bridge.errors import UserError
from bridge.evaluation import outside_models
from bridge.evaluation.frechet import (
    LATENTS,
    LOG_MEL,
    PARTS,
    Distances,
    Sets,
    Song,
    pooled,
    pooled_table,
    rating_table,
    sets_of,
    song_by_song,
    song_table,
)
from engine.geometry import SAMPLE_RATE_HZ
from engine.sound_sets import Moments, frechet_distance, log_mel_statistics, summed
from engine.spectra import Array


def gaussian(count: int, dimensions: int, seed: int, shift: float = 0.0) -> Moments:
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((dimensions, dimensions))
    return Moments.of(rng.standard_normal((count, dimensions)) @ mixing + shift)


# The distance


def test_the_distance_of_two_gaussians_on_the_same_axes_has_a_closed_form() -> None:
    first = Moments.of(np.array([[-1.0, -2.0], [1.0, 2.0], [-1.0, 2.0], [1.0, -2.0]]))  # deviations 1 and 2
    second = Moments.of(np.array([[0.0, 0.0], [6.0, 2.0], [0.0, 2.0], [6.0, 0.0]]))  # deviations 3 and 1, mean (3, 1)
    assert frechet_distance(first, second) == pytest.approx((3**2 + 1**2) + (3 - 1) ** 2 + (1 - 2) ** 2)


def test_the_distance_is_that_of_the_formula_with_a_root_of_the_product() -> None:
    first, second = gaussian(500, 12, 1), gaussian(400, 12, 2, shift=0.3)
    root = np.real(sqrtm(first.covariance @ second.covariance))
    wanted = np.sum((first.mean - second.mean) ** 2) + np.trace(first.covariance + second.covariance - 2 * root)
    assert frechet_distance(first, second) == pytest.approx(wanted)
    assert frechet_distance(second, first) == pytest.approx(wanted)


@pytest.mark.parametrize("count", [1, 5, 40])
def test_a_set_is_at_no_distance_from_itself_however_few_its_vectors(count: int) -> None:
    few = gaussian(count, 20, 3)
    assert frechet_distance(few, few) == pytest.approx(0.0, abs=1e-6)


def test_moments_of_parts_add_up_to_those_of_the_whole() -> None:
    vectors = np.random.default_rng(4).standard_normal((30, 5)) + 2.0
    joined = summed([Moments.of(vectors[:7]), Moments.of(vectors[7:20]), Moments.of(vectors[20:])])
    np.testing.assert_allclose(joined.mean, vectors.mean(axis=0))
    np.testing.assert_allclose(joined.covariance, np.cov(vectors.T, bias=True))


# The vectors


def test_statistics_tell_level_and_movement_of_a_band() -> None:
    time = np.arange(4 * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    steady = np.tile(0.1 * np.sin(2 * np.pi * 1_000 * time), (2, 1)).astype(np.float32)
    pulsed = (steady * (np.sin(2 * np.pi * 4 * time) > 0)).astype(np.float32)
    first, second, louder = (log_mel_statistics(sound) for sound in (steady, pulsed, 2 * steady))
    assert first.shape == (7, 48)  # pieces of 1 s, half overlapping, in 4 s
    band = int(first[2, :24].argmax())
    assert louder[2, band] - first[2, band] == pytest.approx(np.log(2.0), abs=1e-3)
    assert first[2, 24 + band] < 0.1 < 1.0 < second[2, 24 + band]


def test_a_sound_shorter_than_a_piece_is_one_piece() -> None:
    assert log_mel_statistics(np.zeros((2, 3_000), np.float32)).shape == (1, 48)


# Songs


def noise_of(seed: int, tilt: float, seconds: float = 4.0) -> Array:
    """Return noise whose spectrum falls by `tilt`: each tilt is another instrument, each seed another performance."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft(rng.standard_normal(int(seconds * SAMPLE_RATE_HZ)))
    spectrum *= np.maximum(np.arange(len(spectrum)), 1.0) ** -tilt
    sound = np.fft.irfft(spectrum)
    bursts = 0.5 + 0.5 * np.sign(np.sin(2 * np.pi * 2.0 * np.arange(len(sound)) / SAMPLE_RATE_HZ))
    return np.tile(0.5 * bursts * sound / np.abs(sound).max(), (2, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def songs() -> list[Song]:
    """Return four songs in two styles, each played again and rebuilt on its own instrument."""
    made = []
    for number in range(4):
        sounds = [noise_of(10 * version + number, 0.25 * number) for version in range(3)]
        sets = Sets(*(Moments.of(log_mel_statistics(sound)) for sound in sounds))
        made.append(Song(("rock", "pop")[number // 2], {(LOG_MEL, part): sets for part in PARTS}))
    return made


def swapped(songs: list[Song]) -> list[Song]:
    """Return the songs, each with what was generated for the one after the next."""
    swapped = []
    for place, song in enumerate(songs):
        generated = {key: sets.generated for key, sets in songs[(place + 2) % 4].sets.items()}
        sets = {key: replace(own, generated=generated[key]) for key, own in song.sets.items()}
        swapped.append(Song(song.style, sets))
    return swapped


def test_what_sounds_like_its_own_song_is_near_and_what_sounds_like_another_is_not(songs: list[Song]) -> None:
    near, far = (song_by_song(each, LOG_MEL, "bass") for each in (songs, swapped(songs)))
    assert near.songs == 4
    assert near.reconstruction < near.same_style < near.another
    assert near.way < 0.2
    assert far.way > 0.7
    verdicts = {row[0]: row[-1] for row in song_table(songs).rows}
    assert verdicts[f"bass, {LOG_MEL}"] == "met"
    assert verdicts[f"bass, {LATENTS}"] == ""  # was not measured here
    assert song_table(swapped(songs)).rows[0][-1] == "**short**"


def test_pooled_over_songs_it_does_not_matter_which_song_is_whose(songs: list[Song]) -> None:
    own, others = (pooled(each, LOG_MEL, "mix") for each in (songs, swapped(songs)))
    assert others.generated == pytest.approx(own.generated, rel=1e-3)
    one_sound = songs[3].sets[LOG_MEL, "mix"].generated
    same = [
        Song(song.style, {(LOG_MEL, "mix"): replace(song.sets[LOG_MEL, "mix"], generated=one_sound)}) for song in songs
    ]
    assert pooled(same, LOG_MEL, "mix").generated > 10 * own.generated
    assert len(pooled_table(songs, (LOG_MEL,)).rows) == len(PARTS)


def test_a_stem_that_rests_in_the_real_song_is_left_out() -> None:
    silence = np.zeros((2, SAMPLE_RATE_HZ), np.float32)
    sound = noise_of(0, 0.5, 1.0)
    real = {"drums": silence, "bass": sound, "other": sound, "mix": sound}
    versions = (real, dict.fromkeys(PARTS, sound), real)
    sets = sets_of(versions, {LOG_MEL: log_mel_statistics})
    assert {part for _, part in sets} == {"bass", "other", "mix"}


def test_a_stem_that_is_silent_where_the_real_one_plays_is_far_from_it() -> None:
    silence = np.zeros((2, 4 * SAMPLE_RATE_HZ), np.float32)
    songs = []
    for style, tilt in (("rock", 0.5), ("rock", 0.7)):
        real = dict.fromkeys(PARTS, noise_of(1, tilt))
        songs.append(Song(style, sets_of((real, dict.fromkeys(PARTS, silence), real), {LOG_MEL: log_mel_statistics})))
    found = song_by_song(songs, LOG_MEL, "other")
    assert found.generated > 5 * found.another
    assert found.way > 1.0


def test_no_way_is_told_where_the_reconstruction_is_no_nearer_than_another_song() -> None:
    assert np.isnan(Distances(2, 5.0, 6.0, 4.0, 3.0).way)
    assert np.isnan(Distances(2, 1.0, 3.0, 3.0, 3.0).way)
    assert np.isnan(song_by_song([], LOG_MEL, "bass").way)
    one = [Song("pop", {(LOG_MEL, "bass"): Sets(*(gaussian(20, 3, seed) for seed in range(3)))})]
    assert np.isnan(song_by_song(one, LOG_MEL, "bass").another)
    assert np.isnan(pooled(one, LOG_MEL, "bass").generated)


# Others' models


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "music_weights.pt"
    path.write_bytes(b"weights")
    return path


class FakeClap:
    """Embeds each window as its level and length, and prints as the real one does."""

    made: list[str] = []  # noqa: RUF012 - the test's note of what was asked for

    def __init__(self, enable_fusion: bool, amodel: str) -> None:
        self.made.append(amodel)

    def load_ckpt(self, path: str) -> None:
        print("weight 1 loaded")
        assert Path(path).read_bytes() == b"weights"

    def get_audio_embedding_from_data(self, x: Array, use_tensor: bool) -> Array:
        return np.stack([np.abs(x).max(axis=1), np.full(len(x), x.shape[1])], axis=1).astype(np.float32)


def fake_module(monkeypatch: pytest.MonkeyPatch, name: str, **content: Any) -> None:
    module = ModuleType(name)
    for key, value in content.items():
        setattr(module, key, value)
    monkeypatch.setitem(sys.modules, name, module)


def test_clap_embeds_windows_of_ten_seconds_at_its_own_rate(
    weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_module(monkeypatch, "laion_clap", CLAP_Module=FakeClap)
    embed = outside_models.clap(weights)
    assert FakeClap.made[-1] == "HTSAT-base"
    assert embed(noise_of(0, 0.5, 23.0)).tolist() == [[pytest.approx(0.5, abs=0.05), 480_000]] * 2
    assert embed(noise_of(0, 0.5, 3.0)).shape == (1, 2)
    assert capsys.readouterr().out == ""


def test_aesthetics_rates_the_sound_that_it_is_given(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = noise_of(0, 0.5, 1.0)
    heard = []

    class Predictor:
        def forward(self, batch: list[dict[str, str]]) -> list[Mapping[str, float]]:
            heard.append(read_stereo(Path(batch[0]["path"]), SAMPLE_RATE_HZ))
            return [{"CE": 1.0, "CU": 2.0, "PC": 3.0, "PQ": 4.0}]

    def initialize(ckpt: str) -> Predictor:
        assert ckpt == str(weights)
        return Predictor()

    fake_module(monkeypatch, "audiobox_aesthetics")
    fake_module(monkeypatch, "audiobox_aesthetics.infer", initialize_predictor=initialize)
    rating = outside_models.aesthetics(weights)(sound)
    assert rating == {"CE": 1.0, "CU": 2.0, "PC": 3.0, "PQ": 4.0}
    np.testing.assert_allclose(heard[0], sound, atol=1e-6)
    assert rating_table([[rating] * 3]).rows[3] == ("production quality", "4.00", "4.00", "4.00")


@pytest.mark.parametrize("door", [outside_models.clap, outside_models.aesthetics])
def test_without_weights_or_package_the_remedy_is_named(
    door: Callable[[Path], object], weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"no such file; fetch the weights of .* from https://"):
        door(weights.with_name("nowhere.pt"))
    for name in ("laion_clap", "audiobox_aesthetics", "audiobox_aesthetics.infer"):
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    with pytest.raises(UserError, match="install it with: pip install"):
        door(weights)


def test_weights_that_do_not_fit_are_named(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Strict(FakeClap):
        def load_ckpt(self, path: str) -> None:
            raise RuntimeError("size mismatch\nfor layer 1")

    fake_module(monkeypatch, "laion_clap", CLAP_Module=Strict)
    with pytest.raises(UserError, match=r"music_weights.pt: cannot be opened \(size mismatch\)"):
        outside_models.clap(weights)
