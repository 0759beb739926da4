"""The codec: streamed equals whole, sine in sine out, features and targets that say what they should."""

import numpy as np
import pytest
import torch

from engine import codec
from engine.expander import Expander
from engine.features import FEATURE_SLICES, FeatureState, features_of, features_step
from engine.geometry import LATENT_HOP_SAMPLES, SPECTRA_PER_FRAME, SPECTRUM_BINS
from engine.spectra import Array
from training.codec import bank
from training.codec.decoder import NOISE_BANDS, PAN_BANDS, Decoder, DecoderConfig, SpectrumParts
from training.codec.encoder import Encoder, EncoderConfig
from training.codec.model import DecoderGraph, EncoderGraph
from training.codec.synthesis import inverse_stft
from training.codec.targets import partials

BLOCKS = (1, 2, 7, 64)


class TorchGraphs:
    """A tiny codec with random weights behind the engine's interface."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.encoder = EncoderGraph(Encoder(EncoderConfig(token_width=16, heads=2, width=24))).eval()
        config = DecoderConfig(slow_width=16, slow_blocks=1, fast_width=16, fast_blocks=2, expansion=2)
        self.decoder = DecoderGraph(Decoder(config)).eval()
        with torch.no_grad():  # random weights start at -60 dB; make them loud
            self.decoder.decoder.out.weight *= 20

    @torch.no_grad()
    def run_encoder(self, features: Array, curves: Array, states: codec.States) -> tuple[Array, codec.States]:
        latents, state = self.encoder(*map(torch.from_numpy, (features, curves, states["state"])))
        return latents.numpy(), {"state": state.numpy()}

    @torch.no_grad()
    def run_decoder(self, latents: Array, noise: Array, states: codec.States) -> tuple[Array, codec.States]:
        values = (np.ascontiguousarray(x) for x in (latents, noise, *states.values()))
        spectrum, *new = self.decoder(*map(torch.from_numpy, values))
        return spectrum.numpy(), dict(zip(states, (x.numpy() for x in new), strict=True))

    def encoder_states(self, batch: int) -> codec.States:
        return {"state": self.encoder.encoder.stack.initial_state(batch).numpy()}

    def decoder_states(self, batch: int) -> codec.States:
        states = (state.numpy() for state in self.decoder.decoder.initial_state(batch))
        return dict(zip(("held", "slow", "fast", "phase"), states, strict=True))


@pytest.fixture(scope="module")
def graphs() -> TorchGraphs:
    return TorchGraphs()


def noise_audio(seconds: float) -> np.ndarray:
    rng = np.random.default_rng(3)
    return (0.1 * rng.standard_normal((2, round(44_100 * seconds)))).astype(np.float32)


@pytest.mark.parametrize("block_frames", BLOCKS)
def test_decoder_streamed_equals_whole(graphs: TorchGraphs, block_frames: int) -> None:
    frames = 70
    latents = np.random.default_rng(1).standard_normal((2, 64, frames)).astype(np.float32)
    whole = codec.decode(graphs, latents, frames * LATENT_HOP_SAMPLES)
    state, pieces = codec.DecoderState.initial(graphs, 2), []
    flushed = np.concatenate([latents, np.repeat(latents[:, :, -1:], codec.DECODER_LOOKAHEAD_FRAMES, axis=2)], axis=2)
    for first in range(0, flushed.shape[2], block_frames):
        piece, state = codec.decode_step(graphs, flushed[:, :, first : first + block_frames], state)
        pieces.append(piece)
    streamed = np.concatenate(pieces, axis=2)[:, :, : whole.shape[2]]
    assert streamed.shape == whole.shape
    assert np.abs(whole).max() > 0.01
    np.testing.assert_allclose(streamed, whole, atol=2e-4 * np.abs(whole).max())


@pytest.mark.parametrize("block_frames", BLOCKS)
def test_decoder_streamed_equals_whole_when_expanded(graphs: TorchGraphs, block_frames: int) -> None:
    frames, expander = 40, Expander({"drums": (20.0, 2.0)}, ("drums", "bass"))  # random weights play loud
    latents = np.random.default_rng(1).standard_normal((2, 64, frames)).astype(np.float32)
    plain = codec.decode(graphs, latents, frames * LATENT_HOP_SAMPLES)
    whole = codec.decode(graphs, latents, frames * LATENT_HOP_SAMPLES, expander=expander)
    assert np.square(whole[0]).sum() < 0.9 * np.square(plain[0]).sum()
    np.testing.assert_array_equal(whole[1], plain[1])
    state, pieces = codec.DecoderState.initial(graphs, 2), []
    for first in range(0, frames, block_frames):
        piece, state = codec.decode_step(graphs, latents[:, :, first : first + block_frames], state, expander)
        pieces.append(piece)
    streamed = np.concatenate(pieces, axis=2)
    np.testing.assert_allclose(streamed, whole[:, :, : streamed.shape[2]], atol=2e-4 * np.abs(whole).max())


def test_a_decoder_that_forgets_its_state_is_noticed(graphs: TorchGraphs) -> None:
    latents = np.random.default_rng(1).standard_normal((1, 64, 32)).astype(np.float32)
    whole = codec.decode(graphs, latents, 32 * LATENT_HOP_SAMPLES)
    halves = [codec.decode(graphs, part, 16 * LATENT_HOP_SAMPLES) for part in np.split(latents, 2, axis=2)]
    assert np.abs(np.concatenate(halves, axis=2) - whole).max() > 0.02 * np.abs(whole).max()


def test_decoder_declares_its_lookahead(graphs: TorchGraphs) -> None:
    rng = np.random.default_rng(2)
    latents = rng.standard_normal((1, 64, 24)).astype(np.float32)
    changed = latents.copy()
    changed[:, :, 12:] = rng.standard_normal((1, 64, 12))
    a, b = (codec.decode(graphs, x, 24 * LATENT_HOP_SAMPLES) for x in (latents, changed))
    first_difference = np.flatnonzero(np.abs(a - b).max(axis=(0, 1)) > 1e-7)[0]
    assert first_difference >= (12 - codec.DECODER_LOOKAHEAD_FRAMES) * LATENT_HOP_SAMPLES
    assert first_difference < 12 * LATENT_HOP_SAMPLES


@pytest.mark.parametrize("block_samples", [700, 2_048, 5_000])
def test_encoder_streamed_equals_whole(graphs: TorchGraphs, block_samples: int) -> None:
    audio = noise_audio(1.2)
    whole = codec.encode(graphs, audio)
    state, pieces = codec.EncoderState.initial(graphs), []
    for first in range(0, audio.shape[1], block_samples):
        piece, state = codec.encode_step(graphs, audio[:, first : first + block_samples], state)
        pieces.append(piece)
    streamed = np.concatenate([piece.latents for piece in pieces], axis=1)
    complete = streamed.shape[1]
    assert complete >= audio.shape[1] // LATENT_HOP_SAMPLES - 2
    np.testing.assert_allclose(streamed, whole.latents[:, :complete], atol=1e-5)
    np.testing.assert_allclose(np.concatenate([p.pitch for p in pieces], axis=1), whole.pitch[:, :complete], atol=1e-5)
    np.testing.assert_allclose(
        np.concatenate([p.curves for p in pieces], axis=1), whole.curves[:, :complete], atol=1e-5
    )


def test_features_read_no_further_than_declared() -> None:
    audio = noise_audio(1.0)
    changed = audio.copy()
    changed[:, 10 * LATENT_HOP_SAMPLES + 3_072 :] = 0
    a, b = features_of(audio).packed, features_of(changed).packed
    np.testing.assert_array_equal(a[:, :10], b[:, :10])
    assert np.abs(a[:, 11] - b[:, 11]).max() > 0.01


def test_features_step_of_nothing_changes_nothing() -> None:
    features, state = features_step(np.zeros((2, 0), np.float32), FeatureState.initial())
    assert features.packed.shape[1] == 0
    assert state.pending.shape == FeatureState.initial().pending.shape


@pytest.mark.parametrize(("midi", "pitch_class"), [(57, 9), (60, 0), (66, 6), (71, 11)])
def test_vocal_pitch_hears_a_sung_note(midi: int, pitch_class: int) -> None:
    t = np.arange(44_100) / 44_100
    hz = 440 * 2 ** ((midi - 69) / 12)
    partial_tones = [0.2 / k * np.sin(2 * np.pi * hz * k * t) for k in range(1, 12)]
    tone = np.sum(partial_tones, axis=0).astype(np.float32)
    pitch = features_of(np.stack([tone, tone])).pitch[:, 5:15]
    assert (pitch[:12].argmax(axis=0) == pitch_class).all()
    assert (pitch[12] > 0.8).all()


def test_noise_and_silence_are_not_voiced() -> None:
    assert features_of(noise_audio(1.0)).pitch[12, 3:18].mean() < 0.2
    assert features_of(np.zeros((2, 44_100), np.float32)).pitch.max() == 0


def test_arousal_rises_with_loudness_and_focus_with_repetition() -> None:
    rng = np.random.default_rng(4)
    hits = np.zeros((2, 12 * 44_100), np.float32)
    burst = 0.3 * rng.standard_normal((2, 14_000))
    for half_second in range(24):
        hits[:, half_second * 22_050 : half_second * 22_050 + 14_000] = burst
    loud, quiet = features_of(hits).curves, features_of(hits * np.float32(0.003)).curves
    assert loud[0, 60:].mean() > quiet[0, 60:].mean() + 0.2
    assert loud[1, 150:].mean() > 0.9
    assert loud.min() >= 0
    assert loud.max() <= 1


@pytest.mark.parametrize("oscillator", [0, 40, 150, 260])
def test_bank_plays_a_sine_of_the_right_frequency_and_level(oscillator: int) -> None:
    decoder, hops = Decoder(DecoderConfig(slow_width=8, slow_blocks=1, fast_width=8, fast_blocks=1)), 128

    def rows(count: int, value: float = 0.0) -> torch.Tensor:
        return torch.full((1, hops, count), value)

    amplitude = rows(bank.OSCILLATORS)
    amplitude[:, :, oscillator] = 0.5**bank.AMPLITUDE_POWER
    silent = rows(SPECTRUM_BINS, -30.0)
    no_noise = (rows(NOISE_BANDS[0], -30.0), rows(NOISE_BANDS[1], -30.0))
    still, centre = rows(bank.OSCILLATORS), rows(PAN_BANDS)
    parts = SpectrumParts(amplitude, still, centre, silent, rows(SPECTRUM_BINS), centre, *no_noise)
    silence = torch.zeros(2, 2, hops, SPECTRUM_BINS)
    sound = inverse_stft(decoder.spectrum(parts, silence, torch.zeros(1, bank.OSCILLATORS))[0])[0, 0].numpy()
    middle = sound[4_096:-4_096]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 2**20))
    assert spectrum.argmax() * 44_100 / 2**20 == pytest.approx(bank.frequencies_hz()[oscillator], rel=1e-3)
    assert np.abs(middle).max() == pytest.approx(0.5, abs=0.01)


def test_partials_of_a_chord_are_found_with_their_levels() -> None:
    t = np.arange(2 * 44_100) / 44_100
    tones = {110.0: 0.2, 277.2: 0.1, 660.0: 0.05, 1_980.0: 0.02}
    mid = np.sum([level * np.sin(2 * np.pi * hz * t) for hz, level in tones.items()], axis=0).astype(np.float32)
    found = partials(np.stack([mid, mid]))[:, :, 20]
    for hz, level in tones.items():
        oscillator = round(36 * np.log2(hz / bank.LOWEST_HZ))
        assert found[0, oscillator] == pytest.approx(level, rel=0.05)
        heard_hz = bank.frequencies_hz()[oscillator] + found[1, oscillator] * bank.offset_range_hz()[oscillator]
        assert heard_hz == pytest.approx(hz, rel=1e-3)
    assert (found[0] > 0).sum() == len(tones)


def test_numpy_and_torch_inverse_transforms_agree(graphs: TorchGraphs) -> None:
    frames = 12
    latents = np.random.default_rng(5).standard_normal((1, 64, frames + 1)).astype(np.float32)
    sound = codec.decode(graphs, latents, (frames + 1) * LATENT_HOP_SAMPLES)
    noise = codec.noise_of_hops(-SPECTRA_PER_FRAME, SPECTRA_PER_FRAME * (frames + 1))
    spectrum, _ = graphs.run_decoder(latents, noise, graphs.decoder_states(1))
    expected = inverse_stft(torch.from_numpy(spectrum[:, :, SPECTRA_PER_FRAME:])).numpy()
    inner = slice(1_024, (frames - 1) * LATENT_HOP_SAMPLES)
    np.testing.assert_allclose(sound[0, :, inner], expected[0, :, inner], atol=1e-4 * np.abs(expected).max())


def test_the_percussive_channel_marks_an_onset_and_nothing_else() -> None:
    audio = np.zeros((2, 44_100), np.float32)
    audio[:, 20_480:22_000] = noise_audio(1.0)[:, :1_520]
    flux = features_of(audio).packed[FEATURE_SLICES["percussive"]].mean(axis=0)
    assert flux.argmax() in (9, 10)
    assert flux[:8].max() == 0
