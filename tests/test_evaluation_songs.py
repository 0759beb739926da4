"""The evaluation of whole songs, with bands and codecs whose quality is known: each row can be met and missed."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bridge.errors import UserError
from bridge.evaluation.accompaniment import pairs, song_figures
from bridge.evaluation.codec import StemFigures, codec_figures
from bridge.evaluation.codec_section import codec_table
from bridge.evaluation.measures import Measured, SongFigures, measure
from bridge.evaluation.pictures import write_spectrograms
from bridge.evaluation.real import loudness_lufs
from bridge.evaluation.songs import Excerpt, find_songs, read_excerpt, read_facts
from bridge.evaluation.summary import accompaniment_table, breakdown_table, voice_kind
from bridge.evaluation.takes import Band
from engine.geometry import SAMPLE_RATE_HZ, STEMS
from engine.spectra import Array
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


def itself(audio: Array) -> Array:
    return audio


def compared(band: Band, excerpts: tuple[Excerpt, Excerpt]) -> SongFigures:
    return song_figures(*excerpts, band, itself, 7)


def rows(figures: SongFigures) -> dict[str, tuple[str, ...]]:
    """Return the table's rows by their first words, over a few like songs so that a rank test can be sure."""
    return {row[0]: row for row in accompaniment_table([figures] * 12).rows}


@pytest.fixture(scope="module")
def followed(excerpts: tuple[Excerpt, Excerpt]) -> SongFigures:
    return compared(follower(), excerpts)


def test_a_band_that_follows_meets_every_row(followed: SongFigures) -> None:
    found = rows(followed)
    assert {row[-1] for row in found.values()} == {"met", ""}
    assert sum(row[-1] == "met" for row in found.values()) == 9
    assert followed.generated.agreement_real > 0.9 > 0.5 > followed.mismatched.agreement_real
    assert followed.given.chords > 0.9
    assert np.median(followed.generated.drum_ms) < 3.0


def test_every_reference_stands_beside_what_was_generated(followed: SongFigures) -> None:
    real, codec, another = followed.real, followed.codec, followed.another
    assert real.agreement_real == 1.0
    assert (codec.chords, codec.key, codec.tempo) == (real.chords, real.key, real.tempo)
    assert np.array_equal(codec.drum_ms, real.drum_ms)
    assert real.chords > 0.9 > 0.5 > another.chords
    assert real.key == 1.0 > another.key
    assert np.median(real.drum_ms) < 3.0 < 15.0 < np.median(another.drum_ms)
    assert not another.tempo_or_octave


def test_a_band_that_does_not_listen_is_short_in_all(excerpts: tuple[Excerpt, Excerpt]) -> None:
    figures = compared(deaf, excerpts)
    assert figures.difference_db == float("-inf")
    assert figures.generated.agreement_vocal == figures.mismatched.agreement_vocal
    assert {row[-1] for row in rows(figures).values()} == {"**short**", ""}


def test_a_late_drummer_is_short(excerpts: tuple[Excerpt, Excerpt]) -> None:
    figures = compared(follower(late_seconds=0.03), excerpts)
    assert 25.0 < np.median(figures.generated.drum_ms) < 35.0
    found = rows(figures)
    assert found["drum onsets to the nearest grid position, median"][-1] == "**short**"
    assert found["the same, 95th percentile"][-1] == "**short**"


def test_a_silent_band_has_neither_tempo_nor_figures(excerpts: tuple[Excerpt, Excerpt]) -> None:
    song = Measured.of(excerpts[0])
    found = measure({stem: np.zeros((2, SAMPLES), np.float32) for stem in STEMS}, song)
    assert (found.tempo, found.tempo_or_octave, found.strokes_a_beat) == (0.0, 0.0, 0.0)
    assert found.chords < 0.1  # no chord is right only where the song has none, after its last
    assert np.isnan([found.other_on_chord, found.bass_on_chord, found.agreement_real]).all()


def test_a_song_may_leave_style_key_and_chords_open(songs: Path, tmp_path: Path) -> None:
    facts = json.loads((songs / "first" / "song.json").read_text()) | {"style": None, "key": None, "chords": []}
    (tmp_path / "song.json").write_text(json.dumps(facts))
    found = read_facts(tmp_path)
    assert (found.style, found.key, found.chords) == (None, None, ())
    (tmp_path / "song.json").write_text(json.dumps(facts | {"style": "polka"}))
    with pytest.raises(UserError, match="style 'polka' is not known"):
        read_facts(tmp_path)


def test_what_a_song_does_not_tell_is_neither_met_nor_short(excerpts: tuple[Excerpt, Excerpt]) -> None:
    first, second = (replace(one, facts=replace(one.facts, style=None, key=None, chords=())) for one in excerpts)
    found = rows(compared(follower(), (first, second)))
    for name in ("key", "harmony energy on the chord", "the same, the song's chords given"):
        assert (found[name][1], found[name][-1]) == ("–", "")
    assert found["tempo heard in the mix, octaves allowed"][-1] == "met"


def test_the_figures_are_broken_down_by_style_tempo_and_voice(followed: SongFigures) -> None:
    slow = replace(followed, song=replace(followed.song, bpm=72.0))
    other_facts = replace(followed.song.facts, style="rock", voice="yuki")
    fast = replace(followed, song=replace(followed.song, bpm=150.0, facts=other_facts))
    counts = {row[0]: row[1] for row in breakdown_table([followed, slow, fast]).rows}
    tempos = {"under 90 bpm": "1", "90 to 120 bpm": "1", "over 120 bpm": "1"}
    assert counts == {"all": "3", "pop": "2", "rock": "1", **tempos, "recorded voice": "1", "formant voice": "2"}


@pytest.mark.parametrize(("voice", "kind"), [("formant", "formant"), ("espeak", "espeak"), ("erithacus", "recorded")])
def test_voices_are_of_three_kinds(voice: str, kind: str) -> None:
    assert voice_kind(voice) == kind


def test_each_song_is_paired_with_the_next(songs: Path) -> None:
    found = find_songs(songs, "test", 50)
    names = [(one.facts.id, partner.facts.id) for one, partner in pairs(found, 5.0)]
    assert names == [("first", "second"), ("second", "first")]


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
    found = {row[0]: row for row in codec_table(poor, perfect).rows}
    assert found["bass"][-1] == "**short**"
    assert "(100 %)" in found["bass"][2]
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
