from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from engine.accompany import CROSSFADE_SAMPLES, Timings, accompany
from engine.codec import Encoded
from engine.conditions import LAYOUT, timeline_conditions
from engine.expander import Expander
from engine.features import Features
from engine.geometry import LATENT_HOP_SAMPLES, STEMS
from engine.harmoniser import Harmoniser
from engine.harmony import Chord, ChordSpan, Key
from engine.manifest import SamplingFacts
from engine.noise import latent_noise
from engine.sampler import Array
from engine.schedule import alpha_bar_at, v_from
from engine.span import WARM_UP_FRAMES
from engine.timeline import Timeline
from engine.wish import AROUSAL_MIDDLE, AROUSAL_WIDTH, FOCUS_MIDDLE, FOCUS_WIDTH, Kept, Wish
from tests.harmony_support import melody, rule_harmoniser

TIMELINE = Timeline.constant(100)
GAINS = {"drums": 0.25, "bass": 0.5, "other": -0.75}
SAMPLES_PER_LATENT = 64  # the test codec's latents are means of 64 samples, 32 a channel and frame
PLAIN = Wish(steps=3, guidance_scale=1.0)


@dataclass
class LinearModel:
    """A stand-in for a bundle, whose denoiser is a perfect predictor of stems that are the vocal times a gain."""

    latent_mean: Array = field(default_factory=lambda: np.linspace(-1, 1, 64, dtype=np.float32))
    latent_std: Array = field(default_factory=lambda: np.linspace(0.5, 2, 64, dtype=np.float32))
    sampling: SamplingFacts = field(default_factory=lambda: SamplingFacts(4, 2.0, 64, 32, 16))
    harmony: Harmoniser | None = None
    told: list[Array] = field(default_factory=list)
    styles: list[Array] = field(default_factory=list)
    noise_seen: list[Array] = field(default_factory=list)

    def denoise(self, x: Array, timestep: Array, conditions: Array, style: Array) -> Array:
        self.told.append(conditions)
        self.styles.append(style)
        self.noise_seen.append(x)
        vs = []
        for row, t, given in zip(x.astype(np.float64), timestep, conditions, strict=True):
            vocal = given[LAYOUT.vocal_latents.content] * self.latent_std[:, None] + self.latent_mean[:, None]
            stems = [(gain * vocal - self.latent_mean[:, None]) / self.latent_std[:, None] for gain in GAINS.values()]
            x_0 = np.concatenate(stems)
            alpha_bar = alpha_bar_at(int(t))
            vs.append(v_from(x_0, (row - np.sqrt(alpha_bar) * x_0) / np.sqrt(1 - alpha_bar), alpha_bar))
        return np.stack(vs).astype(np.float32)

    def run_encoder(
        self, features: Array, curves: Array, states: Mapping[str, Array]
    ) -> tuple[Array, dict[str, Array]]:
        raise NotImplementedError("the test's codec has no graph")

    def run_decoder(self, latents: Array, noise: Array, states: Mapping[str, Array]) -> tuple[Array, dict[str, Array]]:
        raise NotImplementedError("the test's codec has no graph")

    def encoder_states(self, batch: int) -> dict[str, Array]:
        raise NotImplementedError(f"the test's codec has no graph, so none for {batch} stems")

    def decoder_states(self, batch: int) -> dict[str, Array]:
        return self.encoder_states(batch)


def encode(_: LinearModel, audio: Array) -> Encoded:
    frames = audio.shape[1] // LATENT_HOP_SAMPLES
    means = audio.reshape(2, frames, 32, SAMPLES_PER_LATENT).mean(axis=3)
    latents = means.transpose(0, 2, 1).reshape(64, frames).astype(np.float32)
    return Encoded(latents, np.full((14, frames), 0.5, np.float32), np.full((2, frames), 0.25, np.float32))


def decode(
    _: LinearModel,
    latents: Array,
    samples: int,
    progress: Callable[[float], None] | None = None,
    expander: Expander | None = None,
) -> Array:
    stems, _, frames = latents.shape
    means = latents.reshape(stems, 2, 32, frames).transpose(0, 1, 3, 2).reshape(stems, 2, frames * 32)
    if progress is not None:
        progress(1.0)
    return np.repeat(means, SAMPLES_PER_LATENT, axis=2)[:, :, :samples]


@pytest.fixture(autouse=True)
def linear_codec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.codec.encode", encode)
    monkeypatch.setattr("engine.codec.decode", decode)


def stepped(seed: int, samples: int) -> Array:
    """Random audio that is constant over each 64 samples, so that the test codec keeps it exactly."""
    steps = np.random.default_rng(seed).uniform(-1, 1, (2, -(-samples // SAMPLES_PER_LATENT)))
    return np.repeat(steps, SAMPLES_PER_LATENT, axis=1)[:, :samples].astype(np.float32)


@pytest.mark.parametrize("samples", [64, 2048, 100 * 64, 64 * 2048, 65 * 2048 + 64, 200 * 2048 - 64, 333 * 2048])
def test_every_stem_follows_the_vocal_over_all_chunks_without_a_seam_and_to_the_sample(samples: int) -> None:
    vocal = stepped(1, samples)
    stems = accompany(LinearModel(), vocal, TIMELINE, PLAIN)
    assert tuple(stems) == STEMS
    for stem, audio in stems.items():
        assert audio.shape == (2, samples)
        np.testing.assert_allclose(audio, GAINS[stem] * vocal, atol=1e-4)


@pytest.mark.parametrize("samples", [1, 2047, 2049, 12_345, 140_001])
def test_any_length_comes_back_to_the_sample(samples: int) -> None:
    stems = accompany(LinearModel(), stepped(1, samples), TIMELINE, PLAIN)
    assert all(audio.shape == (2, samples) and np.isfinite(audio).all() for audio in stems.values())


def test_another_vocal_gives_another_accompaniment_and_the_same_the_same_bits() -> None:
    samples = 100 * 2048
    first, again = (accompany(LinearModel(), stepped(1, samples), TIMELINE, PLAIN) for _ in range(2))
    other = accompany(LinearModel(), stepped(2, samples), TIMELINE, PLAIN)
    for stem in STEMS:
        np.testing.assert_array_equal(first[stem], again[stem])
        assert np.abs(first[stem] - other[stem]).max() > 0.1


def test_noise_is_the_songs_in_every_window() -> None:
    model = LinearModel()
    accompany(model, stepped(1, 100 * 2048), TIMELINE, Wish(steps=1, guidance_scale=1.0, seed=5))
    first, second = model.noise_seen
    np.testing.assert_array_equal(first[0], latent_noise(5, 0, 64))
    known = model.told[1][0, LAYOUT.known.flag].astype(bool)
    assert known[:, :28].all()
    assert not known[:, 28:].any()
    np.testing.assert_array_equal(second[0, :, 28:], latent_noise(5, 64, 36))
    np.testing.assert_allclose(second[0, :, :28], latent_noise(5, 36, 28), atol=0.01)  # and the least of what is known


def test_what_a_chunk_made_is_the_known_past_of_the_next() -> None:
    model, vocal = LinearModel(), stepped(1, 300 * 2048)
    accompany(model, vocal, TIMELINE, PLAIN)
    firsts = model.told[:: PLAIN.steps]
    assert not firsts[0][0, LAYOUT.known.whole].any()
    expected = (0.25 * encode(model, vocal).latents - model.latent_mean[:, None]) / model.latent_std[:, None]
    for told in firsts[1:]:
        known = told[0, LAYOUT.known.flag].astype(bool)
        past = int(known[0].sum())
        assert past >= 16
        assert known[:, :past].all()
        position = np.round(told[0, LAYOUT.position.start, 0] * 300).astype(int)
        np.testing.assert_array_equal(told[0, LAYOUT.timeline.whole], timeline_conditions(TIMELINE, position, 64))
        drums = told[0, LAYOUT.known.start : LAYOUT.known.start + 64, :past]
        np.testing.assert_allclose(drums, expected[:, position : position + past], atol=1e-3)


def test_guidance_goes_beyond_the_conditioned_result() -> None:
    vocal = stepped(1, 40 * 2048)
    silent = accompany(LinearModel(), np.zeros_like(vocal), TIMELINE, PLAIN)
    guided = accompany(LinearModel(), vocal, TIMELINE, Wish(steps=3, guidance_scale=2.0))
    mean = LinearModel().latent_mean  # an absent vocal is 0 where latents are normalised: the codec's mean sound
    absent = decode(LinearModel(), np.repeat(mean[None, :, None], 40, axis=2), vocal.shape[1])[0]
    np.testing.assert_allclose(guided["bass"], 0.5 * (2 * vocal - absent), atol=2e-4)
    assert np.abs(silent["bass"]).max() < 1e-4


def test_guidance_in_the_weights_counts_towards_what_is_wished() -> None:
    vocal, distilled = stepped(1, 40 * 2048), LinearModel()
    distilled.sampling = replace(distilled.sampling, distilled_guidance_scale=2.0)
    two, four = (Wish(steps=3, guidance_scale=scale) for scale in (2.0, 4.0))
    once = accompany(distilled, vocal, TIMELINE, two)
    assert {len(told) for told in distilled.told} == {1}
    np.testing.assert_array_equal(once["bass"], accompany(LinearModel(), vocal, TIMELINE, PLAIN)["bass"])
    beyond = accompany(distilled, vocal, TIMELINE, four)["bass"]
    np.testing.assert_array_equal(beyond, accompany(LinearModel(), vocal, TIMELINE, two)["bass"])


def take(samples: int) -> dict[str, Array]:
    return {stem: stepped(10 + row, samples) for row, stem in enumerate(STEMS)}


@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize(("start", "end"), [(70_000, 170_000), (1_300_000, 1_400_001), (999_999, 1_200_000)])
def test_rerolling_one_stem_in_a_range_touches_nothing_else(stem: str, start: int, end: int) -> None:
    samples = 700 * 2048 - 128
    vocal, old, model = stepped(1, samples), take(samples), LinearModel()
    new = accompany(model, vocal, TIMELINE, PLAIN, Kept(old, start, end, regenerate=(stem,)))
    row = STEMS.index(stem)
    for other in STEMS[:row] + STEMS[row + 1 :]:
        np.testing.assert_array_equal(new[other], old[other])
    np.testing.assert_array_equal(new[stem][:, :start], old[stem][:, :start])
    np.testing.assert_array_equal(new[stem][:, end:], old[stem][:, end:])
    inner = slice(start + CROSSFADE_SAMPLES, end - CROSSFADE_SAMPLES)
    np.testing.assert_allclose(new[stem][:, inner], GAINS[stem] * vocal[:, inner], atol=1e-4)
    for told in model.told:
        known = told[0, LAYOUT.known.flag].astype(bool)
        assert known.all(axis=1).tolist() == [other != stem for other in STEMS], "the other stems are known throughout"


def test_rerolling_a_few_bars_of_a_long_song_costs_a_few_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    samples, sizes = 3000 * 2048, []

    def counting(model: LinearModel, audio: Array) -> Encoded:
        sizes.append(audio.shape[1] // LATENT_HOP_SAMPLES)
        return encode(model, audio)

    monkeypatch.setattr("engine.codec.encode", counting)
    old = take(samples)
    accompany(LinearModel(), stepped(1, samples), TIMELINE, PLAIN, Kept(old, 4_000_000, 4_050_000))
    assert len(sizes) == 4
    assert max(sizes) <= 64 + WARM_UP_FRAMES + 128


def test_a_filled_range_fades_in_and_out_without_a_jump() -> None:
    samples, start, end = 100 * 2048, 70_000, 130_000
    vocal = np.zeros((2, samples), np.float32)
    old = {stem: np.ones((2, samples), np.float32) for stem in STEMS}
    new = accompany(LinearModel(), vocal, TIMELINE, PLAIN, Kept(old, start, end))
    for audio in new.values():
        assert np.abs(audio[:, start + CROSSFADE_SAMPLES : end - CROSSFADE_SAMPLES]).max() < 1e-3
        assert np.abs(np.diff(audio, axis=1)).max() < 1.5 / CROSSFADE_SAMPLES


@pytest.mark.parametrize(("start", "end"), [(0, 50_000), (150_000, None), (0, None), (150_000, 10**9)])
def test_a_range_at_the_songs_ends_is_new_up_to_them(start: int, end: int | None) -> None:
    samples = 100 * 2048
    vocal, old = stepped(1, samples), take(samples)
    new = accompany(LinearModel(), vocal, TIMELINE, PLAIN, Kept(old, start, end))
    if start == 0:
        np.testing.assert_allclose(new["bass"][:, :100], 0.5 * vocal[:, :100], atol=1e-4)
    if end is None or end > samples:
        np.testing.assert_allclose(new["bass"][:, -100:], 0.5 * vocal[:, -100:], atol=1e-4)


def test_a_kept_stem_and_two_new_ones() -> None:
    samples = 90 * 2048
    vocal, old = stepped(1, samples), {"bass": stepped(3, samples)}
    new = accompany(LinearModel(), vocal, TIMELINE, PLAIN, Kept(old, regenerate=()))
    np.testing.assert_array_equal(new["bass"], old["bass"])
    for stem in ("drums", "other"):
        np.testing.assert_allclose(new[stem], GAINS[stem] * vocal, atol=1e-4)


def test_only_wanted_stems_come_back_and_when_all_is_kept_nothing_runs() -> None:
    samples = 40 * 2048
    vocal = stepped(1, samples)
    wish = Wish(steps=3, guidance_scale=1.0, stems=("other", "drums"))
    assert tuple(accompany(LinearModel(), vocal, TIMELINE, wish)) == ("drums", "other")
    model, old = LinearModel(), take(samples)
    same = accompany(model, vocal, TIMELINE, PLAIN, Kept(old, regenerate=()))
    assert not model.told
    assert all(same[stem] is old[stem] for stem in STEMS)


def test_the_wish_reaches_the_denoiser() -> None:
    model = LinearModel()
    chords = (ChordSpan(0, 1, Chord.parse("Am")),)
    wish = Wish("funk", Key.parse("A minor"), arousal=0.5, chords=chords, steps=1, guidance_scale=2.0)
    accompany(model, stepped(1, 40 * 2048), TIMELINE, wish)
    told, untold = model.told[0]
    assert told[LAYOUT.key.start + 21].all()
    assert told[LAYOUT.chord.flag, 0] == 1.0
    assert told[LAYOUT.chord.flag, 39] == 0.0
    np.testing.assert_array_equal(told[LAYOUT.attention.whole, 5], np.array([AROUSAL_MIDDLE, 0.25, 1.0], np.float32))
    assert model.styles[0][0].argmax() == 3
    assert not model.styles[0][1].any()
    assert not untold[LAYOUT.key.whole].any()
    np.testing.assert_array_equal(told[LAYOUT.timeline.whole], untold[LAYOUT.timeline.whole])
    plain = LinearModel()
    accompany(plain, stepped(1, 40 * 2048), TIMELINE, PLAIN)
    np.testing.assert_array_equal(plain.told[0][0, LAYOUT.attention.whole, 5], np.array([0.25, 0.25, 0.5], np.float32))


def of_group(told: Array, name: str) -> Array:
    return np.asarray(told[0, getattr(LAYOUT, name).whole])


def sung(monkeypatch: pytest.MonkeyPatch, *chords: str) -> None:
    """Let the codec and the features hear a melody over `chords`, a bar each, over and over, whatever is sung."""
    pitch = melody([Chord.parse(chord) for chord in chords] * 20, TIMELINE, 4)

    def heard(model: LinearModel, audio: Array) -> Encoded:
        encoded = encode(model, audio)
        return Encoded(encoded.latents, pitch[:, : encoded.latents.shape[1]], encoded.curves)

    def features(audio: Array) -> Features:
        frames = audio.shape[1] // LATENT_HOP_SAMPLES
        return Features(np.zeros((1, frames), np.float32), pitch[:, :frames], np.zeros((2, frames), np.float32))

    monkeypatch.setattr("engine.codec.encode", heard)
    monkeypatch.setattr("engine.accompany.features_of", features)


def told_of(wish: Wish, harmony: Harmoniser | None, kept: Kept | None = None) -> list[Array]:
    model = LinearModel(harmony=harmony)
    accompany(model, stepped(1, 700 * 2048), TIMELINE, wish, kept)
    return model.told


def test_another_vocal_gives_other_chords_and_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    wish = Wish(steps=1, guidance_scale=1.0)
    sung(monkeypatch, "C", "G", "Am", "F")
    first = told_of(wish, rule_harmoniser())[0]
    np.testing.assert_array_equal(of_group(first, "key")[:24, 5], np.eye(24)[0])
    c_major = [0, 4, 7]
    np.testing.assert_array_equal(np.flatnonzero(of_group(first, "chord")[:12, 5]), c_major)
    assert of_group(first, "chord")[12, 5] == 1.0
    assert of_group(first, "chord")[-1].all()
    sung(monkeypatch, "E", "B", "C#m", "A")
    second = told_of(wish, rule_harmoniser())[0]
    assert of_group(second, "key")[4].all()
    assert (of_group(second, "chord") != of_group(first, "chord")).any(axis=0).all()


def test_the_users_chords_and_key_win_over_the_vocals(monkeypatch: pytest.MonkeyPatch) -> None:
    sung(monkeypatch, "C", "G", "Am", "F")
    chords = (ChordSpan(0, 1, Chord.parse("F#m")),)
    told = told_of(Wish(chords=chords, steps=1, guidance_scale=1.0), rule_harmoniser())[0]
    np.testing.assert_array_equal(np.flatnonzero(of_group(told, "chord")[:12, 0]), [1, 6, 9])
    assert not of_group(told, "chord")[-1, 40:].any()
    assert not of_group(told, "key").any()
    told = told_of(Wish(key=Key.parse("A minor"), steps=1, guidance_scale=1.0), rule_harmoniser())[0]
    np.testing.assert_array_equal(of_group(told, "key")[:24, 5], np.eye(24)[21])
    assert of_group(told, "chord")[-1].all()


def test_no_chords_are_heard_where_the_bundle_cannot_the_user_will_not_or_nobody_sings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sung(monkeypatch, "C", "G", "Am", "F")
    wish = Wish(steps=1, guidance_scale=1.0)
    silent = Wish(steps=1, guidance_scale=1.0, listen_for_chords=False)
    for told in (told_of(wish, None)[0], told_of(silent, rule_harmoniser())[0]):
        assert not of_group(told, "chord").any()
        assert not of_group(told, "key").any()
    sung(monkeypatch, "N")
    assert not of_group(told_of(wish, rule_harmoniser())[0], "chord").any()


def test_a_part_made_anew_has_the_chords_of_the_first_take(monkeypatch: pytest.MonkeyPatch) -> None:
    sung(monkeypatch, "C", "G", "Am", "F")
    wish = Wish(steps=1, guidance_scale=1.0)
    first = told_of(wish, rule_harmoniser())
    at = {int(np.round(told[0, LAYOUT.position.start, 0] * 700)): of_group(told, "chord") for told in first}
    whole = np.zeros((25, 700), np.float32)
    for start, chord in at.items():
        whole[:, start : start + chord.shape[1]] = chord
    again = told_of(wish, rule_harmoniser(), Kept(take(700 * 2048), 1_300_000, 1_350_000))
    assert again
    for told in again:
        start = int(np.round(told[0, LAYOUT.position.start, 0] * 700))
        assert start > WARM_UP_FRAMES, "the span does not start with the song"
        chord = of_group(told, "chord")
        np.testing.assert_array_equal(chord, whole[:, start : start + chord.shape[1]])


def test_stages_are_timed_and_told() -> None:
    ticks = iter(range(100))
    timings, told = Timings(clock=lambda: float(next(ticks))), []
    vocal = stepped(1, 100 * 2048)
    accompany(LinearModel(), vocal, TIMELINE, PLAIN, None, lambda stage, share: told.append((stage, share)), timings)
    assert timings.seconds == {"encode": 1.0, "denoise": 1.0, "decode": 1.0}
    assert told == [("encode", 1.0), ("denoise", 0.5), ("denoise", 1.0), ("decode", 1.0)]


@pytest.mark.parametrize(
    ("vocal", "words"),
    [
        (np.zeros((1, 100), np.float32), r"vocal is float32 of shape \(1, 100\)"),
        (np.zeros((2, 0), np.float32), r"\(2, 0\)"),
        (np.zeros((2, 100)), "float64"),
        (np.full((2, 100), np.nan, np.float32), "NaN"),
        (np.full((2, 100), np.inf, np.float32), "infinite"),
    ],
)
def test_a_vocal_that_is_no_audio_is_refused(vocal: Array, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        accompany(LinearModel(), vocal, TIMELINE, PLAIN)


def test_a_kept_stem_of_another_length_is_refused() -> None:
    kept = Kept({"bass": np.zeros((2, 99), np.float32)})
    with pytest.raises(ValueError, match="kept stem 'bass'"):
        accompany(LinearModel(), np.zeros((2, 100), np.float32), TIMELINE, PLAIN, kept)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Wish(style="polka"), "'polka' is not known"),
        (lambda: Wish(arousal=1.1), "arousal 1.1"),
        (lambda: Wish(focus=float("nan")), "focus nan"),
        (lambda: Wish(steps=0), "steps 0"),
        (lambda: Wish(guidance_scale=-1), "guidance -1"),
        (lambda: Wish(seed=-1), "seed -1"),
        (lambda: Wish(stems=()), "no stems"),
        (lambda: Wish(stems=("vocals",)), "'vocals' is not known"),
        (lambda: Kept({}, 5, 5), "no range"),
        (lambda: Kept({}, -1), "no range"),
        (lambda: Kept({}, regenerate=("voice",)), "'voice' is not known"),
        (lambda: Kept({}, 100).within(100), "after the end"),
        (lambda: Kept({}).sample_range, "within"),
    ],
)
def test_impossible_wishes_are_refused(make: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def soft_model() -> LinearModel:
    """Return one whose manifest says by how much its stems are raised and widened."""
    gains, widths = {"drums": 6.0, "bass": -3.0}, {"drums": 2.0}
    return LinearModel(sampling=SamplingFacts(4, 2.0, 64, 32, 16, stem_gains_db=gains, stem_widths_db=widths))


def test_what_is_made_gets_its_stems_gain_once_and_what_is_kept_stays_to_the_bit() -> None:
    vocal = 0.1 * stepped(1, 40 * 2048)
    plain, raised = (accompany(model, vocal, TIMELINE, PLAIN) for model in (LinearModel(), soft_model()))
    middles, sides = ([stems["drums"][0] + sign * stems["drums"][1] for stems in (plain, raised)] for sign in (1, -1))
    np.testing.assert_allclose(middles[1], middles[0] * 10 ** (6 / 20), atol=1e-6)
    np.testing.assert_allclose(sides[1], sides[0] * 10 ** (8 / 20), atol=1e-6)
    np.testing.assert_allclose(raised["bass"], plain["bass"] * 10 ** (-3 / 20), rtol=1e-5)
    np.testing.assert_array_equal(raised["other"], plain["other"])
    again = accompany(soft_model(), vocal, TIMELINE, PLAIN, Kept(raised, regenerate=("bass",)))
    np.testing.assert_array_equal(again["drums"], raised["drums"])
    np.testing.assert_allclose(again["bass"], raised["bass"], atol=1e-5)


def test_a_part_made_anew_goes_on_from_its_stem_as_it_was_made_not_as_it_was_raised() -> None:
    vocal = 0.1 * stepped(1, 40 * 2048)
    model = soft_model()
    first = accompany(model, vocal, TIMELINE, PLAIN)
    model.told.clear()
    accompany(model, vocal, TIMELINE, PLAIN, Kept(first, 20 * 2048, 30 * 2048, ("drums",)))
    known = model.told[0][0, LAYOUT.known.start : LAYOUT.known.start + 64]
    made = encode(model, accompany(LinearModel(), vocal, TIMELINE, PLAIN)["drums"]).latents
    expected = (made - model.latent_mean[:, None]) / model.latent_std[:, None]
    np.testing.assert_allclose(known[:, :20], expected[:, :20], atol=1e-4)
    assert not known[:, 20:30].any()


def test_a_faders_way_is_wide_around_what_songs_have_and_without_one_the_vocals_curve_stays() -> None:
    vocal = np.random.default_rng(0).uniform(0, 1, (2, 9)).astype(np.float32)
    np.testing.assert_array_equal(Wish().curves(vocal), vocal)
    low, middle, high = (Wish(arousal=place).curves(vocal) for place in (0.0, 0.5, 1.0))
    np.testing.assert_allclose(middle[0], AROUSAL_MIDDLE)
    np.testing.assert_allclose(high[0] - low[0], AROUSAL_WIDTH)
    for curves in (low, middle, high):
        np.testing.assert_array_equal(curves[1], vocal[1])
    steady = Wish(focus=1.0).curves(vocal)
    np.testing.assert_allclose(steady[1], FOCUS_MIDDLE + FOCUS_WIDTH / 2)
    np.testing.assert_array_equal(steady[0], vocal[0])
