from pathlib import Path

import mir_eval
import numpy as np
import pytest

from engine.geometry import LATENT_RATE_HZ, SAMPLE_RATE_HZ
from engine.harmony import Key
from engine.timeline import Timeline
from tests.folders_support import grid, stems_of, stereo
from training.folders.beats import BeatError, Beats, estimate_beats
from training.folders.harmony import chroma_of, estimate_chords, estimate_key
from training.folders.timing import given_steady, placed, read_beats, steady, tempo_knots


@pytest.mark.parametrize(("bpm", "beats_per_bar", "start"), [(97.0, 4, 0.31), (128.5, 4, 0.0), (112.0, 3, 0.7)])
def test_beats_tempo_and_bar_lines_are_heard(bpm: float, beats_per_bar: int, start: float) -> None:
    truth = grid(bpm, 12 * beats_per_bar, start)
    stems = {name: stereo(audio) for name, audio in stems_of(truth, beats_per_bar).items()}
    heard = estimate_beats(stems)
    assert mir_eval.beat.f_measure(truth, heard.seconds) > 0.95
    assert 60.0 / np.median(np.diff(heard.seconds)) == pytest.approx(bpm, rel=0.01)
    assert heard.beats_per_bar == beats_per_bar
    downbeats = heard.seconds[heard.first_downbeat :: heard.beats_per_bar]
    assert mir_eval.beat.f_measure(truth[::beats_per_bar], downbeats) > 0.9


def test_beats_follow_a_tempo_that_drifts() -> None:
    truth = 0.4 + np.cumsum(60.0 / np.linspace(96.0, 106.0, 64))
    heard = estimate_beats({name: stereo(audio) for name, audio in stems_of(truth).items()})
    assert mir_eval.beat.f_measure(truth, heard.seconds) > 0.95
    timeline = placed(Beats(truth, 0, 4), 0.01).timeline
    assert len(timeline.tempos) > 1
    assert [timeline.tempos[0][1], timeline.tempos[-1][1]] == pytest.approx([96.5, 105.5], abs=1.0)


def test_a_given_tempo_settles_the_octave() -> None:
    stems = {name: stereo(audio) for name, audio in stems_of(grid(140.0, 48)).items()}
    assert np.median(np.diff(estimate_beats(stems, bpm=70.0).seconds)) == pytest.approx(60.0 / 70.0, rel=0.02)


def test_where_no_beat_can_be_heard_the_error_says_what_to_give() -> None:
    silent = dict.fromkeys(("vocals", "drums", "bass", "other"), np.zeros((2, 10 * SAMPLE_RATE_HZ), np.float32))
    with pytest.raises(BeatError, match="no beat can be heard; give its tempo"):
        estimate_beats(silent)
    with pytest.raises(BeatError, match="shorter than 6 seconds"):
        estimate_beats({name: audio[:, :44_100] for name, audio in silent.items()})


@pytest.mark.parametrize(("start", "first_downbeat"), [(0.3, 0), (0.02, 0), (0.3, 2), (5.0, 1), (-0.4, 0)])
def test_beat_0_is_a_downbeat_on_the_first_sample(start: float, first_downbeat: int) -> None:
    beats = Beats(grid(100.0, 40, start), first_downbeat, 4)
    placement = placed(beats, 0.01)
    timeline = placement.timeline
    assert timeline.tempos == ((0.0, 100.0),)
    moved = beats.seconds + placement.lead_samples / SAMPLE_RATE_HZ
    numbers = timeline.beats_at_samples(np.rint(moved * SAMPLE_RATE_HZ).astype(np.int64))
    assert numbers == pytest.approx(np.round(numbers), abs=0.001)
    assert round(numbers[first_downbeat]) % 4 == 0
    assert -0.05 <= placement.lead_samples / SAMPLE_RATE_HZ <= 4 * 0.6


def test_a_tempo_map_keeps_every_beat_within_the_tolerance() -> None:
    seconds = np.cumsum(60.0 / (100.0 + 8.0 * np.sin(np.arange(200) / 15.0)))
    placement = placed(Beats(seconds, 0, 4), 0.02)
    reached = placement.timeline.samples_at_beats(np.arange(4, 204)) / SAMPLE_RATE_HZ
    wanted = seconds + placement.lead_samples / SAMPLE_RATE_HZ
    assert np.abs(reached - wanted).max() < 0.0205
    assert len(placement.timeline.tempos) < 60
    jitter = seconds[0] + grid(90.0, 100) + np.random.default_rng(0).uniform(-0.005, 0.005, 100)
    assert len(tempo_knots(np.arange(100.0), jitter, 0.02)) == 2


def test_beats_that_are_no_quarter_notes_are_refused() -> None:
    with pytest.raises(BeatError, match="30 to 300"):
        placed(Beats(grid(20.0, 10), 0, 4), 0.01)
    with pytest.raises(BeatError, match="rising order"):
        placed(Beats(np.array([0.0, 1.0, 0.5]), 0, 4), 0.01)


def test_a_steady_grid_keeps_the_given_tempo_to_the_digit() -> None:
    heard = Beats(grid(92.3, 60, 0.25) + np.random.default_rng(1).uniform(-0.01, 0.01, 60), 2, 4)
    found = steady(heard, 92.3)
    assert np.diff(found.seconds) == pytest.approx(60.0 / 92.3, abs=1e-9)
    assert found.seconds[found.first_downbeat] == pytest.approx(0.25 + 2 * 60.0 / 92.3, abs=0.005)
    given = given_steady(120.0, 0.35, 3, 10.0)
    assert [given.seconds[0], given.first_downbeat, given.beats_per_bar] == [0.35, 0, 3]


def test_beats_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "beats.txt"
    path.write_text("0.5\n1.0\n1.5\n\n2.0\n")
    assert [*read_beats(path, None).seconds] == [0.5, 1.0, 1.5, 2.0]
    path.write_text("0.5 3\n1.0 1\n1.5 2\n2.0 3\n2.5 1\n")
    beats = read_beats(path, None)
    assert [beats.first_downbeat, beats.beats_per_bar] == [1, 3]
    path.write_text("now\nthen\n")
    with pytest.raises(BeatError, match="not a list of seconds"):
        read_beats(path, None)


def test_chords_and_key_are_heard_on_the_timeline() -> None:
    stems = {name: stereo(audio) for name, audio in stems_of(grid(100.0, 64)).items()}
    bass, other = chroma_of(stems)
    assert bass.shape[1] == pytest.approx(stems["bass"].shape[1] / SAMPLE_RATE_HZ * LATENT_RATE_HZ, abs=1)
    chords = estimate_chords(bass, other, Timeline.constant(100.0))
    assert [span.chord.root for span in chords[:8]] == [0, 9, 5, 7] * 2
    assert [(span.start_beat, span.end_beat) for span in chords[:3]] == [(0.0, 4.0), (4.0, 8.0), (8.0, 12.0)]
    assert [span.chord.pitch_classes for span in chords[:2]] == [(0, 4, 7), (0, 4, 9)]
    assert estimate_key(chords) == Key.parse("C major")


def test_silence_has_no_chords_and_no_key() -> None:
    nothing = np.zeros((12, 200))
    assert estimate_chords(nothing, nothing, Timeline.constant(100.0)) == ()
    assert estimate_key(()) is None
