import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from engine.geometry import SAMPLE_RATE_HZ
from engine.timeline import Timeline
from tests.folders_support import grid, stems_of, write_stems
from training.folders.__main__ import main
from training.folders.importing import Given, import_song
from training.folders.layouts import find_songs

BPM, START = 96.0, 0.4


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one song of 15 seconds at 48 kHz, in mono, whose first downbeat is after 0.4 seconds."""
    folder = tmp_path_factory.mktemp("mine")
    rate_hz = 48_000
    write_stems(folder / "First Song", stems_of(grid(BPM, 24, START), rate_hz=rate_hz), rate_hz)
    return folder


def facts_of(folder: Path) -> dict[str, object]:
    facts: dict[str, object] = json.loads((folder / "song.json").read_text(encoding="utf-8"))
    return facts


def first_sound_seconds(path: Path) -> float:
    audio, rate_hz = soundfile.read(path)
    return float(np.argmax(np.abs(audio).max(axis=1) > 0.05) / rate_hz)


def test_a_song_is_imported_with_what_is_heard(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(source), "--out", str(tmp_path / "songs")]) == 0
    assert "96 bpm (heard), 4/4, C major" in capsys.readouterr().out
    folder = tmp_path / "songs" / "First Song"
    facts = facts_of(folder)
    assert [facts["split"], facts["style"], facts["key"], facts["source"]] == ["train", None, "C major", "folder"]
    infos = [soundfile.info(folder / f"{name}.flac") for name in ("vocals", "drums", "bass", "other")]
    assert {(info.samplerate, info.channels) for info in infos} == {(SAMPLE_RATE_HZ, 2)}
    assert len({info.frames for info in infos}) == 1
    timeline = Timeline(facts["tempo_map"], facts["time_signatures"])  # type: ignore[arg-type]
    beat = timeline.beat_at_sample(round(first_sound_seconds(folder / "drums.flac") * SAMPLE_RATE_HZ))
    assert beat % 4 == pytest.approx(0.0, abs=0.05)
    chords = facts["chords"]
    assert isinstance(chords, list)
    assert [row[2] for row in chords if row[2] >= 0][:4] == [0, 9, 5, 7]


def test_songs_that_are_there_are_kept(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(source), "--out", str(tmp_path), "--tempo", "96", "--first-beat", "0.4", "--style", "rock"]
    assert main(words) == 0
    before = (tmp_path / "First Song" / "song.json").stat().st_mtime_ns
    assert facts_of(tmp_path / "First Song")["style"] == "rock"
    assert main(words) == 0
    assert (tmp_path / "First Song" / "song.json").stat().st_mtime_ns == before
    assert capsys.readouterr().out.count("\n") == 1


def test_a_tempo_that_is_given_holds(source: Path, tmp_path: Path) -> None:
    (song,) = find_songs(source)
    imported = import_song(song, Given(bpm=96.0, first_beat_seconds=START, split="test"), tmp_path / "song")
    assert imported.facts["tempo_map"] == [[0.0, 96.0]]
    assert imported.facts["split"] == "test"
    lead = 4 * 60.0 / BPM - START
    assert first_sound_seconds(tmp_path / "song" / "drums.flac") == pytest.approx(lead + START, abs=0.002)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("beats.txt", "\n".join(str(at) for at in grid(BPM, 24, START))),
        ("tempo.txt", "96 0.4"),
        ("song.json", '{"tempo_map": [[0, 96]], "style": "funk", "key": "A minor", "chords": []}'),
    ],
)
def test_files_beside_the_stems_come_first(source: Path, tmp_path: Path, name: str, text: str) -> None:
    folder = tmp_path / "in" / "Song"
    folder.mkdir(parents=True)
    for path in (source / "First Song").iterdir():
        (folder / path.name).symlink_to(path)
    (folder / name).write_text(text)
    imported = import_song(find_songs(folder)[0], Given(bpm=50.0), tmp_path / "out")
    assert imported.beats_from == "given"
    assert [point[1] for point in imported.facts["tempo_map"]] == pytest.approx([96.0], abs=0.01)
    if name == "song.json":
        assert [imported.facts[key] for key in ("style", "key", "chords")] == ["funk", "A minor", []]


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("song.json", '{"style": "polka"}', "polka"),
        ("song.json", '{"chords": [[0, 4, 0, [0], 0, "C"]]}', "no tempo_map"),
        ("tempo.txt", "fast", r"tempo\.txt"),
        ("beats.txt", "1\n0.5\n", "rising order"),
    ],
)
def test_a_song_that_cannot_be_used_is_left_out_and_named(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str, reason: str
) -> None:
    folder = tmp_path / "in" / "Bad"
    folder.mkdir(parents=True)
    for path in (source / "First Song").iterdir():
        (folder / path.name).symlink_to(path)
    (folder / name).write_text(text)
    assert main([str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr()
    assert reason.replace("\\", "") in told.out
    assert "Bad" in told.out
    assert "none of its 1 songs" in told.err
    assert list((tmp_path / "out").iterdir()) == []


def test_what_is_given_is_checked() -> None:
    for wrong in (
        {"bpm": 10.0},
        {"first_beat_seconds": 1.0},
        {"beats_per_bar": 0},
        {"style": "polka"},
        {"split": "all"},
    ):
        with pytest.raises(ValueError, match=r"give|expected"):
            Given(**wrong)
