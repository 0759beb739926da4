"""What the whole chain does with a vocal that it never heard, beside what the same songs' references reach."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from bridge.errors import UserError
from bridge.evaluation.codec import Reconstruct, reconstruction
from bridge.evaluation.measures import Measured, SongFigures, measure
from bridge.evaluation.metrics import difference_db
from bridge.evaluation.provenance import provenance
from bridge.evaluation.report import Section
from bridge.evaluation.songs import VOCALS, Excerpt, SongFacts, read_excerpt
from bridge.evaluation.summary import NOTES, accompaniment_table, breakdown_table
from bridge.evaluation.takes import Band, band, fitted, mixed
from engine.bundle import Bundle
from engine.geometry import STEMS
from engine.wish import Wish


def section(bundle: Bundle, songs: Sequence[SongFacts], seconds: float, tell: Callable[[], None]) -> Section:
    """Play to every song with the bundle's own steps and guidance, and measure it beside its references.

    Args:
        bundle: what plays.
        songs: songs that it never saw, two or more: each is set against the next.
        seconds: how much of each.
        tell: called after each song.

    Raises:
        UserError: there are fewer than two songs.
    """
    if len(songs) < 2:
        raise UserError(f"accompaniment: {len(songs)} song found; each is set against another, give two or more")
    play, reconstruct = band(bundle), reconstruction(bundle)
    figures = []
    for seed, (excerpt, partner) in enumerate(pairs(songs, seconds)):
        figures.append(song_figures(excerpt, partner, play, reconstruct, seed))
        tell()
    tables = (accompaniment_table(figures), breakdown_table(figures))
    title = f"Accompaniment, {bundle.sampling.steps} steps"
    command = "backline evaluate --parts accompaniment"
    return Section("accompaniment", title, command, provenance().line, tables, NOTES)


def song_figures(excerpt: Excerpt, partner: Excerpt, play: Band, reconstruct: Reconstruct, seed: int) -> SongFigures:
    """Play to the song's own vocal, with its chords given, and to the partner's vocal; measure these and the real one.

    Args:
        excerpt: the song.
        partner: another song.
        play: what plays.
        reconstruct: the codec, there and back.
        seed: of all three takes; the style is the song's.
    """
    song = Measured.of(excerpt)
    wish = Wish(style=excerpt.facts.style, seed=seed)
    other_vocal = fitted(partner.audio[VOCALS], excerpt.samples)
    generated = play(excerpt, wish)
    mismatched = play(replace(excerpt, audio={**excerpt.audio, VOCALS: other_vocal}), wish)
    return SongFigures(
        song=song,
        generated=measure(generated, song),
        given=measure(play(excerpt, replace(wish, chords=excerpt.facts.chords)), song),
        real=measure(excerpt.audio, song),
        codec=measure({stem: reconstruct(excerpt.audio[stem]) for stem in STEMS}, song),
        another=measure({stem: fitted(partner.audio[stem], excerpt.samples) for stem in STEMS}, song),
        mismatched=measure(mismatched, song),
        difference_db=difference_db(mixed(generated), mixed(mismatched)),
    )


def pairs(songs: Sequence[SongFacts], seconds: float) -> Iterator[tuple[Excerpt, Excerpt]]:
    """Yield each song with the next one, the last with the first; three excerpts at most are held at a time."""
    first = current = read_excerpt(songs[0], seconds)
    for following in songs[1:]:
        partner = read_excerpt(following, seconds)
        yield current, partner
        current = partner
    yield current, first
