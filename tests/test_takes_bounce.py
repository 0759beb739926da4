"""A take, played by hand on the factory bundle, comes back from its log to the bit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bridge.cli import main
from bridge.errors import UserError
from bridge.live.quantum import Voice
from bridge.live.take_bounce import REPORT_FILE, TakeBounceOptions, TakeBundle, bounce_take
from bridge.live.take_decoding import RollDecoder, heard_mix, heard_stems
from bridge.live.take_index import read_index
from bridge.live.take_log import TakeLog
from bridge.live.take_records import LATENTS_FILE, LOG_FILE, ChunkLine, MoreLine, QuantumLine, read_lines
from bridge.live.take_store import make_take_folder
from bridge.rendering import quantised
from engine.geometry import STEMS
from tests.bridge_support import read_wave
from tests.takes_support import NOW, Array, Stage, header_of, load_bundle, perform

EXACT = TakeBounceOptions(floating=True)


@pytest.fixture(scope="module")
def bundle() -> TakeBundle:
    return load_bundle()


@pytest.fixture(scope="module")
def played(bundle: TakeBundle, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Array]:
    """Return the folder in which take `song` lies, and what was heard."""
    root = tmp_path_factory.mktemp("takes")
    folder = root / "song"
    folder.mkdir()
    log = TakeLog(folder, header_of(bundle.sha256))
    stage = Stage(bundle, log)
    perform(stage)
    log.close()
    assert not log.broken
    return root, stage.all_heard


def floats(path: Path) -> Array:
    """Return (2, samples) of a float file, read by another library."""
    assert soundfile.info(path).subtype == "FLOAT"
    audio: Array = soundfile.read(path, dtype="float32")[0].T
    return audio


def test_stems_and_mix_are_what_was_heard_to_the_bit(
    bundle: TakeBundle, played: tuple[Path, Array], tmp_path: Path
) -> None:
    root, heard = played
    shares: list[float] = []
    report = bounce_take("song", tmp_path / "out", bundle, EXACT, shares.append, root=root)
    assert report.exact
    assert report.samples == heard.shape[2]
    assert np.abs(heard).max() > 0.01
    for row, stem in enumerate(STEMS):
        assert floats(tmp_path / "out" / f"{stem}.wav").tobytes() == heard[row].tobytes()
    assert floats(tmp_path / "out" / "mix.wav").tobytes() == heard_mix(heard).tobytes()
    assert shares[-1] == 1.0
    assert shares == sorted(shares)


def test_all_ways_into_a_chunk_are_in_the_take(played: tuple[Path, Array]) -> None:
    lines = list(read_lines(played[0] / "song"))
    chunks = [line for line in lines if isinstance(line, ChunkLine)]
    assert [chunk.continues for chunk in chunks] == [False, True, True, True, False, False, True]
    assert [chunk.sampled for chunk in chunks] == [True, True, True, True, True, False, True]
    assert [bool(chunk.conditions_sha256) for chunk in chunks] == [chunk.sampled for chunk in chunks]
    assert [len(chunk.reseeds) for chunk in chunks] == [0, 0, 1, 2, 2, 2, 2]
    assert all(chunk.seed == 11 and chunk.style == "funk" for chunk in chunks)
    assert [line.number for line in lines if isinstance(line, MoreLine)] == [3, 3, 3]


def test_steady_stretches_are_one_line_each(played: tuple[Path, Array]) -> None:
    lines = [line for line in read_lines(played[0] / "song") if isinstance(line, QuantumLine)]
    assert lines[0].samples == 24 * 512
    assert len(lines) < 40


def test_files_of_24_bits_hold_the_rounded_stems_and_their_sum(
    bundle: TakeBundle, played: tuple[Path, Array], tmp_path: Path
) -> None:
    root, heard = played
    bounce_take("song", tmp_path / "out", bundle, TakeBounceOptions(), root=root)
    stems = [read_wave(tmp_path / "out" / f"{stem}.wav") for stem in STEMS]
    assert all(np.array_equal(stem, quantised(heard[row], 1.0)) for row, stem in enumerate(stems))
    assert np.array_equal(read_wave(tmp_path / "out" / "mix.wav"), np.clip(sum(stems), -(1 << 23), (1 << 23) - 1))
    report = json.loads((tmp_path / "out" / REPORT_FILE).read_text(encoding="utf-8"))
    assert report["exact"] is True
    assert sorted(report["files"]) == ["bass.wav", "drums.wav", "mix.wav", "other.wav"]


def test_another_rate_format_and_the_mix_alone(bundle: TakeBundle, played: tuple[Path, Array], tmp_path: Path) -> None:
    root, heard = played
    bounce_take("song", tmp_path / "out", bundle, TakeBounceOptions("flac", 48_000, mix_only=True), root=root)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [REPORT_FILE, "mix.flac"]
    facts = soundfile.info(tmp_path / "out" / "mix.flac")
    assert facts.samplerate == 48_000
    assert abs(facts.frames - heard.shape[2] * 48_000 / 44_100) < 2


def test_a_part_is_decoded_without_what_was_before(bundle: TakeBundle, tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    log = TakeLog(folder, header_of(bundle.sha256))
    stage = Stage(bundle, log)
    stage.play_on(stage.make(0), 0.0, 20)
    for _ in range(200):
        stage.play(512)
    before = len(stage.heard)
    second = stage.make(40)
    stage.play_on(second, 40 * 2048.0, 20)
    log.close()
    index = read_index(folder)
    assert [part.start_sample for part in index.parts] == [0, 220 * 512]
    decoder = RollDecoder(bundle.model, index)
    heard = np.concatenate(list(heard_stems(decoder, index.parts[1])), axis=2)
    assert heard.tobytes() == np.concatenate(stage.heard[before:], axis=2).tobytes()
    report = bounce_take("parts", tmp_path / "out", bundle, TakeBounceOptions(part=2), root=tmp_path)
    assert report.samples == 20 * 512
    with pytest.raises(UserError, match="has no part 3"):
        bounce_take("parts", tmp_path / "no", bundle, TakeBounceOptions(part=3), root=tmp_path)


@pytest.mark.parametrize("lost_bytes", [1, 200, 3_000])
def test_a_take_that_was_cut_off_comes_back_up_to_the_last_line(
    bundle: TakeBundle, played: tuple[Path, Array], tmp_path: Path, lost_bytes: int
) -> None:
    root, heard = played
    shutil.copytree(root / "song", tmp_path / "cut")
    with (tmp_path / "cut" / LOG_FILE).open("rb+") as file:
        file.truncate((root / "song" / LOG_FILE).stat().st_size - lost_bytes)
    report = bounce_take("cut", tmp_path / "out", bundle, EXACT, root=tmp_path)
    assert 0 < report.samples < heard.shape[2]
    assert not report.differing
    for row, stem in enumerate(STEMS):
        sound = floats(tmp_path / "out" / f"{stem}.wav")
        assert sound.tobytes() == heard[row, :, : report.samples].tobytes()


def test_latents_that_are_cut_off_end_it_and_it_says_so(
    bundle: TakeBundle, played: tuple[Path, Array], tmp_path: Path
) -> None:
    root, heard = played
    shutil.copytree(root / "song", tmp_path / "cut")
    with (tmp_path / "cut" / LATENTS_FILE).open("rb+") as file:
        file.truncate(30_000)
    report = bounce_take("cut", tmp_path / "out", bundle, EXACT, root=tmp_path)
    assert report.ended == "chunk 3 was played beyond what is in the log"
    assert 0 < report.samples < heard.shape[2]
    assert floats(tmp_path / "out" / "bass.wav").tobytes() == heard[1, :, : report.samples].tobytes()


def test_a_damaged_line_ends_it_and_it_says_so(bundle: TakeBundle, played: tuple[Path, Array], tmp_path: Path) -> None:
    root, heard = played
    shutil.copytree(root / "song", tmp_path / "bad")
    lines = (root / "song" / LOG_FILE).read_bytes().splitlines(keepends=True)
    lines[6] = lines[6].replace(b"kind", b"kimd")
    (tmp_path / "bad" / LOG_FILE).write_bytes(b"".join(lines))
    report = bounce_take("bad", tmp_path / "out", bundle, EXACT, root=tmp_path)
    assert report.ended == "line 7 of log.jsonl is damaged"
    assert floats(tmp_path / "out" / "drums.wav").tobytes() == heard[0, :, : report.samples].tobytes()


def test_changed_latents_are_noticed(bundle: TakeBundle, played: tuple[Path, Array], tmp_path: Path) -> None:
    root, _ = played
    shutil.copytree(root / "song", tmp_path / "other")
    with (tmp_path / "other" / LATENTS_FILE).open("rb+") as file:
        file.write(np.full(100, 0.5, "<f4").tobytes())
    report = bounce_take("other", tmp_path / "out", bundle, EXACT, root=tmp_path)
    assert 1 in report.differing
    assert not report.exact


def test_a_quantum_may_come_before_its_chunk(bundle: TakeBundle, tmp_path: Path) -> None:
    folder = make_take_folder(NOW, root=tmp_path)
    log = TakeLog(folder, header_of(bundle.sha256))
    stage = Stage(bundle, log)
    number = stage.make(0, deliver=False)
    stage.play_on(number, 0.0, 2)
    log.step()
    assert read_index(folder).ended == "chunk 1 was played, but is not in the log"
    stage.decode_backup()
    stage.play_on(number, 20 * 2048.0, 1)
    log.step()
    log.delivered(stage.delivery)
    log.close()
    report = bounce_take(folder.name, tmp_path / "out", bundle, EXACT, root=tmp_path)
    assert report.exact
    assert floats(tmp_path / "out" / "other.wav").tobytes() == stage.all_heard[2].tobytes()


def test_a_take_is_bounced_while_it_is_played(bundle: TakeBundle, tmp_path: Path) -> None:
    folder = make_take_folder(NOW, root=tmp_path)
    log = TakeLog(folder, header_of(bundle.sha256))
    stage = Stage(bundle, log)
    at = stage.play_on(stage.make(0), 0.0, 4)
    log.step()
    report = bounce_take("", tmp_path / "out", bundle, EXACT, root=tmp_path)
    assert report.exact
    assert report.samples == 4 * 512
    stage.play_on(1, at, 4)
    log.close()
    assert read_index(folder).whole.samples == 8 * 512


def test_another_bundle_is_refused(bundle: TakeBundle, played: tuple[Path, Array], tmp_path: Path) -> None:
    other = TakeBundle(bundle.model, "0" * 64)
    with pytest.raises(UserError, match="is not the bundle that played this take"):
        bounce_take("song", tmp_path / "out", other, root=played[0])
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "manifest.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match="name that one with --bundle"):
        bounce_take("song", tmp_path / "out", tmp_path / "bundle", root=played[0])
    with pytest.raises(UserError, match="no bundle that can be read"):
        bounce_take("song", tmp_path / "out", tmp_path / "none", root=played[0])
    assert not (tmp_path / "out").exists()


def test_the_command_renders_with_the_bundle_that_it_opens_itself(
    played: tuple[Path, Array], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("platformdirs.user_data_path", lambda *_, **__: tmp_path)
    monkeypatch.delenv("BACKLINE_BUNDLE", raising=False)
    shutil.copytree(played[0] / "song", tmp_path / "takes" / "song")
    assert main(["take", "bounce", "song", "--float", "-o", str(tmp_path / "out")]) == 0
    assert "0:02.1 of take song, as it was heard, to the bit" in capsys.readouterr().out
    assert floats(tmp_path / "out" / "drums.wav").tobytes() == played[1][0].tobytes()


def test_an_earlier_bounce_is_replaced_only_if_allowed(
    bundle: TakeBundle, played: tuple[Path, Array], tmp_path: Path
) -> None:
    root, out = played[0], tmp_path / "out"
    bounce_take("song", out, bundle, TakeBounceOptions(mix_only=True), root=root)
    with pytest.raises(UserError, match="exists already"):
        bounce_take("song", out, bundle, root=root)
    bounce_take("song", out, bundle, TakeBounceOptions("flac", mix_only=True, overwrite=True), root=root)
    assert sorted(path.name for path in out.iterdir()) == [REPORT_FILE, "mix.flac"]
    foreign = tmp_path / "mine"
    foreign.mkdir()
    (foreign / "song.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match="is not replaced"):
        bounce_take("song", foreign, bundle, TakeBounceOptions(overwrite=True), root=root)


def test_what_abandons_a_bounce_leaves_nothing(bundle: TakeBundle, played: tuple[Path, Array], tmp_path: Path) -> None:
    def stop(_share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bounce_take("song", tmp_path / "out", bundle, EXACT, stop, root=played[0])
    assert list(tmp_path.iterdir()) == []


def test_options_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(UserError, match="32-bit float"):
        TakeBounceOptions("flac", floating=True)
    with pytest.raises(UserError, match="choose one of 44100"):
        TakeBounceOptions(rate_hz=22_050)


def test_a_mix_beyond_full_scale_is_cut_off_as_it_was_heard(bundle: TakeBundle, tmp_path: Path) -> None:
    folder = make_take_folder(NOW, root=tmp_path)
    log = TakeLog(folder, header_of(bundle.sha256))
    stage = Stage(bundle, log)
    number = stage.make(0)
    for at in range(20):
        stage.play(512, Voice(number, at * 512.0, 1.0), gains=(60.0, 60.0, 60.0))
    log.close()
    report = bounce_take(folder.name, tmp_path / "out", bundle, EXACT, root=tmp_path)
    mix = floats(tmp_path / "out" / "mix.wav")
    assert np.abs(mix).max() == 1.0
    assert report.clipped["mix"] == int((np.abs(stage.all_heard.sum(axis=0)) > 1.0).sum())
    assert np.abs(floats(tmp_path / "out" / "drums.wav")).max() > 1.0
