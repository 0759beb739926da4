"""Few distilled steps beside the teacher's many: what is lost, row by row, and whose denoiser plays."""

from dataclasses import replace
from pathlib import Path

import pytest

from bridge.evaluation.accompaniment import song_figures
from bridge.evaluation.measures import SongFigures
from bridge.evaluation.report import verdict
from bridge.evaluation.songs import find_songs, read_excerpt
from bridge.evaluation.teacher import SMALLER_IS_BETTER, TEACHER_STEPS, loss, teacher_table, with_many_steps
from tests.evaluation_support import follower, write_song
from tests.live_support import factory_model

MEDIAN = "drum onsets to the nearest grid position, median"


def figures(songs: Path, late_seconds: float) -> list[SongFigures]:
    excerpts = [read_excerpt(facts, 8.0) for facts in find_songs(songs, "test", 2)]
    play = follower(late_seconds)
    return [song_figures(one, other, play, lambda audio: audio, 0) for one, other in (excerpts, excerpts[::-1])]


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("songs")
    for name in ("first", "second"):
        write_song(folder, name)
    return folder


def test_what_is_lost_has_a_sign_of_its_own_where_less_is_better() -> None:
    assert MEDIAN in SMALLER_IS_BETTER
    assert loss("key", 0.9, 1.0) == pytest.approx(0.1)
    assert loss("key", 1.0, 0.9) < 0.0
    assert loss(MEDIAN, 6.0, 5.0) == pytest.approx(0.2)
    assert loss(MEDIAN, 5.0, 6.0) < 0.0
    assert loss("key", 0.5, 0.0) != loss("key", 0.5, 0.0), "not a number"


def test_a_band_loses_nothing_against_itself_and_late_strokes_show(songs: Path) -> None:
    on_time, late = figures(songs, 0.0), figures(songs, 0.02)
    rows = {row[0]: row for row in teacher_table(on_time, on_time).rows}
    assert rows["drum strokes a beat"][-1] == ""
    assert {row[-1] for name, row in rows.items() if name != "drum strokes a beat"} == {verdict(True)}
    rows = {row[0]: row for row in teacher_table(late, on_time).rows}
    assert rows[MEDIAN][-1] == verdict(False)
    assert rows["key"][-1] == verdict(True)
    assert teacher_table(on_time, late).rows[0][-1] == verdict(True), "better than the teacher is no loss"


def test_the_teacher_is_the_bundle_but_for_its_weights_and_steps() -> None:
    bundle = factory_model()
    sampling = replace(bundle.sampling, distilled_guidance_scale=1.0, stem_gains_db={})
    teacher = replace(bundle, manifest=replace(bundle.manifest, sampling=sampling), denoiser=bundle.encoder)
    long = with_many_steps(bundle, teacher)
    assert long.denoiser is teacher.denoiser
    assert long.decoder is bundle.decoder
    assert long.sampling.steps == TEACHER_STEPS
    assert long.sampling.distilled_guidance_scale == 1.0
    assert long.sampling.stem_gains_db == bundle.sampling.stem_gains_db
