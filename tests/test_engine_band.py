"""Chunk by chunk: what is known stays, what is wanted is made, and what was not heard cannot be seen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.band import Band, stems_of
from engine.conditions import LAYOUT
from engine.geometry import ACCOMPANIMENT_CHANNELS, LATENT_CHANNELS, LATENT_HOP_SAMPLES, STEMS
from engine.harmony import Chord, ChordSpan, Key
from engine.listener import Listener
from engine.live_chunk import ChunkPlan, MadeChunk, Reseed, Score, make_chunk, window_noise
from engine.live_harmony import AHEAD_FRAMES, HEARD_FRAMES, LiveHarmony
from engine.noise import latent_noise
from engine.song_memory import SongMemory
from engine.stem_decoder import LATE_SAMPLES, PIECE_FRAMES, Piece, decode_piece, silent_state
from engine.timeline import Timeline
from engine.window import Heard, Model
from engine.wish import Wish
from tests.harmony_support import melody, rule_harmoniser
from tests.live_support import WatchedModel, factory_model, sung

Array = NDArray[np.float32]

TIMELINE = Timeline.constant(120.0)
SCORE = Score(TIMELINE, Wish(style="funk", steps=1, guidance_scale=1.0, seed=5))
CHUNK, BACKUP, PAST = 8, 12, 12


def plan(first: int, chunk: int = CHUNK) -> ChunkPlan:
    return ChunkPlan(first, chunk, BACKUP, PAST)


@cache
def heard(vocal_frames: int, pitch_hz: float) -> Heard:
    memory = SongMemory(2)
    Listener(factory_model(), memory).hear(0, sung(vocal_frames + 2, pitch_hz), True)
    return memory.read(0, vocal_frames).heard


def remembering(vocal_frames: int = 64, pitch_hz: float = 220.0) -> SongMemory:
    """Return a memory in which that much of a vocal was heard."""
    vocal, memory = heard(vocal_frames, pitch_hz), SongMemory(2)
    memory.write_vocal(0, vocal.vocal_latents, vocal.vocal_pitch, vocal.curves)
    return memory


def rows(stem: str) -> slice:
    row = STEMS.index(stem) * LATENT_CHANNELS
    return slice(row, row + LATENT_CHANNELS)


# The plan and the noise


def test_a_plan_is_made_of_multiples_of_four() -> None:
    made = ChunkPlan(8, 8, 16, 32)
    assert (made.end_frame, made.frames, made.window_start, made.window_frames) == (16, 24, 0, 56)
    assert ChunkPlan(64, 8, 16, 32).window_start == 32
    for wrong in ((8, 6, 16, 32), (2, 8, 16, 32), (-4, 8, 16, 32), (8, 0, 16, 32), (8, 8, 3, 32), (8, 8, 4, -4)):
        with pytest.raises(ValueError, match="multiples of 4"):
            ChunkPlan(*wrong)


def test_a_reseed_changes_the_noise_of_its_stems_and_frames_alone() -> None:
    plain = window_noise(SCORE, 100, 40)
    np.testing.assert_array_equal(plain, latent_noise(5, 100, 40))
    rolled = window_noise(replace(SCORE, reseeds=(Reseed(("bass",), 96, 110, 77),)), 100, 40)
    np.testing.assert_array_equal(rolled[rows("bass"), :10], latent_noise(77, 100, 40)[rows("bass"), :10])
    changed = np.zeros_like(plain, bool)
    changed[rows("bass"), :10] = True
    np.testing.assert_array_equal(rolled != plain, changed)


def test_later_reseeds_hold_and_an_open_one_has_no_end() -> None:
    reseeds = (Reseed(STEMS, 100, None, 1), Reseed(("drums",), 120, None, 2), Reseed(STEMS, 0, 90, 3))
    noise = window_noise(replace(SCORE, reseeds=reseeds), 100, 40)
    np.testing.assert_array_equal(noise[:, :20], latent_noise(1, 100, 20))
    np.testing.assert_array_equal(noise[rows("drums"), 20:], latent_noise(2, 120, 20)[rows("drums")])
    np.testing.assert_array_equal(noise[rows("other"), 20:], latent_noise(1, 120, 20)[rows("other")])
    with pytest.raises(ValueError, match="seed -1"):
        Reseed(STEMS, 0, None, -1)


def test_noise_is_the_same_whichever_window_holds_the_frame() -> None:
    score = replace(SCORE, reseeds=(Reseed(("other",), 111, 117, 9),))
    np.testing.assert_array_equal(window_noise(score, 100, 40)[:, 8:24], window_noise(score, 108, 16))


# The chunk


def test_known_frames_come_back_bit_for_bit_and_see_through_the_models_eyes() -> None:
    memory, model = remembering(), WatchedModel()
    known = np.random.default_rng(1).standard_normal((ACCOMPANIMENT_CHANNELS, 28)).astype(np.float32)
    memory.write_made(0, known[:, :20])
    made = make_chunk(model, memory, plan(16), SCORE)
    assert made.sampled
    np.testing.assert_array_equal(made.latents[:, :4], known[:, 16:20])
    told = model.conditions[-1][0][LAYOUT.known.whole]
    np.testing.assert_array_equal(told[:ACCOMPANIMENT_CHANNELS, :16], known[:, 4:20])
    np.testing.assert_array_equal(told[ACCOMPANIMENT_CHANNELS:], np.tile(np.arange(32) < 16, (3, 1)))
    read = memory.read(0, 40)
    np.testing.assert_array_equal(read.latents[:, :20], known[:, :20])
    np.testing.assert_array_equal(read.latents[:, 16:24], made.latents[:, :8])
    assert not read.made[:, 24:].any(), "a backup is not remembered"


def test_a_locked_stem_stays_while_the_others_are_made_anew() -> None:
    memory, model = remembering(), WatchedModel()
    first = make_chunk(model, memory, plan(0), SCORE)
    memory.forget_made(("drums", "other"), 0, 8)
    again = make_chunk(model, memory, plan(0), replace(SCORE, reseeds=(Reseed(STEMS, 0, None, 99),)))
    assert again.sampled
    np.testing.assert_array_equal(again.latents[rows("bass"), :8], first.latents[rows("bass"), :8])
    for stem in ("drums", "other"):
        assert np.abs(again.latents[rows(stem), :8] - first.latents[rows(stem), :8]).max() > 0.1


def test_the_same_asked_again_is_the_same_to_the_bit() -> None:
    one, two = (make_chunk(WatchedModel(), remembering(), plan(8), SCORE) for _ in range(2))
    np.testing.assert_array_equal(one.latents, two.latents)
    assert one.conditions_sha256 == two.conditions_sha256 != ""


def test_a_second_pass_makes_nothing_but_the_backup_beyond_the_end() -> None:
    memory, model = remembering(), WatchedModel()
    first = [make_chunk(model, memory, plan(at), SCORE) for at in (0, 8, 16, 24)]
    calls = len(model.conditions)
    second = [make_chunk(model, memory, plan(at), SCORE) for at in (0, 8, 16)]
    assert len(model.conditions) == calls
    assert [chunk.sampled for chunk in second] == [False] * 3
    assert [chunk.conditions_sha256 for chunk in second] == [""] * 3
    assert [chunk.plan.frames for chunk in second] == [20, 20, 16], "what is known follows as backup"
    for before, after in zip(first, second, strict=False):
        np.testing.assert_array_equal(before.latents[:, :CHUNK], after.latents[:, :CHUNK])

    last = make_chunk(model, memory, plan(24), SCORE)
    assert (last.sampled, last.plan.backup_frames) == (True, BACKUP), "where memory ends a backup must be made"
    np.testing.assert_array_equal(last.latents[:, :CHUNK], first[3].latents[:, :CHUNK])
    assert last.latents.shape[1] == CHUNK + BACKUP
    assert np.isfinite(last.latents).all()


def test_a_chunk_that_is_known_in_part_is_made_around_what_is_there() -> None:
    memory, model = remembering(), WatchedModel()
    later = np.random.default_rng(2).standard_normal((ACCOMPANIMENT_CHANNELS, 8)).astype(np.float32)
    memory.write_made(12, later)
    made = make_chunk(model, memory, plan(8), SCORE)
    assert made.sampled
    np.testing.assert_array_equal(made.latents[:, 4:12], later)


class Given(Exception):  # noqa: N818 - a newer wish came
    pass


@pytest.mark.parametrize("after_steps", [1, 2, 3])
def test_sampling_that_is_abandoned_leaves_no_trace(after_steps: int) -> None:
    wish = replace(SCORE, wish=replace(SCORE.wish, steps=3))
    memory, untouched = remembering(), remembering()

    def progress(share: float) -> None:
        if round(share * 3) == after_steps:
            raise Given

    with pytest.raises(Given):
        make_chunk(WatchedModel(), memory, plan(8), wish, progress)
    assert not memory.read(0, 64).made.any()
    np.testing.assert_array_equal(
        make_chunk(WatchedModel(), memory, plan(8), wish).latents,
        make_chunk(WatchedModel(), untouched, plan(8), wish).latents,
    )


def test_the_vocal_is_invisible_beyond_what_was_heard() -> None:
    model, memory = WatchedModel(), remembering(20)
    made = make_chunk(model, memory, plan(16), SCORE)
    assert made.visible_end_frame == 20
    told = model.conditions[-1][0]
    sang = memory.read(4, 32).heard
    seen = np.arange(4, 36) < 20
    for group, truth in ((LAYOUT.vocal_latents, sang.vocal_latents), (LAYOUT.vocal_pitch, sang.vocal_pitch)):
        content, flags = told[group.whole][: len(truth)], told[group.whole][len(truth) :]
        np.testing.assert_array_equal(content[:, seen], truth[:, seen])
        assert not content[:, ~seen].any()
        np.testing.assert_array_equal(flags, np.tile(seen, (len(flags), 1)))
    assert told[LAYOUT.vocal_latents.whole][:LATENT_CHANNELS, seen].any()
    curves = told[LAYOUT.attention.whole][:2]
    np.testing.assert_array_equal(curves[:, 16:], np.repeat(curves[:, 15:16], 16, axis=1))


def test_nothing_heard_at_all_is_played_to_too() -> None:
    model, memory = WatchedModel(), SongMemory(2)
    made = make_chunk(model, memory, plan(16), SCORE)
    assert made.visible_end_frame == 4
    assert not model.conditions[-1][0][LAYOUT.vocal_latents.whole].any()
    assert np.isfinite(made.latents).all()


def test_another_vocal_gives_another_accompaniment() -> None:
    one, same, other = (
        make_chunk(WatchedModel(), remembering(40, pitch_hz), plan(16), SCORE) for pitch_hz in (220.0, 220.0, 311.1)
    )
    np.testing.assert_array_equal(one.latents, same.latents)
    assert np.abs(one.latents - other.latents).mean() > 0.01
    assert one.conditions_sha256 != other.conditions_sha256


def test_what_is_sung_until_a_chunk_is_made_is_used_in_it() -> None:
    short, long = remembering(16), remembering(40)
    one = make_chunk(WatchedModel(), short, plan(16), SCORE)
    two = make_chunk(WatchedModel(), long, plan(16), SCORE)
    assert (one.visible_end_frame, two.visible_end_frame) == (16, 36)
    assert np.abs(one.latents - two.latents).max() > 1e-3


# The band


class Line:
    """Sound by song position, as chunks come."""

    def __init__(self, model: Model, vocal_frames: int = 64) -> None:
        self.band = Band(model, 2)
        self.band.hear(0, sung(vocal_frames + 2), True)
        self.chunks: list[MadeChunk] = []

    def play(self, first: int, score: Score = SCORE, decode_backup: bool = False) -> tuple[Array, int, bool]:
        """Make a chunk; return its sound, the song position of its first sample, and whether the decoder went on."""
        chunk, pieces, entry = self.band.make(plan(first), score)
        self.chunks.append(chunk)
        count = chunk.plan.frames if decode_backup else chunk.plan.chunk_frames
        heard = [next(pieces) for _ in range(count // PIECE_FRAMES)]
        return sound_of(heard), heard[0].start_sample, entry.continues


def sound_of(pieces: Iterable[Piece]) -> Array:
    return np.concatenate([piece.audio for piece in pieces], axis=2)


def straight(latents: Array) -> Array:
    """Return the sound of latents (192, frames) from the song's start, in pieces, in the score's style."""
    state, pieces = silent_state(factory_model(), 0), []
    for at in range(0, latents.shape[1], PIECE_FRAMES):
        pieces.append(decode_piece(factory_model(), latents[:, at : at + PIECE_FRAMES], state, SCORE.wish.style))
        state = pieces[-1].state
    return sound_of(pieces)


@pytest.mark.parametrize("decode_backup", [False, True])
def test_chunk_after_chunk_is_one_line_whatever_became_of_the_backups(decode_backup: bool) -> None:
    line = Line(WatchedModel())
    played = [line.play(at, decode_backup=decode_backup) for at in (0, 8, 16)]
    assert [start for _, start, _ in played] == [0, 8 * LATENT_HOP_SAMPLES - LATE_SAMPLES, 14 * LATENT_HOP_SAMPLES]
    assert [continues for *_, continues in played] == [False, True, True]
    latents = np.concatenate([chunk.latents[:, :CHUNK] for chunk in line.chunks], axis=1)
    chunk_samples = [CHUNK * LATENT_HOP_SAMPLES - LATE_SAMPLES, CHUNK * LATENT_HOP_SAMPLES, CHUNK * LATENT_HOP_SAMPLES]
    sound = [sound[:, :, :samples] for (sound, _, _), samples in zip(played, chunk_samples, strict=True)]
    np.testing.assert_array_equal(np.concatenate(sound, axis=2), straight(latents))


def test_a_chunk_that_is_superseded_within_leaves_the_line_as_if_it_had_not_been() -> None:
    line = Line(WatchedModel())
    line.play(0)
    line.play(8, decode_backup=True)
    line.band.forget(STEMS, 12)
    other = replace(SCORE, wish=replace(SCORE.wish, seed=6))
    sound, start, continues = line.play(12, other)
    assert (start, continues) == (12 * LATENT_HOP_SAMPLES - LATE_SAMPLES, True)
    old, superseded, new = (chunk.latents for chunk in line.chunks)
    latents = np.concatenate([old[:, :8], superseded[:, :4], new[:, :8]], axis=1)
    np.testing.assert_array_equal(sound, straight(latents)[:, :, start:])
    assert np.abs(new[:, :4] - superseded[:, 4:8]).max() > 0.1


def test_a_second_pass_sounds_as_the_first_to_the_bit_while_its_states_are_kept() -> None:
    line = Line(WatchedModel())
    first = [line.play(at) for at in (0, 8, 16, 24)]
    second = [line.play(at) for at in (8, 16)]
    assert [chunk.sampled for chunk in line.chunks[4:]] == [False, False]
    for (before, start, _), (after, again, continues) in zip(first[1:], second, strict=False):
        assert (again, continues) == (start, True)
        np.testing.assert_array_equal(after, before)


def test_a_second_pass_whose_states_are_gone_settles_over_what_was_before_it() -> None:
    line = Line(WatchedModel())
    first = [line.play(at) for at in (0, 8, 16, 24, 32)]
    line.band.settle_anew()
    chunk, pieces, entry = line.band.make(plan(24), SCORE)
    assert not chunk.sampled
    assert not entry.continues
    kept = np.concatenate([made.latents[:, :CHUNK] for made in line.chunks], axis=1)
    np.testing.assert_array_equal(entry.settling, kept[:, 8:24])
    again, before = sound_of([next(pieces), next(pieces)]), first[3][0]
    assert again.shape == before.shape
    levels = [np.sqrt(np.square(sound, dtype=np.float64).mean(axis=(1, 2))) for sound in (again, before)]
    np.testing.assert_allclose(20 * np.log10(levels[0] / levels[1]), 0.0, atol=3.0)  # phases of tones differ


def test_the_first_pass_from_the_songs_start_settles_exactly() -> None:
    line = Line(WatchedModel())
    first = [line.play(at) for at in (0, 8)]
    line.band.settle_anew()
    again, _, continues = line.play(8)
    assert not continues
    np.testing.assert_array_equal(again, first[1][0])


def test_one_chunk_without_sound_does_not_spoil_those_after_it() -> None:
    model = WatchedModel()
    line = Line(model)
    line.play(0)
    model.spoil = lambda v: v * np.float32(np.nan)
    broken, _, _ = line.play(8)
    assert not np.isfinite(broken).all()
    line.band.settle_anew()  # what the generator does then
    line.band.forget(STEMS, 8, 16)
    model.spoil = None
    for first in (16, 24, 8):
        sound, _, _ = line.play(first)
        assert np.isfinite(sound).all()


def test_forgetting_and_remembering_are_by_all_stems() -> None:
    line = Line(WatchedModel())
    line.play(0)
    assert line.band.remembers(0, 8)
    assert not line.band.remembers(4, 8)
    line.band.forget(("bass",), 6, 7)
    assert not line.band.remembers(0, 8)
    assert line.band.remembers(0, 6)


def test_a_band_hears_and_names_its_stems() -> None:
    line = Line(WatchedModel(), 30)
    assert line.band.heard_end_frame == 30
    _, pieces, _ = line.band.make(plan(0), SCORE)
    piece = next(pieces)
    named = stems_of(piece)
    assert tuple(named) == STEMS
    np.testing.assert_array_equal(named["bass"], piece.audio[1])


# Harmony that is read as it is sung

C_MAJOR = [Chord.parse(name) for name in ("C", "F", "G", "C", "Am", "F", "G", "C")]
F_SHARP = [Chord.parse(name) for name in ("F#", "B", "C#", "F#", "D#m", "B", "C#", "F#")]
HARMONISER = rule_harmoniser()


def sings(chords: list[Chord], start: int = 0, memory: SongMemory | None = None) -> tuple[SongMemory, Array]:
    """Return a memory in which a voice sang `chords`, a bar each, from frame `start` on."""
    memory = memory or SongMemory(4)
    pitch = melody(chords, TIMELINE, 4.0)
    frames = pitch.shape[1]
    memory.write_vocal(start, np.zeros((64, frames), np.float32), pitch, np.zeros((2, frames), np.float32))
    return memory, pitch


def test_harmony_is_that_of_the_prefix_that_was_heard() -> None:
    pitch = melody(C_MAJOR, TIMELINE, 4.0)
    for heard in (100, 200, 300):
        memory = SongMemory(4)
        part = pitch[:, :heard]
        memory.write_vocal(0, np.zeros((64, heard), np.float32), part, np.zeros((2, heard), np.float32))
        wish = LiveHarmony(HARMONISER, memory).harmonised(Wish(), TIMELINE, heard)
        told = np.concatenate([part, np.zeros((14, AHEAD_FRAMES), np.float32)], axis=1)
        reference = HARMONISER.harmonise(told, TIMELINE, heard=np.arange(heard + AHEAD_FRAMES) < heard)
        assert reference is not None
        assert (wish.key, wish.chords) == (reference.key, reference.chords)
        assert wish.chords[-1].end_beat >= TIMELINE.beat_at_sample((heard + AHEAD_FRAMES // 2) * LATENT_HOP_SAMPLES)


def test_harmony_is_read_anew_as_more_is_sung() -> None:
    memory, pitch = sings(C_MAJOR)
    harmony = LiveHarmony(HARMONISER, memory)
    first = harmony.harmonised(Wish(), TIMELINE, pitch.shape[1])
    assert first.key == Key.parse("C")
    sings(F_SHARP * 5, pitch.shape[1], memory)
    assert harmony.harmonised(Wish(), TIMELINE, 6 * pitch.shape[1]).key == Key.parse("F# major")


def test_what_was_sung_more_than_a_minute_ago_does_not_count() -> None:
    first, second = SongMemory(8), SongMemory(8)
    _, pitch = sings(F_SHARP, 0, first)
    at = HEARD_FRAMES + pitch.shape[1] + 100
    for memory in (first, second):
        sings(C_MAJOR * 3, pitch.shape[1] + 200, memory)
    one, two = (LiveHarmony(HARMONISER, memory).harmonised(Wish(), TIMELINE, at) for memory in (first, second))
    assert one.key == two.key == Key.parse("C")
    assert one.chords == two.chords


def test_nothing_sung_leaves_harmony_open() -> None:
    wish = LiveHarmony(HARMONISER, SongMemory(2)).harmonised(Wish(seed=3), TIMELINE, 64)
    assert wish == Wish(seed=3)


def test_the_users_chords_and_key_win() -> None:
    memory, pitch = sings(C_MAJOR)
    harmony, at = LiveHarmony(HARMONISER, memory), pitch.shape[1]
    chords = (ChordSpan(0.0, 1e6, Chord.parse("Ebm")),)
    assert harmony.harmonised(Wish(chords=chords), TIMELINE, at) == Wish(chords=chords)
    assert harmony.harmonised(Wish(listen_for_chords=False), TIMELINE, at) == Wish(listen_for_chords=False)
    keyed = harmony.harmonised(Wish(key=Key.parse("A minor")), TIMELINE, at)
    assert keyed.key == Key.parse("A minor")
    assert keyed.chords
    assert LiveHarmony(None, memory).harmonised(Wish(), TIMELINE, at) == Wish()


def test_other_wishes_pass_through_what_was_read_before() -> None:
    memory, pitch = sings(C_MAJOR)
    harmony, at = LiveHarmony(HARMONISER, memory), pitch.shape[1]
    first = harmony.harmonised(Wish(seed=1), TIMELINE, at)
    second = harmony.harmonised(Wish(seed=2, style="rock"), TIMELINE, at)
    assert (second.seed, second.style) == (2, "rock")
    assert second.chords == first.chords
    faster = harmony.harmonised(Wish(seed=2), Timeline.constant(60.0), at)
    assert faster.chords != first.chords, "another tempo is another harmony"


def test_harmony_reaches_the_models_conditions() -> None:
    memory_chords = []
    for tables in (None, HARMONISER):
        model = WatchedModel(harmony=tables)
        band = Band(model, 2)
        band.hear(0, sung(66), True)
        chunk, _, _ = band.make(plan(48), SCORE)
        memory_chords.append(chunk.score.wish.chords)
        flag = model.conditions[-1][0][LAYOUT.chord.whole][-1]
        assert bool(flag.all()) is bool(tables)
    assert memory_chords[0] == ()
    assert memory_chords[1]
