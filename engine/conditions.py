"""What the denoiser is told besides the noise: one packed column a latent frame, laid out once for all rooms.

Each group is a range of rows, its content first and its *known* flag last; a group that is absent is all zeros, flag
and all. `known` has a mask row a stem in the flag's place. Everything is `(channels, frames)` float32, without a batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.geometry import ACCOMPANIMENT_CHANNELS, LATENT_CHANNELS, LATENT_HOP_SAMPLES, LATENT_RATE_HZ, STEMS
from engine.harmony import KEYS, PITCH_CLASSES, ChordSpan, Key
from engine.styles import STYLES, style_index
from engine.timeline import Timeline

PITCH_CHANNELS = PITCH_CLASSES + 2
CURVE_CHANNELS = 2
BEAT_DIVISIONS = (1, 2, 3, 4)
"""Of which the timeline gives the phase: beats, eighths, triplets and sixteenths. A stroke is placed within a frame."""

TIMELINE_CHANNELS = 2 * len(BEAT_DIVISIONS) + 4
REFERENCE_BPM = 100.0
REFERENCE_METRE_BEATS = 4.0
REFERENCE_SONG_SECONDS = 60.0
WANTED_FLAG = 1.0
VOCAL_CURVES_FLAG = 0.5

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ConditionGroup:
    """The rows of one group in the packed array.

    Attributes:
        name: the group's name.
        start: its first row.
        content_channels: rows of content.
        flag_channels: rows after the content: one known flag, or one mask a stem.
    """

    name: str
    start: int
    content_channels: int
    flag_channels: int = 1

    @property
    def channels(self) -> int:
        """All rows of the group."""
        return self.content_channels + self.flag_channels

    @property
    def whole(self) -> slice:
        """The rows of content and flag."""
        return slice(self.start, self.start + self.channels)

    @property
    def content(self) -> slice:
        """The rows of content."""
        return slice(self.start, self.start + self.content_channels)

    @property
    def flag(self) -> slice:
        """The rows of the flag or masks."""
        return slice(self.start + self.content_channels, self.start + self.channels)


@dataclass(frozen=True, slots=True)
class ConditionLayout:
    """Where each group of the packed array lies, in the order of its rows."""

    vocal_latents: ConditionGroup
    vocal_pitch: ConditionGroup
    timeline: ConditionGroup
    chord: ConditionGroup
    key: ConditionGroup
    attention: ConditionGroup
    position: ConditionGroup
    known: ConditionGroup

    @property
    def groups(self) -> tuple[ConditionGroup, ...]:
        """The groups in the order of their rows."""
        return tuple(getattr(self, name) for name in GROUP_NAMES)

    @property
    def channels(self) -> int:
        """All rows of the packed array."""
        return self.known.whole.stop


_GROUP_SIZES = {
    "vocal_latents": (LATENT_CHANNELS, 1),
    "vocal_pitch": (PITCH_CHANNELS, 1),
    "timeline": (TIMELINE_CHANNELS, 1),
    "chord": (2 * PITCH_CLASSES, 1),
    "key": (KEYS, 1),
    "attention": (CURVE_CHANNELS, 1),
    "position": (2, 1),
    "known": (ACCOMPANIMENT_CHANNELS, len(STEMS)),
}
GROUP_NAMES = tuple(_GROUP_SIZES)
FOLLOWED_GROUPS = ("vocal_latents", "vocal_pitch", "chord", "key", "attention")
"""What classifier-free guidance strengthens: these, and the style, are absent in its unconditional pass."""


def _layout() -> ConditionLayout:
    """Return the layout that follows from the groups' sizes."""
    start, groups = 0, {}
    for name, (content, flags) in _GROUP_SIZES.items():
        groups[name] = ConditionGroup(name, start, content, flags)
        start += content + flags
    return ConditionLayout(**groups)


LAYOUT = _layout()
CONDITION_CHANNELS = LAYOUT.channels


def layout_as_dict() -> dict[str, list[int]]:
    """Return the layout as a bundle's manifest keeps it: group name to [start, content rows, flag rows]."""
    return {group.name: [group.start, group.content_channels, group.flag_channels] for group in LAYOUT.groups}


@dataclass(frozen=True, slots=True)
class Conditions:
    """The groups to pack, each `(its rows, frames)` float32 as its builder returns it, or None where absent."""

    vocal_latents: Array | None = None
    vocal_pitch: Array | None = None
    timeline: Array | None = None
    chord: Array | None = None
    key: Array | None = None
    attention: Array | None = None
    position: Array | None = None
    known: Array | None = None


def pack(conditions: Conditions, frames: int) -> Array:
    """Return the packed array `(CONDITION_CHANNELS, frames)`; absent groups are zeros.

    Raises:
        ValueError: a group's shape is not its rows by `frames`.
    """
    packed = np.zeros((CONDITION_CHANNELS, frames), dtype=np.float32)
    for group in LAYOUT.groups:
        value = getattr(conditions, group.name)
        if value is not None:
            _check_shape(group.name, value, (group.channels, frames))
            packed[group.whole] = value
    return packed


def drop(packed: Array, names: Iterable[str]) -> Array:
    """Return a copy of `packed` (..., CONDITION_CHANNELS, frames) in which the groups `names` are absent.

    Raises:
        ValueError: a name is no group.
    """
    dropped = packed.copy()
    for name in names:
        if name not in GROUP_NAMES:
            raise ValueError(f"condition group {name!r} is not known; expected one of: {', '.join(GROUP_NAMES)}")
        dropped[..., getattr(LAYOUT, name).whole, :] = 0.0
    return dropped


def vocal_conditions(
    latents: Array, pitch: Array, visible: int | NDArray[np.bool_] | None = None
) -> tuple[Array, Array]:
    """Return the groups `vocal_latents` and `vocal_pitch`.

    Args:
        latents: (64, frames) latents of the vocal, normalised.
        pitch: (14, frames) chroma, voicing and energy.
        visible: how many frames, from the first, the vocal is known for, or (frames,) where it is; None for all.
    """
    frames = latents.shape[-1]
    _check_shape("latents", latents, (LATENT_CHANNELS, frames))
    _check_shape("pitch", pitch, (PITCH_CHANNELS, frames))
    seen = visible if isinstance(visible, np.ndarray) else np.arange(frames) < (frames if visible is None else visible)
    return _flagged(latents, seen), _flagged(pitch, seen)


def timeline_conditions(timeline: Timeline, start_frame: int, frames: int) -> Array:
    """Return the group `timeline` at the first samples of `frames` frames from `start_frame`.

    Its rows: sines, then cosines, of the phases of `BEAT_DIVISIONS` and of the bar; log tempo; metre.
    """
    beats = timeline.beats_at_frames(start_frame, frames)
    phases = [(beats * division) % 1.0 for division in BEAT_DIVISIONS]
    angles = 2.0 * np.pi * np.stack([*phases, timeline.bars_at_beats(beats) % 1.0])
    tempo = np.log2(timeline.bpms_at_beats(beats) / REFERENCE_BPM)
    metre = timeline.beats_per_bar_at_beats(beats) / REFERENCE_METRE_BEATS
    return _flagged(np.concatenate([np.sin(angles), np.cos(angles), [tempo, metre]]))


def chord_conditions(chords: Sequence[ChordSpan], timeline: Timeline, start_frame: int, frames: int) -> Array:
    """Return the group `chord`: for each frame the chord at its middle sample; unknown where no span reaches.

    A span of "no chord" is known and all zeros. Where spans overlap, the later one in the list holds.
    """
    starts = np.arange(start_frame, start_frame + frames, dtype=np.int64) * LATENT_HOP_SAMPLES
    beats = timeline.beats_at_samples(starts + LATENT_HOP_SAMPLES // 2)
    group = np.zeros((LAYOUT.chord.channels, frames), dtype=np.float32)
    for span in chords:
        first, last = np.searchsorted(beats, (span.start_beat, span.end_beat))
        group[:, first:last] = 0.0
        group[[*span.chord.pitch_classes], first:last] = 1.0
        if span.chord.bass >= 0:
            group[PITCH_CLASSES + span.chord.bass, first:last] = 1.0
        group[-1, first:last] = 1.0
    return group


def key_conditions(key: Key, frames: int) -> Array:
    """Return the group `key`: one-hot over 24 keys."""
    one_hot = np.zeros((KEYS, frames), dtype=np.float32)
    one_hot[key.index] = 1.0
    return _flagged(one_hot)


def attention_conditions(curves: Array, wanted: bool) -> Array:
    """Return the group `attention`.

    Args:
        curves: (2, frames) arousal and focus in [0, 1].
        wanted: whether they describe the accompaniment that is wanted; otherwise they are the vocal's own.
    """
    _check_shape("curves", curves, (CURVE_CHANNELS, curves.shape[-1]))
    return _flagged(curves, WANTED_FLAG if wanted else VOCAL_CURVES_FLAG, masks_content=False)


def position_conditions(start_frame: int, frames: int, song_frames: int) -> Array:
    """Return the group `position`: where each frame lies in a song of `song_frames`, and the song's log length."""
    position = np.clip((start_frame + np.arange(frames)) / max(song_frames, 1), 0.0, 1.0)
    log_length = np.log2(max(song_frames, 1) / LATENT_RATE_HZ / REFERENCE_SONG_SECONDS)
    return _flagged(np.stack([position, np.full(frames, log_length)]))


def known_conditions(latents: Array, mask: NDArray[np.bool_] | Array) -> Array:
    """Return the group `known`.

    Args:
        latents: (stems, 64, frames) normalised latents of the accompaniment; ignored where unknown.
        mask: (stems, frames), true where known.
    """
    frames = latents.shape[-1]
    _check_shape("latents", latents, (len(STEMS), LATENT_CHANNELS, frames))
    _check_shape("mask", mask, (len(STEMS), frames))
    flags = np.asarray(mask, dtype=np.float32)
    kept = np.where(flags[:, None] > 0.0, latents, 0.0).reshape(ACCOMPANIMENT_CHANNELS, frames)
    return np.concatenate([kept, flags]).astype(np.float32)


def style_weights(style: str | None) -> Array:
    """Return the `(len(STYLES),)` weights of one style: one-hot, or zeros for None, the unknown style."""
    weights = np.zeros(len(STYLES), dtype=np.float32)
    if style is not None:
        weights[style_index(style)] = 1.0
    return weights


def _flagged(content: NDArray[np.floating], flag: NDArray[np.bool_] | float = 1.0, masks_content: bool = True) -> Array:
    """Return `content` (rows, frames) with its flag row below; content is zero where a masking flag is."""
    flags = np.broadcast_to(np.asarray(flag, dtype=np.float32), content.shape[-1:])
    kept = np.where(flags > 0.0, content, 0.0) if masks_content else content
    return np.concatenate([kept, flags[None]]).astype(np.float32)


def _check_shape(name: str, value: NDArray[np.generic], expected: tuple[int, ...]) -> None:
    """Raise ValueError unless `value` has the shape `expected`."""
    if value.shape != expected:
        raise ValueError(f"{name} has shape {value.shape}, expected {expected} (channels first)")
