"""Tones by style: what is bounced and played has them, a change of style fades, and they can be taken off again."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from engine.accompany import accompany
from engine.finish import as_made
from engine.geometry import ACCOMPANIMENT_CHANNELS, LATENT_HOP_SAMPLES, SPECTRUM_BINS, STEMS
from engine.manifest import SamplingFacts
from engine.stem_decoder import decode_piece, silent_state
from engine.timeline import Timeline
from engine.tone import BANDS, bin_decibels, toned
from engine.wish import Wish
from tests.live_support import WatchedModel, sung

BASS = STEMS.index("bass")
Tones = dict[str, dict[str, list[float]]]


@dataclass
class TonedModel(WatchedModel):
    """The factory bundle with other tones by style."""

    tones: Tones = field(default_factory=dict)

    @property
    def sampling(self) -> SamplingFacts:
        return dataclasses.replace(self.bundle.sampling, style_tones_db=self.tones, stem_gains_db={})


def flat(gain_db: float) -> list[float]:
    return [gain_db] * BANDS


def played(model: TonedModel, styles: Sequence[str | None]) -> np.ndarray:
    """Return (stems, 2, samples) of the same latents, piece by piece in these styles."""
    rng, state, pieces = np.random.default_rng(0), silent_state(model, 0), []
    for style in styles:
        latents = 0.5 * rng.standard_normal((ACCOMPANIMENT_CHANNELS, 4)).astype(np.float32)
        piece = decode_piece(model, latents, state, style)
        state = piece.state
        pieces.append(piece.audio)
    return np.concatenate(pieces, axis=2)


def power_db(audio: np.ndarray, lowest_hz: float, highest_hz: float) -> float:
    power = np.square(np.abs(np.fft.rfft(audio))).sum(axis=0)
    hertz = np.fft.rfftfreq(audio.shape[1], 1 / 44_100)
    return float(10 * np.log10(power[(hertz >= lowest_hz) & (hertz < highest_hz)].sum()))


def test_a_styles_tone_is_in_what_is_bounced_and_in_what_is_played_and_in_no_other_style() -> None:
    plain, rock = TonedModel(), TonedModel(tones={"rock": {"bass": flat(-6.0)}})
    timeline = Timeline([(0.0, 100.0)], [(0.0, 4, 4)])
    for style, factor in (("rock", 10 ** (-6 / 20)), ("pop", 1.0)):
        bounced = [accompany(model, sung(40), timeline, Wish(style, steps=1)) for model in (plain, rock)]
        live = [played(model, [style] * 4) for model in (plain, rock)]
        np.testing.assert_allclose(bounced[1]["bass"], factor * bounced[0]["bass"], atol=1e-5)
        np.testing.assert_array_equal(bounced[1]["drums"], bounced[0]["drums"])
        np.testing.assert_allclose(live[1][BASS], factor * live[0][BASS], atol=1e-5)


def test_a_tone_raises_its_bands_and_leaves_the_others() -> None:
    tone = flat(0.0)
    tone[:8] = [6.0] * 8  # to about 1.6 kHz
    plain, bright = (played(TonedModel(tones=tones), ["pop"] * 8)[BASS] for tones in ({}, {"pop": {"bass": tone}}))
    assert power_db(bright, 40, 800) - power_db(plain, 40, 800) == pytest.approx(6.0, abs=0.3)
    assert power_db(bright, 4_000, 16_000) - power_db(plain, 4_000, 16_000) == pytest.approx(0.0, abs=0.3)


def test_a_change_of_style_does_not_click() -> None:
    model = TonedModel(tones={"rock": {"bass": flat(-9.0)}})
    steady, changed = played(model, ["pop"] * 8), played(model, ["pop"] * 4 + ["rock"] * 4)
    roughest = [np.abs(np.diff(audio[BASS], n=2)).max() for audio in (steady, changed)]
    assert roughest[1] <= 1.05 * roughest[0]
    after = slice(-4 * LATENT_HOP_SAMPLES, None)
    np.testing.assert_allclose(changed[BASS, :, after], 10 ** (-9 / 20) * steady[BASS, :, after], atol=1e-5)
    np.testing.assert_array_equal(changed[:BASS], steady[:BASS])


def test_what_was_finished_in_a_tone_comes_back_as_it_was_made() -> None:
    tone = list(np.random.default_rng(1).uniform(-6.0, 6.0, BANDS))
    tones: Tones = {"pop": {"bass": tone}}
    plain, finished = (played(TonedModel(tones=one), ["pop"] * 8)[BASS] for one in ({}, tones))
    facts = SamplingFacts(style_tones_db=tones)
    back = as_made(finished, facts, "bass", "pop")
    inside = slice(4 * LATENT_HOP_SAMPLES, -4 * LATENT_HOP_SAMPLES)
    error = np.square(back - plain)[:, inside].sum() / np.square(plain)[:, inside].sum()
    untouched = np.square(finished - plain)[:, inside].sum() / np.square(plain)[:, inside].sum()
    assert error < 0.01 < 0.05 < untouched
    np.testing.assert_array_equal(as_made(finished, facts, "bass", "rock"), finished)


def test_the_filter_has_the_tone_and_no_delay() -> None:
    rng = np.random.default_rng(0)
    noise, click = rng.standard_normal((2, 88_200)).astype(np.float32), np.zeros((2, 20_000), np.float32)
    click[:, 9_000] = 1.0
    tone = flat(0.0)
    tone[:8] = [-9.0] * 8
    assert power_db(toned(noise, tone), 100, 1_000) - power_db(noise, 100, 1_000) == pytest.approx(-9.0, abs=0.3)
    assert np.abs(toned(click, tone))[0].argmax() == 9_000
    assert toned(noise, flat(0.0)) is noise
    np.testing.assert_allclose(bin_decibels(flat(3.0)), np.full(SPECTRUM_BINS, 3.0), atol=1e-4)


@pytest.mark.parametrize("tones", [{"voice": flat(1.0)}, {"bass": [1.0] * 5}, {"bass": flat(40.0)}])
def test_a_manifest_with_a_wrong_tone_is_refused(tones: dict[str, list[float]]) -> None:
    with pytest.raises(ValueError, match="rock tone"):
        SamplingFacts(style_tones_db={"rock": tones})
    with pytest.raises(ValueError, match="polka"):
        SamplingFacts(style_tones_db={"polka": {}})
