"""The expander: what is soft falls, what is loud stays, and hops know nothing of each other."""

import dataclasses
from dataclasses import dataclass, field

import numpy as np
import pytest

from engine.accompany import accompany
from engine.expander import MOST_DB, Expander, Expansion, fall_db
from engine.geometry import ACCOMPANIMENT_CHANNELS, SPECTRUM_BINS, STEMS
from engine.manifest import SamplingFacts
from engine.stem_decoder import decode_piece, silent_state
from engine.timeline import Timeline
from engine.tone import band_levels_db
from engine.wish import Wish
from tests.live_support import WatchedModel, sung

DRUMS = STEMS.index("drums")
BELOW_DB, RATIO = -40.0, 2.0


def noise_spectrum(level_db: float, hops: int = 4, seed: int = 0) -> np.ndarray:
    """Return (stems, 2, hops, bins, 2) of noise whose power in each bin is on average at `level_db`."""
    rng = np.random.default_rng(seed)
    spectrum = rng.standard_normal((len(STEMS), 2, hops, SPECTRUM_BINS, 2)) * 0.5**0.5
    return (spectrum * 10.0 ** (level_db / 20.0)).astype(np.float32)


def level_db(spectrum: np.ndarray) -> float:
    return float(10.0 * np.log10(np.square(spectrum, dtype=np.float64).sum(axis=-1).mean()))


def expanded(spectrum: np.ndarray, **expansions: tuple[float, float]) -> np.ndarray:
    result = spectrum.copy()
    Expander(expansions).expand(result)
    return result


def test_what_is_loud_and_what_has_no_expansion_stays_to_the_bit() -> None:
    loud = noise_spectrum(-20.0)
    np.testing.assert_array_equal(expanded(loud, drums=(BELOW_DB, RATIO)), loud)
    soft = noise_spectrum(-60.0)
    rows = [row for row in range(len(STEMS)) if row != DRUMS]
    np.testing.assert_array_equal(expanded(soft, drums=(BELOW_DB, RATIO))[rows], soft[rows])


@pytest.mark.parametrize(("depth_db", "ratio"), [(5.0, 2.0), (12.0, 2.0), (12.0, 1.5)])
def test_what_is_soft_falls_by_the_ratio(depth_db: float, ratio: float) -> None:
    soft = noise_spectrum(BELOW_DB - depth_db)
    fallen = level_db(soft[DRUMS]) - level_db(expanded(soft, drums=(BELOW_DB, ratio))[DRUMS])
    assert fallen == pytest.approx(depth_db * (ratio - 1.0), abs=0.7)  # bands of noise are not all of one level


def test_nothing_falls_by_more_than_the_most() -> None:
    silent = noise_spectrum(-110.0)
    fallen = level_db(silent[DRUMS]) - level_db(expanded(silent, drums=(BELOW_DB, 4.0))[DRUMS])
    assert fallen == pytest.approx(MOST_DB, abs=0.01)


def test_a_band_falls_alone() -> None:
    spectrum = noise_spectrum(-60.0)
    spectrum[..., 512:, :] *= 1_000.0  # the upper half is loud
    result = expanded(spectrum, drums=(BELOW_DB, RATIO))
    np.testing.assert_array_equal(result[DRUMS][..., 800:, :], spectrum[DRUMS][..., 800:, :])
    assert level_db(spectrum[DRUMS][..., :300, :]) - level_db(result[DRUMS][..., :300, :]) > 15.0


def test_hops_come_out_alike_whatever_is_around_them() -> None:
    song = np.concatenate([noise_spectrum(level, 4, seed) for seed, level in enumerate((-20.0, -50.0, -70.0))], axis=2)
    whole = expanded(song, drums=(BELOW_DB, RATIO))
    pieces = [expanded(song[:, :, first : first + 4], drums=(BELOW_DB, RATIO)) for first in range(0, 12, 4)]
    np.testing.assert_allclose(np.concatenate(pieces, axis=2), whole, rtol=1e-5)


def test_rows_are_the_stems_named() -> None:
    soft = noise_spectrum(-60.0)[[DRUMS]]
    Expander({"drums": (BELOW_DB, RATIO)}, ("drums",)).expand(soft)
    assert level_db(soft) < -75.0
    silence = np.zeros_like(soft)
    Expander({"drums": (BELOW_DB, RATIO)}, ("drums",)).expand(silence)
    assert not silence.any()


def test_levels_and_falls_agree_with_what_the_expander_does() -> None:
    soft = noise_spectrum(-60.0, hops=64)
    power = np.square(soft[DRUMS]).sum(axis=-1).mean(axis=0)
    levels = band_levels_db(power)
    foretold = np.quantile(levels - fall_db(levels, Expansion(BELOW_DB, RATIO)), 0.5, axis=0)
    result = expanded(soft, drums=(BELOW_DB, RATIO))
    found = np.quantile(band_levels_db(np.square(result[DRUMS]).sum(axis=-1).mean(axis=0)), 0.5, axis=0)
    assert np.abs(found - foretold).mean() < 1.0


@dataclass
class ExpandedModel(WatchedModel):
    """The factory bundle with other expansions."""

    expansions: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def sampling(self) -> SamplingFacts:
        return dataclasses.replace(self.bundle.sampling, stem_expansions=self.expansions)


@pytest.mark.parametrize("live", [False, True])
def test_a_bundles_expansions_are_in_what_is_bounced_and_in_what_is_played(live: bool) -> None:
    def made(**expansions: tuple[float, float]) -> np.ndarray:
        model = ExpandedModel(expansions=expansions)
        if live:
            latents = 0.5 * np.random.default_rng(0).standard_normal((ACCOMPANIMENT_CHANNELS, 16)).astype(np.float32)
            return decode_piece(model, latents, silent_state(model, 0), None).audio
        timeline = Timeline([(0.0, 100.0)], [(0.0, 4, 4)])
        return np.stack(list(accompany(model, sung(40), timeline, Wish("pop", steps=1)).values()))

    plain, tight = made(), made(drums=(0.0, 1.5))
    assert np.square(tight[DRUMS]).sum() < 0.5 * np.square(plain[DRUMS]).sum()
    others = [row for row in range(len(STEMS)) if row != DRUMS]
    np.testing.assert_array_equal(tight[others], plain[others])


@pytest.mark.parametrize(
    "expansions", [{"voice": (-40.0, 2.0)}, {"drums": (-40.0,)}, {"drums": (3.0, 2.0)}, {"bass": (-40.0, 0.5)}]
)
def test_a_manifest_with_a_wrong_expansion_is_refused(expansions: dict[str, tuple[float, ...]]) -> None:
    with pytest.raises(ValueError, match="expansion"):
        SamplingFacts(stem_expansions=expansions)
