import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from engine.geometry import SAMPLE_RATE_HZ
from training.folders.audio import TrackError, read_stems, read_track
from training.folders.layouts import LayoutError, find_songs

STEM_FILES = ("vocals", "drums", "bass", "other")


def write(
    path: Path, level: float = 0.1, seconds: float = 0.2, rate_hz: int = SAMPLE_RATE_HZ, channels: int = 2
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full((round(seconds * rate_hz), channels), level), rate_hz, format=path.suffix[1:].upper())
    return path


def test_musdb_gives_its_splits_and_leaves_the_mixture_out(tmp_path: Path) -> None:
    for name in ("train/Someone - A Song", "train/Leaf - Summerghost", "test/Other One - Song (Live)"):
        for stem in (*STEM_FILES, "mixture"):
            write(tmp_path / name / f"{stem}.wav")
    songs = {song.name: song for song in find_songs(tmp_path)}
    assert {name: song.facts["split"] for name, song in songs.items()} == {
        "train - Someone - A Song": "train",
        "train - Leaf - Summerghost": "validation",
        "test - Other One - Song (Live)": "test",
    }
    tracks = songs["train - Someone - A Song"].tracks
    assert {path.stem for paths in tracks.values() for path in paths} == set(STEM_FILES)


def test_packed_musdb_stems_are_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "A - B.stem.mp4").write_bytes(b"")
    with pytest.raises(LayoutError, match=r"MUSDB18-HQ.*musdbconvert"):
        find_songs(tmp_path)


def test_moises_tracks_are_summed_by_stem_and_the_rest_is_other(tmp_path: Path) -> None:
    song = tmp_path / "moisesdb" / "moisesdb_v0.1" / "0a1b2c"
    for track in ("vocals/lead", "vocals/backing", "drums/kick", "bass/x", "guitar/a", "piano/b", "wind/c"):
        write(song / f"{track}.wav", level=0.125)
    (song / "data.json").write_text(json.dumps({"song": "T", "artist": "A", "genre": "rock", "stems": []}))
    (found,) = find_songs(tmp_path)
    assert {part: len(paths) for part, paths in found.tracks.items()} == {
        "vocals": 2,
        "drums": 1,
        "bass": 1,
        "other": 3,
    }
    assert found.facts == {"style": "rock"}
    stems = read_stems(found)
    assert stems["other"] == pytest.approx(0.375, abs=1e-3)
    assert stems["vocals"] == pytest.approx(0.25, abs=1e-3)


def test_a_song_needs_its_vocals_and_one_stem_more(tmp_path: Path) -> None:
    write(tmp_path / "alone" / "vocals.flac")
    with pytest.raises(LayoutError, match="vocals alone"):
        find_songs(tmp_path)
    write(tmp_path / "alone" / "Bass.ogg")
    (song,) = find_songs(tmp_path)
    assert [path.name for path in song.tracks["bass"]] == ["Bass.ogg"]
    assert song.tracks["drums"] == ()
    with pytest.raises(LayoutError, match="holds no songs"):
        find_songs(write(tmp_path / "empty" / "readme.wav").parent)
    with pytest.raises(LayoutError, match="no such folder"):
        find_songs(tmp_path / "nowhere")


def test_the_folder_of_one_song_is_a_song(tmp_path: Path) -> None:
    write(tmp_path / "My Song" / "vocals.wav")
    write(tmp_path / "My Song" / "guitar.wav")
    (song,) = find_songs(tmp_path / "My Song")
    assert song.name == "My Song"
    assert [path.name for path in song.tracks["other"]] == ["guitar.wav"]


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
def test_any_format_rate_and_width_becomes_stereo_at_one_rate(tmp_path: Path, suffix: str) -> None:
    seconds, rate_hz = 1.0, 48_000
    at = np.arange(int(seconds * rate_hz)) / rate_hz
    path = tmp_path / f"tone{suffix}"
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * 1000.0 * at), rate_hz)
    audio = read_track(path)
    assert audio.dtype == np.float32
    assert audio.shape[0] == 2
    assert audio.shape[1] == pytest.approx(SAMPLE_RATE_HZ, rel=0.05)  # MP3 adds some silence
    assert np.array_equal(audio[0], audio[1])
    middle = audio[0, 10_000:30_000]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert spectrum.argmax() * SAMPLE_RATE_HZ / len(middle) == pytest.approx(1000.0, abs=3.0)


def test_missing_stems_are_silent_and_all_have_one_length(tmp_path: Path) -> None:
    write(tmp_path / "s" / "vocals.wav", seconds=0.3)
    write(tmp_path / "s" / "drums.wav", seconds=0.5, channels=1)
    (song,) = find_songs(tmp_path)
    stems = read_stems(song)
    assert {audio.shape for audio in stems.values()} == {(2, round(0.5 * SAMPLE_RATE_HZ))}
    assert not stems["other"].any()
    assert not stems["vocals"][:, round(0.3 * SAMPLE_RATE_HZ) :].any()


def test_a_sum_that_is_too_loud_is_lowered_with_all_the_others(tmp_path: Path) -> None:
    song = tmp_path / "id"
    for track in ("vocals/a", "guitar/a", "piano/b"):
        write(song / f"{track}.wav", level=0.9)
    (song / "data.json").write_text("{}")
    stems = read_stems(find_songs(tmp_path)[0])
    assert stems["other"].max() == pytest.approx(0.99, abs=1e-3)
    assert stems["vocals"].max() == pytest.approx(0.495, abs=1e-3)


def test_a_damaged_track_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.wav").write_bytes(b"RIFF nonsense")
    with pytest.raises(TrackError, match=r"bad\.wav: cannot be read"):
        read_track(tmp_path / "bad.wav")
    soundfile.write(tmp_path / "nan.wav", np.full((10, 2), np.nan, dtype=np.float32), SAMPLE_RATE_HZ, subtype="FLOAT")
    with pytest.raises(TrackError, match="no numbers"):
        read_track(tmp_path / "nan.wav")
