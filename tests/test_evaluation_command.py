"""`backline evaluate` from the words on the command line to the file of results, with a codec and a player put in."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from bridge.cli import main
from engine.manifest import SamplingFacts
from tests.evaluation_support import follower, write_song

COMMAND = "bridge.evaluation.command"


@pytest.fixture
def songs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("first", "second"):
        write_song(tmp_path / "songs", name)
    monkeypatch.setattr(f"{COMMAND}._load", lambda *_: SimpleNamespace(sampling=SamplingFacts(steps=6)))
    monkeypatch.setattr(f"{COMMAND}.reconstruction", lambda _: lambda audio: audio)
    monkeypatch.setattr(f"{COMMAND}.player", lambda *_: follower())
    return tmp_path / "songs"


def evaluate(songs: Path, *words: object) -> int:
    common = ["--bundle", str(songs), "--songs", str(songs), "--seconds", "5"]
    return main(["evaluate", *common, *map(str, words)])


def test_the_tables_are_kept_and_printed(songs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(songs, "--out", tmp_path / "docs") == 0
    text = (tmp_path / "docs" / "results.md").read_text(encoding="utf-8")
    assert "| bass | 2 | 100 % |" in text
    assert "Accompaniment of 2 unseen songs" in text
    assert "## Accompaniment, 6 steps" in text
    assert "Codec on unseen stems" in capsys.readouterr().out


def test_the_codec_alone(songs: Path, tmp_path: Path) -> None:
    assert evaluate(songs, "--codec-only", "--out", tmp_path / "docs") == 0
    text = (tmp_path / "docs" / "results.md").read_text(encoding="utf-8")
    assert "## Codec" in text
    assert "## Accompaniment" not in text


def test_a_split_without_songs_is_one_line_and_exit_code_2(songs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(songs, "--split", "validation") == 2
    captured = capsys.readouterr()
    assert "no song of split 'validation'" in captured.err
    assert captured.err.count("\n") == 1


def test_what_is_not_installed_is_named(
    songs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(f"{COMMAND}.find_spec", lambda name: None if name == "pyloudnorm" else object())
    assert evaluate(songs) == 2
    assert "evaluate needs pyloudnorm; install" in capsys.readouterr().err


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_song(tmp_path / "songs", "first")
    assert evaluate(tmp_path / "songs") == 2
    assert "manifest" in capsys.readouterr().err
