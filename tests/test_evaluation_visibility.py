"""Songs made chunk by chunk: what is visible of the vocal, what the model is told, and the table of what is lost."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, cast

import numpy as np
import pytest

from bridge.evaluation.chunkwise import Song, chunks, frame_bars_before, latents_of
from bridge.evaluation.measures import Figures
from bridge.evaluation.mir_scores import chords_right
from bridge.evaluation.visibility import COLUMNS, FULL, LATE, MOST_SONGS, REAL, Take, table, told_chords, total
from bridge.live.work import Shape
from engine.conditions import LAYOUT
from engine.geometry import LATENT_HOP_SAMPLES, STEMS, frames_covering
from engine.harmoniser import Harmoniser
from engine.harmony import Chord, ChordSpan
from engine.live_chunk import ChunkPlan, MadeChunk
from engine.manifest import SamplingFacts
from engine.spectra import Array
from engine.timeline import Timeline
from engine.window import Heard, Model
from engine.wish import Wish
from tests.harmony_support import melody, rule_harmoniser

TIMELINE = Timeline.constant(100)
SHAPE = Shape(chunk_frames=16, window_frames=64)
BAR_FRAMES = 16
PLAIN = Wish("pop", steps=1, guidance_scale=1.0)
LABELS = ("C", "F", "G", "C", "Am", "F", "G", "C")


@dataclass
class DeafModel:
    """A stand-in for a bundle that plays nothing and keeps what it was told."""

    harmony: Harmoniser | None = None
    sampling: SamplingFacts = field(default_factory=SamplingFacts)
    latent_mean: Array = field(default_factory=lambda: np.zeros(64, np.float32))
    latent_std: Array = field(default_factory=lambda: np.ones(64, np.float32))
    told: list[Array] = field(default_factory=list)

    def denoise(self, x: Array, timestep: Array, conditions: Array, style: Array) -> Array:
        self.told.append(conditions[0])
        return np.zeros_like(x)


def song_of(pitch: Array) -> Song:
    frames = pitch.shape[1]
    latents = np.random.default_rng(0).standard_normal((64, frames)).astype(np.float32)
    return Song(Heard(latents, pitch, np.full((2, frames), 0.5, np.float32)), TIMELINE, frames * LATENT_HOP_SAMPLES - 7)


def played(model: DeafModel, song: Song, column: str) -> list[MadeChunk]:
    visible = COLUMNS[column]
    assert visible is not None

    def visible_end(plan: ChunkPlan) -> int:
        return visible(song.timeline, plan)

    return list(
        chunks(cast(Model, cast(Any, model)), song, PLAIN, lambda first: SHAPE.plan(first, BAR_FRAMES), visible_end)
    )


def visible_ends(model: DeafModel, made: list[MadeChunk]) -> list[int]:
    """Return the frame after the last whose vocal each chunk's conditions hold; 0 for none."""
    ends = []
    for chunk, told in zip(made, model.told, strict=True):
        flags = np.flatnonzero(told[LAYOUT.vocal_latents.whole][-1])
        ends.append(chunk.plan.window_start + int(flags[-1]) + 1 if len(flags) else 0)
    return ends


def test_the_vocal_is_visible_as_far_as_the_column_says_and_no_further() -> None:
    song = song_of(np.full((14, 200), 0.5, np.float32))
    starts = [chunk.plan.first_frame for chunk in played(DeafModel(), song, "to its start")]
    assert starts == list(range(0, 200, 16))
    wanted = {
        "to the chunk's end": [min(start + 16, 200) for start in starts],
        "to its start": starts,
        LATE: [frame_bars_before(TIMELINE, start, 1.0) for start in starts],
        "2 bars before": [frame_bars_before(TIMELINE, start, 2.0) for start in starts],
        "not at all": [0] * len(starts),
    }
    for column, ends in wanted.items():
        model = DeafModel()
        found = visible_ends(model, played(model, song, column))
        # A window begins 16 frames before its chunk: what was seen before that is not in it.
        in_sight = [end if end > max(start - 16, 0) else 0 for start, end in zip(starts, ends, strict=True)]
        assert found == in_sight, column


def test_a_bar_before_a_frame_is_a_whole_bar_of_the_tempo_and_metre_there() -> None:
    waltz = Timeline.constant(90.0, 3)
    bar_samples = waltz.sample_at_bar(1)
    frame = 150
    end = frame_bars_before(waltz, frame, 1.0)
    gap = frame * LATENT_HOP_SAMPLES - end * LATENT_HOP_SAMPLES
    assert bar_samples <= gap < bar_samples + LATENT_HOP_SAMPLES
    assert frame_bars_before(waltz, 10, 1.0) == 0


def test_a_song_of_any_length_is_covered_once_in_order() -> None:
    song = song_of(np.full((14, 90), 0.5, np.float32))
    made = played(DeafModel(), song, "to its start")
    assert [chunk.plan.first_frame for chunk in made] == [0, 16, 32, 48, 64, 80]
    assert latents_of(made, song.samples).shape == (192, frames_covering(song.samples))


def spans_of(labels: tuple[str, ...]) -> list[ChordSpan]:
    return [ChordSpan(4.0 * bar, 4.0 * bar + 4.0, Chord.parse(label)) for bar, label in enumerate(labels)]


def test_the_model_is_told_the_chords_that_could_be_read_when_each_chunk_was_made() -> None:
    pitch = melody([span.chord for span in spans_of(LABELS)], TIMELINE, 4.0)
    right = {}
    for column in ("to the chunk's end", LATE, "not at all"):
        model = DeafModel(harmony=rule_harmoniser())
        told = told_chords(played(model, song_of(pitch), column))
        assert all(first.end_beat <= second.start_beat for first, second in pairwise(told))
        right[column] = chords_right(spans_of(LABELS), told)
    assert right["to the chunk's end"] > 0.7
    assert right[LATE] < 0.6
    assert np.isnan(right["not at all"])  # nothing is sung, so nothing is read


FIGURES = Figures(
    drum_ms=np.array([4.0, 5.0, 6.0]),
    strokes_a_beat=2.0,
    tempo=1.0,
    tempo_or_octave=1.0,
    key=1.0,
    key_weighted=1.0,
    other_on_chord=0.8,
    bass_on_chord=0.8,
    chords=0.6,
    agreement_real=0.5,
    agreement_vocal=0.5,
)
TAKE = Take(FIGURES, 0.7, dict.fromkeys(STEMS, -20.0), mismatched=0.1)


def rows_of(late: Take) -> Mapping[str, tuple[str, ...]]:
    takes = {name: [TAKE, TAKE] for name in (*COLUMNS, REAL)}
    takes[LATE] = [late, late]
    return {row[0]: row for row in table(takes).rows}


def test_what_loses_nothing_is_met_in_each_row() -> None:
    rows = rows_of(TAKE)
    judged = [row for row in rows.values() if row[-1]]
    assert len(judged) == 8
    assert all(row[-2:] == ("0 %", "met") for row in judged)
    assert rows["harmony on the chord, share of the real one's"][1] == "100 %"


@pytest.mark.parametrize(
    ("change", "name", "lost", "verdict"),
    [
        ({"other_on_chord": 0.72}, "harmony on the chord, share of the real one's", "10 %", "met"),
        ({"other_on_chord": 0.6}, "harmony on the chord, share of the real one's", "25 %", "**short**"),
        ({"drum_ms": np.array([6.0])}, "drum onsets to the grid, median above the real", "20 %", "**short**"),
        ({"drum_ms": np.array([4.0])}, "drum onsets to the grid, median above the real", "-20 %", "met"),
        ({"agreement_real": 0.25}, "agreement with the real accompaniment", "50 %", ""),
        ({"agreement_real": 0.25}, "matched vocal beats mismatched", "0 %", "met"),
        ({"agreement_real": 0.05}, "matched vocal beats mismatched", "100 %", "**short**"),
    ],
)
def test_more_than_15_percent_lost_is_short(change: dict[str, Any], name: str, lost: str, verdict: str) -> None:
    row = rows_of(replace(TAKE, figures=replace(FIGURES, **change)))[name]
    assert row[-2:] == (lost, verdict)


def test_silence_is_a_loss_and_not_left_out() -> None:
    silent = {name: float("nan") for name in ("other_on_chord", "bass_on_chord", "agreement_real")}
    figures = replace(FIGURES, drum_ms=np.zeros(0), strokes_a_beat=0.0, **cast(Any, silent))
    rows = rows_of(replace(TAKE, figures=figures, lufs=dict.fromkeys(STEMS, -70.0)))
    for name in ("drum strokes a beat", "bass on the chord, share of the real one's"):
        assert rows[name][-2:] == ("100 %", "**short**")
    assert rows["loudness of bass, LUFS"][1 + list(COLUMNS).index(LATE)] == "-70.0"


def test_no_more_songs_are_used_than_it_takes() -> None:
    songs = cast(Any, list(range(50)))
    assert total(songs) == MOST_SONGS
    assert total(songs[:5]) == 5
    assert FULL in COLUMNS
