"""The training of the chord network: batches of songs, cut and hidden as live use cuts and hides them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.chord_reader import PLACE_CHANNELS, SLOTS, SUNG_CHANNELS, WINDOW_UNITS, seen_from
from engine.harmony import PITCH_CLASSES
from training.chords.network import ChordNetwork
from training.chords.songs import ReadSong
from training.common.checkpoint import load_checkpoint, save_checkpoint
from training.common.progress import TrainingProgress
from training.common.schedules import Budget, annealed_rate

KIND = "chords"
LEARNING_RATE = 1.5e-3
BATCH = 24
KEYED = 12  # songs of a batch that are seen in other signatures too, to learn which is theirs
OTHER_SIGNATURES = 2
KEY_WEIGHT = 0.3
AHEAD_SECONDS = 12.0  # how far beyond what was heard the engine asks when playing live
NEARNESS = np.array([0, 1, 3, 3, 1, 6, 1, 6, 1, 3, 3, 1]) / 29  # how often a song is seen so many semitones off
_RENDERED, _CUT, _HIDDEN, _WRONG_KEY = 0.2, 0.4, 0.5, 0.06
_GAPPY, _GAP_SHARE, _LONGEST_GAP_UNITS = 0.5, 0.3, 8
_HEARD = slice(SUNG_CHANNELS + PLACE_CHANNELS - SLOTS, SUNG_CHANNELS + PLACE_CHANNELS)


@dataclass(frozen=True, slots=True)
class ChordTraining:
    """How long and how.

    Attributes:
        run: folder of the checkpoint.
        budget: for how long.
        learning_rate: at its height.
        width: see `ChordNetwork`.
        layers: see `ChordNetwork`.
        dropout: see `ChordNetwork`.
        weight_decay: of all weights, a step.
        start: checkpoint to go on from, of the same sizes.
        seed: of the weights and the batches.
    """

    run: Path
    budget: Budget
    learning_rate: float = LEARNING_RATE
    width: int = 80
    layers: int = 4
    dropout: float = 0.15
    weight_decay: float = 0.05
    start: Path | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """Songs as the engine may meet them.

    Attributes:
        units: (rows, units, UNIT_CHANNELS): the songs, and then some of them in other signatures.
        beyond: (rows, units) true beyond a song's end.
        classes: (rows, units) chord classes, -1 where none counts.
        views: (KEYED, 1 + OTHER_SIGNATURES) rows of one song each, the first in its own signature.
        minor: (rows,) 1 for songs in minor, 0 for those in major.
    """

    units: Tensor
    beyond: Tensor
    classes: Tensor
    views: Tensor
    minor: Tensor


def train_chords(
    config: ChordTraining, composed: Sequence[ReadSong], rendered: Sequence[ReadSong], held_out: Sequence[ReadSong]
) -> Path:
    """Train until the budget is used; return the checkpoint's path.

    Args:
        config: how.
        composed: songs sung by rule, many.
        rendered: songs with rendered voices, a fifth of each batch; may be empty.
        held_out: songs of other compositions, whose shares of right units and keys are told.

    Raises:
        ValueError: there are no songs.
        CheckpointError: `config.start` cannot be read.
    """
    if not composed and not rendered:
        raise ValueError("there are no songs to learn from; give a larger --count or songs with --latents")
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    network = ChordNetwork(config.width, config.layers, dropout=config.dropout)
    if config.start is not None:
        network.load_state_dict(load_checkpoint(config.start, KIND)["network"])
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    started, step = time.monotonic(), 0
    with TrainingProgress("chords") as progress:
        while (fraction := config.budget.fraction(step, elapsed := time.monotonic() - started)) < 1.0:
            for group in optimiser.param_groups:
                group["lr"] = annealed_rate(config.learning_rate, step, fraction, 200)
            loss = loss_of(network, batch_of(rng, composed, rendered))
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            step += 1
            progress.update(fraction, step, config.budget.seconds_left(step, elapsed), {"loss": float(loss.detach())})
            if step % 500 == 0:
                progress.note(f"step {step}: {told_right(network, held_out)}")
    path = config.run / "chords.pt"
    sizes = {"width": config.width, "layers": config.layers}
    told = {
        "sizes": sizes,
        "songs": len(composed) + len(rendered),
        "steps": step,
        "held_out": share_right(network, held_out),
        "held_out_keys": keys_right(network, held_out),
    }
    save_checkpoint(path, {"kind": KIND, "sizes": sizes, "network": network.state_dict(), "training": told})
    return path


def loss_of(network: ChordNetwork, batch: Batch) -> Tensor:
    """Return how wrong the chords are, and which of the signatures' keys is taken for each song's."""
    both_modes, keys = network(batch.units, batch.beyond)
    chords = both_modes[torch.arange(len(batch.minor)), :, batch.minor]
    of_chords = functional.cross_entropy(
        chords.flatten(0, 1), batch.classes.flatten(), ignore_index=-1, label_smoothing=0.02
    )
    return of_chords + KEY_WEIGHT * functional.cross_entropy(
        keys[batch.views].flatten(1), batch.minor[batch.views[:, 0]]
    )


def load_network(path: Path) -> tuple[ChordNetwork, dict[str, Any]]:
    """Return the network of a checkpoint and what it says of its training.

    Raises:
        CheckpointError: the file is missing, damaged or of another kind.
    """
    payload = load_checkpoint(path, KIND)
    network = ChordNetwork(**payload["sizes"])
    network.load_state_dict(payload["network"])
    return network, payload["training"]


def batch_of(rng: np.random.Generator, composed: Sequence[ReadSong], rendered: Sequence[ReadSong]) -> Batch:
    """Return a batch, `_RENDERED` of it from `rendered`."""
    songs: list[ReadSong] = []
    for _ in range(BATCH):
        from_rendered = bool(rendered) and (not composed or rng.random() < _RENDERED)
        source = rendered if from_rendered else composed
        songs.append(source[int(rng.integers(len(source)))])
    rows = [as_live(rng, song) for song in songs]
    for channels, classes in rows[:KEYED]:
        elsewhere = rng.choice(PITCH_CLASSES, OTHER_SIGNATURES, replace=False, p=NEARNESS)
        rows += [seen_elsewhere(channels, classes, int(steps), rng.random() < _WRONG_KEY) for steps in elsewhere]
    longest = max(len(classes) for _, classes in rows)
    units = np.zeros((len(rows), longest, rows[0][0].shape[1]), np.float32)
    beyond, all_classes = np.ones((len(rows), longest), np.bool_), np.full((len(rows), longest), -1)
    for row, (channels, numbers) in enumerate(rows):
        units[row, : len(numbers)], all_classes[row, : len(numbers)] = channels, numbers
        beyond[row, : len(numbers)] = False
    others = torch.arange(BATCH, len(rows)).reshape(KEYED, OTHER_SIGNATURES)
    views = torch.cat([torch.arange(KEYED)[:, None], others], dim=1)
    modes = [int(song.minor) for song in songs]
    minor = torch.tensor(modes + [mode for mode in modes[:KEYED] for _ in range(OTHER_SIGNATURES)])
    return Batch(torch.from_numpy(units), torch.from_numpy(beyond), torch.from_numpy(all_classes), views, minor)


def seen_elsewhere(
    channels: np.ndarray, classes: np.ndarray, steps: int, chords_count: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return a song seen from `steps` semitones above its own signature; its chords are learned if they count."""
    turned = classes // PITCH_CLASSES * PITCH_CLASSES + (classes - steps) % PITCH_CLASSES
    return seen_from(channels, steps), np.where((classes >= 0) & chords_count, turned, -1)


def as_live(rng: np.random.Generator, song: ReadSong) -> tuple[np.ndarray, np.ndarray]:
    """Return channels and classes of a song as the engine may meet it.

    Begun later, heard up to somewhere and asked 12 s further, with gaps.
    """
    channels, classes = song.channels.astype(np.float32), song.classes.copy()
    start, end = 0, len(classes)
    if end > WINDOW_UNITS:  # the engine reads long songs in windows
        start = int(rng.integers(0, end - WINDOW_UNITS + 1))
        end = start + WINDOW_UNITS
    elif rng.random() < _CUT:
        start = int(rng.integers(0, max(1, end // 2)))
    if rng.random() < _HIDDEN:
        heard = int(rng.integers(start + 1, end + 1))
        beats, bpm = 4.0 * channels[0, SUNG_CHANNELS + 1], 200.0 * channels[0, SUNG_CHANNELS + 2]
        end = min(end, heard + int(AHEAD_SECONDS * bpm / 60.0 / beats) + 1)
        hide(channels, heard - 1, int(rng.integers(0, SLOTS + 1)))
    if rng.random() < _GAPPY:
        make_gaps(rng, channels[start:end])
    return channels[start:end], classes[start:end]


def hide(channels: np.ndarray, last_unit: int, slots: int) -> None:
    """Leave `slots` slots of `last_unit` heard, and nothing after it."""
    channels[last_unit + 1 :, :SUNG_CHANNELS] = channels[last_unit + 1 :, _HEARD] = 0.0
    channels[last_unit, slots * PITCH_CLASSES : SUNG_CHANNELS] = 0.0
    channels[last_unit, _HEARD.start + slots : _HEARD.stop] = 0.0


def make_gaps(rng: np.random.Generator, channels: np.ndarray) -> None:
    """Leave up to a third of a song unheard, here and there, so that its chords are learned from what repeats.

    The compositions are few: without gaps the network learns by heart which melody has which chords.
    """
    units = len(channels)
    left = int(rng.uniform(0.0, _GAP_SHARE) * units)
    while left > 0:
        length = int(rng.integers(1, min(left, _LONGEST_GAP_UNITS) + 1))
        first = int(rng.integers(0, units - length + 1))
        channels[first : first + length, :SUNG_CHANNELS] = channels[first : first + length, _HEARD] = 0.0
        left -= length


@torch.no_grad()
def share_right(network: ChordNetwork, songs: Sequence[ReadSong]) -> float:
    """Return the share of units whose root is right, of those with a chord, the key given; NaN without songs."""
    network.eval()
    right, all_units = 0, 0
    for song in songs:
        chords, _ = network(torch.from_numpy(song.channels.astype(np.float32))[None])
        guess = chords[0, :, int(song.minor)].argmax(dim=1).numpy()
        known = song.classes >= 0
        right += int(((guess - song.classes) % PITCH_CLASSES == 0)[known].sum())
        all_units += int(known.sum())
    network.train()
    return right / all_units if all_units else float("nan")


@torch.no_grad()
def keys_right(network: ChordNetwork, songs: Sequence[ReadSong]) -> float:
    """Return the share of songs whose key, of all 24, is found; NaN without songs."""
    network.eval()
    right = 0
    for song in songs:
        channels = song.channels.astype(np.float32)
        views = np.stack([seen_from(channels, signature) for signature in range(PITCH_CLASSES)])
        right += int(network(torch.from_numpy(views))[1].argmax()) == int(song.minor)
    network.train()
    return right / len(songs) if songs else float("nan")


def told_right(network: ChordNetwork, songs: Sequence[ReadSong]) -> str:
    """Return in words what of songs that were held out is right."""
    units, keys = share_right(network, songs), keys_right(network, songs)
    return f"{units:.1%} of the units held out right, {keys:.1%} of the keys"
