"""What a training window hides: known frames by task, the vocal's visible end, and conditions that are absent.

Everything here is drawn for a whole batch at once, from a `numpy.random.Generator` that is given.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.conditions import FOLLOWED_GROUPS, LAYOUT, VOCAL_CURVES_FLAG
from engine.geometry import STEMS

GENERATE, CONTINUE, FILL, REROLL = range(4)
TASK_SHARES = (0.45, 0.30, 0.10, 0.15)

FULLY_VISIBLE_SHARE = 0.5
UNCONDITIONAL_SHARE = 0.1
VOCAL_CURVES_SHARE = 0.25
# The latents tell one song of the corpus from another, so a network that always has them learns songs by heart; chroma
# and voicing alone say little but what was sung, and so teach what holds for other songs.
DROP_SHARES = {
    "vocal_latents": 0.35,
    "vocal_pitch": 0.05,
    "timeline": 0.03,
    "chord": 0.25,
    "key": 0.50,
    "attention": 0.25,
    "position": 0.10,
}
STYLE_DROP_SHARE = 0.2
SOUNDS_DROP_SHARE = 0.2

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Hiding:
    """What the windows of a batch hide.

    Attributes:
        task: (batch,) GENERATE, CONTINUE, FILL or REROLL.
        known: (batch, stems, frames), true where the accompaniment is given.
        visible_end: (batch,) frame before which the vocal is visible.
        dropped: group name to (batch,), true where the group is absent.
        style_dropped: (batch,), true where the style is unknown.
        vocal_curves: (batch,), true where the attention curves are the vocal's own.
        sounds_dropped: (batch,), true where what the stems sound like is not told; so wherever the style is not.
    """

    task: NDArray[np.int64]
    known: Bools
    visible_end: NDArray[np.int64]
    dropped: dict[str, Bools]
    style_dropped: Bools
    vocal_curves: Bools
    sounds_dropped: Bools


def draw_hiding(rng: np.random.Generator, batch: int, frames: int) -> Hiding:
    """Draw what `batch` windows of `frames` frames hide."""
    task = rng.choice(len(TASK_SHARES), size=batch, p=TASK_SHARES)
    known, prefix = draw_known(rng, task, frames)
    dropped = {name: rng.random(batch) < share for name, share in DROP_SHARES.items()}
    unconditional = rng.random(batch) < UNCONDITIONAL_SHARE
    style_dropped = (rng.random(batch) < STYLE_DROP_SHARE) | unconditional
    for name in FOLLOWED_GROUPS:
        dropped[name] |= unconditional
    return Hiding(
        task=task,
        known=known,
        visible_end=draw_visible_end(rng, prefix, frames),
        dropped=dropped,
        style_dropped=style_dropped,
        vocal_curves=rng.random(batch) < VOCAL_CURVES_SHARE / (1.0 - DROP_SHARES["attention"]),
        sounds_dropped=style_dropped | (rng.random(batch) < SOUNDS_DROP_SHARE),
    )


def draw_known(rng: np.random.Generator, task: NDArray[np.int64], frames: int) -> tuple[Bools, NDArray[np.int64]]:
    """Return the known mask (batch, stems, frames) of each task, and the frame up to which a prefix is known.

    Continue: all stems up to a frame. Fill: all stems but for a gap. Re-roll: one or two stems whole, and of the
    others, every second time, what lies outside a gap. At least an eighth of the window is always left to generate.
    """
    batch, shortest = len(task), frames // 8
    at = np.arange(frames)
    prefix = np.where(task == CONTINUE, rng.integers(1, frames - shortest + 1, batch), 0)
    length = rng.integers(shortest, frames // 2 + 1, batch)
    start = (rng.random(batch) * (frames - length + 1)).astype(np.int64)
    outside_gap = (at < start[:, None]) | (at >= (start + length)[:, None])
    keeps_outside = (task == FILL) | ((task == REROLL) & (rng.random(batch) < 0.5))
    known = (at < prefix[:, None]) | (outside_gap & keeps_outside[:, None])
    stem_order = rng.random((batch, len(STEMS))).argsort(axis=1)
    kept_stems = stem_order < rng.integers(1, len(STEMS), batch)[:, None]
    whole = kept_stems & (task == REROLL)[:, None]
    return known[:, None, :] | whole[:, :, None], prefix


def draw_visible_end(rng: np.random.Generator, prefix: NDArray[np.int64], frames: int) -> NDArray[np.int64]:
    """Return the frame before which the vocal is visible, (batch,).

    Half of the windows see all of it. Of the others, those that continue a prefix see every second time up to about its
    end, as when playing live; the rest see up to any frame.
    """
    batch = len(prefix)
    anywhere = rng.integers(0, frames + 1, batch)
    near_prefix = np.clip(prefix + rng.integers(-frames // 4, frames // 8 + 1, batch), 0, frames)
    partial = np.where((prefix > 0) & (rng.random(batch) < 0.5), near_prefix, anywhere)
    return np.where(rng.random(batch) < FULLY_VISIBLE_SHARE, frames, partial)


def hide(conditions: NDArray[np.float32], vocal_curves: NDArray[np.float32], hiding: Hiding) -> None:
    """Hide in place what `hiding` says.

    Args:
        conditions: (batch, CONDITION_CHANNELS, frames), everything known.
        vocal_curves: (batch, 2, frames).
        hiding: what to hide.
    """
    frames = conditions.shape[-1]
    invisible = np.arange(frames) >= hiding.visible_end[:, None]
    for group in (LAYOUT.vocal_latents, LAYOUT.vocal_pitch):
        conditions[:, group.whole] *= ~invisible[:, None, :]
    own = hiding.vocal_curves
    conditions[own, LAYOUT.attention.content] = vocal_curves[own]
    conditions[own, LAYOUT.attention.flag] = VOCAL_CURVES_FLAG
    for name, dropped in hiding.dropped.items():
        conditions[dropped, getattr(LAYOUT, name).whole] = 0.0
    batch, stems = hiding.known.shape[:2]
    content = conditions[:, LAYOUT.known.content].reshape(batch, stems, -1, frames)
    conditions[:, LAYOUT.known.content] = (content * hiding.known[:, :, None]).reshape(batch, -1, frames)
    conditions[:, LAYOUT.known.flag] = hiding.known
