"""Control that is real: each control changes what it names, and little else; on songs that the bundle never saw."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bridge.errors import UserError
from bridge.evaluation.codec import reconstruction
from bridge.evaluation.control_faders import Sweep, sweep
from bridge.evaluation.control_harmony import ChordFigures, KeyFigures, chord_figures, key_figures, likely_key
from bridge.evaluation.control_rerolls import RerollFigures, reroll
from bridge.evaluation.control_styles import HeardStyle, counts, heard_styles, trained_classifier
from bridge.evaluation.control_tables import (
    NOTES,
    chord_table,
    confusion_table,
    fader_table,
    key_table,
    reroll_table,
    style_table,
)
from bridge.evaluation.provenance import provenance
from bridge.evaluation.report import Section
from bridge.evaluation.songs import SongFacts, find_songs, read_excerpt
from bridge.evaluation.style_classifier import StyleClassifier
from bridge.evaluation.takes import band
from engine.bundle import Bundle
from engine.wish import Wish

TRAINING_SONGS = 120


@dataclass(slots=True)
class Controls:
    """What was found so far, a row a song in each."""

    arousal: list[Sweep] = field(default_factory=list)
    focus: list[Sweep] = field(default_factory=list)
    chords: list[ChordFigures] = field(default_factory=list)
    keys: list[KeyFigures] = field(default_factory=list)
    styles: list[HeardStyle] = field(default_factory=list)
    rerolls: list[RerollFigures] = field(default_factory=list)


def section(
    bundle: Bundle, songs: Sequence[SongFacts], seconds: float, tell: Callable[[], None], seed: int = 0
) -> Section:
    """Measure every control on songs that the bundle never saw.

    The style classifier learns from the train split of the folder that holds the songs; without one, style is left out.

    Args:
        bundle: what plays.
        songs: the songs, two or more.
        seconds: how much of each.
        tell: called once a song, those that the classifier learns from among them.
        seed: of all takes.
    """
    training = training_songs(songs)
    classifier = trained_classifier(training, seconds, tell) if training else None
    found = Controls()
    for turn, facts in enumerate(songs):
        _measure(found, bundle, (facts, partner(songs, turn)), seconds, seed, classifier, turn)
        tell()
    tables = [fader_table(found.arousal, found.focus), chord_table(found.chords), key_table(found.keys)]
    if found.styles:
        tables += [style_table(found.styles), confusion_table(found.styles)]
    tables.append(reroll_table(found.rerolls))
    return Section(
        "controls", "Controls", "backline evaluate --parts controls", provenance().line, tuple(tables), NOTES
    )


def total(songs: Sequence[SongFacts]) -> int:
    """Return how often `section` tells of its progress."""
    return len(songs) + len(training_songs(songs))


def training_songs(songs: Sequence[SongFacts]) -> list[SongFacts]:
    """Return the songs that the style classifier learns from; none where the folder has fewer than two styles."""
    root = Path(os.path.commonpath([song.folder.parent for song in songs]))
    try:
        found = [song for song in find_songs(root, "train", TRAINING_SONGS) if counts(song)]
    except UserError:
        return []
    return found if len({song.style for song in found}) >= 2 else []


def partner(songs: Sequence[SongFacts], index: int) -> SongFacts:
    """Return the song whose chords a song is given: the next one of its metre and mode, else of its metre, else any."""
    song = songs[index]
    others = [*songs[index + 1 :], *songs[:index]] or [song]

    def likeness(other: SongFacts) -> int:
        same_metre = other.timeline.beats_per_bar_at(0.0) == song.timeline.beats_per_bar_at(0.0)
        same_mode = other.key is not None and song.key is not None and other.key.minor == song.key.minor
        return 2 * same_metre + same_mode

    return max(others, key=likeness)


def _measure(
    found: Controls,
    bundle: Bundle,
    pair: tuple[SongFacts, SongFacts],
    seconds: float,
    seed: int,
    classifier: StyleClassifier | None,
    turn: int,
) -> None:
    """Add one song's figures to what was `found`."""
    play, reconstruct = band(bundle), reconstruction(bundle)
    excerpt, other = (read_excerpt(facts, seconds) for facts in pair)
    wish = Wish(style=excerpt.facts.style, seed=seed)
    found.arousal.append(sweep(play, excerpt, wish, "arousal"))
    found.focus.append(sweep(play, excerpt, wish, "focus"))
    found.chords.append(chord_figures(play, reconstruct, excerpt, other, wish))
    likely = likely_key(bundle, excerpt)
    if likely is not None:
        found.keys += key_figures(play, excerpt, likely, wish)
    if classifier is not None and counts(excerpt.facts):
        found.styles += heard_styles(classifier, play, reconstruct, excerpt, wish, turn)
    found.rerolls.append(reroll(play, excerpt, wish))
