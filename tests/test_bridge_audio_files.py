"""Audio files: exact samples, downmix, pieces equal the whole, alignment of the resampler, completeness."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bridge.audio_files import (
    TrackWriter,
    audio_facts,
    downmix_matrix,
    exact_blocks,
    read_stereo,
    resampled,
    resampled_length,
    stereo_blocks,
)
from bridge.audio_integrity import missing_bytes
from bridge.errors import UserError
from bridge.rendering import gain_below_full_scale_db, quantised
from tests.bridge_support import read_wave, voice, write, write_wave


def pieces_of(audio: NDArray[np.float32], size: int) -> Iterator[NDArray[np.float32]]:
    return (audio[:, start : start + size] for start in range(0, audio.shape[1], size))


@pytest.mark.parametrize("bits", [16, 24])
@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_integer_samples_come_and_go_exactly(tmp_path: Path, bits: int, suffix: str) -> None:
    top = 1 << (bits - 1)
    integers = np.random.default_rng(1).integers(-top, top, (2, 5_000))
    integers[:, :4] = [-top, top - 1, 1, -1]
    source = write_wave(tmp_path / "a.wav", integers, 48_000, bits)
    audio = read_stereo(source, 48_000)
    np.testing.assert_array_equal(audio * top, integers)
    with TrackWriter(tmp_path / f"b.{suffix}", 48_000) as writer:
        writer.write(quantised(audio, 1.0))
    np.testing.assert_array_equal(read_stereo(tmp_path / f"b.{suffix}", 48_000) * top, integers)
    if suffix == "wav":
        np.testing.assert_array_equal(read_wave(tmp_path / "b.wav"), integers << (24 - bits))


@pytest.mark.parametrize("samples", [1, 2, 3, 70_000])
def test_a_track_of_any_length_is_written(tmp_path: Path, samples: int) -> None:
    integers = np.arange(2 * samples, dtype=np.int32).reshape(2, samples)
    with TrackWriter(tmp_path / "a.wav", 44_100) as writer:
        writer.write(integers)
    np.testing.assert_array_equal(read_wave(tmp_path / "a.wav"), integers)


@pytest.mark.parametrize("channels", range(1, 9))
def test_no_downmix_passes_full_scale_and_none_moves_the_middle(channels: int) -> None:
    matrix = downmix_matrix(channels)
    assert matrix.shape == (2, channels)
    assert np.abs(matrix).sum(axis=1).max() <= 1.0 + 1e-12
    np.testing.assert_allclose(matrix[0].sum(), matrix[1].sum())


def test_mono_sounds_on_both_sides_and_stereo_stays(tmp_path: Path) -> None:
    mono = read_stereo(write(tmp_path / "mono.wav", voice(0.1, channels=1)), 44_100)
    np.testing.assert_array_equal(mono[0], mono[1])
    np.testing.assert_array_equal(downmix_matrix(2), np.eye(2))


@pytest.mark.parametrize("size", [1, 2, 7, 64, 10_000])
def test_pieces_of_a_file_are_the_whole(tmp_path: Path, size: int) -> None:
    facts = audio_facts(write(tmp_path / "a.flac", voice(0.02, 96_000, 6), 96_000))
    pieces = list(stereo_blocks(facts, size))
    assert {piece.shape[1] for piece in pieces[:-1]} <= {size}
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), np.concatenate(list(stereo_blocks(facts)), axis=1))


@pytest.mark.parametrize("size", [64, 1_000, 65_536])
def test_resampling_in_pieces_is_resampling_the_whole(size: int) -> None:
    audio = voice(0.5).astype(np.float32)
    whole = np.concatenate(list(resampled([audio], 44_100, 48_000)), axis=1)
    np.testing.assert_array_equal(
        np.concatenate(list(resampled(pieces_of(audio, size), 44_100, 48_000)), axis=1), whole
    )


@pytest.mark.parametrize("rate", [8_000, 48_000, 96_000, 192_000])
def test_resampling_keeps_time(rate: int) -> None:
    audio = np.zeros((2, 44_100), np.float32)
    time = (np.arange(44_100) - 22_050) / 44_100
    audio[:] = np.exp(-((time / 0.002) ** 2))
    there = np.concatenate(list(resampled([audio], 44_100, rate)), axis=1)
    assert abs(int(there[0].argmax()) / rate - 0.5) <= 0.5 / rate
    back = np.concatenate(list(resampled([there], rate, 44_100)), axis=1)
    np.testing.assert_allclose(back[:, 1_000:43_000], audio[:, 1_000:43_000], atol=1e-4)


def test_resampled_lengths_are_rounded_and_never_nothing() -> None:
    assert resampled_length(192_000, 192_000, 44_100) == 44_100
    assert resampled_length(2, 192_000, 44_100) == 1
    assert resampled_length(3, 44_100, 44_100) == 3


@pytest.mark.parametrize("size", [1, 2, 7, 64])
@pytest.mark.parametrize("total", [5, 100, 137])
def test_exact_blocks_cut_and_fill(size: int, total: int) -> None:
    audio = np.arange(1.0, 201.0, dtype=np.float32).reshape(2, 100)
    blocks = list(exact_blocks(pieces_of(audio, 9), size, total))
    assert {block.shape[1] for block in blocks[:-1]} <= {size}
    joined = np.concatenate(blocks, axis=1)
    assert joined.shape == (2, total)
    np.testing.assert_array_equal(joined[:, :100], audio[:, :total])
    assert not joined[:, 100:].any()


def test_the_gain_below_full_scale_is_as_small_as_it_may_be() -> None:
    assert gain_below_full_scale_db(0.99) == 0.0
    assert gain_below_full_scale_db(2.0) == pytest.approx(-6.03)
    assert 2.0 * 10 ** (gain_below_full_scale_db(2.0) / 20) < 1.0


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.aiff", "a.ogg", "a.mp3"])
def test_whole_files_miss_nothing(tmp_path: Path, name: str) -> None:
    assert missing_bytes(write(tmp_path / name, voice(0.3))) == 0


def test_a_wav_from_a_pipe_with_no_length_is_read_to_its_end(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", voice(0.1))
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"data") + 4 : raw.index(b"data") + 8] = b"\xff\xff\xff\xff"
    path.write_bytes(raw)
    assert missing_bytes(path) == 0


def test_a_changed_byte_inside_a_flac_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.flac", voice(0.5) + 0.1 * np.random.default_rng(0).standard_normal((2, 22_050)))
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 0x10
    path.write_bytes(raw)
    with pytest.raises(UserError, match=r"a.flac: is damaged"):
        read_stereo(path, 44_100)
