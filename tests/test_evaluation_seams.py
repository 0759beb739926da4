"""Borders of what was made anew: measured against bar lines, and nothing touched outside."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest

from bridge.evaluation.seams import (
    SeamFigures,
    bar_lines,
    is_untouched,
    seam_figures,
    seams_table,
    steps_at,
    untouched_table,
)
from bridge.evaluation.songs import Excerpt
from bridge.evaluation.takes import Stems
from engine.geometry import STEMS
from engine.spectra import Array
from engine.wish import Kept, Wish
from tests.controls_support import excerpt_of


@dataclass
class Copyist:
    """Plays the real stems, `louder` in what it makes anew, or spoils what it should keep."""

    louder: float = 1.0
    spoils: bool = False
    asked: list[Kept | None] = field(default_factory=list)

    def __call__(self, excerpt: Excerpt, wish: Wish, kept: Kept | None = None) -> Stems:
        self.asked.append(kept)
        made = {stem: excerpt.audio[stem].copy() for stem in STEMS}
        if kept is None:
            return made
        start, end = kept.within(excerpt.samples).sample_range
        for stem in kept.regenerate:
            made[stem][:, start:end] *= self.louder
        if self.spoils:
            made["bass"][:, 5] += np.float32(1e-6)
        return made


@pytest.fixture
def excerpt() -> Excerpt:
    return excerpt_of("first")


def test_a_step_of_level_is_measured_in_decibels_and_steady_sound_has_none() -> None:
    noise = np.random.default_rng(0).standard_normal((2, 44_100)).astype(np.float32) * 0.02
    noise[:, 22_050:] *= np.float32(10 ** (12 / 20))
    step, steady = steps_at(noise, [22_050]), steps_at(noise, [11_025])
    assert step.level_db[0] == pytest.approx(12.0, abs=0.6)
    assert step.flux_db[0] == pytest.approx(12.0, abs=2.0)
    assert steady.level_db[0] < 0.6
    assert steady.flux_db[0] < 4.0


def test_another_tone_of_the_same_level_is_flux_without_a_step_of_level() -> None:
    time = np.arange(44_100) / 44_100
    hz = np.where(time < 0.5, 300.0, 3_000.0)
    audio = np.tile(0.2 * np.sin(2 * np.pi * hz * time), (2, 1)).astype(np.float32)
    other, same = steps_at(audio, [22_050]), steps_at(audio, [11_025])
    assert other.level_db[0] < 0.2
    assert other.flux_db[0] > same.flux_db[0] + 3.0


def test_bar_lines_lie_on_the_bars_and_inside_the_song(excerpt: Excerpt) -> None:
    lines = bar_lines(excerpt)
    bars = [excerpt.timeline.bar_at_beat(excerpt.timeline.beat_at_sample(line)) for line in lines]
    assert lines == [excerpt.timeline.sample_at_bar(bar) for bar in bars]
    assert 0 < lines[0] < lines[-1] < excerpt.samples


def test_what_is_to_stay_is_checked_to_the_bit(excerpt: Excerpt) -> None:
    stems: Mapping[str, Array] = {stem: excerpt.audio[stem] for stem in STEMS}
    kept = Kept(stems, 10_000, 20_000, ("drums",))
    inside = {**stems, "drums": stems["drums"].copy()}
    inside["drums"][:, 10_000:20_000] = 0.5
    outside = {**inside, "drums": inside["drums"].copy()}
    outside["drums"][:, 20_000] += np.float32(1e-6)
    locked = {**stems, "bass": stems["bass"] * np.float32(0.999_999)}
    assert is_untouched(inside, kept)
    assert not is_untouched(outside, kept)
    assert not is_untouched(locked, kept)


def test_each_way_is_tried_within_a_take_and_within_the_real_stems(excerpt: Excerpt) -> None:
    figures = seam_figures(Copyist(), excerpt, Wish(style="pop"))
    assert [(one.way, one.kept) for one in figures] == [
        (way, kept) for kept in ("own take", "real") for way in ("fill", "continue", "re-roll")
    ]
    assert [len(one.seams.flux_db) for one in figures] == [2, 1, 2] * 2
    assert all(one.untouched for one in figures)


def test_music_put_back_as_it_was_has_no_larger_seams_and_a_jump_of_level_has(excerpt: Excerpt) -> None:
    faithful = seams_table(seam_figures(Copyist(), excerpt, Wish())).rows
    jumps = seams_table(seam_figures(Copyist(louder=0.1), excerpt, Wish())).rows
    assert {row[-1] for row in faithful if row[1] == "level"} == {"met"}
    assert {row[-1] for row in jumps if row[1] == "level" and row[0].startswith("fill")} == {"**short**"}


def test_a_band_that_touches_a_locked_stem_falls_short(excerpt: Excerpt) -> None:
    rows = untouched_table(seam_figures(Copyist(spoils=True), excerpt, Wish())).rows
    assert {row[1] for row in rows} == {"0 %"}
    assert {row[-1] for row in rows} == {"**short**"}


def test_what_is_made_anew_has_another_seed_than_the_take(excerpt: Excerpt) -> None:
    seeds = []

    def play(excerpt: Excerpt, wish: Wish, kept: Kept | None = None) -> Stems:
        seeds.append((wish.seed, kept is not None))
        return {stem: excerpt.audio[stem] for stem in STEMS}

    seam_figures(play, excerpt, Wish(seed=4))
    assert set(seeds) == {(4, False), (5, True)}


def test_a_song_of_too_few_bars_gives_no_figure() -> None:
    figures: list[SeamFigures] = seam_figures(Copyist(), excerpt_of("first", 5.0), Wish())
    assert figures == []
