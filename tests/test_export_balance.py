"""What a codec lacks band by band, and how it is written into a decoder."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from engine import codec
from engine.bundle import Bundle, BundleError
from engine.geometry import SAMPLE_RATE_HZ
from engine.manifest import MANIFEST_NAME, read_manifest
from export.balance import BAND_EDGES_HZ, band_powers, lacking_db, oscillator_gains_db, scale_lobes
from tests.bundle_support import FACTORY
from training.codec import bank

BANDS = len(BAND_EDGES_HZ) - 1


def tone(hertz: float, level: float = 0.1) -> np.ndarray:
    mono = level * np.sin(2 * np.pi * hertz * np.arange(2 * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ)
    return np.stack([mono, mono]).astype(np.float32)


def test_a_tone_is_in_its_band() -> None:
    powers = band_powers(tone(120.0))
    assert BAND_EDGES_HZ[powers.argmax()] < 120.0 < BAND_EDGES_HZ[powers.argmax() + 1]
    assert powers.max() > 0.9 * powers.sum()
    assert band_powers(tone(12_000.0)).sum() < 1e-6 * powers.sum()


def test_each_signal_counts_alike_however_loud() -> None:
    generator = np.random.default_rng(0)
    real = [generator.uniform(0.5, 1.0, BANDS), 1e-4 * generator.uniform(0.5, 1.0, BANDS), np.zeros(BANDS)]
    coded = [0.1 * real[0], 0.1 * real[1], real[0]]
    np.testing.assert_allclose(lacking_db(real, coded), 10.0, atol=1e-3)
    with pytest.raises(ValueError, match="sound"):
        lacking_db([np.zeros(BANDS)], [np.ones(BANDS)])


def test_oscillators_get_the_lack_of_their_bands() -> None:
    lacking = np.linspace(12.0, 0.0, BANDS)
    gains = oscillator_gains_db(lacking)
    assert gains.shape == (bank.OSCILLATORS,)
    assert np.all(np.diff(gains) <= 0)
    assert gains[0] == pytest.approx(12.0, abs=0.1)


def test_louder_oscillators_are_heard_and_the_bundle_stays_whole(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(FACTORY, bundle)
    before = Bundle.load(bundle)
    sung = codec.encode(before, tone(440.0, 0.3)).latents
    scale_lobes(bundle, np.full(bank.OSCILLATORS, 6.0))
    after = Bundle.load(bundle)  # refuses files whose checksums are not the manifest's
    assert (after.latent_mean == before.latent_mean).all()
    samples = sung.shape[1] * 2_048
    levels = [band_powers(codec.decode(made, sung[None], samples)[0]).sum() for made in (before, after)]
    assert 10 * np.log10(levels[1] / levels[0]) == pytest.approx(6.0, abs=0.2)
    assert {path.name for path in bundle.iterdir()} == {path.name for path in FACTORY.iterdir()}
    assert read_manifest(bundle).sampling == read_manifest(FACTORY).sampling


def test_a_decoder_without_a_bank_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(FACTORY, tmp_path / "bundle")
    manifest = (tmp_path / "bundle" / MANIFEST_NAME).read_bytes()
    monkeypatch.setattr("export.balance.LOBES", "nothing")
    with pytest.raises(BundleError, match="no bank"):
        scale_lobes(tmp_path / "bundle", np.zeros(bank.OSCILLATORS))
    assert (tmp_path / "bundle" / MANIFEST_NAME).read_bytes() == manifest
