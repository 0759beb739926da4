"""`backline bounce` end to end over a stand-in for the engine: lengths, the sum, presets, keeping, repeating."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bridge.audio_files import read_stereo
from engine.geometry import SAMPLE_RATE_HZ, STEMS
from tests.bridge_support import Studio, read_wave, voice, write, write_wave

TRACKS = (*STEMS, "vocal")


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Studio:
    return Studio(tmp_path, monkeypatch)


def test_writes_stems_mix_and_session_as_long_as_the_vocal(studio: Studio) -> None:
    vocal = studio.sing(seconds=1.2345)
    assert studio.bounce(vocal) == 0
    out = studio.folder / "out"
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [*(f"{t}.wav" for t in TRACKS), "mix.wav", "session.json"]
    )
    length = read_wave(vocal).shape
    assert {read_wave(path).shape for path in out.glob("*.wav")} == {length}
    assert studio.leftovers() == ["out"]


@pytest.mark.parametrize("bits", [16, 24])
def test_mix_is_the_integer_sum_of_stems_and_the_untouched_vocal(studio: Studio, bits: int) -> None:
    vocal = studio.sing(bits=bits)
    assert studio.bounce(vocal) == 0
    tracks = {name: read_wave(studio.folder / "out" / f"{name}.wav") for name in (*TRACKS, "mix")}
    original = read_wave(vocal) << (24 - bits)
    np.testing.assert_array_equal(tracks["vocal"], original)
    np.testing.assert_array_equal(tracks["mix"], sum(tracks[name] for name in TRACKS))


def test_a_mix_that_would_clip_is_lowered_as_a_whole_and_still_the_sum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    studio = Studio(tmp_path, monkeypatch, level=0.9)
    assert studio.bounce(studio.sing(level=0.9)) == 0
    assert "lowered" in capsys.readouterr().err
    tracks = {name: read_wave(tmp_path / "out" / f"{name}.wav") for name in (*TRACKS, "mix")}
    np.testing.assert_array_equal(tracks["mix"], sum(tracks[name] for name in TRACKS))
    assert np.abs(tracks["mix"]).max() < 2**23 - 1
    headroom_db = json.loads((tmp_path / "out" / "session.json").read_text())["headroom_db"]
    expected = read_wave(tmp_path / "vocal.wav") * 256 * 10 ** (headroom_db / 20)
    np.testing.assert_allclose(tracks["vocal"], expected, atol=0.51)


@pytest.mark.parametrize(
    ("name", "rate", "channels"),
    [
        ("a.wav", 8_000, 1),
        ("a.wav", 192_000, 2),
        ("a.wav", 48_000, 8),
        ("a.flac", 96_000, 6),
        ("a.aiff", 22_050, 3),
        ("a.ogg", 44_100, 1),
        ("a.mp3", 44_100, 2),
    ],
)
def test_any_rate_channel_count_and_format_gives_files_that_line_up(
    studio: Studio, name: str, rate: int, channels: int
) -> None:
    vocal = write(studio.folder / name, voice(0.7, rate, channels), rate)
    assert studio.bounce(vocal) == 0
    length = read_stereo(vocal, rate).shape
    assert {read_wave(path).shape for path in (studio.folder / "out").glob("*.wav")} == {length}
    heard = studio.calls[0].vocal
    assert heard.shape == (2, round(length[1] * SAMPLE_RATE_HZ / rate))
    assert heard.dtype == np.float32
    assert np.abs(heard).max() > 0.05


def test_other_output_rate_and_flac(studio: Studio) -> None:
    vocal = studio.sing(rate=44_100, seconds=0.5)
    assert studio.bounce(vocal, "--rate", 48000, "--format", "flac") == 0
    shapes = {read_stereo(path, 48_000).shape for path in (studio.folder / "out").glob("*.flac")}
    assert shapes == {(2, 24_000)}


@pytest.mark.parametrize("samples", [2, 17, 1_000])
def test_a_fraction_of_a_bar(studio: Studio, samples: int) -> None:
    vocal = write(studio.folder / "short.wav", voice(samples / 44_100))
    assert studio.bounce(vocal) == 0
    assert read_wave(studio.folder / "out" / "mix.wav").shape == (2, samples)


@pytest.mark.parametrize(("level", "warning"), [(0.0, "silent"), (0.001, "quiet"), (4.0, "clipped")])
def test_unusual_levels_are_bounced_with_a_warning(
    studio: Studio, capsys: pytest.CaptureFixture[str], level: float, warning: str
) -> None:
    assert studio.bounce(studio.sing(level=level)) == 0
    assert warning in capsys.readouterr().err
    heard = studio.calls[0].vocal
    assert np.abs(heard).max() == pytest.approx({0.0: 0.0, 0.001: 0.5, 4.0: 1.0}[level], abs=0.02)


def test_float_vocal_over_full_scale_lowers_everything(studio: Studio, capsys: pytest.CaptureFixture[str]) -> None:
    vocal = write(studio.folder / "hot.wav", voice(0.5, level=2.5), bits=32)
    assert studio.bounce(vocal) == 0
    assert "over full scale" in capsys.readouterr().err
    tracks = {name: read_wave(studio.folder / "out" / f"{name}.wav") for name in (*TRACKS, "mix")}
    np.testing.assert_array_equal(tracks["mix"], sum(tracks[name] for name in TRACKS))


def test_choices_reach_the_engine(studio: Studio) -> None:
    words = ("--style", "funk", "--key", "A minor", "--stems", "bass,drums", "--steps", 4, "--guidance", 3, "--seed", 7)
    assert studio.bounce(studio.sing(), *words, "--time-signature", "3/4", "--first-beat", 0.5, tempo=92) == 0
    call = studio.calls[0]
    assert (call.wish.style, call.wish.key and call.wish.key.name) == ("funk", "A minor")
    assert (call.wish.stems, call.wish.steps, call.wish.guidance_scale, call.wish.seed) == (
        ("drums", "bass"),
        4,
        3.0,
        7,
    )
    assert call.timeline.tempos == ((0.0, 92.0),)
    assert call.timeline.time_signatures == ((0.0, 3, 4),)
    assert call.timeline.first_beat_sample == 22_050
    assert not (studio.folder / "out" / "other.wav").exists()


def test_the_bundle_says_steps_and_guidance_unless_the_preset_or_the_call_does(studio: Studio) -> None:
    vocal = studio.sing()
    assert studio.bounce(vocal, out="out1") == 0
    assert studio.bounce(vocal, "--preset", "late-lounge", "--steps", 3, out="out2") == 0
    first, second = (call.wish for call in studio.calls)
    assert (first.style, first.steps, first.guidance_scale) == (None, 6, 1.5)
    assert (second.style, second.steps) == ("jazz-swing", 3)


def test_a_preset_shapes_tracks_and_makes_a_master_while_the_mix_stays_the_sum(studio: Studio) -> None:
    vocal = studio.sing()
    assert studio.bounce(vocal, "--preset", "night-drive", "--dry") == 0
    assert studio.bounce(vocal, "--style", "electronic", out="out-plain") == 0
    out = studio.folder / "out"
    tracks = {name: read_wave(out / f"{name}.wav") for name in (*TRACKS, "mix", "master")}
    np.testing.assert_array_equal(tracks["mix"], sum(tracks[name] for name in TRACKS))
    assert tracks["master"].shape == tracks["mix"].shape
    for stem in STEMS:
        plain = read_wave(studio.folder / "out-plain" / f"{stem}.wav")
        assert np.abs(tracks[stem] - plain).max() > 2**23 * 0.01
        np.testing.assert_array_equal(read_wave(out / "dry" / f"{stem}.wav"), plain)


def test_keeping_a_take_changes_only_the_wanted_bars_of_the_wanted_stem(studio: Studio) -> None:
    vocal = studio.sing(seconds=9.0)
    assert studio.bounce(vocal, out="out1") == 0
    keep = studio.folder / "out1"
    words = ("--keep", keep, "--from-bar", 2, "--to-bar", 3, "--stems", "drums", "--seed", 5)
    assert studio.bounce(vocal, *words, out="out2") == 0
    before = {stem: read_wave(keep / f"{stem}.wav") for stem in STEMS}
    after = {stem: read_wave(studio.folder / "out2" / f"{stem}.wav") for stem in STEMS}
    bar = 2 * SAMPLE_RATE_HZ
    np.testing.assert_array_equal(after["bass"], before["bass"])
    np.testing.assert_array_equal(after["drums"][:, :bar], before["drums"][:, :bar])
    np.testing.assert_array_equal(after["drums"][:, 3 * bar :], before["drums"][:, 3 * bar :])
    changed = np.abs(after["drums"] - before["drums"])[:, bar : 3 * bar]
    assert (changed.max(axis=0) > 0).mean() > 0.99


def test_keeping_a_take_with_effects_uses_its_dry_stems_or_asks_for_them(
    studio: Studio, capsys: pytest.CaptureFixture[str]
) -> None:
    vocal = studio.sing()
    assert studio.bounce(vocal, "--preset", "garage-rock", out="out1") == 0
    assert studio.bounce(vocal, "--keep", studio.folder / "out1", out="out2") == 2
    assert "--dry" in capsys.readouterr().err
    assert studio.bounce("--session", studio.folder / "out1", "--dry", out="out3", tempo=None) == 0
    assert studio.bounce(vocal, "--keep", studio.folder / "out3", "--stems", "drums", out="out4") == 0
    kept = studio.calls[-1].kept
    assert kept is not None
    np.testing.assert_array_equal(kept.stems["bass"], read_stereo(studio.folder / "out3" / "dry" / "bass.wav", 44_100))


def test_a_session_makes_the_same_bounce_again_bit_for_bit(studio: Studio, capsys: pytest.CaptureFixture[str]) -> None:
    vocal = studio.sing(rate=48_000)
    words = ("--preset", "radio-pop", "--seed", 11, "--key", "Eb", "--format", "flac", "--dry")
    assert studio.bounce(vocal, *words, out="out1", tempo=92.5) == 0
    session = studio.folder / "out1" / "session.json"
    assert studio.bounce("--session", session, out="out2", tempo=None) == 0
    assert "bit for bit" in capsys.readouterr().out
    first = {path.relative_to(session.parent): path.read_bytes() for path in session.parent.rglob("*.*")}
    again = {
        path.relative_to(studio.folder / "out2"): path.read_bytes() for path in (studio.folder / "out2").rglob("*.*")
    }
    assert first == again


def test_a_session_refuses_another_vocal_or_bundle(studio: Studio, capsys: pytest.CaptureFixture[str]) -> None:
    assert studio.bounce(studio.sing(), out="out1") == 0
    session = studio.folder / "out1" / "session.json"
    other = studio.sing("other.wav", level=0.1)
    assert studio.bounce(other, "--session", session, out="out2", tempo=None) == 2
    assert "vocal is not the one of the session" in capsys.readouterr().err
    (studio.bundle / "manifest.json").write_text("{ }", encoding="utf-8")
    assert studio.bounce("--session", session, out="out2", tempo=None) == 2
    assert "bundle is not the one of the session" in capsys.readouterr().err
    assert studio.leftovers() == ["out1"]


def test_overwrite_replaces_an_earlier_bounce(studio: Studio) -> None:
    vocal = studio.sing()
    assert studio.bounce(vocal) == 0
    before = read_wave(studio.folder / "out" / "drums.wav")
    assert studio.bounce(vocal, "--seed", 1, "--overwrite") == 0
    assert not np.array_equal(before, read_wave(studio.folder / "out" / "drums.wav"))
    assert studio.leftovers() == ["out"]


def test_missing_parents_of_the_output_are_made(studio: Studio) -> None:
    assert studio.bounce(studio.sing(), out="out/a/b") == 0
    assert (studio.folder / "out" / "a" / "b" / "mix.wav").is_file()


def test_full_scale_negative_samples_survive(studio: Studio) -> None:
    studio.level = 0.0
    integers = np.tile(np.array([[-32_768, 32_767, 0, 1, -1]]), (2, 100))
    vocal = write_wave(studio.folder / "square.wav", integers, 44_100, 16)
    assert studio.bounce(vocal) == 0
    written = read_wave(studio.folder / "out" / "vocal.wav")
    np.testing.assert_allclose(written, integers * 256, rtol=2e-3, atol=1)
