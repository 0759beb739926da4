import json
from pathlib import Path

import numpy as np
import pytest

from engine.harmoniser import Harmoniser
from engine.harmony import NO_CHORD, Chord, ChordSpan, Key
from engine.harmony_tables import ChordState, HarmonyTables
from engine.timeline import Timeline
from export.__main__ import read_harmony
from tests.harmony_support import melody
from training.harmony import Settings, Song, estimate, main, read_songs, state_of
from training.harmony_scores import agreement, report, score

TURNS = {False: ((0, "maj"), (9, "min"), (5, "maj"), (7, "7")), True: ((0, "min"), (8, "maj"), (3, "maj"), (10, "maj"))}


def song(index: int, split: str = "train") -> Song:
    """A song in key `index`, which turns through four chords, a bar each, in common time or a waltz."""
    key, beats = Key.from_index(index % 24), 3.0 if index % 3 == 0 else 4.0
    timeline = Timeline.constant(90 + index, int(beats), 4)
    chords = [ChordState(*state).chord_in(key.tonic) for state in TURNS[key.minor] * 3]
    spans = tuple(ChordSpan(bar * beats, bar * beats + beats, chord) for bar, chord in enumerate(chords))
    return Song(split, melody(chords, timeline, beats), timeline, key, spans)


def test_songs_like_the_counted_ones_are_read_nearly_without_fault() -> None:
    tables = estimate([song(index) for index in range(48)], Settings())
    assert ChordState(7, "7") in tables.states
    unseen = [song(index) for index in (50, 55, 63, 70)]
    text = report("test", Harmoniser(tables), unseen)
    assert text.startswith("test: 4 songs, key right in 4")
    lines = {line.strip().split("  ")[0]: line for line in text.splitlines()[1:]}
    assert float(lines["from the vocal"].split("root ")[1][:5]) > 0.9
    assert float(lines["another song's chords"].split("root ")[1][:5]) < 0.5


def test_the_right_chords_score_one_and_the_tonic_its_share() -> None:
    songs = [song(1), song(2)]
    np.testing.assert_allclose(score(songs, lambda each, beats: each.chords_at(beats)), 1.0)
    tonics = score(songs, lambda each, beats: [ChordState(0, "maj").chord_in(each.key.tonic)] * len(beats))
    assert tonics[0] == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize(
    ("true", "guessed", "expected"),
    [
        ("C", "C", (1, 1, 1)),
        ("C", "C7", (1, 1, 1)),
        ("C", "Cm", (1, 0, 2 / 3)),
        ("C", "Am", (0, 0, 2 / 3)),
        ("Am7", "C", (0, 0, 3 / 4)),
        ("Csus4", "C", (1, 0, 2 / 3)),
    ],
)
def test_agreement_by_hand(true: str, guessed: str, expected: tuple[float, float, float]) -> None:
    assert agreement(Chord.parse(true), Chord.parse(guessed)) == pytest.approx(expected)


def test_chords_without_a_state_of_their_own_go_to_the_state_with_most_notes_in_common() -> None:
    states = tuple(ChordState(degree, quality) for quality in ("maj", "min") for degree in range(12))
    key = Key.parse("D major")
    assert states[state_of(Chord.parse("Em7"), key, states)] == ChordState(2, "min")
    assert states[state_of(Chord.parse("A7"), key, states)] == ChordState(7, "maj")
    assert states[state_of(Chord.parse("C#dim"), key, states)] == ChordState(11, "min"), "two of four, on its own root"
    with_sevenths = (*states, ChordState(7, "7"))
    assert with_sevenths[state_of(Chord.parse("C#dim"), key, with_sevenths)] == ChordState(7, "7"), (
        "A7 without its root"
    )
    assert state_of(NO_CHORD, key, states) == -1


def test_the_command_writes_tables_that_export_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for index, split in enumerate(("train", "train", "validation", "test")):
        write(tmp_path / f"song{index}.npz", song(index, split))
    np.savez(tmp_path / "statistics.npz", mean=np.zeros(64), std=np.ones(64))
    assert [each.split for each in read_songs(tmp_path)] == ["train", "train", "validation", "test"]
    out = tmp_path / "harmony.json"
    monkeypatch.setattr("sys.argv", ["harmony", "--latents", str(tmp_path), "--out", str(out)])
    assert main() == 0
    assert "validation: 1 songs" in capsys.readouterr().out
    tables = read_harmony(out)
    assert isinstance(tables, HarmonyTables)
    assert tables.to_dict() == json.loads(out.read_text(encoding="utf-8"))
    (tmp_path / "empty").mkdir()
    monkeypatch.setattr("sys.argv", ["harmony", "--latents", str(tmp_path / "empty"), "--out", str(out)])
    assert main() == 2
    assert "encode_corpus" in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"training\.harmony"):
        read_harmony(tmp_path / "nowhere.json")


def write(path: Path, each: Song) -> None:
    """Write a song as `training.encode_corpus` caches it, as far as harmony goes."""
    rows = [
        [span.start_beat, span.end_beat, span.chord.root, [*span.chord.pitch_classes], span.chord.bass, "test"]
        for span in each.chords
    ]
    facts = {
        "split": each.split,
        "key": each.key.name,
        "tempo_map": each.timeline.tempos,
        "time_signatures": each.timeline.time_signatures,
        "chords": rows,
    }
    np.savez(path, pitch=each.pitch, song=np.array(json.dumps(facts)))
