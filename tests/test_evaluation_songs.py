"""The evaluation of whole songs, with players and codecs whose quality is known: each row can be met and missed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bridge.errors import UserError
from bridge.evaluation.accompaniment import SongFigures, song_figures
from bridge.evaluation.codec import StemFigures, codec_figures
from bridge.evaluation.pictures import write_spectrograms
from bridge.evaluation.real import loudness_lufs
from bridge.evaluation.songs import Excerpt, find_songs, read_excerpt
from bridge.evaluation.summary import accompaniment_table, codec_table
from engine.geometry import SAMPLE_RATE_HZ, STEMS
from engine.timeline import Timeline
from tests.evaluation_support import SAMPLES, SECONDS, SONGS, chords_of, deaf, follower, write_song


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("songs")
    write_song(folder, "first")
    write_song(folder, "second")
    return folder


@pytest.fixture(scope="module")
def excerpts(songs: Path) -> tuple[Excerpt, Excerpt]:
    first, second = (read_excerpt(facts, SECONDS) for facts in find_songs(songs, "test", 50))
    return first, second


def verdicts(figures: SongFigures) -> dict[str, str]:
    """Return the verdicts of the table, over a few like songs so that a rank test can be sure."""
    table = accompaniment_table([replace(figures, id=str(index)) for index in range(12)])
    return {row[0].split(":")[0] + row[0][-8:]: row[4] for row in table.rows}


def test_a_player_that_follows_meets_every_row(excerpts: tuple[Excerpt, Excerpt]) -> None:
    first, second = excerpts
    figures = song_figures(first, second, follower(), 7)
    assert {verdict for verdict in verdicts(figures).values() if verdict} == {"met"}
    assert figures.agreement_real.own > 0.9 > 0.5 > figures.agreement_real.other
    assert figures.key_score.own == 1.0
    assert figures.tempo_right.own == 1.0
    assert np.median(figures.generated_ms) < 3.0 < 15.0 < np.median(figures.shuffled_ms)


def test_a_player_that_does_not_listen_is_short_in_all(excerpts: tuple[Excerpt, Excerpt]) -> None:
    first, second = excerpts
    figures = song_figures(first, second, deaf, 7)
    assert figures.difference_db == float("-inf")
    assert figures.agreement_vocal.own == figures.agreement_vocal.other
    found = verdicts(figures)
    assert all(verdict == "**short**" for name, verdict in found.items() if "agree" in name or "same seed" in name)


def test_a_late_drummer_is_short(excerpts: tuple[Excerpt, Excerpt]) -> None:
    first, second = excerpts
    figures = song_figures(first, second, follower(late_seconds=0.03), 7)
    assert 25.0 < np.median(figures.generated_ms) < 35.0
    assert accompaniment_table([figures]).rows[0][4] == "**short**"


def test_a_codec_is_measured_by_stem(excerpts: tuple[Excerpt, Excerpt]) -> None:
    told: list[int] = []
    short = [replace(one, audio={name: audio[:, :88_200] for name, audio in one.audio.items()}) for one in excerpts]
    perfect = codec_figures(lambda audio: audio, short, lambda: told.append(1))
    assert len(told) == 2
    assert perfect["bass"].songs == 2
    assert perfect["bass"].pitch.share == 1.0
    assert perfect["other"].mean_log_mel_db == 0.0
    noise = np.random.default_rng(0).standard_normal((2, SAMPLES)).astype(np.float32) * 0.1
    poor = codec_figures(lambda audio: noise[:, : audio.shape[1]], short, lambda: None)
    rows = {row[0]: row for row in codec_table(poor, perfect).rows}
    assert rows["bass"][-1] == "**short**"
    assert "(100 %)" in rows["bass"][2]
    assert {row[-1] for row in codec_table(perfect).rows} == {"met", ""}


def test_a_silent_stem_gives_no_figure() -> None:
    silence = np.zeros((2, 44_100), np.float32)
    found = codec_figures(lambda audio: audio, [], lambda: None)
    assert found["bass"] == StemFigures()
    assert np.isnan(found["bass"].pitch.share)
    assert loudness_lufs(silence) == float("-inf")


def test_an_excerpt_starts_on_the_bar_before_the_voice(tmp_path: Path) -> None:
    write_song(tmp_path, "first")
    path = tmp_path / "first" / "vocals.flac"
    vocals, _ = soundfile.read(path)
    timeline = Timeline.constant(SONGS["first"][0])
    vocals[: timeline.sample_at_bar(3) + 5_000] = 0.0
    soundfile.write(path, vocals, SAMPLE_RATE_HZ)
    excerpt = read_excerpt(find_songs(tmp_path, "test", 1)[0], 5.0)
    start = timeline.sample_at_bar(2)
    assert excerpt.start_seconds == start / SAMPLE_RATE_HZ
    assert excerpt.timeline.sample_at_bar(2) == 0
    assert excerpt.samples == 5 * SAMPLE_RATE_HZ
    assert set(excerpt.audio) == {"vocals", *STEMS}


def test_songs_are_found_by_split(tmp_path: Path) -> None:
    write_song(tmp_path, "first")
    write_song(tmp_path, "second", split="train")
    assert [song.id for song in find_songs(tmp_path, "train", 50)] == ["second"]
    with pytest.raises(UserError, match="no song of split 'validation'"):
        find_songs(tmp_path, "validation", 50)
    with pytest.raises(UserError, match="no such folder"):
        find_songs(tmp_path / "nowhere", "test", 50)


def test_a_bad_song_is_named(tmp_path: Path) -> None:
    write_song(tmp_path, "first")
    path = tmp_path / "first" / "song.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"tempo_map"', '"tempo"'), encoding="utf-8")
    with pytest.raises(UserError, match=r"song\.json: is not as .* says \('tempo_map'\)"):
        find_songs(tmp_path, "test", 1)


def test_a_missing_stem_is_named(tmp_path: Path) -> None:
    write_song(tmp_path, "first")
    (tmp_path / "first" / "bass.flac").unlink()
    with pytest.raises(UserError, match=r"has no bass\.flac or bass\.wav"):
        read_excerpt(find_songs(tmp_path, "test", 1)[0], 5.0)


def test_loudness_of_a_full_scale_sine_is_what_the_standard_says() -> None:
    sine = np.sin(2 * np.pi * 997 * np.arange(3 * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ).astype(np.float32)
    assert loudness_lufs(np.stack([sine, np.zeros_like(sine)])) == pytest.approx(-3.01, abs=0.1)


def test_a_picture_is_written(tmp_path: Path) -> None:
    path = tmp_path / "docs" / "picture.png"
    sound = chords_of(("C",), Timeline.constant(100.0), 3, seconds=1.0)
    write_spectrograms(path, "a chord", {"bass": sound, "other": sound})
    assert path.read_bytes().startswith(b"\x89PNG")
