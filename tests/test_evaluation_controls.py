"""Controls, measured on bands whose answers are known: obedient, deaf, and unfaithful to what is locked."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mir_eval.onset import f_measure

from bridge.evaluation.bar_spectra import mel_db_from, self_resemblance, whole_bars
from bridge.evaluation.control_faders import FADER, Sweep, spread, sweep
from bridge.evaluation.control_harmony import chord_figures, key_figures, laid_over, transposed
from bridge.evaluation.control_rerolls import reroll, same_strokes
from bridge.evaluation.control_styles import OTHER, OWN, REAL, REBUILT, heard_styles, other_styles, share_heard
from bridge.evaluation.control_tables import confusion_table, fader_table, reroll_table, style_table
from bridge.evaluation.controls import partner, training_songs
from bridge.evaluation.songs import Excerpt, SongFacts
from bridge.evaluation.style_classifier import StyleClassifier, style_features
from bridge.evaluation.takes import Stems, fitted, rank_correlation
from engine.geometry import STEMS
from engine.harmony import Chord, ChordSpan, Key
from engine.spectra import Array
from engine.timeline import Timeline
from engine.wish import Kept, Wish
from tests.controls_support import excerpt_of, more_strokes, restless
from tests.evaluation_support import SAMPLES, chords_of, strokes

MAJOR_OF_KEY = {0: ("C", "F", "G", "C"), 7: ("G", "C", "D", "G"), 2: ("D", "G", "A", "D")}


@pytest.fixture
def excerpt() -> Excerpt:
    return excerpt_of("first")


@pytest.fixture
def other() -> Excerpt:
    return excerpt_of("second")


def obedient(excerpt: Excerpt, wish: Wish, kept: Kept | None = None) -> Stems:
    """Play louder and denser with arousal, more alike with focus, and the chords, key and drums that are asked."""
    timeline = excerpt.timeline
    chords = [span.chord.name for span in wish.chords] if wish.chords else None
    labels = tuple(chords or MAJOR_OF_KEY[wish.key.tonic if wish.key else 0])
    samples, arousal = excerpt.samples, 0.5 if wish.arousal is None else wish.arousal
    made = {
        "drums": strokes(timeline)[:, :samples] * np.float32(0.2 + arousal),
        "bass": chords_of(labels, timeline, 2)[:, :samples],
        "other": chords_of(labels, timeline, 3)[:, :samples],
    }
    made["drums"] += more_strokes(timeline, samples, round(4 * arousal))
    if wish.focus is not None:
        made["other"] += restless(samples, 1.0 - wish.focus)
    made["drums"] += more_strokes(timeline, samples, wish.seed % 4, 0.125)
    return {stem: kept.stems[stem] if kept and stem not in kept.regenerate else made[stem] for stem in STEMS}


def deaf(excerpt: Excerpt, wish: Wish, kept: Kept | None = None) -> Stems:
    return {stem: excerpt.audio[stem] for stem in STEMS}


def test_a_rank_correlation_is_one_for_what_rises_and_zero_for_what_never_moves() -> None:
    assert rank_correlation(FADER, [-20.0, -18.0, -17.5, -12.0, -3.0]) == pytest.approx(1.0)
    assert rank_correlation(FADER, [5.0, 4.0, 3.0, 2.0, 1.0]) == pytest.approx(-1.0)
    assert rank_correlation(FADER, [7.0] * 5) == 0.0
    assert np.isnan(rank_correlation(FADER, [1.0, float("nan"), 2.0, 3.0, 4.0]))


def test_whole_bars_start_and_end_inside_the_signal() -> None:
    timeline = Timeline.constant(120.0, 4, 4, -11_025)  # sample 0 is half a beat into bar 0; a bar is 2 s
    bars = whole_bars(timeline, 6 * 44_100)
    assert list(bars) == [1, 2]


def test_a_window_before_or_after_the_signal_is_silent() -> None:
    tone = np.tile(np.sin(2 * np.pi * 440 * np.arange(44_100) / 44_100), (2, 1)).astype(np.float32)
    spectra = mel_db_from(tone, np.array([-10_000, 20_000, 60_000]))
    np.testing.assert_allclose(spectra[[0, 2]], -80.0, rtol=1e-6)  # the last bit is the processor's
    assert spectra[1].max() > -30.0


def test_bars_that_repeat_resemble_each_other_and_noise_in_changing_places_does_not() -> None:
    timeline = Timeline.constant(120.0)
    pattern = strokes(timeline)[:, : 2 * 44_100]
    repeated = np.tile(pattern, (1, 4))
    assert self_resemblance(repeated, timeline) == pytest.approx(1.0, abs=0.01)
    assert self_resemblance(repeated + restless(8 * 44_100, 3.0), timeline) < 0.6
    assert np.isnan(self_resemblance(pattern, timeline))


def test_a_fader_that_is_followed_correlates_and_a_deaf_band_does_not(excerpt: Excerpt) -> None:
    followed = sweep(obedient, excerpt, Wish(), "arousal")
    ignored = Sweep((followed.real,) * len(FADER), followed.real)
    for measured in (lambda take: take.mix_lufs, lambda take: take.drum_onsets_a_second):
        assert followed.correlation(measured) > 0.9
        assert followed.span(measured) > 0.5
        assert ignored.correlation(measured) == 0.0
    assert followed.correlation(lambda take: take.figures.key_weighted) == 0.0
    assert [row[-1] for row in fader_table([ignored], [ignored]).rows if row[5]] == ["**short**", "**short**"]
    assert [row[-1] for row in fader_table([followed], [followed]).rows if row[5]] == ["met", "met"]
    one, levels = followed, (-20.0, -18.0, float("nan"), -10.0)
    songs = [Sweep(one.takes, replace(one.real, mix_lufs=level)) for level in levels]
    assert spread(songs, lambda take: take.mix_lufs) == pytest.approx(np.ptp(np.percentile((-20, -18, -10), (10, 90))))


def test_only_the_fader_that_is_named_is_moved() -> None:
    wishes: list[Wish] = []

    def play(excerpt: Excerpt, wish: Wish, kept: Kept | None = None) -> Stems:
        wishes.append(wish)
        return excerpt.audio

    sweep(play, excerpt_of("first", 3.0), Wish(style="pop", seed=3), "focus")
    assert wishes == [Wish(style="pop", seed=3, focus=place) for place in FADER]
    with pytest.raises(ValueError, match="give arousal or focus"):
        sweep(play, excerpt_of("first", 3.0), Wish(), "key")


def test_given_chords_are_heard_from_a_band_that_plays_them(excerpt: Excerpt, other: Excerpt) -> None:
    other = replace(other, facts=_with_chords(other, ("C#", "G#")))  # in F# major; G and D in this song's C major
    figures = chord_figures(obedient, _same, excerpt, other, Wish())
    assert min(figures.own, figures.own_unasked, figures.real) > 0.9
    assert figures.other > 0.9
    assert figures.other_unasked < 0.5
    assert figures.rebuilt == figures.real
    assert figures.another < 0.5


def test_a_given_key_is_heard_from_a_band_that_plays_in_it(excerpt: Excerpt) -> None:
    followed, ignored = (key_figures(play, excerpt, Key(0), Wish()) for play in (obedient, deaf))
    assert [one.exact for one in followed] == [True, True]
    assert [one.exact_unasked for one in followed] == [False, False]
    assert [one.exact for one in ignored] == [False, False]


def test_a_progression_is_moved_and_repeated_until_the_song_ends() -> None:
    spans = (
        ChordSpan(0, 4, Chord.parse("Am7")),
        ChordSpan(4, 6, Chord.parse("F/A")),
        ChordSpan(6, 8, Chord.parse("N")),
    )
    laid = laid_over(spans, 3, 20.0)
    assert [span.chord.name for span in laid[:3]] == ["Cm7", "Ab/C", "N"]
    assert [(span.start_beat, span.end_beat) for span in laid[3:5]] == [(8, 12), (12, 14)]
    assert laid[-1].end_beat >= 20.0
    assert transposed(Chord.parse("B"), 1).root == 0
    assert laid_over((), 3, 20.0) == ()


def test_styles_of_other_drums_and_timbres_are_told_apart_and_tempo_is_not_looked_at() -> None:
    features, styles = [], []
    for bpm in (95.0, 110.0):
        for style in ("pop", "rock"):
            features.append(style_features(*_styled(style, bpm)))
            styles.append(style)
    classifier = StyleClassifier.trained(features, styles)
    assert classifier.styles == ("pop", "rock")
    for style in ("pop", "rock"):
        stems, timeline = _styled(style, 135.0)
        quieter = {stem: audio * np.float32(0.1) for stem, audio in stems.items()}
        assert classifier.style_of(style_features(quieter, timeline)) == style


def test_a_classifier_of_one_style_is_refused() -> None:
    with pytest.raises(ValueError, match="two styles or more"):
        StyleClassifier.trained([np.zeros(3), np.ones(3)], ["pop", "pop"])


def test_a_style_asked_for_is_heard_from_a_band_that_plays_it(excerpt: Excerpt) -> None:
    songs = [(style, bpm) for bpm in (95.0, 110.0) for style in ("pop", "rock")]
    classifier = StyleClassifier.trained(
        [style_features(*_styled(*song)) for song in songs], [song[0] for song in songs]
    )

    def stylish(excerpt: Excerpt, wish: Wish, kept: Kept | None = None) -> Stems:
        return {stem: fitted(audio, excerpt.samples) for stem, audio in _styled(wish.style or "pop", 100.0)[0].items()}

    heard = list(heard_styles(classifier, stylish, _same, excerpt, Wish(), 0))
    assert [one.made for one in heard] == [REAL, REBUILT, OWN, OTHER]
    assert heard[-1].asked == "rock"
    assert share_heard(heard, OWN) == share_heard(heard, OTHER) == 1.0
    ignored = list(heard_styles(classifier, lambda *_: stylish(excerpt, Wish(style="pop")), _same, excerpt, Wish(), 0))
    assert share_heard(ignored, OTHER) == 0.0
    assert style_table(ignored).rows[-1][-1] == "heard in the song's own style: 100 %"
    assert confusion_table(heard).rows[1][1:] == ("", "1 (0)")


def test_every_style_has_its_turn() -> None:
    styles = ("a", "b", "c", "d", "e")
    asked = [other for turn in range(6) for other in other_styles(styles, "c", turn)]
    assert sorted(set(asked)) == ["a", "b", "d", "e"]
    assert {asked.count(style) for style in set(asked)} == {3}
    assert other_styles(("a", "b"), "a", 7) == ("b",)


def test_strokes_count_as_the_same_within_thirty_milliseconds() -> None:
    first = np.array([0.0, 0.5, 1.0, 1.5])
    assert same_strokes(first, first + 0.02) == 1.0
    assert same_strokes(first, first + 0.1) == 0.0
    assert same_strokes(first, first[:2]) == pytest.approx(2 / 3)
    assert same_strokes(first, np.zeros(0)) == 0.0
    assert same_strokes(np.zeros(0), np.zeros(0)) == 1.0


def test_strokes_are_matched_as_mir_eval_matches_them() -> None:
    generator = np.random.default_rng(0)
    for _ in range(50):
        first, second = (np.sort(generator.random(generator.integers(1, 60)) * 5.0) for _ in range(2))
        wanted = f_measure(first, second, window=0.03)[0]
        assert same_strokes(first, second) == pytest.approx(wanted)


def test_drums_made_anew_differ_fit_and_leave_the_rest(excerpt: Excerpt) -> None:
    good = reroll(obedient, excerpt, Wish(seed=1))
    assert 0.5 < good.same_strokes < 1.0
    assert good.locked_same
    assert np.median(good.second_ms) < 5.0
    stubborn = reroll(deaf, excerpt, Wish(seed=1))
    assert stubborn.same_strokes == 1.0
    assert [row[-1] for row in reroll_table([stubborn]).rows] == ["**short**", "", "met", "met"]
    careless = reroll(_spoiling(obedient), excerpt, Wish(seed=1))
    assert not careless.locked_same
    assert reroll_table([careless]).rows[-1][-1] == "**short**"


def test_a_song_is_given_the_chords_of_one_of_its_metre_and_mode() -> None:
    first, second = excerpt_of("first").facts, excerpt_of("second").facts
    waltz = replace(second, timeline=Timeline.constant(120.0, 3))
    minor = replace(second, key=Key(0, minor=True))
    assert partner([first, waltz, minor, second], 0) is second
    assert partner([first, waltz, minor], 0) is minor
    assert partner([first], 0) is first


def test_a_folder_without_songs_to_learn_from_has_none_for_the_classifier(tmp_path: Path) -> None:
    songs = [replace(excerpt_of(name).facts, folder=tmp_path / name) for name in ("first", "second")]
    assert training_songs(songs) == []


def _same(audio: Array) -> Array:
    return audio


def _with_chords(excerpt: Excerpt, labels: tuple[str, ...]) -> SongFacts:
    spans = tuple(ChordSpan(4 * bar, 4 * bar + 4, Chord.parse(label)) for bar, label in enumerate(labels))
    return replace(excerpt.facts, chords=spans)


def _styled(style: str, bpm: float) -> tuple[Stems, Timeline]:
    """Return stems and timeline: pop has strokes on beats and a low harmony, rock on off-beats and a high one."""
    timeline = Timeline.constant(bpm)
    drums = more_strokes(timeline, SAMPLES, 4, 0.0 if style == "pop" else 0.5)
    harmony = chords_of(("C", "F"), timeline, 3 if style == "pop" else 6)
    return {"drums": drums, "bass": chords_of(("C", "F"), timeline, 2), "other": harmony}, timeline


def _spoiling(play: Callable[[Excerpt, Wish, Kept | None], Stems]) -> Callable[..., Stems]:
    def spoiled(excerpt: Excerpt, wish: Wish, kept: Kept | None = None) -> Stems:
        made = dict(play(excerpt, wish, kept))
        return made if kept is None else {**made, "bass": made["bass"] * np.float32(0.999_9)}

    return spoiled
