"""Vocal packets: PCM in and out, and everything that a packet must not be."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from bridge.hearing.packets import VocalPacket, as_stereo, encode_pcm, parse_pcm


def test_f32_is_read_bit_for_bit() -> None:
    blob = struct.pack("<6f", 0.1, -0.2, 0.3, -0.4, 1.5, -0.0)
    assert np.array_equal(parse_pcm(blob, "f32", 2), np.array([[0.1, 0.3, 1.5], [-0.2, -0.4, -0.0]], np.float32))


def test_i16_is_scaled_by_its_full_scale() -> None:
    samples = parse_pcm(struct.pack("<4h", -32_768, 0, 16_384, 32_767), "i16", 1)
    assert samples.dtype == np.float32
    assert samples.tolist() == [[-1.0, 0.0, 0.5, 32_767 / 32_768]]


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_pcm_goes_out_as_it_comes_in(channels: int) -> None:
    samples = np.random.default_rng(1).uniform(-1, 1, (channels, 50)).astype(np.float32)
    assert np.array_equal(parse_pcm(encode_pcm(samples, "f32"), "f32", channels), samples)
    integers = encode_pcm(samples, "i16")
    assert encode_pcm(parse_pcm(integers, "i16", channels), "i16") == integers
    assert encode_pcm(np.array([[2.0, -2.0]], np.float32), "i16") == struct.pack("<2h", 32_767, -32_768)


@pytest.mark.parametrize(
    ("blob", "pcm_format", "channels", "complaint"),
    [
        (b"", "f32", 1, "at least one"),
        (b"\0" * 7, "f32", 1, "whole number of 4-byte instants"),
        (b"\0" * 6, "i16", 2, "whole number of 4-byte instants"),
        (b"\0" * 8, "f64", 1, "send one of f32, i16"),
        (b"\0" * 8, "f32", 0, "send 1 to 8"),
        (b"\0" * 8, "f32", 1_000_000_000, "send 1 to 8"),
        (b"\0" * (2 * 65_537), "i16", 1, "at most 65536"),
    ],
)
def test_bytes_that_do_not_fit_are_refused(blob: bytes, pcm_format: str, channels: int, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_pcm(blob, pcm_format, channels)


@pytest.mark.parametrize(
    ("host_sample", "rate_hz", "samples", "complaint"),
    [
        (0, 7_999, np.zeros((1, 4), np.float32), "rate 7999 Hz"),
        (0, 384_001, np.zeros((1, 4), np.float32), "rate 384001 Hz"),
        (-(1 << 48) - 1, 48_000, np.zeros((1, 4), np.float32), "song_sample"),
        (0, 48_000, np.zeros((1, 4), np.float64), "expected"),
        (0, 48_000, np.zeros(4, np.float32), "expected"),
        (0, 48_000, np.zeros((0, 4), np.float32), "0 channels"),
        (0, 48_000, np.zeros((9, 4), np.float32), "9 channels"),
        (0, 48_000, np.zeros((1, 0), np.float32), "0 samples"),
        (0, 8_000, np.zeros((1, 8_001), np.float32), "at most 1 s"),
        (0, 48_000, np.array([[0.0, np.nan]], np.float32), "finite"),
        (0, 48_000, np.array([[0.0, -np.inf]], np.float32), "finite"),
        (0, 48_000, np.array([[0.0, 1e9]], np.float32), "1.0 is full scale"),
    ],
)
def test_impossible_packets_are_refused(host_sample: int, rate_hz: int, samples: object, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        VocalPacket(1, 0, host_sample, rate_hz, samples)  # type: ignore[arg-type]


def test_a_packet_from_the_contract_s_arguments() -> None:
    packet = VocalPacket.from_pcm(3, -1, -480, 48_000, 1, "i16", struct.pack("<2h", 16_384, -16_384))
    assert (packet.stream, packet.sequence, packet.host_sample, packet.rate_hz) == (3, -1, -480, 48_000)
    assert packet.samples.tolist() == [[0.5, -0.5]]


def test_every_channel_count_becomes_stereo() -> None:
    mono = np.array([[0.25, -0.5]], np.float32)
    assert np.array_equal(as_stereo(mono), np.vstack((mono, mono)))
    stereo = np.array([[0.1, 0.2], [0.3, 0.4]], np.float32)
    assert np.array_equal(as_stereo(stereo), stereo)
    assert as_stereo(np.ones((6, 5), np.float32)).shape == (2, 5)
    assert float(np.abs(as_stereo(np.ones((6, 5), np.float32))).max()) <= 1.0
