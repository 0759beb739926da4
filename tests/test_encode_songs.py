import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from engine.bundle import Bundle
from engine.codec import encode
from engine.features import features_of
from engine.geometry import SAMPLE_RATE_HZ
from tests.folders_support import grid, stems_of, stereo, write_stems
from training.denoiser.songs import load_songs, load_statistics
from training.encode_songs import encode_folder, main

BUNDLE = Path(__file__).parents[1] / "presets" / "factory-bundle"


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one song folder of four seconds."""
    folder = tmp_path_factory.mktemp("songs")
    stems = {name: stereo(audio).T for name, audio in stems_of(grid(120.0, 8), seconds=4.0).items()}
    write_stems(folder / "song", stems, suffix=".flac")
    facts = {"tempo_map": [[0, 120]], "time_signatures": [[0, 4, 4]], "split": "train", "style": None, "key": None}
    (folder / "song" / "song.json").write_text(json.dumps(facts))
    return folder


def test_latents_are_those_of_the_bundles_encoder(songs: Path, tmp_path: Path) -> None:
    out = tmp_path / "latents"
    assert main(["--bundle", str(BUNDLE), "--songs", str(songs), "--out", str(out), "--workers", "1"]) == 0
    bundle = Bundle.load(BUNDLE, threads=1)
    audio = {name: soundfile.read(songs / "song" / f"{name}.flac", dtype="float32")[0].T for name in ("vocals", "bass")}
    with np.load(out / "song.npz") as arrays:
        held = {name: arrays[name] for name in arrays.files}
    frames = held["latents"].shape[-1]
    assert frames == pytest.approx(4.0 * SAMPLE_RATE_HZ / 2048, abs=1)
    for row, name in ((0, "vocals"), (2, "bass")):
        wanted = encode(bundle, np.ascontiguousarray(audio[name])).latents
        assert held["latents"][row] == pytest.approx(wanted, abs=4e-3 * float(np.abs(wanted).max()))
    assert held["pitch"] == pytest.approx(features_of(np.ascontiguousarray(audio["vocals"])).pitch, abs=1e-3)
    statistics = load_statistics(out)
    assert np.array_equal(statistics.std, bundle.latent_std)
    (song,) = load_songs(out, statistics)
    assert song.frames == frames


def test_latents_that_are_there_are_kept_and_those_of_another_bundle_refused(
    songs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--bundle", str(BUNDLE), "--songs", str(songs), "--out", str(tmp_path), "--workers", "1"]
    (tmp_path / "song.npz").write_bytes(b"made before")
    assert main(words) == 0
    assert (tmp_path / "song.npz").read_bytes() == b"made before"
    np.savez(tmp_path / "statistics.npz", mean=np.zeros(64, np.float32), std=np.ones(64, np.float32))
    assert main(words) == 2
    assert "latents of another bundle" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "rate_hz", "channels", "reason"),
    [("bass.flac", 48_000, 2, "48000 Hz"), ("bass.flac", 44_100, 1, "1 channels"), ("", 0, 0, r"no bass\.flac")],
)
def test_a_song_that_is_no_song_folder_is_named(
    songs: Path, tmp_path: Path, name: str, rate_hz: int, channels: int, reason: str
) -> None:
    folder = tmp_path / "song"
    shutil.copytree(songs / "song", folder)
    (folder / "bass.flac").unlink()
    if name:
        soundfile.write(folder / name, np.zeros((44_100, channels)), rate_hz)
    with pytest.raises(ValueError, match=reason):
        encode_folder(Bundle.load(BUNDLE, threads=1), folder, tmp_path / "song.npz")
    assert not (tmp_path / "song.npz").exists()


def test_a_folder_without_songs_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "songs").mkdir()
    assert main(["--bundle", str(BUNDLE), "--songs", str(tmp_path / "songs"), "--out", str(tmp_path / "out")]) == 2
    assert "python -m training.folders" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
