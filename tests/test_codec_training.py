"""The codec's training on a made-up corpus: it learns, it resumes, it writes what the next stage needs."""

import copy
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from engine.features import FEATURE_CHANNELS, FEATURE_SLICES
from engine.geometry import LATENT_HOP_SAMPLES, SAMPLE_RATE_HZ
from engine.spectra import CONSTANT_Q_WINDOW_SAMPLES, constant_q, scaled_decibels
from training.codec import bank, features_stage
from training.codec.alignment import align
from training.codec.config import CodecTrainingConfig, StageConfig
from training.codec.data import PreparedSongs
from training.codec.encoder import Encoder
from training.codec.features_stage import CHECKPOINT as FEATURES_CHECKPOINT
from training.codec.features_stage import FeatureAutoencoder, frozen_encoder, train_features
from training.codec.losses import (
    SoundLosses,
    bank_targets,
    chroma_loss,
    feature_losses,
    pitch_profile_loss,
    semitone_losses,
    stft_loss,
)
from training.codec.partials_stage import train_partials
from training.codec.prepare import prepare_song
from training.codec.sound_stage import CHECKPOINT as SOUND_CHECKPOINT
from training.codec.sound_stage import SoundTraining, train_sound
from training.common.checkpoint import load_checkpoint, save_checkpoint
from training.common.configs import load_config
from training.encode_corpus import encode_song, write_statistics

CONFIGS = Path(__file__).parents[1] / "configs"
SECONDS = 3


def write_song(folder: Path, seed: int, split: str) -> None:
    """Write a song of random decaying tones and noise bursts."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for part in ("vocals", "drums", "bass", "other"):
        sound = np.zeros((SECONDS * 44_100, 2))
        for start in rng.integers(0, (SECONDS - 1) * 44_100, 8):
            t = np.arange(22_050) / 44_100
            tone = np.sin(2 * np.pi * 110 * 2 ** (rng.integers(24) / 12) * t)
            burst = rng.standard_normal(22_050) if part == "drums" else tone
            sound[start : start + 22_050] += (0.1 * burst * np.exp(-6 * t))[:, None]
        soundfile.write(folder / f"{part}.flac", np.clip(sound, -1, 1), 44_100)
    (folder / "song.json").write_text(json.dumps({"split": split}))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> CodecTrainingConfig:
    root = tmp_path_factory.mktemp("codec")
    for seed, split in enumerate(("train", "train", "validation")):
        write_song(root / "corpus" / f"song{seed}", seed, split)
        prepare_song(root / "corpus" / f"song{seed}", root / "prepared")
    tiny = load_config(CONFIGS / "codec_tiny.toml", CodecTrainingConfig)
    return dataclasses.replace(tiny, prepared=root / "prepared", run=root / "run")


def test_prepared_arrays_have_their_shapes(config: CodecTrainingConfig) -> None:
    songs = PreparedSongs(config.prepared, "train")
    assert len(songs.songs) == 2
    clips = songs.clips(np.random.default_rng(0), 3, 8, with_audio=True)
    assert clips.features.shape == (3, FEATURE_CHANNELS, 8)
    assert clips.audio.shape == (3, 2, 8 * LATENT_HOP_SAMPLES)
    assert clips.partials.shape == (3, 8, 2, 270)
    assert not clips.partials[clips.part == 1].any()


def test_the_stages_train_and_resume(config: CodecTrainingConfig) -> None:
    train_features(config)
    first = load_checkpoint(config.run / FEATURES_CHECKPOINT, "codec-features")
    longer = dataclasses.replace(config, features=dataclasses.replace(config.features, minutes=0.1))
    train_features(longer)
    second = load_checkpoint(config.run / FEATURES_CHECKPOINT, "codec-features")
    assert second["step"] > first["step"] > 0
    assert second["elapsed"] > first["elapsed"]
    train_partials(config)
    train_sound(config)
    sound = load_checkpoint(config.run / SOUND_CHECKPOINT, "codec-sound")
    assert sound["step"] > 0
    resumed = SoundTraining(config)
    resumed.load(sound)
    assert resumed.step == sound["step"]
    _check_encoding(config)


def _check_encoding(config: CodecTrainingConfig) -> None:
    out = config.run / "latents"
    out.mkdir()
    training = SoundTraining(config)
    for song in sorted(config.prepared.iterdir()):
        encode_song(training.encoder, song, out / f"{song.name}.npz")
    write_statistics(out)
    with np.load(out / "song0.npz") as song, np.load(out / "statistics.npz") as statistics:
        assert song["latents"].shape == (4, 64, SECONDS * 44_100 // LATENT_HOP_SAMPLES)
        assert np.isfinite(song["latents"]).all()
        assert json.loads(str(song["song"]))["split"] == "train"
        assert (statistics["std"] > 0).all()


def test_an_encoder_that_goes_on_from_a_bundle_keeps_its_latents_places(
    config: CodecTrainingConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(3)
    begun = Encoder(config.encoder)
    weights = {f"encoder.{name}": weight.clone() for name, weight in begun.state_dict().items()}
    start = {"kind": "codec-features", "model": weights, "step": 0, "elapsed": 0.0}
    save_checkpoint(tmp_path / FEATURES_CHECKPOINT, start)
    again = dataclasses.replace(config, run=tmp_path)
    train_features(again)
    assert "but for" in capsys.readouterr().out
    done = load_checkpoint(tmp_path / FEATURES_CHECKPOINT, "codec-features")
    assert done["step"] > 0
    train_features(again)
    assert load_checkpoint(tmp_path / FEATURES_CHECKPOINT)["step"] == done["step"], "its minutes are used"
    learned = frozen_encoder(again)
    assert not torch.equal(learned.mix.weight, begun.mix.weight)


def test_a_bundles_encoder_waits_for_the_new_head(
    config: CodecTrainingConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features_stage, "_HEAD_ALONE", (2.0, 3.0))  # beyond the stage's end: for ever
    torch.manual_seed(3)
    save_checkpoint(tmp_path / FEATURES_CHECKPOINT, features_stage.encoder_checkpoint(Encoder(config.encoder)))
    train_features(dataclasses.replace(config, run=tmp_path))
    assert "but for 0.0% of their variance" in capsys.readouterr().out


def test_a_turned_encoder_is_the_other_one_again(config: CodecTrainingConfig) -> None:
    torch.manual_seed(4)
    reference = Encoder(config.encoder)
    turned = copy.deepcopy(reference)
    turned.turn(torch.randn(64, 64) / 8 + torch.eye(64), torch.randn(64))
    songs = PreparedSongs(config.prepared, "train")
    clips = songs.clips(np.random.default_rng(0), 4, 16, with_audio=False)
    given = clips.features, clips.curves, reference.stack.initial_state(4)
    wanted = reference(*given)[0]
    assert (turned(*given)[0] - wanted).abs().max() > 0.5 * wanted.std()
    assert align(turned, reference, songs) < 1e-3
    assert (turned(*given)[0] - wanted).abs().max() < 0.05 * wanted.std()


def test_what_features_are_off_by_is_told_in_decibels_and_by_pitch_class() -> None:
    features = torch.rand(2, FEATURE_CHANNELS, 8, generator=torch.Generator().manual_seed(0))
    tonal = torch.tensor([True, False])
    assert all(float(loss) < 1e-9 for loss in feature_losses(features, features, tonal).values())
    louder = feature_losses(features + 0.1, features, tonal)
    assert float(louder["mel"]) == pytest.approx(8.0, rel=1e-3), "a tenth of 80 dB"
    assert float(louder["chroma"]) < 0.01, "louder is the same pitch"
    moved = features.clone()
    moved[:, FEATURE_SLICES["harmonic"]] = features[:, FEATURE_SLICES["harmonic"]].roll(18, dims=1)
    transposed = feature_losses(moved, features, tonal)
    assert float(transposed["chroma"]) > 0.05
    assert float(transposed["mel"]) == 0.0
    assert float(feature_losses(moved, features, torch.zeros(2, dtype=torch.bool))["chroma"]) == 0.0, "drums"


def test_which_of_two_nearly_equal_pitch_classes_is_the_stronger_one_counts() -> None:
    features = torch.zeros(1, FEATURE_CHANNELS, 4)
    harmonic = features[:, FEATURE_SLICES["harmonic"]]
    harmonic[:, 72], harmonic[:, 84] = 0.80, 0.79  # a C, and an E 0.8 dB softer
    swapped = features.clone()
    swapped[:, FEATURE_SLICES["harmonic"]][:, [72, 84]] = harmonic[:, [84, 72]]
    losses = feature_losses(swapped, features, torch.ones(1, dtype=torch.bool))
    assert 0.0 < 10.0 * float(losses["chroma"]) < float(losses["strongest"])


def test_the_features_loss_falls(config: CodecTrainingConfig) -> None:
    torch.manual_seed(0)
    model = FeatureAutoencoder(config)
    clips = PreparedSongs(config.prepared, "train").clips(np.random.default_rng(0), 8, 8, with_audio=False)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    errors = []
    for _ in range(30):
        features, _, _ = model(clips, torch.zeros(8, 64, 8))
        error = ((features - clips.features) ** 2).mean()
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
        errors.append(float(error.detach()))
    assert errors[-1] < 0.3 * errors[0]


def test_the_decoder_learns_to_sound_like_its_clips(config: CodecTrainingConfig) -> None:
    if not (config.run / FEATURES_CHECKPOINT).exists():
        train_features(config)
        train_partials(config)
    training = SoundTraining(dataclasses.replace(config, sound=StageConfig(learning_rate=3e-3), latent_noise=0.0))
    clips = PreparedSongs(config.prepared, "train").clips(np.random.default_rng(0), 4, 10, with_audio=True)
    losses = [training.train_step(clips, adversarial=False)["mel"] for _ in range(25)]
    assert np.mean(losses[-4:]) < 0.8 * np.mean(losses[:4])
    judged = training.train_step(clips, adversarial=True)
    assert np.isfinite([judged["adversarial"], judged["matching"]]).all()


@pytest.mark.parametrize("weight", [0.0, 0.15])
def test_the_partials_head_learns_from_the_sound_where_it_is_asked_to(
    config: CodecTrainingConfig, weight: float
) -> None:
    if not (config.run / FEATURES_CHECKPOINT).exists():
        train_features(config)
        train_partials(config)
    training = SoundTraining(dataclasses.replace(config, partials_weight=weight))
    before = {name: value.clone() for name, value in training.decoder.partials.state_dict().items()}
    clips = PreparedSongs(config.prepared, "train").clips(np.random.default_rng(0), 4, 10, with_audio=True)
    losses = training.train_step(clips, adversarial=False)
    assert ("bank" in losses) == (weight > 0)
    after = training.decoder.partials.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before) == (weight == 0)
    training.load(training.state())
    kept = training.decoder.partials.state_dict()
    assert all(torch.equal(after[name], kept[name]) for name in before), "what was learned is still there"


def test_losses_are_zero_for_equals_and_not_for_others() -> None:
    torch.manual_seed(0)
    sound = 0.1 * torch.randn(2, 2, 40_960)
    other = 0.1 * torch.randn(2, 2, 40_960)
    losses = SoundLosses()
    assert float(stft_loss(sound[:, 0], sound[:, 0], 512)) == 0
    assert float(stft_loss(sound[:, 0], other[:, 0], 512)) > 0.2
    assert float(losses.mid_mel_loss(sound, sound)) == 0
    assert float(losses.mid_mel_loss(2.0 * sound, sound)) == pytest.approx(np.log(2.0), rel=1e-2)
    assert max(map(float, losses.pitch_losses(sound, sound))) < 1e-6
    assert min(map(float, losses.pitch_losses(sound, other))) > 1e-3
    profile = torch.rand(1, 252, 4)
    assert float(pitch_profile_loss(profile, profile)) == 0
    assert float(pitch_profile_loss(profile.flip(1), profile)) > 1e-3


@pytest.mark.parametrize("number", [8, 21, 60])
def test_a_low_note_needs_no_false_partials_to_have_the_classes_that_are_heard(number: int) -> None:
    """A constant-Q spectrum blurs low notes into other classes; partials octaves higher must not make up for that."""
    hz = bank.frequencies_hz()[number]
    tone = 0.3 * np.cos(2 * np.pi * hz * np.arange(CONSTANT_Q_WINDOW_SAMPLES) / SAMPLE_RATE_HZ).astype(np.float32)
    harmonic = torch.from_numpy(scaled_decibels(constant_q(tone[None])[0]))[None, :, None]

    def loss(amplitudes: dict[int, float]) -> float:
        compressed = torch.zeros(1, 4, bank.OSCILLATORS)
        for oscillator, amplitude in amplitudes.items():
            compressed[..., oscillator] = amplitude**bank.AMPLITUDE_POWER
        return float(chroma_loss(compressed, harmonic))

    right = loss({number: 0.3})
    assert right < 0.02
    assert loss({number: 0.15}) == pytest.approx(right, abs=1e-3)  # shares, not levels
    assert loss({number: 0.3, number + 18 + 4 * bank.OSCILLATORS_PER_OCTAVE: 0.3}) > right + 0.02
    assert loss({number + 9: 0.3}) > right + 0.5


def test_semitone_losses_hear_a_false_octave_and_what_is_too_soft() -> None:
    target = torch.zeros(1, 4, bank.OSCILLATORS)
    target[:, :, 36] = 0.1
    octave = target.clone()
    octave[:, :, 144] = 0.02  # the same pitch class, 14 dB softer
    exact, false, soft, shifted = (
        [float(loss) for loss in semitone_losses(amplitude**bank.AMPLITUDE_POWER, target)]
        for amplitude in (target, octave, 0.5 * target, target.roll(3, dims=2))
    )
    assert exact == pytest.approx([0.0, 0.0, 0.0], abs=1e-3)
    assert false[1] > 0.03
    assert soft[2] == pytest.approx(np.log(2.0), abs=0.01)
    assert soft[0] < 0.01
    assert shifted[0] > 3.0
    assert float(semitone_losses(target**bank.AMPLITUDE_POWER, 0.0 * target)[1]) == 0.0  # silence does not count


def test_bank_targets_are_cut_where_nothing_sounds() -> None:
    frames = 8
    partials = torch.zeros(1, frames, 2, 270)
    partials[:, :, 0, 100] = 0.5
    t = torch.arange(frames * LATENT_HOP_SAMPLES) / 44_100
    tone = 0.5 * torch.sin(2 * torch.pi * 27.5 * 2 ** (100 / 36) * t)
    tone[: 4 * LATENT_HOP_SAMPLES] = 0
    amplitude, _ = bank_targets(partials, tone[None])
    assert float(amplitude[0, :14, 100].max()) < 0.01
    assert float(amplitude[0, 19:30, 100].min()) > 0.4
