"""Names of takes, never paths; and the commands that list, show, bounce and delete them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bridge.cli import main
from bridge.errors import UserError
from bridge.live.quantum import Quantum, Voice
from bridge.live.take_command import take_app
from bridge.live.take_log import TakeLog
from bridge.live.take_records import HEADER_FILE, LOG_FILE, read_header
from bridge.live.take_store import (
    check_name,
    delete_take,
    find_take,
    is_being_written,
    list_takes,
    make_take_folder,
    take_names,
    takes_folder,
)
from tests.takes_support import FULL, NOW, header_of
from tests.test_takes_log import delivery


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of takes, in a place of its own."""
    monkeypatch.setattr("platformdirs.user_data_path", lambda *_, **__: tmp_path / "data")
    return takes_folder()


def keep(name: str | None = None, samples: int = 44_100, broken: str = "") -> Path:
    """Keep a take of one chunk of noise, and return its folder."""
    log = TakeLog(make_take_folder(NOW, name), header_of("0" * 64))
    log.delivered(delivery(1))
    log.played(Quantum(512, (Voice(1, 8 * 2048.0, 1.0),), FULL, FULL), 8 * 2048.0)
    log.played(Quantum(samples - 512, (), FULL, FULL), 0.0)
    if broken:
        log.broken = broken
    log.close()
    return log.folder


@pytest.mark.parametrize("name", ["song", "My song 2", "a_b-c", "x" * 64, "2026-01-02_03-04-05", "-"])
def test_names_that_are_names(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a/b", "a\\b", "../a", "/etc", "a.b", " a", "a ", "x" * 65, "a\n", "a\0", "é", "CON", "lpt1"],
)
def test_names_that_are_not(name: str, home: Path) -> None:
    with pytest.raises(UserError, match="is no name for a take"):
        check_name(name)
    if name:
        with pytest.raises(UserError, match="is no name for a take"):
            find_take(name)
    with pytest.raises(UserError, match="is no name for a take"):
        make_take_folder(NOW, name)
    with pytest.raises(UserError, match="is no name for a take"):
        delete_take(name, 0.0)


def test_a_take_is_called_after_the_time_and_none_is_overwritten(home: Path) -> None:
    names = [make_take_folder(NOW).name for _ in range(3)]
    assert names == ["2026-01-02_03-04-05", "2026-01-02_03-04-05-2", "2026-01-02_03-04-05-3"]
    assert [make_take_folder(NOW, "x" * 64).name for _ in range(2)] == ["x" * 64, "x" * 62 + "-2"]


def test_takes_are_listed_by_age_and_the_newest_is_found(home: Path) -> None:
    assert take_names() == ()
    with pytest.raises(UserError, match="holds no takes"):
        find_take("")
    for name, created in (("b", "2026-03-01"), ("a", "2026-02-01"), ("c", "2026-01-01")):
        folder = keep(name)
        header = read_header(folder).model_copy(update={"created": created})
        (folder / HEADER_FILE).write_text(header.model_dump_json(), encoding="utf-8")
    (home / "no take").mkdir()
    assert take_names() == ("c", "a", "b")
    assert find_take("").name == "b"
    assert find_take("c") == home / "c"
    with pytest.raises(UserError, match="there is no take called 'no take'"):
        find_take("no take")
    assert all(take.size_bytes > 12 * 192 * 4 for take in list_takes())


def test_a_take_that_is_played_is_not_deleted(home: Path) -> None:
    folder = make_take_folder(NOW, "now")
    log = TakeLog(folder, header_of("0" * 64))
    log.step()
    assert is_being_written(folder, time.time())
    with pytest.raises(UserError, match="is being played"):
        delete_take("now", time.time())
    log.close()
    assert not is_being_written(folder, time.time())
    delete_take("now", time.time())
    assert list(home.iterdir()) == []


def test_what_a_crash_left_can_be_deleted(home: Path) -> None:
    folder = make_take_folder(NOW, "crashed")
    log = TakeLog(folder, header_of("0" * 64))
    log.step()
    os.utime(folder / LOG_FILE, (1.0, 1.0))
    delete_take("crashed", time.time())
    assert not folder.exists()
    log._writer._log.close()
    log._writer._latents.close()


def test_files_of_others_in_a_takes_folder_stay(home: Path) -> None:
    folder = keep("mine")
    (folder / "notes.txt").write_text("lyrics", encoding="utf-8")
    with pytest.raises(UserError, match="holds other files, which stay"):
        delete_take("mine", time.time())
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def run(*words: str) -> str:
    """Run `backline take` and return what it says."""
    result = CliRunner().invoke(take_app, list(words), catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_list_and_show_say_what_there_is(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    keep("whole", 3 * 44_100)
    keep("short", broken="the disk did not follow")
    damaged = keep("damaged")
    (damaged / HEADER_FILE).write_text("{", encoding="utf-8")
    listed = [line.strip() for line in run("list").splitlines()]
    assert any(line.startswith("whole ") and "0:03.0" in line and line.endswith(" whole") for line in listed)
    assert any("short" in line and "ends early: the disk did not follow" in line for line in listed)
    assert any("damaged" in line and "?" in line for line in listed)
    shown = run("show", "short")
    assert "part 1: 0:00.0 at 0:00.0 of 0:01.0, from song position 0.372 s" in shown
    assert f"seeds: {(1 << 64) - 1} (1)" in shown
    assert "it ends before the music did: the disk did not follow" in shown
    assert "deleted" in run("delete", "whole")
    assert take_names() == ("damaged", "short")


def test_mistakes_are_one_line(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep("song")
    for words in (
        ["bounce", "none"],
        ["bounce", "../song"],
        ["bounce", "song", "-o", str(tmp_path / "out")],
        ["bounce", "song", "--float", "--format", "flac"],
        ["bounce", "song", "--rate", "12345"],
        ["show", "none"],
        ["delete", "none"],
    ):
        assert main(["take", *words]) == 2
        captured = capsys.readouterr()
        assert len(captured.err.splitlines()) == 1, words
    assert not (tmp_path / "out").exists()
