from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from bridge.bounce import factory_bundle
from bridge.evaluation.heard_key import MOVES_FILE
from engine.bundle import Bundle, BundleError
from engine.chord_reader import CHORD_CLASSES, PLACE_CHANNELS, SLOTS, SUNG_CHANNELS, UNIT_CHANNELS
from engine.harmony import Chord, ChordSpan, Key
from engine.timeline import Timeline
from export import chords as export_chords
from training.chord_moves import chord_moves
from training.chords.network import ChordNetwork
from training.chords.songs import ReadSong, composed_song, sung_pitch
from training.chords.train import ChordTraining, as_live, batch_of, hide, load_network, share_right, train_chords
from training.corpus.notes import Note
from training.corpus.songs import list_recipes
from training.harmony import Song

COMPOSED = [composed_song(recipe, None, 0) for recipe in list_recipes(None, 12, 3)]


def test_a_composed_song_has_a_chord_in_nearly_every_unit_and_its_melody_suits_them() -> None:
    for song in COMPOSED:
        assert song.channels.shape == (len(song.classes), UNIT_CHANNELS)
        assert (song.classes >= 0).mean() > 0.9
        assert song.classes.max() < CHORD_CLASSES
    on_chord, sung = 0.0, 0.0
    for song in COMPOSED:
        notes = song.channels[:, :SUNG_CHANNELS].astype(float).reshape(-1, SLOTS, 12).sum(axis=1)
        for unit, number in zip(notes, song.classes, strict=True):
            if number >= 0:
                chord = {(number % 12 + step) % 12 for step in (0, 7)}
                on_chord += sum(unit[note] for note in chord)
                sung += unit.sum()
    assert on_chord / sung > 1.4 * 2 / 12, "root and fifth are sung more often than two of twelve"


def test_a_melody_is_sung_where_and_as_it_is_written() -> None:
    timeline = Timeline.constant(60)
    melody = tuple(Note(float(beat), 1.0, 60 + beat, 90) for beat in range(8))
    found = np.mean([sung_pitch(np.random.default_rng(seed), melody, timeline, 8.0) for seed in range(24)], axis=0)
    assert found.shape == (14, (8 * 44_100 // 2048))
    for beat in range(8):
        middle = found[:12, int((beat + 0.5) * 44_100 / 2048)]
        assert int(middle.argmax()) == beat
        assert middle[beat] > 0.4


def test_a_hidden_song_holds_nothing_of_what_is_to_come() -> None:
    song = COMPOSED[0]
    channels = song.channels.astype(np.float32)
    hide(channels, 5, 2)
    np.testing.assert_array_equal(channels[:5], song.channels[:5].astype(np.float32))
    assert not channels[6:, :SUNG_CHANNELS].any()
    assert not channels[5, 2 * 12 : SUNG_CHANNELS].any()
    heard = channels[:, SUNG_CHANNELS + PLACE_CHANNELS - SLOTS : SUNG_CHANNELS + PLACE_CHANNELS]
    assert (heard[5] > 0).tolist() == [True, True, False, False]
    np.testing.assert_array_equal(channels[:, SUNG_CHANNELS], song.channels[:, SUNG_CHANNELS])


def test_batches_are_padded_beyond_the_songs_ends_and_a_wrong_key_turns_chords_with_the_notes() -> None:
    rng = np.random.default_rng(0)
    units, beyond, classes = batch_of(rng, COMPOSED, ())
    assert units.shape[:2] == beyond.shape == classes.shape
    assert (classes[beyond] == -1).all()
    assert not units[beyond].any()
    song = ReadSong(np.zeros((40, UNIT_CHANNELS), np.float16), np.full(40, 7))
    song.channels[:, 7] = 1.0  # the fifth is sung over the chord on the fifth
    song.channels[:, SUNG_CHANNELS + 1 : SUNG_CHANNELS + 3] = 0.5
    for _ in range(200):
        channels, numbers = as_live(rng, song)
        seen = channels[0, :12].argmax()
        if channels[0, :12].any():
            assert (numbers == seen).all()


def test_what_lies_beyond_a_songs_end_changes_nothing() -> None:
    torch.manual_seed(0)
    network = ChordNetwork(16, 2).eval()
    units = torch.rand(1, 20, UNIT_CHANNELS)
    padded = torch.cat([units, torch.rand(1, 9, UNIT_CHANNELS)], dim=1)
    beyond = torch.arange(29)[None] >= 20
    with torch.no_grad():
        torch.testing.assert_close(network(padded, beyond)[:, :20], network(units), atol=1e-5, rtol=1e-4)


def test_training_learns_and_its_reader_goes_into_a_bundle_and_reads_the_same(tmp_path: Path) -> None:
    before = share_right(ChordNetwork(16, 2), COMPOSED)
    path = train_chords(ChordTraining(tmp_path, minutes=0.3, width=16, layers=2), COMPOSED, (), COMPOSED)
    network, training = load_network(path)
    assert training["steps"] > 20
    assert share_right(network, COMPOSED) > before + 0.1
    bundle = tmp_path / "bundle"
    shutil.copytree(factory_bundle(), bundle)
    export_chords.put_in(bundle, path)
    loaded = Bundle.load(bundle, threads=1)
    assert loaded.chords is not None
    units = COMPOSED[1].channels.astype(np.float32)[None]
    with torch.no_grad():
        wanted = load_network(path)[0].eval()(torch.from_numpy(units)).numpy()
    np.testing.assert_allclose(loaded.chords.run({"units": units})["logits"], wanted, atol=0.02)
    assert loaded.harmony is not None
    assert loaded.harmony.reader is not None
    (bundle / "chords.onnx").unlink()
    with pytest.raises(BundleError, match=r"chords\.onnx: missing"):
        Bundle.load(bundle, threads=1)


def test_moves_are_counted_from_the_tonic_up_and_a_chord_that_stays_is_none() -> None:
    timeline = Timeline.constant(100)
    names = ("D", "Bm7", "Bm", "G", "A7", "D")
    spans = tuple(ChordSpan(4.0 * bar, 4.0 * bar + 4.0, Chord.parse(name)) for bar, name in enumerate(names))
    song = Song("train", np.zeros((14, 10), np.float32), timeline, Key.parse("D major"), spans)
    counts = chord_moves([song, song])
    assert counts.shape == (2, 24, 24)
    assert counts.sum() == 2 * 4
    assert counts[0, 0, 12 + 9] == counts[0, 12 + 9, 5] == counts[0, 5, 7] == counts[0, 7, 0] == 2


def test_the_listeners_table_is_one_of_moves() -> None:
    table = np.loadtxt(MOVES_FILE)
    assert table.shape == (48, 24)
    assert not np.diagonal(table.reshape(2, 24, 24), axis1=1, axis2=2).any()
    assert table[7, 0] > 10 * table[6, 0], "the dominant goes home, the tritone does not"
