import pytest

from engine.harmony import Chord, ChordSpan, Key


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("C", 0),
        ("C major", 0),
        ("A minor", 21),
        ("Eb major", 3),
        ("F#m", 18),
        ("f# min", 18),
        ("Bb", 10),
        ("B♭ major", 10),
        ("G#:min", 20),
        ("Cb major", 11),
        ("AM", 9),
        ("  d  minor ", 14),
    ],
)
def test_keys(text: str, index: int) -> None:
    assert Key.parse(text).index == index


@pytest.mark.parametrize("index", range(24))
def test_a_keys_name_reads_back(index: int) -> None:
    key = Key.from_index(index)
    assert key.index == index
    assert Key.parse(key.name) == key


@pytest.mark.parametrize("text", ["", "H minor", "A dorian", "minor", "A minor minor", "21"])
def test_unknown_keys_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write it as 'A minor'"):
        Key.parse(text)


@pytest.mark.parametrize("index", [-1, 24])
def test_key_classes_out_of_range_are_refused(index: int) -> None:
    with pytest.raises(ValueError, match="0 to 23"):
        Key.from_index(index)


@pytest.mark.parametrize(
    ("label", "root", "pitch_classes", "bass"),
    [
        ("C", 0, (0, 4, 7), 0),
        ("Am7", 9, (0, 4, 7, 9), 9),
        ("F/A", 5, (0, 5, 9), 9),
        ("Dsus4", 2, (2, 7, 9), 2),
        ("Bbmaj7", 10, (2, 5, 9, 10), 10),
        ("F#dim7", 6, (0, 3, 6, 9), 6),
        ("Bm7b5", 11, (2, 5, 9, 11), 11),
        ("C6/9", 0, (0, 2, 4, 7, 9), 0),
        ("C6/9/E", 0, (0, 2, 4, 7, 9), 4),
        ("G7/F", 7, (2, 5, 7, 11), 5),
        ("A:min7/b7", 9, (0, 4, 7, 9), 7),
        ("C:maj/3", 0, (0, 4, 7), 4),
        ("Eb5", 3, (3, 10), 3),
        ("N", -1, (), -1),
    ],
)
def test_chords(label: str, root: int, pitch_classes: tuple[int, ...], bass: int) -> None:
    chord = Chord.parse(label)
    assert (chord.root, chord.pitch_classes, chord.bass, chord.label) == (root, pitch_classes, bass, label)


@pytest.mark.parametrize("label", ["", "H7", "Cfoo", "am7", "C/", "C/H", "C/g", "7"])
def test_unknown_chords_are_refused(label: str) -> None:
    with pytest.raises(ValueError, match="is not known; write"):
        Chord.parse(label)


def test_chords_whose_parts_disagree_are_refused() -> None:
    with pytest.raises(ValueError, match="no chord"):
        Chord(-1, (0, 4, 7), 0)
    with pytest.raises(ValueError, match="pitch classes 0 to 11"):
        Chord(0, (0, 4, 12), 0)


def test_a_song_files_row() -> None:
    assert ChordSpan.from_row([4, 8, 9, [9, 0, 4], 9, "Am"]) == ChordSpan(4.0, 8.0, Chord(9, (0, 4, 9), 9, "Am"))
    assert ChordSpan.from_row([0, 4, -1, [], -1, "N"]).chord == Chord.parse("N")


def test_a_span_without_length_is_refused() -> None:
    with pytest.raises(ValueError, match="end after the start"):
        ChordSpan(4, 4, Chord.parse("C"))


@pytest.mark.parametrize(
    ("label", "triad"),
    [("D", 0), ("Dm7", 12), ("A7", 7), ("Bm", 12 + 9), ("C#dim", 12 + 11), ("Gsus4", 5), ("E7#9", 2)],
)
def test_triads_are_numbered_from_the_tonic_up_major_ones_first(label: str, triad: int) -> None:
    assert Chord.parse(label).triad_above(2) == triad
