"""Style: is what was asked for what a classifier hears that learned from real stems?"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from bridge.evaluation.codec import Reconstruct
from bridge.evaluation.songs import Excerpt, SongFacts, read_excerpt
from bridge.evaluation.style_classifier import StyleClassifier, style_features
from bridge.evaluation.takes import Band
from engine.geometry import STEMS
from engine.wish import Wish

OTHER_STYLES = 2  # asked of each song
BEATS_A_BAR = 4.0  # another metre gives its style away

OWN, OTHER, REAL, REBUILT = "generated in the song's style", "generated in another style", "real", "codec's rebuilt"


@dataclass(frozen=True, slots=True)
class HeardStyle:
    """What the classifier said of one accompaniment.

    Attributes:
        made: one of `OWN`, `OTHER`, `REAL`, `REBUILT`.
        song: the song's own style.
        asked: the style that it should have.
        heard: what the classifier said.
    """

    made: str
    song: str
    asked: str
    heard: str


def counts(facts: SongFacts) -> bool:
    """Return whether a song has a style, and the metre in which styles are compared."""
    return facts.style is not None and facts.timeline.beats_per_bar_at(0.0) == BEATS_A_BAR


def trained_classifier(songs: Sequence[SongFacts], seconds: float, tell: Callable[[], None]) -> StyleClassifier:
    """Return the classifier of the real stems of `songs`.

    Args:
        songs: of the train split; those that count are learned from.
        seconds: how much of each.
        tell: called once a song.

    Raises:
        ValueError: the songs have fewer than two styles.
    """
    features, styles = [], []
    for facts in songs:
        if facts.style is not None:
            excerpt = read_excerpt(facts, seconds)
            features.append(style_features(excerpt.audio, excerpt.timeline))
            styles.append(facts.style)
        tell()
    return StyleClassifier.trained(features, styles)


def heard_styles(
    classifier: StyleClassifier, play: Band, reconstruct: Reconstruct, excerpt: Excerpt, wish: Wish, turn: int
) -> Iterator[HeardStyle]:
    """Yield what is heard in the real stems, the codec's of them, and takes in the song's own and in other styles.

    Args:
        classifier: of real stems.
        play: the band.
        reconstruct: the codec.
        excerpt: a song that counts.
        wish: the seed of all takes.
        turn: the song's number, so that all styles have their turn.
    """
    song, timeline = excerpt.facts.style, excerpt.timeline
    if song is None:
        return
    rebuilt = {stem: reconstruct(excerpt.audio[stem]) for stem in STEMS}
    for made, stems in ((REAL, excerpt.audio), (REBUILT, rebuilt)):
        yield HeardStyle(made, song, song, classifier.style_of(style_features(stems, timeline)))
    for asked in (song, *other_styles(classifier.styles, song, turn)):
        take = play(excerpt, replace(wish, style=asked))
        heard = classifier.style_of(style_features(take, timeline))
        yield HeardStyle(OWN if asked == song else OTHER, song, asked, heard)


def other_styles(styles: Sequence[str], song: str, turn: int) -> tuple[str, ...]:
    """Return which other styles a song is asked for: the next ones in turn, without its own."""
    others = [style for style in styles if style != song]
    return tuple(dict.fromkeys(others[(turn * OTHER_STYLES + step) % len(others)] for step in range(OTHER_STYLES)))


def share_heard(heard: Sequence[HeardStyle], made: str) -> float:
    """Return the share of the accompaniments of one making that are heard as asked; NaN without any."""
    ones = [one for one in heard if one.made == made]
    return sum(one.heard == one.asked for one in ones) / len(ones) if ones else float("nan")


def share_of_song(heard: Sequence[HeardStyle]) -> float:
    """Return the share of those asked for in another style that are heard in the song's own; NaN without any."""
    ones = [one for one in heard if one.made == OTHER]
    return sum(one.heard == one.song for one in ones) / len(ones) if ones else float("nan")
