"""The file beside an output holds what was heard, to the sample, whatever happens."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pedalboard.io import AudioFile

from bridge.clock import ManualClock
from bridge.sound.file import FileTee
from bridge.sound.null import NullOutput
from bridge.sound.output import Audio, SoundError
from bridge.sound.wave_file import GrowingWave, WaveFormat

RATE_HZ = 44_100


def noise(samples: int, seed: int = 0) -> Audio:
    return np.random.default_rng(seed).uniform(-0.9, 0.9, (2, samples)).astype(np.float32)


def read(path: Path) -> NDArray[Any]:
    with AudioFile(str(path)) as file:
        assert file.samplerate == RATE_HZ
        return np.asarray(file.read(file.frames)) if file.frames else np.zeros((2, 0), np.float32)


class Stage:
    def __init__(self, folder: Path, form: WaveFormat = "float32", overwrite: bool = False) -> None:
        self.clock = ManualClock(3.0)
        self.inner = NullOutput(self.clock, ring_seconds=0.5)
        self.path = folder / "set.wav"
        self.partial = folder / "set.partial.wav"
        self.tee = FileTee(self.inner, self.path, self.clock, form, overwrite=overwrite, watched=False)


def test_only_what_was_heard_is_in_the_file_and_it_is_valid_while_it_grows(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    sound = noise(20_000)
    stage.tee.open()
    assert read(stage.partial).shape[1] == 0
    for start in range(0, 20_000, 1_000):
        stage.tee.write(sound[:, start : start + 1_000])
    for heard in (1, 777, 5_000, 12_345):
        stage.clock.advance_to(3.0 + heard / RATE_HZ)
        stage.tee.look()
        np.testing.assert_array_equal(read(stage.partial), sound[:, :heard])
    stage.clock.advance_to(3.0 + 13_000 / RATE_HZ)
    stage.tee.close()
    np.testing.assert_array_equal(read(stage.path), sound[:, :13_000])
    assert not stage.partial.exists()


def test_silence_of_an_underrun_is_in_the_file(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.tee.open()
    first, second = noise(500, 1), noise(300, 2)
    stage.tee.write(first)
    stage.clock.advance_to(3.0 + 2_000 / RATE_HZ)
    stage.tee.write(second)
    stage.clock.advance_to(3.0 + 5_000 / RATE_HZ)
    assert stage.tee.facts().silent_samples == 1_500
    stage.tee.close()
    expected = np.concatenate([first, np.zeros((2, 1_500), np.float32), second], axis=1)
    np.testing.assert_array_equal(read(stage.path), expected)


def test_24_bit_is_rounded_and_clipped(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "24-bit")
    stage.tee.open()
    sound = noise(2_000)
    sound[:, :4] = [[2.0, -2.0, 0.5, -1.0], [1.0, -1.0, 2.0**-23, 0.0]]
    stage.tee.write(sound)
    stage.clock.advance(0.1)
    stage.tee.close()
    content = np.frombuffer(stage.path.read_bytes()[80:], np.uint8).reshape(-1, 3)
    integers = (np.pad(content, ((0, 0), (1, 0))).view("<i4") >> 8).reshape(-1, 2).T
    assert integers[:, :4].tolist() == [[8388607, -8388608, 4194304, -8388608], [8388607, -8388608, 1, 0]]
    assert np.abs(integers / 2.0**23 - np.clip(sound, -1, 1)).max() <= 2.0**-23
    np.testing.assert_allclose(read(stage.path), np.clip(sound, -1, 1), atol=2.0**-22)


def test_nothing_is_overwritten_unless_told(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.path.write_bytes(b"mine")
    with pytest.raises(SoundError, match=r"set\.wav: is there already; name another file or allow overwriting"):
        stage.tee.open()
    with pytest.raises(ValueError, match="call open"):
        stage.inner.writable_samples()
    stage.path.unlink()
    stage.partial.write_bytes(b"of a session that was killed")
    with pytest.raises(SoundError, match="move it away"):
        stage.tee.open()
    assert stage.partial.read_bytes() == b"of a session that was killed"

    told = Stage(tmp_path, overwrite=True)
    told.path.write_bytes(b"mine")
    told.tee.open()
    told.tee.write(noise(100))
    told.clock.advance(1.0)
    assert told.path.read_bytes() == b"mine", "replaced at the end, not before"
    told.tee.close()
    np.testing.assert_array_equal(read(told.path), noise(100))


def test_a_file_that_came_meanwhile_is_kept_and_so_is_what_was_heard(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.tee.open()
    stage.tee.write(noise(100))
    stage.clock.advance(1.0)
    stage.path.write_bytes(b"somebody else's")
    with pytest.raises(SoundError, match=r"cannot be finished.*what was heard is in .*set\.partial\.wav"):
        stage.tee.close()
    assert stage.path.read_bytes() == b"somebody else's"
    np.testing.assert_array_equal(read(stage.partial), noise(100))


def test_a_disk_that_fails_costs_the_file_and_never_the_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(tmp_path)
    stage.tee.open()
    stage.tee.write(noise(1_000))
    stage.clock.advance(0.01)
    stage.tee.look()

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    stage.clock.advance(0.01)
    stage.tee.look()
    monkeypatch.undo()
    words = [event.words for event in stage.tee.events()]
    assert any("No space left on device" in line and "set.partial.wav" in line for line in words)
    stage.tee.write(noise(1_000))
    stage.clock.advance(0.01)
    stage.tee.look()
    stage.tee.close()
    assert not stage.path.exists()
    np.testing.assert_array_equal(read(stage.partial), noise(1_000)[:, :441])


def test_a_name_that_is_no_wav_is_refused(tmp_path: Path) -> None:
    clock = ManualClock()
    with pytest.raises(SoundError, match=r"call it set\.wav"):
        FileTee(NullOutput(clock), tmp_path / "set.mp3", clock)


def test_past_four_gigabytes_the_file_is_rf64(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    wave = GrowingWave(path, RATE_HZ, "float32", most_riff_bytes=10_000)
    sound = noise(5_000)
    wave.append(sound[:, :1_000])
    wave.mend()
    assert path.read_bytes()[:4] == b"RIFF"
    wave.append(sound[:, 1_000:])
    wave.close()
    content = path.read_bytes()
    assert content[:4] == b"RF64"
    assert content[12:16] == b"ds64"
    assert struct.unpack("<QQQ", content[20:44]) == (len(content) - 8, 40_000, 5_000)
    np.testing.assert_array_equal(read(path), sound)
