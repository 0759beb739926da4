"""What is lost when the vocal is seen late: songs generated chunk by chunk as live, beside the whole made at once.

Steps and guidance are the bundle's own in every column, so that the columns differ in what is visible alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bridge.evaluation.accompaniment import pairs
from bridge.evaluation.chunkwise import Song, chunks, frame_bars_before, stems_of
from bridge.evaluation.measures import Figures, Measured, measure
from bridge.evaluation.metrics import paired_test
from bridge.evaluation.mir_scores import chords_right
from bridge.evaluation.provenance import provenance
from bridge.evaluation.real import loudness_lufs
from bridge.evaluation.report import Section, Table, mean, number, percent, verdict
from bridge.evaluation.songs import VOCALS, Excerpt, SongFacts
from bridge.evaluation.takes import Stems, band, fitted
from bridge.live.settings import BAR_FRAMES, LIVE_WINDOW_FRAMES
from bridge.live.work import Shape
from engine.bundle import Bundle
from engine.geometry import LATENT_HOP_SAMPLES, LATENT_RATE_HZ, STEMS, frames_covering
from engine.harmony import ChordSpan
from engine.live_chunk import ChunkPlan, MadeChunk
from engine.spectra import Array
from engine.timeline import Timeline
from engine.wish import Wish

CHUNK_FRAMES = 16
MOST_SONGS = 12
MOST_LOST = 0.15
SILENT_LUFS = -70.0  # the absolute gate of ITU-R BS.1770

FULL, LATE, REAL = "whole, at once", "1 bar before", "real"
Visible = Callable[[Timeline, ChunkPlan], int]
COLUMNS: Mapping[str, Visible | None] = {
    FULL: None,
    "to the chunk's end": lambda _, plan: plan.end_frame,
    "to its start": lambda _, plan: plan.first_frame,
    LATE: lambda timeline, plan: frame_bars_before(timeline, plan.first_frame, 1.0),
    "2 bars before": lambda timeline, plan: frame_bars_before(timeline, plan.first_frame, 2.0),
    "not at all": lambda *_: 0,
}
"""Up to which frame the vocal is visible when a chunk is made; None for a whole song made at once."""

NOTES = (
    f"Generated in chunks of {CHUNK_FRAMES} frames ({CHUNK_FRAMES / LATENT_RATE_HZ:.2f} s) with live play's window, "
    "memory and harmony; the vocal is visible to the chunk's end, to its start, a bar or two before its start, or not "
    "at all. *Whole, at once*: a bounce, which sees all of the vocal, knows the song's length and makes all frames "
    "together. Steps, guidance and seeds are the same in every column. *Lost*: of the figure of *whole, at once*; of "
    "drum onsets the growth itself, not of what is above the real one's; judged are the figures that are wanted of the "
    "accompaniment. *Matched vocal beats mismatched*: as in *Accompaniment*, the other song's vocal seen as much.",
    "A stem that is silent where the real one sounds counts as 0 on the chord, in agreement and in chords heard. "
    "*Chords foreseen*: the share of the beats for which the model was told the song's major or minor triad, as read "
    "off what was visible when the beat's chunk was made; what the chords heard cannot exceed for long.",
)


@dataclass(frozen=True, slots=True)
class Take:
    """One accompaniment of one song.

    Attributes:
        figures: as everywhere else in the evaluation.
        foreseen: share of the beats whose triad the model was told; NaN where nothing was read off the vocal.
        lufs: loudness of each stem, at least -70.
        mismatched: agreement with the real accompaniment of what another song's vocal, seen as much, makes of this
            song; NaN where that was not made.
    """

    figures: Figures
    foreseen: float
    lufs: Mapping[str, float]
    mismatched: float = float("nan")


@dataclass(frozen=True, slots=True)
class Row:
    """One figure over songs.

    Attributes:
        name: what it is.
        value: from one column's takes.
        show: from a value and that of the real stems.
        lost: from a value and the fully visible one to what is lost; None where that says nothing.
        judged: whether no more than 15 % may be lost: a figure that is wanted of the accompaniment.
    """

    name: str
    value: Callable[[Sequence[Take]], float]
    show: Callable[[float, float], str]
    lost: Callable[[float, float], float] | None
    judged: bool = True


def section(
    bundle: Bundle,
    songs: Sequence[SongFacts],
    seconds: float,
    tell: Callable[[], None],
    chunk_frames: int = CHUNK_FRAMES,
) -> Section:
    """Return the columns that live use needs.

    Args:
        bundle: the bundle to measure.
        songs: that it never saw; 12 at most are used, spread over them, as each is generated six times.
        seconds: how much of each.
        tell: called after each song that is used.
        chunk_frames: length of a chunk, a multiple of 4.
    """
    takes: dict[str, list[Take]] = {name: [] for name in (*COLUMNS, REAL)}
    shape = Shape(chunk_frames, LIVE_WINDOW_FRAMES)
    for seed, (excerpt, partner) in enumerate(pairs(_chosen(songs), seconds)):
        alone = partner.facts == excerpt.facts
        other_vocal = None if alone else fitted(partner.audio[VOCALS], excerpt.samples)
        for name, take in song_takes(bundle, excerpt, other_vocal, seed, shape).items():
            takes[name].append(take)
        tell()
    command = "backline evaluate --parts visibility"
    return Section("visibility", "The vocal seen late", command, provenance().line, (table(takes),), NOTES)


def total(songs: Sequence[SongFacts]) -> int:
    """Return how many of `songs` are used."""
    return len(_chosen(songs))


def song_takes(bundle: Bundle, excerpt: Excerpt, other_vocal: Array | None, seed: int, shape: Shape) -> dict[str, Take]:
    """Return what each column, and the real accompaniment, is for one song; `other_vocal` is another song's."""
    measured, song = Measured.of(excerpt), Song.of(bundle, excerpt.audio[VOCALS], excerpt.timeline)
    sampling = bundle.sampling
    wish = Wish(excerpt.facts.style, steps=sampling.steps, guidance_scale=sampling.guidance_scale, seed=seed)
    takes = {}
    for name, visible in COLUMNS.items():
        stems, told = _played(bundle, excerpt, song, wish, shape, visible)
        takes[name] = _take(stems, chords_right(excerpt.facts.chords, told), measured)
    if other_vocal is not None:
        swapped = replace(excerpt, audio={**excerpt.audio, VOCALS: other_vocal})
        other = Song.of(bundle, other_vocal, excerpt.timeline)
        for name in (FULL, LATE):
            stems, _ = _played(bundle, swapped, other, wish, shape, COLUMNS[name])
            takes[name] = replace(takes[name], mismatched=measure(stems, measured).agreement_real)
    takes[REAL] = _take(excerpt.audio, float("nan"), measured)
    return takes


def table(takes: Mapping[str, Sequence[Take]]) -> Table:
    """Return a row a figure and a column a visibility, with what is lost one bar before the chunk."""
    rows = []
    for row in ROWS:
        values = {name: row.value(column) for name, column in takes.items()}
        shown = [row.show(values[name], values[REAL]) for name in (*COLUMNS, REAL)]
        lost = row.lost(values[LATE], values[FULL]) if row.lost else float("nan")
        judged = row.judged and lost == lost
        rows.append((row.name, *shown, percent(lost), verdict(lost <= MOST_LOST) if judged else ""))
    title = f"{len(takes[REAL])} unseen songs, by how much of the vocal is visible"
    last = f"lost {LATE}, wanted at most {percent(MOST_LOST)}"
    return Table(title, ("figure", *COLUMNS, REAL, last, ""), tuple(rows))


def told_chords(made: Sequence[MadeChunk]) -> list[ChordSpan]:
    """Return the chords that the model was told, each chunk's on its own beats; a chunk without any leaves a gap."""
    spans = []
    for chunk in made:
        samples = np.array([chunk.plan.first_frame, chunk.plan.end_frame], np.int64) * LATENT_HOP_SAMPLES
        first, end = chunk.score.timeline.beats_at_samples(samples).tolist()
        for span in chunk.score.wish.chords:
            start, stop = max(span.start_beat, first), min(span.end_beat, end)
            if start < stop:
                spans.append(ChordSpan(start, stop, span.chord))
    return spans


def _chosen(songs: Sequence[SongFacts]) -> list[SongFacts]:
    places = np.linspace(0, len(songs) - 1, min(len(songs), MOST_SONGS)).round().astype(int)
    return [songs[place] for place in places]


def _played(
    bundle: Bundle, excerpt: Excerpt, song: Song, wish: Wish, shape: Shape, visible: Visible | None
) -> tuple[Stems, Sequence[ChordSpan]]:
    """Return the stems made with so much visible of a vocal, and the chords that the model was told."""
    if visible is None:
        return band(bundle)(excerpt, wish), _read_at_once(bundle, song)
    return _live(bundle, song, wish, shape, visible)


def _live(bundle: Bundle, song: Song, wish: Wish, shape: Shape, visible: Visible) -> tuple[Stems, list[ChordSpan]]:
    """Return the stems of a song made chunk by chunk, and the chords that the model was told."""

    def plan_of(first_frame: int) -> ChunkPlan:
        return shape.plan(first_frame, BAR_FRAMES)

    made = list(chunks(bundle, song, wish, plan_of, lambda plan: visible(song.timeline, plan)))
    return stems_of(bundle, made, song.samples), told_chords(made)


def _read_at_once(bundle: Bundle, song: Song) -> Sequence[ChordSpan]:
    """Return the chords that are read off the whole vocal."""
    pitch = song.heard.vocal_pitch[:, : frames_covering(song.samples)]
    harmony = bundle.harmony.harmonise(pitch, song.timeline) if bundle.harmony else None
    return harmony.chords if harmony else ()


def _take(stems: Stems, foreseen: float, measured: Measured) -> Take:
    lufs = {stem: max(loudness_lufs(stems[stem]), SILENT_LUFS) for stem in STEMS}
    return Take(measure(stems, measured), foreseen, lufs)


def _share(value: float, reference: float) -> float:
    return value / reference if reference else float("nan")


def _lost(value: float, reference: float) -> float:
    return 1.0 - _share(value, reference)


def _grown(value: float, reference: float) -> float:
    return _share(value, reference) - 1.0


def _drum_ms(quantile: float) -> Callable[[Sequence[Take]], float]:
    def pooled_quantile(takes: Sequence[Take]) -> float:
        pooled = np.concatenate([take.figures.drum_ms for take in takes])
        return float(np.quantile(pooled, quantile)) if len(pooled) else float("nan")

    return pooled_quantile


def _matched_wins(takes: Sequence[Take]) -> float:
    own = [float(np.nan_to_num(take.figures.agreement_real)) for take in takes]
    mismatched = [take.mismatched for take in takes]
    return paired_test(own, mismatched).wins if np.isfinite(mismatched).any() else float("nan")


def _mean_of(name: str) -> Callable[[Sequence[Take]], float]:
    """Return the mean of a figure over songs; a song in which it cannot be told, as in silence, counts as 0."""
    return lambda takes: mean([float(np.nan_to_num(getattr(take.figures, name))) for take in takes])


def _lufs_of(stem: str) -> Callable[[Sequence[Take]], float]:
    return lambda takes: mean([take.lufs[stem] for take in takes])


def _percent(value: float, _: float) -> str:
    return percent(value)


def _percent_of_real(value: float, real: float) -> str:
    return percent(_share(value, real))


ROWS = (
    Row("drum onsets to the grid, median above the real", _drum_ms(0.5), lambda v, r: number(v - r, 1, "ms"), _grown),
    Row("the same, 95th percentile", _drum_ms(0.95), lambda v, r: number(v - r, 1, "ms"), _grown),
    Row("drum strokes a beat", _mean_of("strokes_a_beat"), lambda v, _: number(v, 2), _lost),
    Row("tempo heard is the song's, octaves allowed", _mean_of("tempo_or_octave"), _percent, _lost),
    Row("key heard is the song's", _mean_of("key"), _percent, _lost),
    Row("harmony on the chord, share of the real one's", _mean_of("other_on_chord"), _percent_of_real, _lost),
    Row("bass on the chord, share of the real one's", _mean_of("bass_on_chord"), _percent_of_real, _lost),
    Row("matched vocal beats mismatched", _matched_wins, _percent, _lost),
    Row("agreement with the real accompaniment", _mean_of("agreement_real"), lambda v, _: number(v, 2), _lost, False),
    Row("chords heard are the song's", _mean_of("chords"), _percent, _lost, False),
    Row("chords foreseen", lambda takes: mean([take.foreseen for take in takes]), _percent, None),
    *(Row(f"loudness of {stem}, LUFS", _lufs_of(stem), lambda v, _: number(v, 1), None) for stem in STEMS),
)
