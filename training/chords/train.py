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

from engine.chord_reader import PLACE_CHANNELS, SLOTS, SUNG_CHANNELS, WINDOW_UNITS
from engine.harmony import PITCH_CLASSES
from training.chords.network import ChordNetwork
from training.chords.songs import ReadSong
from training.common.checkpoint import load_checkpoint, save_checkpoint
from training.common.progress import TrainingProgress
from training.common.schedules import Budget, annealed_rate

KIND = "chords"
BATCH = 24
AHEAD_SECONDS = 12.0  # how far beyond what was heard the engine asks when playing live
NEAR_SIGNATURES = (2, 3, 5, 7, 9, 10)
_RENDERED, _CUT, _HIDDEN, _WRONG_KEY = 0.2, 0.4, 0.5, 0.06
_HEARD = slice(SUNG_CHANNELS + PLACE_CHANNELS - SLOTS, SUNG_CHANNELS + PLACE_CHANNELS)


@dataclass(frozen=True, slots=True)
class ChordTraining:
    """How long and how.

    Attributes:
        run: folder of the checkpoint.
        minutes: wall-clock time.
        learning_rate: at its height.
        width: see `ChordNetwork`.
        layers: see `ChordNetwork`.
        seed: of the weights and the batches.
    """

    run: Path
    minutes: float
    learning_rate: float = 1.5e-3
    width: int = 80
    layers: int = 4
    seed: int = 0


def train_chords(
    config: ChordTraining, composed: Sequence[ReadSong], rendered: Sequence[ReadSong], held_out: Sequence[ReadSong]
) -> Path:
    """Train until the minutes are used; return the checkpoint's path.

    Args:
        config: how.
        composed: songs sung by rule, many.
        rendered: songs with rendered voices, a fifth of each batch; may be empty.
        held_out: songs of other compositions, whose share of right units is told.

    Raises:
        ValueError: there are no songs.
    """
    if not composed and not rendered:
        raise ValueError("there are no songs to learn from; give a larger --count or songs with --latents")
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    network = ChordNetwork(config.width, config.layers)
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=0.03)
    budget, started, step = Budget(minutes=config.minutes), time.monotonic(), 0
    with TrainingProgress("chords") as progress:
        fraction = 0.0
        while fraction < 1.0:
            elapsed = time.monotonic() - started
            fraction = budget.fraction(step, elapsed)
            for group in optimiser.param_groups:
                group["lr"] = annealed_rate(config.learning_rate, step, fraction, 200)
            units, beyond, classes = batch_of(rng, composed, rendered)
            logits = network(units, beyond).flatten(0, 1)
            loss = functional.cross_entropy(logits, classes.flatten(), ignore_index=-1, label_smoothing=0.02)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            step += 1
            progress.update(fraction, step, budget.seconds_left(step, elapsed), {"loss": float(loss.detach())})
            if step % 500 == 0:
                progress.note(f"step {step}: {share_right(network, held_out):.1%} of the held-out units right")
    path = config.run / "chords.pt"
    told = {"songs": len(composed) + len(rendered), "steps": step, "held_out": share_right(network, held_out)}
    sizes = {"width": config.width, "layers": config.layers}
    save_checkpoint(path, {"kind": KIND, "sizes": sizes, "network": network.state_dict(), "training": told})
    return path


def load_network(path: Path) -> tuple[ChordNetwork, dict[str, Any]]:
    """Return the network of a checkpoint and what it says of its training.

    Raises:
        CheckpointError: the file is missing, damaged or of another kind.
    """
    payload = load_checkpoint(path, KIND)
    network = ChordNetwork(**payload["sizes"])
    network.load_state_dict(payload["network"])
    return network, payload["training"]


def batch_of(
    rng: np.random.Generator, composed: Sequence[ReadSong], rendered: Sequence[ReadSong]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return (batch, units, channels), which units lie beyond a song's end, and the classes, -1 where none counts."""
    songs = []
    for _ in range(BATCH):
        from_rendered = bool(rendered) and (not composed or rng.random() < _RENDERED)
        source = rendered if from_rendered else composed
        songs.append(as_live(rng, source[int(rng.integers(len(source)))]))
    longest = max(len(classes) for _, classes in songs)
    units = np.zeros((BATCH, longest, songs[0][0].shape[1]), np.float32)
    beyond, classes = np.ones((BATCH, longest), np.bool_), np.full((BATCH, longest), -1)
    for row, (channels, numbers) in enumerate(songs):
        units[row, : len(numbers)], classes[row, : len(numbers)] = channels, numbers
        beyond[row, : len(numbers)] = False
    return torch.from_numpy(units), torch.from_numpy(beyond), torch.from_numpy(classes)


def as_live(rng: np.random.Generator, song: ReadSong) -> tuple[np.ndarray, np.ndarray]:
    """Return channels and classes of a song as the engine may meet it.

    Begun later, heard up to somewhere and asked 12 s further, read in a key signature near the true
    one.
    """
    channels, classes = song.channels.astype(np.float32), song.classes.copy()
    if rng.random() < _WRONG_KEY:
        steps = int(rng.choice(NEAR_SIGNATURES))
        sung = channels[:, :SUNG_CHANNELS].reshape(-1, SLOTS, PITCH_CLASSES)
        channels[:, :SUNG_CHANNELS] = np.roll(sung, -steps, axis=2).reshape(-1, SUNG_CHANNELS)
        degree = (classes - steps) % PITCH_CLASSES
        classes = np.where(classes >= 0, classes // PITCH_CLASSES * PITCH_CLASSES + degree, -1)
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
    return channels[start:end], classes[start:end]


def hide(channels: np.ndarray, last_unit: int, slots: int) -> None:
    """Leave `slots` slots of `last_unit` heard, and nothing after it."""
    channels[last_unit + 1 :, :SUNG_CHANNELS] = channels[last_unit + 1 :, _HEARD] = 0.0
    channels[last_unit, slots * PITCH_CLASSES : SUNG_CHANNELS] = 0.0
    channels[last_unit, _HEARD.start + slots : _HEARD.stop] = 0.0


@torch.no_grad()
def share_right(network: ChordNetwork, songs: Sequence[ReadSong]) -> float:
    """Return the share of units whose root is right, of those with a chord; NaN without songs."""
    network.eval()
    right, all_units = 0, 0
    for song in songs:
        guess = network(torch.from_numpy(song.channels.astype(np.float32))[None])[0].argmax(dim=1).numpy()
        known = song.classes >= 0
        right += int(((guess - song.classes) % PITCH_CLASSES == 0)[known].sum())
        all_units += int(known.sum())
    network.train()
    return right / all_units if all_units else float("nan")
