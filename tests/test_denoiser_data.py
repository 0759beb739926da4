from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.conditions import FOLLOWED_GROUPS, LAYOUT, VOCAL_CURVES_FLAG, WANTED_FLAG, timeline_conditions
from engine.geometry import LATENT_CHANNELS, STEMS
from engine.timeline import Timeline
from tests.synthetic_latents import write_songs
from training.denoiser.config import DataConfig
from training.denoiser.data import Batch, BatchStream, batch_generator, make_batch
from training.denoiser.songs import LatentsError, LatentSong, load_song, load_songs, load_statistics, split_songs
from training.denoiser.tasks import (
    CONTINUE,
    DROP_SHARES,
    FILL,
    FULLY_VISIBLE_SHARE,
    GENERATE,
    REROLL,
    TASK_SHARES,
    UNCONDITIONAL_SHARE,
    draw_hiding,
    hide,
)

FRAMES = 64
DATA = DataConfig(window_frames=(FRAMES, 2 * FRAMES), window_shares=(0.5, 0.5), windows_per_batch=6)


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> tuple[LatentSong, ...]:
    directory = tmp_path_factory.mktemp("latents")
    write_songs(directory, 8, 150)
    return load_songs(directory, load_statistics(directory))


def test_a_song_is_packed_with_everything_known(tmp_path: Path) -> None:
    write_songs(tmp_path, 1, 150)
    path = tmp_path / "song000.npz"
    song = load_song(path, load_statistics(tmp_path))
    with np.load(path) as arrays:
        raw, curves, text = arrays["latents"].astype(np.float32), arrays["curves_mix"], str(arrays["song"])
    bpm = float(text.split('"tempo_map": [[0.0, ')[1].split("]")[0])
    assert song.packed[LAYOUT.vocal_latents.content] == pytest.approx((raw[0] - 0.5) / 2.0, abs=5e-3)
    assert song.packed[LAYOUT.known.content] == pytest.approx((raw[1:].reshape(-1, 150) - 0.5) / 2.0, abs=1e-2)
    timeline = timeline_conditions(Timeline.constant(bpm), 0, 150)
    assert song.packed[LAYOUT.timeline.whole] == pytest.approx(timeline, abs=2e-3)
    assert np.array_equal(song.packed[LAYOUT.attention.content], curves)
    assert (song.packed[LAYOUT.known.flag] == 1.0).all()
    assert song.packed[LAYOUT.key.content].sum(axis=0) == pytest.approx(1.0)


def test_splits_are_by_song(songs: tuple[LatentSong, ...]) -> None:
    training, held_out = split_songs(songs)
    assert [len(training), len(held_out)] == [6, 2]
    assert all(song.split == "validation" for song in held_out)
    training, held_out = split_songs([replace(song, split="train") for song in songs])
    assert [len(training), len(held_out)] == [7, 1]


def test_damaged_latents_are_named(tmp_path: Path) -> None:
    with pytest.raises(LatentsError, match=r"statistics\.npz"):
        load_statistics(tmp_path)
    write_songs(tmp_path, 1, 150)
    statistics = load_statistics(tmp_path)
    (tmp_path / "bad.npz").write_bytes(b"nothing")
    with pytest.raises(LatentsError, match=r"bad\.npz is not a latent song"):
        load_songs(tmp_path, statistics)
    with pytest.raises(LatentsError, match="no songs"):
        load_songs(tmp_path / "empty", statistics)


def test_songs_that_are_too_short_are_refused(songs: tuple[LatentSong, ...]) -> None:
    data = DataConfig(window_frames=(256,), window_shares=(1.0,))
    with pytest.raises(LatentsError, match="no song is 256 frames long"):
        make_batch(songs, data, batch_generator(0, 0, 0))


def test_a_batch_depends_on_seed_rank_and_step_alone(songs: tuple[LatentSong, ...]) -> None:
    def made(seed: int, rank: int, step: int) -> Batch:
        return make_batch(songs, DATA, batch_generator(seed, rank, step))

    first = made(3, 0, 5)
    for name in Batch.__slots__:
        assert np.array_equal(getattr(first, name), getattr(made(3, 0, 5), name))
    for other in ((4, 0, 5), (3, 1, 5), (3, 0, 6)):
        assert not np.array_equal(first.noise[..., :FRAMES], made(*other).noise[..., :FRAMES][: len(first.noise)])


def test_the_stream_starts_where_it_is_told(songs: tuple[LatentSong, ...]) -> None:
    with BatchStream(songs, DATA, seed=3, rank=0, start_step=5) as stream:
        batches = iter(stream)
        got = [next(batches) for _ in range(3)]
    for step, batch in enumerate(got, start=5):
        assert np.array_equal(batch.conditions, make_batch(songs, DATA, batch_generator(3, 0, step)).conditions)


def test_an_error_in_the_thread_reaches_the_loop(songs: tuple[LatentSong, ...]) -> None:
    data = DataConfig(window_frames=(256,), window_shares=(1.0,))
    with BatchStream(songs, data, seed=3) as stream, pytest.raises(LatentsError):
        next(iter(stream))


def test_known_frames_are_given_clean_and_never_counted(songs: tuple[LatentSong, ...]) -> None:
    for step in range(20):
        batch = make_batch(songs, DATA, batch_generator(0, 0, step))
        mask = batch.conditions[:, LAYOUT.known.flag]
        assert np.array_equal(mask, 1.0 - batch.generated)
        known = np.repeat(mask, LATENT_CHANNELS, axis=1) > 0.0
        content = batch.conditions[:, LAYOUT.known.content]
        assert np.array_equal(content[known], batch.clean[known])
        assert not content[~known].any()
        assert batch.generated.sum(axis=(1, 2)).min() > 0
        assert batch.clean.shape[0] * batch.clean.shape[2] == 6 * FRAMES


def test_tasks_hide_what_they_say() -> None:
    hiding = draw_hiding(np.random.default_rng(0), 4000, FRAMES)
    shares = np.bincount(hiding.task, minlength=4) / 4000
    assert shares == pytest.approx(TASK_SHARES, abs=0.03)
    known = hiding.known
    whole = known.all(axis=2).sum(axis=1)
    assert not known[hiding.task == GENERATE].any()
    prefix = known[hiding.task == CONTINUE]
    assert (prefix == prefix[:, :1]).all()
    assert (np.diff(prefix.astype(int), axis=2) <= 0).all()
    assert prefix[:, :, 0].all()
    filled = known[hiding.task == FILL]
    assert (np.abs(np.diff(filled[:, 0].astype(int), axis=1)).sum(axis=1) <= 2).all()
    assert set(whole[hiding.task == REROLL]) == {1, 2}
    assert (whole[hiding.task != REROLL] == 0).all()
    assert ((~known).any(axis=1).sum(axis=1) >= FRAMES // 8).all()


def test_dropped_conditions_are_the_samplers_unconditional() -> None:
    hiding = draw_hiding(np.random.default_rng(0), 4000, FRAMES)
    followed = np.stack([hiding.dropped[name] for name in FOLLOWED_GROUPS] + [hiding.style_dropped])
    assert followed.all(axis=0).mean() == pytest.approx(UNCONDITIONAL_SHARE, abs=0.02)
    for name in FOLLOWED_GROUPS:
        expected = UNCONDITIONAL_SHARE + (1.0 - UNCONDITIONAL_SHARE) * DROP_SHARES[name]
        assert hiding.dropped[name].mean() == pytest.approx(expected, abs=0.03)
    assert hiding.dropped["timeline"].mean() < 0.06
    assert (hiding.visible_end == FRAMES).mean() == pytest.approx(FULLY_VISIBLE_SHARE, abs=0.04)
    early = (hiding.visible_end < FRAMES) & (hiding.task == CONTINUE)
    assert early.mean() > 0.05


def test_hiding_zeroes_content_and_flag_and_swaps_curves(songs: tuple[LatentSong, ...]) -> None:
    count = 400
    conditions = np.repeat(songs[0].packed[None, :, :FRAMES].astype(np.float32), count, axis=0)
    curves = np.full((count, 2, FRAMES), 0.25, dtype=np.float32)
    hiding = draw_hiding(np.random.default_rng(1), count, FRAMES)
    hide(conditions, curves, hiding)
    vocal = conditions[:, LAYOUT.vocal_latents.flag][:, 0]
    visible = np.arange(FRAMES) < hiding.visible_end[:, None]
    assert np.array_equal(vocal > 0.0, visible & ~hiding.dropped["vocal_latents"][:, None])
    assert not conditions[:, LAYOUT.vocal_latents.content].transpose(0, 2, 1)[vocal == 0.0].any()
    flags = conditions[:, LAYOUT.attention.flag][:, 0, 0]
    wanted = {value: (flags == value).mean() for value in (0.0, VOCAL_CURVES_FLAG, WANTED_FLAG)}
    assert wanted[0.0] == pytest.approx(0.325, abs=0.07)
    assert wanted[VOCAL_CURVES_FLAG] == pytest.approx(0.225, abs=0.07)
    assert (conditions[flags == VOCAL_CURVES_FLAG][:, LAYOUT.attention.content] == 0.25).all()
    chord = conditions[hiding.dropped["chord"]][:, LAYOUT.chord.whole]
    assert len(chord)
    assert not chord.any()
    assert conditions.shape[1] == LAYOUT.channels
    assert len(STEMS) == hiding.known.shape[1]
