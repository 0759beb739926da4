"""`backline evaluate` from the words on the command line to the file of results, with a codec and a band put in."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bridge.cli import main
from bridge.evaluation.report import Section, Table
from bridge.evaluation.songs import SongFacts
from engine.manifest import SamplingFacts
from engine.sound_sets import log_mel_statistics
from tests.evaluation_support import follower, write_song

EVALUATION = "bridge.evaluation"
COMMAND = f"{EVALUATION}.command"


@dataclass(frozen=True)
class Facts:
    """As much of a manifest as the command touches."""

    sampling: SamplingFacts = field(default_factory=lambda: SamplingFacts(steps=6))


@dataclass(frozen=True)
class Model:
    """As much of a bundle as the command touches."""

    manifest: Facts = field(default_factory=Facts)

    @property
    def sampling(self) -> SamplingFacts:
        return self.manifest.sampling

    def with_sampling(self, **changes: Any) -> "Model":
        return Model(Facts(replace(self.sampling, **changes)))


@pytest.fixture
def songs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("first", "second"):
        write_song(tmp_path / "songs", name)
    monkeypatch.setattr(f"{COMMAND}._load", lambda *_: Model())
    for part in ("codec_section", "accompaniment"):
        monkeypatch.setattr(f"{EVALUATION}.{part}.reconstruction", lambda _: lambda audio: audio)
    monkeypatch.setattr(f"{EVALUATION}.frechet.latent_vectors", lambda _: log_mel_statistics)
    monkeypatch.setattr(f"{EVALUATION}.accompaniment.band", lambda _: follower())
    return tmp_path / "songs"


def evaluate(songs: Path, *words: object) -> int:
    common = ["--bundle", str(songs), "--songs", str(songs), "--seconds", "5"]
    return main(["evaluate", *common, *map(str, words)])


def test_the_tables_are_kept_and_printed(songs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(songs, "--out", tmp_path / "docs", "--steps", 3) == 0
    text = (tmp_path / "docs" / "results.md").read_text(encoding="utf-8")
    assert "| bass | 2 | 100 % |" in text
    assert "Accompaniment of 2 unseen songs" in text
    assert "## Accompaniment, 3 steps" in text
    assert "By style, tempo and voice" in text
    assert "Codec on unseen stems" in capsys.readouterr().out


def test_one_part_alone(songs: Path, tmp_path: Path) -> None:
    assert evaluate(songs, "--parts", "codec", "--out", tmp_path / "docs") == 0
    text = (tmp_path / "docs" / "results.md").read_text(encoding="utf-8")
    assert "## Codec" in text
    assert "## Accompaniment" not in text


def test_the_codec_is_set_beside_an_earlier_one(songs: Path, tmp_path: Path) -> None:
    assert evaluate(songs, "--parts", "codec", "--earlier", songs, "--out", tmp_path / "docs") == 0
    assert "| bass | 2 | 100 % (100 %) |" in (tmp_path / "docs" / "results.md").read_text(encoding="utf-8")


def test_a_part_is_imported_when_it_is_asked_for(songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []

    def section(bundle: Model, songs: Sequence[SongFacts], seconds: float, tell: Callable[[], None]) -> Section:
        told.append(bundle.sampling.steps)
        tell()
        return Section("seams", "Seams", "measure", "here", (Table("Seams", ("songs",), ((str(len(songs)),),)),))

    monkeypatch.setitem(sys.modules, f"{EVALUATION}.seams", SimpleNamespace(section=section))
    assert evaluate(songs, "--parts", "seams", "--steps", 2, "--out", tmp_path / "docs") == 0
    assert told == [2]
    assert "## Seams" in (tmp_path / "docs" / "results.md").read_text(encoding="utf-8")


def test_weights_that_the_user_has_reach_the_part_that_knows_them(
    songs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(songs, "--parts", "frechet", "--clap", tmp_path / "music.pt") == 2
    assert "music.pt: no such file; fetch the weights of laion-clap" in capsys.readouterr().err
    assert evaluate(songs, "--parts", "frechet", "--aesthetics", tmp_path / "checkpoint.pt") == 2
    assert "checkpoint.pt: no such file; fetch the weights of audiobox_aesthetics" in capsys.readouterr().err
    assert evaluate(songs, "--parts", "codec", "--clap", tmp_path / "music.pt") == 2
    assert "belong to the part frechet" in capsys.readouterr().err


def test_the_teacher_is_asked_for_with_its_bundle_and_not_without(
    songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (("--parts", "teacher"), ("--parts", "codec", "--teacher", songs)):
        assert evaluate(songs, *words) == 2
        assert "go together" in capsys.readouterr().err
    monkeypatch.setattr(f"{EVALUATION}.teacher.band", lambda _: follower())
    monkeypatch.setattr(f"{EVALUATION}.teacher.with_many_steps", lambda bundle, _: bundle)
    assert evaluate(songs, "--parts", "teacher", "--teacher", songs, "--out", tmp_path / "docs") == 0
    text = (tmp_path / "docs" / "results.md").read_text(encoding="utf-8")
    assert "## 6 distilled steps beside the teacher's 32" in text


@pytest.mark.parametrize("parts", ["codec,taste", ","])
def test_an_unknown_part_is_refused_with_those_there_are(
    songs: Path, capsys: pytest.CaptureFixture[str], parts: str
) -> None:
    assert evaluate(songs, "--parts", parts) == 2
    assert "is no part; name some of codec, accompaniment" in capsys.readouterr().err


def test_one_song_alone_has_nothing_to_be_set_against(
    songs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_song(tmp_path / "alone", "first")
    assert evaluate(tmp_path / "alone", "--parts", "accompaniment") == 2
    assert "give two or more" in capsys.readouterr().err


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
