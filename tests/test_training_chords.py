from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bridge.bounce import factory_bundle
from bridge.evaluation.heard_key import MOVES_FILE
from engine.bundle import Bundle, BundleError
from engine.chord_classes import CHORD_CLASSES
from engine.chord_reader import PLACE_CHANNELS, SLOTS, SUNG_CHANNELS, UNIT_CHANNELS
from engine.harmony import Chord, ChordSpan, Key
from engine.timeline import Timeline
from export import chords as export_chords
from export.restore import chord_checkpoint
from training.chord_moves import chord_moves
from training.chords.network import ChordNetwork
from training.chords.songs import composed_song, sung_pitch
from training.chords.train import (
    KEYED,
    OTHER_SIGNATURES,
    ChordTraining,
    batch_of,
    hide,
    keys_right,
    load_network,
    loss_of,
    make_gaps,
    seen_elsewhere,
    share_right,
    train_chords,
)
from training.common.schedules import Budget
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


def test_gaps_take_at_most_a_third_of_what_was_heard_and_nothing_of_the_place() -> None:
    shares = []
    for seed in range(40):
        channels = np.ones((60, UNIT_CHANNELS), np.float32)
        make_gaps(np.random.default_rng(seed), channels)
        heard = channels[:, SUNG_CHANNELS + PLACE_CHANNELS - SLOTS : SUNG_CHANNELS + PLACE_CHANNELS]
        gaps = ~channels[:, :SUNG_CHANNELS].any(axis=1)
        assert (heard.any(axis=1) == ~gaps).all()
        assert (channels[~gaps] == 1.0).all()
        assert (channels[:, SUNG_CHANNELS : SUNG_CHANNELS + PLACE_CHANNELS - SLOTS] == 1.0).all()
        shares.append(gaps.mean())
    assert max(shares) <= 1 / 3
    assert np.mean(shares) > 0.05


def test_batches_are_padded_beyond_the_songs_ends_and_show_songs_in_other_signatures_too() -> None:
    rng = np.random.default_rng(0)
    batch = batch_of(rng, COMPOSED, ())
    assert batch.units.shape[:2] == batch.beyond.shape == batch.classes.shape
    assert (batch.classes[batch.beyond] == -1).all()
    assert not batch.units[batch.beyond].any()
    for own, *others in batch.views.tolist():
        for other in others:
            assert (batch.beyond[own] == batch.beyond[other]).all()
            notes = [batch.units[row, :, :SUNG_CHANNELS].reshape(-1, SLOTS, 12) for row in (own, other)]
            steps = [step for step in range(1, 12) if torch.equal(notes[0].roll(-step, dims=2), notes[1])]
            assert steps or not notes[0].any()


def test_a_song_seen_elsewhere_has_its_chords_turned_with_its_notes_or_none_that_count() -> None:
    channels, classes = np.zeros((3, UNIT_CHANNELS), np.float32), np.array([7, 12 + 7, -1])
    channels[:, 7] = 1.0  # the fifth is sung over the chords on the fifth
    turned, numbers = seen_elsewhere(channels, classes, 9, True)
    assert numbers.tolist() == [10, 12 + 10, -1]
    assert turned[:, :SUNG_CHANNELS].argmax(axis=1).tolist() == [10, 10, 10]
    assert seen_elsewhere(channels, classes, 9, False)[1].tolist() == [-1, -1, -1]


def test_what_lies_beyond_a_songs_end_changes_nothing() -> None:
    torch.manual_seed(0)
    network = ChordNetwork(16, 2).eval()
    units = torch.rand(1, 20, UNIT_CHANNELS)
    padded = torch.cat([units, torch.rand(1, 9, UNIT_CHANNELS)], dim=1)
    beyond = torch.arange(29)[None] >= 20
    with torch.no_grad():
        chords, keys = network(padded, beyond)
        wanted_chords, wanted_keys = network(units)
    torch.testing.assert_close(chords[:, :20], wanted_chords, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(keys, wanted_keys, atol=1e-5, rtol=1e-4)


def test_keys_are_learned_with_the_chords() -> None:
    torch.manual_seed(0)
    network, batch = ChordNetwork(16, 2, dropout=0.0), batch_of(np.random.default_rng(0), COMPOSED, ())
    optimiser = torch.optim.Adam(network.parameters(), lr=5e-3)
    for _ in range(60):
        optimiser.zero_grad()
        loss_of(network, batch).backward()
        optimiser.step()
    with torch.no_grad():
        found = network(batch.units, batch.beyond)[1][batch.views].flatten(1).argmax(dim=1)
    assert (found == batch.minor[:KEYED]).float().mean() > 0.8, "of six keys each"


def test_chords_are_learned_for_the_mode_that_a_song_is_in() -> None:
    torch.manual_seed(0)
    network, batch = ChordNetwork(16, 2, dropout=0.0), batch_of(np.random.default_rng(0), COMPOSED, ())
    assert batch.minor[batch.views[:, 1:]].T.tolist() == [batch.minor[:KEYED].tolist()] * OTHER_SIGNATURES
    for minor in (0, 1):
        network.zero_grad()
        loss_of(network, replace(batch, minor=torch.full_like(batch.minor, minor))).backward()
        assert network.outputs.weight.grad is not None
        moved = network.outputs.weight.grad.unflatten(0, (2, CHORD_CLASSES)).abs().sum(dim=(1, 2))
        assert moved[minor] > 0.0
        assert moved[1 - minor] == 0.0


def test_shares_of_right_keys_are_of_all_24() -> None:
    songs = COMPOSED[:4]

    class OwnKey(ChordNetwork):
        """Takes each song's own signature, and its minor key."""

        def forward(self, units: torch.Tensor, beyond: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
            keys = torch.zeros(len(units), 2)
            keys[0, 1] = 1.0
            return torch.zeros(*units.shape[:2], 2, CHORD_CLASSES), keys

    assert keys_right(OwnKey(16, 2), songs) == np.mean([song.minor for song in songs])


def test_training_learns_and_its_reader_goes_into_a_bundle_and_reads_the_same(tmp_path: Path) -> None:
    before = share_right(ChordNetwork(16, 2), COMPOSED)
    path = train_chords(ChordTraining(tmp_path, Budget(steps=250), width=16, layers=2), COMPOSED, (), COMPOSED)
    network, training = load_network(path)
    assert training["steps"] == 250
    assert share_right(network, COMPOSED) > before + 0.1
    bundle = tmp_path / "bundle"
    shutil.copytree(factory_bundle(), bundle)
    export_chords.put_in(bundle, path)
    loaded = Bundle.load(bundle, threads=1)
    assert loaded.chords is not None
    units = COMPOSED[1].channels.astype(np.float32)[None]
    with torch.no_grad():
        chords, keys = load_network(path)[0].eval()(torch.from_numpy(units))
    found = loaded.chords.run({"units": units})
    np.testing.assert_allclose(found["chords"], chords.numpy(), atol=0.02)
    np.testing.assert_allclose(found["keys"], keys.numpy(), atol=0.02)
    assert loaded.harmony is not None
    assert loaded.harmony.reader is not None
    restored = chord_checkpoint(bundle)
    assert restored["sizes"] == {"width": 16, "layers": 2}
    for name, weight in restored["network"].items():
        torch.testing.assert_close(weight, network.state_dict()[name], atol=1e-3, rtol=2e-3)
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
