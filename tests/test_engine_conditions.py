import numpy as np
import pytest

from engine import conditions as c
from engine.geometry import LATENT_HOP_SAMPLES, LATENT_RATE_HZ
from engine.harmony import Chord, ChordSpan, Key
from engine.styles import STYLES
from engine.timeline import Timeline

FRAMES = 40


def random_array(*shape: int) -> c.Array:
    return np.random.default_rng(len(shape)).random(shape, dtype=np.float32) + 0.5


def all_groups() -> c.Conditions:
    latents, pitch = c.vocal_conditions(random_array(64, FRAMES), random_array(14, FRAMES))
    timeline = Timeline.constant(90, 3, 4)
    return c.Conditions(
        latents,
        pitch,
        c.timeline_conditions(timeline, 5, FRAMES),
        c.chord_conditions([ChordSpan(0, 99, Chord.parse("Am7"))], timeline, 5, FRAMES),
        c.key_conditions(Key.parse("A minor"), FRAMES),
        c.attention_conditions(random_array(2, FRAMES), wanted=True),
        c.position_conditions(5, FRAMES, 100),
        c.known_conditions(random_array(3, 64, FRAMES), np.ones((3, FRAMES), dtype=bool)),
    )


def test_the_layout_is_the_contracts() -> None:
    assert c.CONDITION_CHANNELS == (64 + 1) + (14 + 1) + (12 + 1) + (24 + 1) + (24 + 1) + (2 + 1) + (2 + 1) + (192 + 3)
    assert c.layout_as_dict() == {
        "vocal_latents": [0, 64, 1],
        "vocal_pitch": [65, 14, 1],
        "timeline": [80, 12, 1],
        "chord": [93, 24, 1],
        "key": [118, 24, 1],
        "attention": [143, 2, 1],
        "position": [146, 2, 1],
        "known": [149, 192, 3],
    }


def test_packing_puts_each_group_on_its_rows_and_absent_ones_are_zero() -> None:
    groups = all_groups()
    packed = c.pack(groups, FRAMES)
    assert packed.dtype == np.float32
    for group in c.LAYOUT.groups:
        np.testing.assert_array_equal(packed[group.whole], getattr(groups, group.name))
        assert (packed[group.flag] == 1.0).all()
    assert not c.pack(c.Conditions(), FRAMES).any()


def test_packing_refuses_a_group_of_another_shape() -> None:
    with pytest.raises(ValueError, match="key has shape"):
        c.pack(c.Conditions(key=random_array(24, FRAMES)), FRAMES)


@pytest.mark.parametrize("name", c.GROUP_NAMES)
def test_dropping_zeroes_one_group_alone(name: str) -> None:
    packed = np.stack([c.pack(all_groups(), FRAMES)] * 2)
    dropped = c.drop(packed, [name])
    rows = np.zeros(c.CONDITION_CHANNELS, dtype=bool)
    rows[getattr(c.LAYOUT, name).whole] = True
    assert not dropped[:, rows].any()
    np.testing.assert_array_equal(dropped[:, ~rows], packed[:, ~rows])
    assert packed[:, rows].any(), "drop must not change its argument"


def test_dropping_an_unknown_group_is_refused() -> None:
    with pytest.raises(ValueError, match="'tempo' is not known"):
        c.drop(c.pack(c.Conditions(), FRAMES), ["tempo"])


def test_the_vocal_is_zero_after_its_visible_end() -> None:
    latents, pitch = c.vocal_conditions(random_array(64, FRAMES), random_array(14, FRAMES), visible=7)
    for group in (latents, pitch):
        assert not group[:, 7:].any()
        assert (group[:, :7] > 0).all()
        assert (group[-1, :7] == 1.0).all()


def test_timeline_rows_at_known_places() -> None:
    samples_per_beat = 8 * LATENT_HOP_SAMPLES  # a tempo at which a beat is 8 frames
    timeline = Timeline.constant(60 * 44_100 / samples_per_beat, 3, 4, first_beat_sample=16 * LATENT_HOP_SAMPLES)
    rows = c.timeline_conditions(timeline, 0, 64)
    *angles, tempo, metre, flag = rows
    frames = np.arange(64)
    phases = [frames * division / 8 for division in c.BEAT_DIVISIONS] + [(frames - 16) / 24]
    np.testing.assert_allclose(angles[: len(phases)], np.sin(2 * np.pi * np.array(phases)), atol=2e-5)
    np.testing.assert_allclose(angles[len(phases) :], np.cos(2 * np.pi * np.array(phases)), atol=2e-5)
    np.testing.assert_allclose(tempo, np.log2(161.4990234375 / 100), atol=1e-6)
    assert (metre == 0.75).all()
    assert (flag == 1.0).all()


def test_chords_hold_from_their_start_to_their_end_and_gaps_are_unknown() -> None:
    timeline = Timeline.constant(60 * 44_100 / (8 * LATENT_HOP_SAMPLES))  # a beat is 8 frames
    chords = [ChordSpan(0.5, 1, Chord.parse("F/A")), ChordSpan(1.5, 2, Chord.parse("N"))]
    rows = c.chord_conditions(chords, timeline, 0, 20)
    known = [4, 5, 6, 7, 12, 13, 14, 15]
    assert list(np.flatnonzero(rows[-1])) == known
    assert list(np.flatnonzero(rows[:12, 4])) == [0, 5, 9]
    assert list(np.flatnonzero(rows[12:24, 4])) == [9]
    assert not rows[:24, 12:].any()
    for start, end, middles in ((0.07, 0.19, [1]), (0.06, 0.18, [0]), (0.07, 0.18, [])):  # middles: 0.0625, 0.1875
        short = c.chord_conditions([ChordSpan(start, end, Chord.parse("C"))], timeline, 0, 20)
        assert list(np.flatnonzero(short[-1])) == middles
    later_wins = c.chord_conditions([ChordSpan(0, 9, Chord.parse("C")), *chords], timeline, 0, 20)
    assert list(np.flatnonzero(later_wins[:12, 4])) == [0, 5, 9]
    assert list(np.flatnonzero(later_wins[:12, 3])) == [0, 4, 7]


def test_key_attention_and_position() -> None:
    key = c.key_conditions(Key.parse("Eb minor"), 3)
    assert list(np.flatnonzero(key[:, 0])) == [15, 24]
    assert (c.attention_conditions(random_array(2, 3), wanted=True)[-1] == 1.0).all()
    assert (c.attention_conditions(random_array(2, 3), wanted=False)[-1] == 0.5).all()
    assert (c.attention_conditions(random_array(2, 3), wanted=False)[:2] >= 0.5).all()
    song_frames = round(60 * LATENT_RATE_HZ)
    position = c.position_conditions(song_frames - 2, 4, song_frames)
    np.testing.assert_allclose(position[0], [1 - 2 / song_frames, 1 - 1 / song_frames, 1, 1])
    np.testing.assert_allclose(position[1], 0.0, atol=1e-3)


def test_known_latents_are_zero_where_unknown() -> None:
    mask = np.zeros((3, FRAMES), dtype=bool)
    mask[1, :5] = True
    rows = c.known_conditions(random_array(3, 64, FRAMES), mask)
    assert (rows[64:128, :5] > 0).all()
    assert np.count_nonzero(rows) == 64 * 5 + 5
    np.testing.assert_array_equal(rows[192:], mask)


def test_style_weights() -> None:
    assert not c.style_weights(None).any()
    assert c.style_weights("funk").argmax() == STYLES.index("funk")
    with pytest.raises(ValueError, match="'polka' is not known"):
        c.style_weights("polka")
