"""The symbolic half of the corpus: recipes, scores, the composer and the arrangements."""

import io
import pickle
import tarfile
from itertools import pairwise
from pathlib import Path

import mido
import numpy as np
import pytest

from engine.styles import STYLES
from training.corpus.composer import compose
from training.corpus.drum_patterns import CALM, FILLS, FULL, KEYS, LIGHT_FILLS, VELOCITIES
from training.corpus.groove import cut_pieces, fit_to_grid, grid_error_beats, load_takes, take_notes
from training.corpus.harmony import LAYERS, voicings
from training.corpus.notes import Note, Part, Song
from training.corpus.pop909 import load_scores, parse_score
from training.corpus.score import Metre, bars_of, chord_index_at, excerpt, split_of, stretch, swing_melody, to_triple
from training.corpus.songs import Recipe, arrange, list_recipes
from training.corpus.theory import lead_voicing, make_chord, nearest_pitch, parse_numeral, pitch_class

BARS_OF_PHRASES = "i4A8B8A8B8o4"


def made_up_song(bpm: int) -> dict[str, str]:
    """A song in POP909's format, made up: 40 bars of four chords in G, a tune in eighths from bar 5 on."""
    chords = (
        "G:maj [2, 7, 11] 7 4\nE:min7/b7 [2, 4, 7, 11] 2 4\nC:sus4(b7,9) [0, 2, 5, 7, 10] 0 2\nD:maj [2, 6, 9] 2 6\n"
    )
    verse = "79 2\n81 2\n83 4\n0 2\n86 2\n83 4\n" * 8
    chorus = "86 2\n84 2\n86 4\n0 2\n88 2\n83 4\n" * 8
    return {
        "melody.txt": f"0 64\n{verse}{chorus}{verse}{chorus}0 64\n",
        "finalized_chord.txt": chords * 10,
        "analyzed_key.txt": "G:maj",
        "tempo.txt": f"{bpm}",
        "human_label1.txt": BARS_OF_PHRASES,
    }


def drum_take(bars: int) -> bytes:
    """A straight take on Roland's keys: kick, snare on its rim's key, hat on its edge's key, 9 ms late."""
    midi = mido.MidiFile(ticks_per_beat=480)
    track = mido.MidiTrack()
    midi.tracks.append(track)
    last = 0
    for eighth in range(bars * 8):
        for key in (22, 36 if eighth % 4 == 0 else 40 if eighth % 4 == 2 else 26):
            tick = eighth * 240 + 7
            track.append(mido.Message("note_on", note=key, velocity=90, time=tick - last, channel=9))
            last = tick
    stream = io.BytesIO()
    midi.save(file=stream)
    return stream.getvalue()


def add_file(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a made-up POP909 and a made-up Groove MIDI in the layout of the real ones."""
    folder = tmp_path_factory.mktemp("data")
    with tarfile.open(folder / "pop909_structure.tar.xz", "w:xz") as archive:
        for number in range(1, 41):
            for name, text in made_up_song(60 + 2 * number).items():
                add_file(archive, f"structure/POP909/{number:03d}/{name}", text.encode())
    header = "drummer,session,id,style,bpm,beat_type,time_signature,midi_filename,audio_filename,duration,split\n"
    rows = [
        f"d,s,{split},{style}/x,{bpm},beat,4-4,{split}/{style}{bpm}.mid,,{8 * 240 / bpm},{split}"
        for split in ("train", "validation", "test")
        for style in ("rock", "funk", "hiphop", "pop")
        for bpm in (80, 110, 150)
    ]
    with tarfile.open(folder / "groove_midi.tar.xz", "w:xz") as archive:
        add_file(archive, "./info.csv", (header + "\n".join(rows)).encode())
        for row in rows:
            add_file(archive, "./" + row.split(",")[7], drum_take(8))
    return folder


@pytest.fixture(scope="module")
def recipes(data_dir: Path) -> list[Recipe]:
    return list_recipes(data_dir, 60, seed=5)


@pytest.fixture(scope="module")
def songs(data_dir: Path, recipes: list[Recipe]) -> list[Song]:
    """Songs from both sources, and composed ones made without any data."""
    return [arrange(recipe, data_dir) for recipe in recipes] + [
        arrange(recipe, None) for recipe in list_recipes(None, 20, seed=6)
    ]


def stem(song: Song, name: str) -> list[Note]:
    return [note for part in song.parts if part.stem == name for note in part.notes]


def bar_beats(song: Song) -> float:
    _, numerator, denominator = song.time_signatures[0]
    return numerator * 4 / denominator


def chord_tone_share(song: Song, notes: list[Note]) -> float:
    """Share of the sounding time that lies on the pitch classes of the chord at the note's middle."""
    on = total = 0.0
    for note in notes:
        chord = song.chords[chord_index_at(song.chords, note.start_beat + min(0.1, note.duration_beats / 2))]
        if chord.root >= 0:
            total += note.duration_beats
            on += note.duration_beats * (note.pitch % 12 in (*chord.pitch_classes, chord.bass))
    return on / total


# Recipes


def test_a_recipe_list_is_deterministic_and_a_longer_one_starts_with_it(data_dir: Path, recipes: list[Recipe]) -> None:
    assert list_recipes(data_dir, 60, seed=5) == recipes
    assert list_recipes(data_dir, 25, seed=5) == recipes[:25]
    assert list_recipes(data_dir, 60, seed=6) != recipes


def test_recipes_survive_pickling_and_have_unique_ids(recipes: list[Recipe]) -> None:
    assert pickle.loads(pickle.dumps(recipes)) == recipes
    assert len({recipe.id for recipe in recipes}) == len(recipes)


def test_styles_are_balanced_and_both_sources_are_used(recipes: list[Recipe]) -> None:
    assert [sum(recipe.style == style for recipe in recipes) for style in STYLES] == [6] * len(STYLES)
    composed = sum(recipe.source == "composer" for recipe in recipes)
    assert 15 < composed < 45


def test_without_data_every_recipe_is_composed(tmp_path: Path) -> None:
    assert {recipe.source for recipe in list_recipes(None, 30, seed=1)} == {"composer"}
    assert {recipe.source for recipe in list_recipes(tmp_path, 30, seed=1)} == {"composer"}


def test_a_negative_count_is_refused() -> None:
    with pytest.raises(ValueError, match="count is -1"):
        list_recipes(None, -1, seed=0)


def test_a_pop909_recipe_without_its_data_names_the_remedy(recipes: list[Recipe]) -> None:
    recipe = next(recipe for recipe in recipes if recipe.source == "pop909")
    with pytest.raises(ValueError, match=r"pop909_structure\.tar\.xz"):
        arrange(recipe, None)


def test_every_composition_has_one_split_in_about_the_right_shares(data_dir: Path) -> None:
    by_composition: dict[tuple[str, str], set[str]] = {}
    for seed in (1, 2):
        for recipe in list_recipes(data_dir, 400, seed):
            by_composition.setdefault((recipe.source, recipe.composition), set()).add(recipe.split)
    assert all(len(splits) == 1 for splits in by_composition.values())
    shares = [split_of(f"composer-{number:09d}") for number in range(4000)]
    assert [round(100 * shares.count(name) / 4000) for name in ("train", "validation", "test")] == pytest.approx(
        [84, 8, 8], abs=2
    )


# Songs


def test_the_same_recipe_makes_the_same_song(data_dir: Path, recipes: list[Recipe], songs: list[Song]) -> None:
    load_scores.cache_clear()
    load_takes.cache_clear()
    take_notes.cache_clear()
    assert [arrange(recipe, data_dir) for recipe in recipes[:12]] == songs[:12]


def test_songs_say_what_their_recipes_say(recipes: list[Recipe], songs: list[Song]) -> None:
    for recipe, song in zip(recipes, songs, strict=False):
        assert (song.id, song.source, song.split, song.style, song.seed) == (
            recipe.id,
            recipe.source,
            recipe.split,
            recipe.style,
            recipe.seed,
        )


def test_notes_are_sorted_valid_and_within_the_song(songs: list[Song]) -> None:
    for song in songs:
        for notes in (song.melody, *(part.notes for part in song.parts)):
            assert notes
            assert all(one.start_beat <= two.start_beat for one, two in pairwise(notes))
            assert all(note.start_beat >= 0 and note.duration_beats > 0 for note in notes)
            assert max(note.start_beat + note.duration_beats for note in notes) <= song.length_beats + 1e-4
            assert all(0 < note.pitch < 128 and 0 < note.velocity < 128 for note in notes)


def test_the_melody_is_monophonic_and_singable(songs: list[Song]) -> None:
    for song in songs:
        assert all(one.start_beat + one.duration_beats <= two.start_beat + 1e-5 for one, two in pairwise(song.melody))
        assert min(note.pitch for note in song.melody) >= 48
        assert max(note.pitch for note in song.melody) <= 78


def test_songs_last_forty_to_sixty_four_seconds_in_whole_bars(songs: list[Song]) -> None:
    for song in songs:
        seconds = song.length_beats * 60 / song.tempo_map[0][1]
        assert 38 <= seconds <= 66, song.id
        bars = song.length_beats / bar_beats(song)
        assert abs(bars - round(bars)) < 1e-6


def test_tempo_maps_stay_between_50_and_200_bpm_and_some_change(songs: list[Song]) -> None:
    assert all(50 <= bpm <= 200 for song in songs for _, bpm in song.tempo_map)
    assert all(song.tempo_map[0][0] == 0 for song in songs)
    assert any(len(song.tempo_map) > 1 for song in songs)


def test_chords_and_sections_cover_the_song_without_gaps(songs: list[Song]) -> None:
    for song in songs:
        spans = [(chord.start_beat, chord.end_beat) for chord in song.chords]
        for covering in (spans, [(start, end) for start, end, _ in song.sections]):
            assert covering[0][0] == 0
            assert covering[-1][1] == pytest.approx(song.length_beats)
            assert all(one[1] == pytest.approx(two[0]) for one, two in pairwise(covering))
        assert all(chord.root < 0 or chord.bass >= 0 for chord in song.chords)


def test_every_style_is_made_and_waltz_only_in_three(songs: list[Song]) -> None:
    assert {song.style for song in songs} == set(STYLES)
    metres = {song.time_signatures[0][1:] for song in songs}
    assert {(4, 4), (3, 4), (6, 8)} >= metres > {(4, 4)}
    assert all(song.time_signatures[0][1:] != (4, 4) for song in songs if song.style == "waltz")
    assert {song.subdivision for song in songs if song.style == "jazz-swing"} == {3}


def test_every_stem_plays_for_most_of_the_song(songs: list[Song]) -> None:
    for song in songs:
        beats = bar_beats(song)
        for name, least in (("drums", 0.7), ("bass", 0.7), ("other", 0.9)):
            bars = {int((note.start_beat + 0.1) // beats) for note in stem(song, name)}
            assert len(bars) >= least * song.length_beats / beats, (song.id, name)


def test_bass_and_harmony_stand_on_the_chords(songs: list[Song]) -> None:
    for song in songs:
        assert chord_tone_share(song, stem(song, "bass")) > 0.75, song.id
        assert chord_tone_share(song, stem(song, "other")) > 0.9, song.id
    assert np.mean([chord_tone_share(song, stem(song, "bass")) for song in songs]) > 0.93


def test_the_bass_stays_low_and_the_harmony_above_it(songs: list[Song]) -> None:
    for song in songs:
        bass = [note.pitch for note in stem(song, "bass")]
        assert min(bass) >= 26
        assert max(bass) <= 55
        assert np.median([note.pitch for note in stem(song, "other")]) > np.median(bass) + 7


def test_drums_keep_to_the_grid_that_the_song_declares(songs: list[Song]) -> None:
    for song in songs:
        drums = stem(song, "drums")
        other_grid = 3 if song.subdivision == 4 else 4
        error = grid_error_beats(drums, song.subdivision)
        assert error * 60 / song.tempo_map[0][1] < 0.025, song.id
        if song.time_signatures[0][1:] == (4, 4):
            assert error * song.subdivision <= grid_error_beats(drums, other_grid) * other_grid


def test_styles_differ_in_density_and_sound() -> None:
    def onsets_a_beat(style: str, name: str) -> float:
        recipes = [Recipe("x", "composer", str(seed), "train", style, seed) for seed in range(8)]
        made = [arrange(recipe, None) for recipe in recipes]
        return float(np.mean([len(stem(song, name)) / song.length_beats for song in made]))

    assert onsets_a_beat("funk", "drums") > 1.7 * onsets_a_beat("ballad", "drums")
    assert onsets_a_beat("rock", "bass") > 1.5 * onsets_a_beat("ballad", "bass")
    assert onsets_a_beat("electronic", "other") > 1.4 * onsets_a_beat("jazz-swing", "other")


def test_another_seed_arranges_the_same_composition_otherwise() -> None:
    one, two = (arrange(Recipe("x", "composer", "7", "train", "pop", seed), None) for seed in (1, 2))
    assert one.parts != two.parts
    assert len(one.melody) == len(two.melody)
    assert one.length_beats == two.length_beats


# Composer


@pytest.mark.parametrize("style", STYLES)
def test_composed_tunes_take_chord_tones_on_strong_beats_and_rest_at_phrase_ends(style: str) -> None:
    on_chord = strong = rests = ends = 0
    for seed in range(6):
        score = compose(seed, style)
        starts = [note.start_beat for note in score.melody]
        for note in score.melody:
            if note.start_beat % score.metre.bar_beats < 1e-6:
                strong += 1
                on_chord += note.pitch % 12 in score.chords[chord_index_at(score.chords, note.start_beat)].pitch_classes
        for end in score.phrase_ends:
            ends += 1
            rests += not any(end - 0.6 <= start < end for start in starts)
    assert on_chord / strong > 0.95
    assert rests / ends > 0.9


def test_composed_sections_come_back_with_their_motifs() -> None:
    compared = 0
    for seed in range(30):
        score = compose(seed, "pop")
        spans = [section for section in score.sections if section[2] == "verse" and section[1] - section[0] == 32]
        rhythms = [
            {note.start_beat - start for note in score.melody if start <= note.start_beat < start + 16}
            for start, _, _ in spans
        ]
        for one, two in pairwise(rhythms):
            compared += 1
            assert len(one & two) > 0.6 * len(one | two)
    assert compared > 3


# POP909


def test_a_pop909_song_is_read_to_the_sixteenth() -> None:
    score = parse_score("001", made_up_song(75))
    assert (score.bpm, score.tonic, score.mode, score.length_beats) == (75, 7, "major", 160)
    assert score.melody[:2] == (Note(16.0, 0.5, 79, 90), Note(16.5, 0.5, 81, 84))
    assert [chord.label for chord in score.chords[:4]] == ["G:maj", "E:min7/D", "C:sus4(b7,9)", "D:maj"]
    assert [section[2] for section in score.sections] == ["intro", "verse", "chorus", "verse", "chorus", "outro"]


def test_a_damaged_chord_line_names_song_and_line() -> None:
    broken = made_up_song(75) | {"finalized_chord.txt": "G:maj 2 7\n"}
    with pytest.raises(ValueError, match="POP909 song 017: chord line 'G:maj 2 7'"):
        parse_score("017", broken)


def test_the_table_of_flags_keeps_the_clean_songs(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "pop909_structure.tar.xz", "w:xz") as archive:
        for song in ("001", "002", "003"):
            for name, text in made_up_song(80).items():
                add_file(archive, f"structure/POP909/{song}/{name}", text.encode())
    rows = ("song\theader", *(f"{song}\t0.9\t4\t0.9\t0\t{phase}\t[9, 1, 2, 1]\t80.0\t99" for song, phase in
            (("001", 0), ("002", 8), ("003", 0))))  # fmt: skip
    (tmp_path / "pop909_flags.tsv").write_text("\n".join(rows))
    assert sorted(load_scores(tmp_path)) == ["001", "003"]


def test_excerpts_and_stretches_keep_the_music_together() -> None:
    score = parse_score("001", made_up_song(75))
    part = excerpt(score, 16.0, 80.0)
    assert part.melody[0].start_beat == 0
    assert part.chords[0].start_beat == 0
    assert part.length_beats == part.chords[-1].end_beat == part.sections[-1][1] == 64
    double = stretch(score, 2)
    assert (double.bpm, double.length_beats) == (150, 320)
    assert double.melody[1].start_beat == 2 * score.melody[1].start_beat


@pytest.mark.parametrize("metre", [Metre(3, 4), Metre(6, 8)])
def test_triple_metre_takes_the_same_time_and_starts_bars_where_half_bars_started(metre: Metre) -> None:
    score = parse_score("001", made_up_song(80))
    triple = to_triple(score, metre)
    assert triple.length_beats / triple.bpm == pytest.approx(score.length_beats / score.bpm)
    halves = {note.start_beat / 2 for note in score.melody if note.start_beat % 2 == 0}
    bars = {note.start_beat / 3 for note in triple.melody if note.start_beat % 3 == 0}
    assert halves == bars
    with pytest.raises(ValueError, match="cannot turn"):
        to_triple(triple, metre)


def test_swing_moves_eighths_to_triplets_and_leaves_beats() -> None:
    score = swing_melody(parse_score("001", made_up_song(80)))
    assert score.melody[0].start_beat == 16
    assert score.melody[1].start_beat == pytest.approx(16 + 2 / 3)


# Drums


def test_groove_takes_reach_songs_of_their_own_split_with_general_midi_keys(data_dir: Path) -> None:
    notes = take_notes(data_dir, "train/rock80.mid")
    assert {note.pitch for note in notes} == {36, 38, 42, 46}
    made = [arrange(Recipe("x", "composer", str(seed), "train", "rock", seed), data_dir) for seed in range(12)]
    on_take = [
        song
        for song in made
        if sum(abs(note.start_beat * 2 - round(note.start_beat * 2)) < 1e-4 for note in stem(song, "drums")) > 100
    ]
    assert 1 < len(on_take) < 12


def test_takes_are_cut_into_four_bars_with_early_notes_in_the_bar_they_open() -> None:
    notes = [Note(beat - 0.02 if beat == 16 else float(beat), 0.2, 36, 90) for beat in range(40)]
    first, second = cut_pieces(notes, 4.0)
    assert len(first) == len(second) == 16
    assert second[0].start_beat == 0
    assert grid_error_beats(notes, 4) < 0.001


def test_a_take_that_is_early_as_a_whole_is_centred_and_a_loose_or_foreign_one_is_left_out() -> None:
    early = [Note(beat / 4 - 0.03 + 0.002 * (beat % 3), 0.2, 42, 90) for beat in range(1, 65)]
    centred = fit_to_grid(early, 4)
    assert [note.start_beat for note in centred[:2]] == pytest.approx([0.25, 0.502], abs=1e-3)
    assert fit_to_grid(early, 3) == ()
    assert fit_to_grid([Note(beat / 3, 0.2, 42, 90) for beat in range(48)], 4) == ()
    assert fit_to_grid([Note(beat * 0.377, 0.2, 42, 90) for beat in range(48)], 4) == ()


@pytest.mark.parametrize("table", [CALM, FULL, {"any": FILLS}, {"any": LIGHT_FILLS}])
def test_drum_patterns_divide_their_bar_and_use_known_marks(
    table: dict[str, dict[str, tuple[dict[str, str], ...]]],
) -> None:
    lengths = {"4/4": {16, 12}, "4/4 triplet": {12}, "3/4": {12, 9}, "6/8": {12}, "12": {12}, "9": {9}}
    for by_metre in table.values():
        for metre, patterns in by_metre.items():
            for pattern in patterns:
                assert set(pattern) <= set(KEYS)
                assert {len(line) for line in pattern.values()} <= lengths[metre], pattern
                assert set("".join(pattern.values())) <= {*VELOCITIES, "."}


# Theory


def test_voicings_move_less_than_root_positions() -> None:
    score = compose(11, "pop")
    led = voicings(LAYERS["pop"][0], score.chords)
    roots = [nearest_pitch(chord.root, 60, 52, 74) for chord in score.chords]
    moved = [abs(np.mean(one) - np.mean(two)) for one, two in pairwise(led)]
    assert np.mean(moved) < 0.7 * np.mean([abs(one - two) for one, two in pairwise(roots)])


def test_a_led_voicing_keeps_common_tones() -> None:
    assert lead_voicing((9, 0, 5), (60, 64, 67), 52, 74, spread=False) == (60, 65, 69)


@pytest.mark.parametrize(
    ("numeral", "expected"),
    [("I", (0, "maj", 0)), ("bVII", (10, "maj", 0)), ("ii7", (2, "min7", 0)), ("I/3", (0, "maj", 4))],
)
def test_roman_numerals_are_read(numeral: str, expected: tuple[int, str, int]) -> None:
    assert parse_numeral(numeral, sevenths=False) == expected


def test_wrong_names_are_refused() -> None:
    with pytest.raises(ValueError, match="roman numeral 'X'"):
        parse_numeral("X", sevenths=False)
    with pytest.raises(ValueError, match="note name 'H'"):
        pitch_class("H")


def test_bars_know_where_phrases_end() -> None:
    bars = bars_of(parse_score("001", made_up_song(75)))
    assert [bar.index for bar in bars if bar.closes_phrase] == [3, 11, 19, 27, 35, 39]
    assert [bar.index for bar in bars if bar.opens_section] == [0, 4, 12, 20, 28, 36]


def test_parts_name_known_stems(songs: list[Song]) -> None:
    parts: list[Part] = [part for song in songs for part in song.parts]
    assert {part.stem for part in parts} == {"drums", "bass", "other"}
    assert all(-1 <= part.pan <= 1 and 0 <= part.program < 128 for part in parts)
    assert make_chord(0, 1, 9, "min").pitch_classes == (0, 4, 9)
