"""Every mistaken call of `backline bounce`: one clear line on standard error, exit code 2, and nothing left behind."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pytest
from pedalboard.io import AudioFile

from bridge import audio_files, bounce
from bridge.cli import main
from engine.bundle import Bundle
from tests.bridge_support import Studio, voice, write

REAL_LOAD = Bundle.load


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Studio:
    return Studio(tmp_path, monkeypatch)


@pytest.fixture
def refused(studio: Studio, capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a check: the call ends in exit code 2, one line with all of `parts`, and nothing on the disk."""

    def check(words: tuple[object, ...], *parts: str, tempo: object = 120, out: str = "out") -> None:
        before = sorted(studio.folder.rglob("*"))
        assert studio.bounce(*words, tempo=tempo, out=out) == 2
        error = capsys.readouterr().err
        assert error.startswith("backline: ")
        assert error.count("\n") == 1
        assert "Traceback" not in error
        for part in parts:
            assert part in error
        assert sorted(studio.folder.rglob("*")) == before
        assert not studio.calls

    return check


def test_missing_file(studio: Studio, refused: Any) -> None:
    refused((studio.folder / "gone.wav",), "gone.wav", "no such file")


def test_a_folder(studio: Studio, refused: Any) -> None:
    refused((studio.folder,), "is a folder")


def test_an_empty_file(studio: Studio, refused: Any) -> None:
    (studio.folder / "empty.wav").touch()
    refused((studio.folder / "empty.wav",), "is empty")


@pytest.mark.parametrize("name", ["text.wav", "text.flac", "text.txt", "text.mp3"])
def test_not_audio(studio: Studio, refused: Any, name: str) -> None:
    (studio.folder / name).write_bytes(b"this is no sound at all " * 200)
    refused((studio.folder / name,), name, "not an audio file")


def test_unreadable(studio: Studio, refused: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(_path: Path) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    vocal = studio.sing()
    monkeypatch.setattr(audio_files, "missing_bytes", denied)
    refused((vocal,), "cannot be read (Permission denied)")


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.aiff", "a.ogg", "a.mp3"])
@pytest.mark.parametrize("share", [0.4, 0.8, 0.98])
def test_truncated(studio: Studio, refused: Any, name: str, share: float) -> None:
    vocal = write(studio.folder / name, voice(2.0) + 0.01 * np.random.default_rng(0).standard_normal((2, 88_200)))
    assert studio.bounce(vocal) == 0
    studio.calls.clear()
    (studio.folder / "out" / "session.json").rename(studio.folder / "kept.json")
    whole = vocal.read_bytes()
    vocal.write_bytes(whole[: int(share * len(whole))])
    refused((vocal,), name, "cut off", out="out-cut")


@pytest.mark.parametrize(("samples", "words"), [(0, "no samples"), (1, "one sample")])
def test_no_or_one_sample(studio: Studio, refused: Any, samples: int, words: str) -> None:
    refused((write(studio.folder / "short.wav", voice(samples / 44_100)),), words)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_or_infinite_samples(studio: Studio, refused: Any, value: float) -> None:
    audio = voice(0.5)
    audio[1, 11_025] = value
    refused((write(studio.folder / "bad.wav", audio, bits=32),), "NaN or infinite", "0.250 s")


def test_rate_and_channels_out_of_range(studio: Studio, refused: Any) -> None:
    refused((write(studio.folder / "low.wav", voice(0.5, 4_000), 4_000),), "4000 Hz", "8000 to 192000")
    refused((write(studio.folder / "many.wav", voice(0.1, channels=9)),), "9 channels")


@pytest.mark.parametrize("tempo", ["29.9", "301", "0", "-5", "nan", "inf", "fast", ""])
def test_impossible_tempo(studio: Studio, refused: Any, tempo: str) -> None:
    refused((studio.sing(),), "tempo", "30 to 300", tempo=tempo)


def test_no_tempo_or_two(studio: Studio, refused: Any) -> None:
    refused((studio.sing(),), "--tempo 92", tempo=None)
    refused((studio.sing(), "--tempo-map", "a.mid"), "--tempo-map")


@pytest.mark.parametrize("signature", ["0/4", "4/3", "4", "4/0", "a/b", "-3/4", "99/4", "3,4"])
def test_impossible_time_signature(studio: Studio, refused: Any, signature: str) -> None:
    refused((studio.sing(), "--time-signature", signature), "time signature", "3/4")


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("--steps", 0), ("steps 0", "1 to 800")),
        (("--steps", -4), ("steps -4", "1 to 800")),
        (("--steps", "many"), ("--steps",)),
        (("--guidance", -1), ("guidance", "0 to 20")),
        (("--guidance", "nan"), ("guidance", "0 to 20")),
        (("--seed", -1), ("seed",)),
        (("--seed", 2**64), ("seed",)),
        (("--style", "polka"), ("style 'polka'", "funk")),
        (("--key", "H major"), ("key 'H major'", "A minor")),
        (("--stems", "drums,flute"), ("stem 'flute'", "drums,bass,other")),
        (("--stems", ""), ("stem", "drums,bass,other")),
        (("--preset", "nope"), ("preset 'nope'", "radio-pop")),
        (("--preset", "gone.toml"), ("gone.toml", "cannot be read")),
        (("--format", "mp3"), ("--format",)),
        (("--rate", "12345"), ("--rate",)),
        (("--first-beat", "nan"), ("--first-beat",)),
        (("--from-bar", 2), ("--keep",)),
        (("--from-bar", 0), ("--from-bar 0", "from 1")),
        (("--from-bar", 4, "--to-bar", 3), ("--to-bar 3", "--from-bar 4")),
        (("--keep", "gone"), ("gone", "--keep")),
        (("--no-such-option",), ("--no-such-option",)),
        (("--session", "gone.json"), ("--tempo", "--session")),
    ],
)
def test_impossible_choices(studio: Studio, refused: Any, words: tuple[object, ...], parts: tuple[str, ...]) -> None:
    refused((studio.sing(), *words), *parts)


def test_a_wrong_preset_is_named_with_its_line(studio: Studio, refused: Any) -> None:
    preset = studio.folder / "mine.toml"
    preset.write_text('title = "Mine"\nsteps = -1\n', encoding="utf-8")
    refused((studio.sing(), "--preset", preset), "mine.toml", "line 2", "steps")


def test_tempo_maps_that_are_none(studio: Studio, refused: Any) -> None:
    vocal, song = studio.sing(), studio.folder / "song.mid"
    refused((vocal, "--tempo-map", song), "song.mid", "no such MIDI file", tempo=None)
    song.write_bytes(b"MThd nothing")
    refused((vocal, "--tempo-map", song), "song.mid", "not a MIDI file", tempo=None)
    fast = mido.MidiFile(tracks=[mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=100_000)])])
    fast.save(str(song))
    refused((vocal, "--tempo-map", song), "song.mid", "600 bpm", "30 to 300", tempo=None)


def test_bars_outside_the_song_and_stems_of_another(studio: Studio, refused: Any) -> None:
    vocal, keep = studio.sing(seconds=4.0), studio.folder / "keep"
    assert studio.bounce(vocal, out="keep") == 0
    studio.calls.clear()
    refused((vocal, "--keep", keep, "--from-bar", 3), "bars 3", "last bar is 2")
    refused((studio.sing("other.wav", seconds=3.0), "--keep", keep), "drums.wav", "this same vocal")
    empty = studio.folder / "empty"
    empty.mkdir()
    refused((vocal, "--keep", empty), "holds no stem")


def test_outputs_that_must_not_or_cannot_be_made(studio: Studio, refused: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    vocal = studio.sing()
    refused((vocal,), "is a file", out="vocal.wav")
    refused((vocal,), "cannot be made", out="vocal.wav/out")
    (studio.folder / "album").mkdir()
    refused((vocal,), "exists already", "--overwrite", out="album")
    (studio.folder / "album" / "notes.txt").write_text("precious", encoding="utf-8")
    refused((vocal, "--overwrite"), "is no bounce", out="album")
    monkeypatch.setattr("bridge.output_folder.os.access", lambda _, mode: mode != os.W_OK)
    refused((vocal,), "cannot be made", "another place")


def test_overwriting_never_takes_the_vocal_along(studio: Studio, refused: Any) -> None:
    assert studio.bounce(studio.sing()) == 0
    studio.calls.clear()
    refused((studio.folder / "out" / "vocal.wav", "--overwrite"), "which is read")


def test_a_disk_without_room(
    studio: Studio, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    vocal = studio.sing()
    monkeypatch.setattr("bridge.output_folder.shutil.disk_usage", lambda _: type("Usage", (), {"free": 1_000}))
    assert studio.bounce(vocal) == 2
    assert "free some room" in capsys.readouterr().err
    assert studio.leftovers() == []


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("Unable to write data to audio file.")]
)
def test_a_disk_that_fills_up_while_writing(
    studio: Studio, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    real, written = AudioFile, []

    class FullDisk:
        def __init__(self, *arguments: Any, **options: Any) -> None:
            self.file = real(*arguments, **options)

        def write(self, samples: Any) -> None:
            written.append(samples)
            if len(written) > 6:
                raise error
            self.file.write(samples)

        def close(self) -> None:
            self.file.close()

    vocal = studio.sing(seconds=4.0)
    monkeypatch.setattr(audio_files, "AudioFile", lambda *a, **o: FullDisk(*a, **o) if "w" in a else real(*a, **o))
    assert studio.bounce(vocal, out="out/deep") == 2
    assert "free some room" in capsys.readouterr().err
    assert len(written) > 6
    assert studio.leftovers() == []


def test_sound_that_did_not_arrive_on_the_disk_is_noticed(
    studio: Studio, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = audio_files.TrackWriter.write

    def lossy(writer: audio_files.TrackWriter, samples: Any) -> None:
        real(writer, samples)
        writer.frames += 1

    vocal = studio.sing()
    monkeypatch.setattr(audio_files.TrackWriter, "write", lossy)
    assert studio.bounce(vocal) == 2
    assert "not all of the sound arrived" in capsys.readouterr().err
    assert studio.leftovers() == []


def test_bundles_that_are_missing_damaged_or_of_another_version(
    studio: Studio, refused: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.bounce.Bundle.load", REAL_LOAD)
    vocal = studio.sing()
    refused((vocal, "--bundle", studio.folder / "gone"), "gone", "manifest.json")
    refused((vocal, "--bundle", studio.bundle), "manifest.json")
    (studio.bundle / "manifest.json").write_text("not json", encoding="utf-8")
    refused((vocal, "--bundle", studio.bundle), "manifest.json")
    (studio.bundle / "manifest.json").write_text(json.dumps({"format_version": 99}), encoding="utf-8")
    refused((vocal, "--bundle", studio.bundle), "manifest.json", "99")


def test_a_provider_that_is_not_there(studio: Studio, refused: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.bounce.Bundle.load", REAL_LOAD)
    refused((studio.sing(), "--provider", "abacus"), "abacus", "cpu")


def test_sessions_that_are_none(studio: Studio, refused: Any) -> None:
    refused(("--session", studio.folder / "gone.json"), "gone.json", "session", tempo=None)
    (studio.folder / "old.json").write_text('{"format_version": 0}', encoding="utf-8")
    refused(("--session", studio.folder / "old.json"), "old.json", "format_version", tempo=None)
    assert studio.bounce(studio.sing(), out="keep") == 0
    studio.calls.clear()
    refused(("--session", studio.folder / "keep", "--seed", 3), "--seed", "--session", tempo=None)


def test_no_vocal_and_no_output(studio: Studio, refused: Any, capsys: pytest.CaptureFixture[str]) -> None:
    refused((), "no vocal")
    assert main(["bounce", str(studio.sing()), "--tempo", "92"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["no-such-command"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_tempo_that_cannot_be_heard(studio: Studio, refused: Any) -> None:
    refused((studio.sing(level=0.0),), "silent", "--tempo 92", tempo="auto")
    refused((studio.sing(seconds=3.0),), "not clear", "--tempo 92", tempo="auto")


def test_an_interrupt_ends_quietly_and_leaves_nothing(
    studio: Studio, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    vocal = studio.sing()
    monkeypatch.setattr(bounce, "write_tracks", interrupted)
    assert studio.bounce(vocal) == 130
    assert "Traceback" not in capsys.readouterr().err
    assert studio.leftovers() == []


def test_what_the_engine_refuses_is_the_users_to_mend(
    studio: Studio, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(*_: object) -> None:
        raise ValueError("vocal holds a ghost; exorcise the recording")

    monkeypatch.setattr(bounce, "accompany", refusing)
    assert studio.bounce(studio.sing()) == 2
    assert "exorcise" in capsys.readouterr().err


def test_a_model_that_gives_no_sound_is_noticed(
    studio: Studio, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounce, "accompany", lambda _bundle, vocal, *_: {"bass": np.full_like(vocal, np.nan)})
    assert studio.bounce(studio.sing()) == 2
    assert "bass" in (said := capsys.readouterr().err)
    assert "--seed" in said
    assert studio.leftovers() == []
