"""What a live song hears and keeps, and how latents become sound piece by piece: streamed equals whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.codec import DecoderState, Encoded, encode
from engine.features import LOOKAHEAD_SAMPLES
from engine.finish import finished
from engine.geometry import ACCOMPANIMENT_CHANNELS, LATENT_CHANNELS, LATENT_HOP_SAMPLES, STEMS
from engine.harmony import NO_CHORD, Chord
from engine.listener import Listener
from engine.song_memory import PAGE_FRAMES, SongMemory
from engine.stem_decoder import (
    LATE_SAMPLES,
    PIECE_FRAMES,
    SETTLING_FRAMES,
    Piece,
    StateShelf,
    decode_piece,
    settled_state,
    silent_state,
)
from engine.timeline import Timeline
from engine.window import Heard, normalised
from tests.live_support import db, factory_model, sung

Array = NDArray[np.float32]

SHORT_FRAMES, LONG_FRAMES = 4, 24


# The memory


def vocal_of(frames: int, seed: int = 0) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(seed)
    return tuple(rng.standard_normal((rows, frames)).astype(np.float32) for rows in (64, 14, 2))  # type: ignore[return-value]


def made_of(frames: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((ACCOMPANIMENT_CHANNELS, frames)).astype(np.float32)


@pytest.mark.parametrize("start", [0, 5, PAGE_FRAMES - 3, 7 * PAGE_FRAMES + 500])
def test_memory_gives_back_what_was_written_also_over_the_border_of_a_page(start: int) -> None:
    memory = SongMemory(4)
    (latents, pitch, curves), made = vocal_of(20), made_of(20, 1)
    memory.write_vocal(start, latents, pitch, curves)
    memory.write_made(start + 4, made)
    read = memory.read(start, 24)
    np.testing.assert_array_equal(read.heard.vocal_latents[:, :20], latents)
    np.testing.assert_array_equal(read.heard.vocal_pitch[:, :20], pitch)
    np.testing.assert_array_equal(read.heard.curves[:, :20], curves)
    np.testing.assert_array_equal(read.latents[:, 4:], made)
    assert read.heard.visible is not None
    np.testing.assert_array_equal(read.heard.visible, np.arange(24) < 20)
    np.testing.assert_array_equal(read.made, np.tile(np.arange(24) >= 4, (3, 1)))
    assert not read.heard.vocal_latents[:, 20:].any()
    assert not read.latents[:, :4].any()


def test_memory_forgets_by_stem_and_range() -> None:
    memory = SongMemory(4)
    made = made_of(40)
    memory.write_made(PAGE_FRAMES - 20, made)
    memory.forget_made(("bass",), PAGE_FRAMES - 4, PAGE_FRAMES + 8)
    memory.forget_made(("drums", "other"), PAGE_FRAMES + 12)
    read = memory.read(PAGE_FRAMES - 20, 40)
    wanted = np.ones((3, 40), bool)
    wanted[1, 16:28] = False
    wanted[[0, 2], 32:] = False
    np.testing.assert_array_equal(read.made, wanted)
    np.testing.assert_array_equal(read.latents, np.where(np.repeat(wanted, LATENT_CHANNELS, axis=0), made, 0))


def test_memory_gives_up_the_page_that_was_used_longest_ago_and_never_grows() -> None:
    memory = SongMemory(3)
    size = memory.bytes
    for page in range(3):
        memory.write_made(page * PAGE_FRAMES, made_of(4, page))
    memory.read(0, 4)  # so page 1 is now the oldest
    for page in range(3, 40):
        memory.read(0, 4)
        memory.write_made(page * PAGE_FRAMES, made_of(4, page))
    assert memory.bytes == size
    kept = [page for page in range(40) if memory.read(page * PAGE_FRAMES, 4).made.all()]
    assert kept == [0, 38, 39]
    np.testing.assert_array_equal(memory.read(39 * PAGE_FRAMES, 4).latents, made_of(4, 39))
    assert not memory.read(39 * PAGE_FRAMES + 4, PAGE_FRAMES - 4).made.any(), "what the page held before is gone"


def test_reading_what_was_never_there_takes_no_page() -> None:
    memory = SongMemory(2)
    memory.write_made(0, made_of(4))
    for page in range(10, 20):
        assert not memory.read(page * PAGE_FRAMES, 8).made.any()
    assert memory.read(0, 4).made.all()


def test_curves_hold_the_last_that_was_heard_and_the_first_before_any() -> None:
    memory = SongMemory(2)
    assert not memory.read(0, 8).heard.curves.any()
    latents, pitch, curves = vocal_of(3)
    memory.write_vocal(4, latents, pitch, curves)
    memory.write_vocal(10, latents[:, :1], pitch[:, :1], curves[:, 2:])
    held = memory.read(0, 12).heard.curves
    sources = [0, 0, 0, 0, 0, 1, 2, 2, 2, 2, 2, 2]
    np.testing.assert_array_equal(held, curves[:, sources])


def test_latents_that_are_no_numbers_are_gone_once_forgotten() -> None:
    memory = SongMemory(2)
    memory.write_made(0, made_of(8) * np.float32(np.nan))
    memory.forget_made(STEMS, 0, 8)
    assert not memory.read(0, 8).latents.any()


def test_a_memory_of_one_page_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        SongMemory(1)


# The listener


def heard_in_blocks(audio: Array, borders: Sequence[int], start: int = 0) -> tuple[Heard, int]:
    """Return what a listener remembers of `audio` from `start` on, cut at `borders`, and where it ends."""
    memory = SongMemory(2)
    listener = Listener(factory_model(), memory)
    for first, end in pairwise(borders):
        listener.hear(start + first, audio[:, first:end], first > 0)
    end_frame = listener.heard_end_frame
    listener.hear(1 << 30, np.zeros((2, 1), np.float32), False)  # a jump gives what was waiting for its future
    return memory.read(
        0, max(start, 0) // LATENT_HOP_SAMPLES + audio.shape[1] // LATENT_HOP_SAMPLES + 1
    ).heard, end_frame


def every(block_samples: int, audio: Array) -> list[int]:
    return [*range(0, audio.shape[1], block_samples), audio.shape[1]]


def assert_same(heard: Heard, first: int, encoded: Encoded, frames: int) -> None:
    part = slice(first, first + frames)
    latents = normalised(factory_model(), encoded.latents)
    assert heard.visible is not None
    assert heard.visible[part].all()
    np.testing.assert_allclose(heard.vocal_latents[:, part], latents[:, :frames], atol=2e-4)
    np.testing.assert_allclose(heard.vocal_pitch[:, part], encoded.pitch[:, :frames], atol=1e-5)
    np.testing.assert_allclose(heard.curves[:, part], encoded.curves[:, :frames], atol=1e-5)


@pytest.mark.parametrize(
    ("block_samples", "frames"), [(7, 3), (64, 2 * SHORT_FRAMES), (2048, LONG_FRAMES), (5000, LONG_FRAMES)]
)
def test_a_vocal_heard_in_blocks_is_what_the_whole_is(block_samples: int, frames: int) -> None:
    audio = sung(frames)
    heard, end = heard_in_blocks(audio, every(block_samples, audio))
    assert end == frames - 2, "frames are there as soon as the audio that they look ahead to is"
    assert_same(heard, 0, encode(factory_model(), audio), frames)
    assert heard.visible is not None
    assert not heard.visible[frames:].any()


def test_a_vocal_heard_sample_by_sample_is_what_the_whole_is() -> None:
    audio, second = sung(SHORT_FRAMES), 2 * LATENT_HOP_SAMPLES + LOOKAHEAD_SAMPLES
    borders = [0, *range(second - 300, second + 300), audio.shape[1]]  # while frame 1 becomes ready
    heard, end = heard_in_blocks(audio, borders)
    assert end == SHORT_FRAMES - 2
    assert_same(heard, 0, encode(factory_model(), audio), SHORT_FRAMES)


def test_a_frame_is_there_with_the_last_sample_that_it_looks_ahead_to() -> None:
    audio, listener = sung(3), Listener(factory_model(), SongMemory(2))
    ready = LATENT_HOP_SAMPLES + LOOKAHEAD_SAMPLES
    listener.hear(0, audio[:, : ready - 1], True)
    assert listener.heard_end_frame == 0
    listener.hear(ready - 1, audio[:, ready - 1 : ready], True)
    assert listener.heard_end_frame == 1


@pytest.mark.parametrize("block_samples", [1000, 4096])
def test_a_vocal_that_begins_within_a_frame_has_silence_before_it(block_samples: int) -> None:
    audio, start = sung(8), 5 * LATENT_HOP_SAMPLES + 700
    heard, _ = heard_in_blocks(audio, every(block_samples, audio), start)
    whole = encode(factory_model(), np.pad(audio, ((0, 0), (700, 0))))
    assert heard.visible is not None
    assert not heard.visible[:5].any()
    assert_same(heard, 5, whole, 8)


@pytest.mark.parametrize("block_samples", [500, 1024, 3000, 20_000])
def test_a_count_in_is_left_out_and_the_song_is_heard_from_its_first_sample(block_samples: int) -> None:
    audio = sung(9)
    count_in = 1500
    heard, _ = heard_in_blocks(audio, every(block_samples, audio), -count_in)
    song = audio[:, count_in:]
    assert_same(heard, 0, encode(factory_model(), song), 8)


def test_a_jump_starts_anew_on_the_grid_with_the_curves_going_on() -> None:
    memory = SongMemory(2)
    listener = Listener(factory_model(), memory)
    first, second = sung(20), sung(8, 330.0)
    listener.hear(0, first, True)
    assert listener.heard_end_frame == 18
    listener.hear(100 * LATENT_HOP_SAMPLES, second, False)
    heard = memory.read(0, 120).heard
    assert heard.visible is not None
    np.testing.assert_array_equal(np.flatnonzero(heard.visible), [*range(20), *range(100, 106)])
    np.testing.assert_allclose(heard.vocal_pitch[:, 100:106], encode(factory_model(), second).pitch[:, :6], atol=1e-5)
    before, after = heard.curves[0, 19], heard.curves[0, 100]
    assert abs(after - before) < 0.05 < before, "arousal does not fall to that of silence"


def test_audio_that_does_not_follow_is_a_jump_whatever_is_said() -> None:
    audio = sung(8)
    said, unsaid = SongMemory(2), SongMemory(2)
    for memory, continues in ((said, False), (unsaid, True)):
        listener = Listener(factory_model(), memory)
        listener.hear(0, audio, True)
        listener.hear(12 * LATENT_HOP_SAMPLES, audio, continues)
    np.testing.assert_array_equal(said.read(0, 24).heard.vocal_latents, unsaid.read(0, 24).heard.vocal_latents)


def test_a_second_pass_replaces_what_the_first_one_sang() -> None:
    memory = SongMemory(2)
    listener = Listener(factory_model(), memory)
    first, second = sung(12), sung(12, 330.0)
    listener.hear(0, first, True)
    listener.hear(0, second, False)
    heard = memory.read(0, 12).heard
    np.testing.assert_allclose(heard.vocal_pitch[:, :10], encode(factory_model(), second).pitch[:, :10], atol=1e-5)
    np.testing.assert_allclose(
        heard.vocal_pitch[:, 10:12], encode(factory_model(), first).pitch[:, 10:12], atol=1e-5
    )  # not sung again yet


def test_a_vocal_of_one_channel_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected \(2, samples\)"):
        Listener(factory_model(), SongMemory(2)).hear(0, np.zeros((1, 8), np.float32), True)


# The decoder


def random_latents(frames: int, seed: int = 0) -> Array:
    return 0.7 * made_of(frames, seed)


def decoded(latents: Array, first_frame: int = 0, state: DecoderState | None = None) -> list[Piece]:
    """Return the pieces of `latents`, which begin at `first_frame`."""
    pieces: list[Piece] = []
    state = silent_state(factory_model(), first_frame) if state is None else state
    for at in range(0, latents.shape[1], PIECE_FRAMES):
        pieces.append(decode_piece(factory_model(), latents[:, at : at + PIECE_FRAMES], state, None))
        state = pieces[-1].state
    return pieces


def joined(pieces: list[Piece]) -> Array:
    for before, after in pairwise(pieces):
        assert before.start_sample + before.audio.shape[2] == after.start_sample
    return np.concatenate([piece.audio for piece in pieces], axis=2)


def whole(latents: Array) -> Array:
    frames = latents.shape[1]
    return finished(factory_model(), latents, frames * LATENT_HOP_SAMPLES, None)


def test_pieces_from_the_songs_start_are_the_whole_song() -> None:
    latents = random_latents(24)
    pieces = decoded(latents)
    assert pieces[0].start_sample == 0
    assert pieces[-1].end_frame == 24
    sound = joined(pieces)
    assert sound.shape == (3, 2, 24 * LATENT_HOP_SAMPLES - LATE_SAMPLES)
    np.testing.assert_allclose(sound, whole(latents)[:, :, : sound.shape[2]], atol=1e-4)


def test_pieces_from_the_middle_settle_to_the_whole_song_but_for_the_phases_of_its_oscillators() -> None:
    latents, at = random_latents(48), 28
    line = decoded(latents)
    straight = line[at // PIECE_FRAMES - 1].state
    settled = settled_state(factory_model(), latents[:, at - SETTLING_FRAMES : at], at, None)
    early = settled_state(factory_model(), latents[:, at - 4 : at], at, None)
    learned = [name for name in straight.graph if name != "phase"]
    assert len(learned) == 3
    for name in learned:
        np.testing.assert_allclose(settled.graph[name], straight.graph[name], atol=1e-3)
    assert max(np.abs(early.graph[name] - straight.graph[name]).max() for name in learned) > 0.1, "4 frames are few"

    in_phase = replace(settled, graph={**settled.graph, "phase": straight.graph["phase"]})
    pieces = decoded(latents[:, at:], at, in_phase)
    assert pieces[0].start_sample == at * LATENT_HOP_SAMPLES - LATE_SAMPLES
    reference = whole(latents)
    for piece in pieces[1:]:  # the first overlaps with what was before it
        there = reference[:, :, piece.start_sample : piece.start_sample + piece.audio.shape[2]]
        assert db(piece.audio - there, there) < -80.0


def test_going_on_from_the_settled_state_is_going_on_from_the_middle() -> None:
    latents, first, at = random_latents(40), 12, 12 + SETTLING_FRAMES
    cold = decoded(latents[:, first:], first)
    warm = decoded(latents[:, at:], at, settled_state(factory_model(), latents[:, first:at], at, None))
    np.testing.assert_array_equal(joined(warm), joined(cold[SETTLING_FRAMES // PIECE_FRAMES :]))


def test_settling_from_the_songs_start_is_exact() -> None:
    latents = random_latents(16)
    state = settled_state(factory_model(), latents[:, :8], 8, None)
    np.testing.assert_array_equal(joined(decoded(latents[:, 8:], 8, state)), joined(decoded(latents)[2:]))


def test_the_middle_begins_in_silence_with_the_noise_of_its_own_place() -> None:
    state = DecoderState.after_silence(factory_model(), 3, 40)
    assert state.frame == 40
    assert not state.overlap.any()
    assert not state.pending.any()
    latents = random_latents(8)
    here = joined(decoded(latents, 40))
    there = joined(decoded(latents, 44))
    assert here.shape == there.shape == (3, 2, 8 * LATENT_HOP_SAMPLES)
    assert not np.array_equal(here, there)


@pytest.mark.parametrize("frame", [0, 1])
def test_the_songs_first_frames_are_no_middle(frame: int) -> None:
    with pytest.raises(ValueError, match="start at frame 0 with initial"):
        DecoderState.after_silence(factory_model(), 3, frame)


def test_a_line_that_is_left_and_gone_on_with_is_the_same_to_the_bit() -> None:
    latents, other = random_latents(24), random_latents(24, 1)
    shelf = StateShelf()
    for piece in decoded(latents[:, :16]):
        shelf.keep(piece.end_frame, piece.state)
    left = shelf.at(8)
    assert left is not None
    superseding = decoded(other[:, 8:], 8, left)
    straight = decoded(np.concatenate([latents[:, :8], other[:, 8:]], axis=1))
    np.testing.assert_array_equal(joined(superseding), joined(straight[2:]))


def test_a_shelf_keeps_one_line_and_only_so_much_of_it() -> None:
    state = silent_state(factory_model(), 0)
    shelf = StateShelf(4)
    for frame in range(0, 40, 4):
        shelf.keep(frame, state)
    assert [frame for frame in range(0, 40, 4) if shelf.at(frame)] == [24, 28, 32, 36]
    shelf.keep(28, state)
    assert [frame for frame in range(0, 40, 4) if shelf.at(frame)] == [24, 28]
    shelf.clear()
    assert shelf.at(28) is None


# Positions between samples, and chords by name

RAMP = Timeline(
    tuple((beat / 4, 90.0 + beat) for beat in range(40)), ((0.0, 4, 4), (8.0, 7, 8)), first_beat_sample=4_321
)


@pytest.mark.parametrize("timeline", [Timeline.constant(92.1), Timeline.constant(120, 3, 4, 1000), RAMP])
def test_positions_and_beats_are_each_others_inverse_and_agree_with_samples(timeline: Timeline) -> None:
    for beat in np.linspace(-8.0, 400.0, 613):
        position = timeline.position_at_beat(float(beat))
        assert abs(position - timeline.sample_at_beat(float(beat))) <= 0.5 + 1e-6
        assert timeline.beat_at_position(position) == pytest.approx(beat, abs=1e-9)
    for sample in range(-50_000, 3_000_000, 99_991):
        assert timeline.beat_at_position(float(sample)) == pytest.approx(timeline.beat_at_sample(sample), abs=1e-9)


def test_a_position_within_a_sample_is_a_beat_of_its_own() -> None:
    timeline = Timeline.constant(60.0)
    assert timeline.position_at_beat(1.0 + 0.25 / 44_100) == pytest.approx(44_100.25, abs=1e-6)
    assert timeline.beat_at_position(22_050.5) == pytest.approx(0.5 + 0.5 / 44_100, abs=1e-12)


QUALITIES = ("", "m", "dim", "aug", "5", "sus4", "sus2", "6", "m6", "7", "maj7", "m7", "mM7", "m7b5", "dim7", "7sus4")


@pytest.mark.parametrize("quality", [*QUALITIES, "7b5", "9", "maj9", "m9", "11", "13", "m13", "69", "7#9", "add9"])
def test_a_chord_without_a_label_is_called_what_reads_back_as_it(quality: str) -> None:
    for root in ("C", "Db", "F#", "A", "Bb"):
        chord = Chord.parse(f"{root}{quality}")
        nameless = Chord(chord.root, chord.pitch_classes, chord.bass)
        read = Chord.parse(nameless.name)
        assert (read.root, read.pitch_classes, read.bass) == (chord.root, chord.pitch_classes, chord.bass)
        assert len(nameless.name) <= len(f"{root}{quality}")


def test_names_of_chords_are_those_that_are_written() -> None:
    assert Chord(9, (0, 4, 9), 9).name == "Am"
    assert Chord(9, (0, 4, 7, 9), 9).name == "Am7"
    assert Chord(5, (0, 5, 9), 9).name == "F/A"
    assert Chord(0, (0, 1, 2), 0).name == "C?"
    assert Chord.parse("A:min7/b7").name == "A:min7/b7"
    assert NO_CHORD.name == Chord(-1, (), -1).name == "N"
