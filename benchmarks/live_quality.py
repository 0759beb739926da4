"""What the live settings cost in quality: songs rolled hop by hop as when playing live, beside the same made offline.

`python -m benchmarks.live_quality --songs DIR --results FILE [--run steps=2,guidance=1] [--run chunk=0] ...` measures
each run on each song, on one thread, adds a JSON line a song to FILE (what is there is not run again), and prints the
table of all that FILE holds. A run names what differs from the live reference, `Run()`.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bridge.evaluation import chunkwise
from bridge.evaluation.measures import Measured, measure
from bridge.evaluation.metrics import paired_test
from bridge.evaluation.provenance import provenance
from bridge.evaluation.report import Table, mean, number, percent
from bridge.evaluation.songs import VOCALS, Excerpt, find_songs, read_excerpt
from bridge.evaluation.takes import mixed
from engine.accompany import accompany
from engine.bundle import Bundle
from engine.geometry import LATENT_RATE_HZ
from engine.live_chunk import ChunkPlan
from engine.spectra import Array
from engine.wish import Wish

Line = dict[str, Any]

FACTORY_BUNDLE = Path("presets") / "factory-bundle"
NAN = float("nan")
SIGNIFICANT = 0.05
COMPARED = {
    "drums_ms": "drums to grid",
    "other": "harmony on chord",
    "bass": "bass on chord",
    "agreement": "agreement",
}
WORDS = {
    "chords": ("read", "given", "none"),
    "vocal": ("own", "partner"),
}
PLAIN = ("strokes", "key", "level", "seam", "call_ms")
NOTES = (
    "Test songs from the bar before the voice enters; figures as in docs/results.md. *Worst loss*: the largest loss "
    "among them relative to the live reference with the same chords; a star where a figure is worse than the "
    "reference's, Wilcoxon over songs, p < 0.05. *Won*: own vocal against another, by agreement with the real stems. "
    "*Strokes*: drum strokes per stroke of the real drums. *Level*: of the last third against the first, in dB above "
    "the real one's. *Seam*: mean step from latent frame to frame at the chunks' borders over that elsewhere. *Call*: "
    "median time to make a chunk on one thread, its harmony read, without decoding. *Load*: its share of the chunk's "
    "length."
)


@dataclass(frozen=True, slots=True)
class Run:
    """One way of making an accompaniment; the defaults are the live reference.

    Attributes:
        past: latent frames of the window before the chunk, all of them known.
        future: latent frames of the window from the chunk's first on: the chunk and its backup.
        steps: of the sampler.
        guidance: guidance scale.
        chunk: latent frames kept of each window; 0 makes the song offline, with the whole vocal.
        lead: the vocal is visible up to as many frames before the chunk; far below 0 shows all of it.
        chords: `read` off what is visible of the vocal, the song's own `given` with its key, or `none`.
        vocal: `own`, or the `partner` song's.
        seed: thousands added to the song's number.
    """

    past: int = 192
    future: int = 64
    steps: int = 4
    guidance: float = 2.0
    chunk: int = 16
    lead: int = 8
    chords: str = "read"
    vocal: str = "own"
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the words; the sampler checks the numbers."""
        for name, words in WORDS.items():
            if getattr(self, name) not in words:
                raise ValueError(f"{name} {getattr(self, name)!r} is not known; give one of: {', '.join(words)}")
        if not 0 <= self.chunk <= self.future or self.past < 0:
            raise ValueError(
                f"chunk {self.chunk} of a future of {self.future}; give a chunk of 0 to the future's length"
            )

    @classmethod
    def parse(cls, text: str) -> "Run":
        """Return the run of `text`, such as `steps=2,guidance=1`; an empty text is the reference.

        Raises:
            ValueError: a name or value is not known.
        """
        defaults, chosen = asdict(cls()), {}
        for part in filter(None, text.split(",")):
            name, _, value = part.partition("=")
            if name not in defaults:
                raise ValueError(f"run {text!r}: {name!r} is not known; expected some of: {', '.join(defaults)}")
            chosen[name] = type(defaults[name])(value)
        return cls(**chosen)

    def plan(self, first_frame: int) -> ChunkPlan:
        """Return the plan of the chunk at `first_frame`."""
        return ChunkPlan(first_frame, self.chunk, self.future - self.chunk, self.past)

    def visible_end(self, plan: ChunkPlan) -> int:
        """Return the frame after the last of the vocal that is visible when `plan` is carried out."""
        return max(plan.first_frame - self.lead, 0)

    @property
    def name(self) -> str:
        """What differs from the reference, as `parse` takes it, with blanks."""
        values = zip(asdict(self).items(), astuple(Run()), strict=True)
        return ", ".join(f"{name}={value}" for (name, value), default in values if value != default) or "(reference)"


def rolled(bundle: Bundle, excerpt: Excerpt, vocal: Array, run: Run, seed: int) -> tuple[dict[str, Array], Line]:
    """Return the stems of a live run, and its `seam` and `call_ms`."""
    song = chunkwise.Song.of(bundle, vocal, excerpt.timeline)
    making = chunkwise.chunks(bundle, song, wish_of(run, excerpt, seed), run.plan, run.visible_end)
    made, call_seconds, began = [], [], time.perf_counter()
    for chunk in making:
        call_seconds.append(time.perf_counter() - began)
        made.append(chunk)
        began = time.perf_counter()
    latents = chunkwise.latents_of(made, song.samples)
    steps = np.abs(np.diff(latents, axis=1)).mean(axis=0)
    border = np.arange(1, latents.shape[1]) % run.chunk == 0
    seam = float(steps[border].mean() / steps[~border].mean())
    stems = chunkwise.stems_of(bundle, made, song.samples)
    return stems, {"seam": seam, "call_ms": 1_000.0 * float(np.median(call_seconds))}


def offline(bundle: Bundle, excerpt: Excerpt, vocal: Array, run: Run, seed: int) -> dict[str, Array]:
    """Return the stems made with the whole vocal in sight."""
    return accompany(bundle, vocal, excerpt.timeline, wish_of(run, excerpt, seed))


def wish_of(run: Run, excerpt: Excerpt, seed: int) -> Wish:
    """Return what a run asks for."""
    facts, listens = excerpt.facts, run.chords == "read"
    wish = Wish(facts.style, steps=run.steps, guidance_scale=run.guidance, seed=seed, listen_for_chords=listens)
    return replace(wish, key=facts.key, chords=facts.chords) if run.chords == "given" else wish


def figures_of(stems: Mapping[str, Array], excerpt: Excerpt) -> Line:
    """Return the figures of one accompaniment."""
    song = Measured.of(excerpt)
    made, real = measure(stems, song), measure(excerpt.audio, song)
    return {
        "drums_ms": made.drum_ms.round(2).tolist(),
        "strokes": made.strokes_a_beat / real.strokes_a_beat if real.strokes_a_beat else NAN,
        "other": made.other_on_chord,
        "bass": made.bass_on_chord,
        "agreement": made.agreement_real,
        "key": made.key_weighted,
        "level": _growth_db(stems) - _growth_db(excerpt.audio),
    }


def _growth_db(stems: Mapping[str, Array]) -> float:
    """Return how much louder the last third is than the first, in dB."""
    thirds = np.array_split(mixed(stems), 3, axis=1)
    first, _, last = (float(np.square(part, dtype=np.float64).mean()) for part in thirds)
    return 10.0 * float(np.log10(max(last, 1e-12) / max(first, 1e-12)))


def quality_table(lines: Sequence[Line]) -> Table:
    """Return one row a run, in the order in which the runs were first measured."""
    runs: dict[Run, dict[str, Line]] = {}
    for line in lines:
        runs.setdefault(Run(**line["run"]), {})[line["song"]] = line
    columns = ("differs in", "songs", *COMPARED.values(), "worst loss", "won", *PLAIN[:-1], "call", "load")
    return Table("Live settings", columns, tuple(_row(run, songs, runs) for run, songs in runs.items()))


def _row(run: Run, songs: Mapping[str, Line], runs: Mapping[Run, Mapping[str, Line]]) -> tuple[str, ...]:
    reference = Run(chords=run.chords)
    compared, losses = [_shown(name, songs) for name in COMPARED], []
    for place, (name, title) in enumerate(COMPARED.items() if reference in runs and run != reference else ()):
        loss, worse = _loss(name, songs, runs[reference])
        losses.append((loss, title))
        compared[place] += " *" if worse < SIGNIFICANT else ""
    others = runs.get(replace(run, vocal="partner"), {}) if run.vocal == "own" else {}
    won = [float(line["agreement"] > others[song]["agreement"]) for song, line in songs.items() if song in others]
    strokes, key, level, seam, call_ms = (mean([line.get(name, NAN) for line in songs.values()]) for name in PLAIN)
    load = call_ms / 1_000.0 / (run.chunk / LATENT_RATE_HZ) if run.chunk else NAN
    worst = f"{percent(max(losses)[0])} {max(losses)[1]}" if losses else ""
    plain = (number(strokes, 2), number(key, 2), number(level, 1, "dB"), number(seam, 2), number(call_ms, 0, "ms"))
    return (run.name, str(len(songs)), *compared, worst, percent(mean(won)), *plain, percent(load))


def _shown(name: str, songs: Mapping[str, Line]) -> str:
    if name == "drums_ms":
        return number(float(np.median(np.concatenate([line[name] for line in songs.values()]))), 1, "ms")
    value = mean([line[name] for line in songs.values()])
    return number(value, 3) if name == "agreement" else f"{number(100 * value)} %"


def _loss(name: str, songs: Mapping[str, Line], reference: Mapping[str, Line]) -> tuple[float, float]:
    """Return the relative loss of a figure, over the songs that both have, and the p-value of its being worse."""
    both = [song for song in songs if song in reference]
    now, before = ([_figure(place[song][name]) for song in both] for place in (songs, reference))
    if name == "drums_ms":
        return mean(now) / mean(before) - 1.0, paired_test(now, before).p_value
    return 1.0 - mean(now) / mean(before), paired_test(before, now).p_value


def _figure(value: float | list[float]) -> float:
    """Return one number a song: a figure itself, the median of a list, NaN of an empty one."""
    return float(np.median(value)) if value != [] else NAN


def measured_lines(bundle: Bundle, excerpts: Sequence[Excerpt], run: Run, done: set[tuple[Run, str]]) -> Iterator[Line]:
    """Yield the line of each song for which `done` does not have this run yet."""
    for index, excerpt in enumerate(excerpts):
        if (run, excerpt.facts.id) in done:
            continue
        vocal = (excerpt if run.vocal == "own" else excerpts[(index + 1) % len(excerpts)]).audio[VOCALS]
        repeated = np.tile(vocal, (1, -(-excerpt.samples // vocal.shape[1])))
        vocal, seed = np.ascontiguousarray(repeated[:, : excerpt.samples]), index + 1_000 * run.seed
        facts: Line = {}
        if run.chunk:
            stems, facts = rolled(bundle, excerpt, vocal, run, seed)
        else:
            stems = offline(bundle, excerpt, vocal, run, seed)
        yield {"run": asdict(run), "song": excerpt.facts.id, **figures_of(stems, excerpt), **facts}


def main() -> None:
    """Measure, keep, print."""
    options = _options()
    old = options.results.read_text(encoding="utf-8").splitlines() if options.results.is_file() else []
    lines: list[Line] = [json.loads(line) for line in old]
    deadline = time.monotonic() + 60.0 * options.minutes
    if options.run:
        done = {(Run(**line["run"]), line["song"]) for line in lines}
        bundle = Bundle.load(options.bundle, threads=1, offline=False)
        excerpts = [read_excerpt(song, options.seconds) for song in find_songs(options.songs, "test", options.count)]
        with options.results.open("a", encoding="utf-8") as results:
            for line in (line for run in options.run for line in measured_lines(bundle, excerpts, run, done)):
                print(json.dumps(line), file=results, flush=True)
                lines.append(line)
                if time.monotonic() > deadline:
                    print(f"stopped after {options.minutes:g} minutes; start again to go on", file=sys.stderr)
                    break
    print(f"{quality_table(lines).markdown()}\n\n{provenance().line} {NOTES}")


def _run(text: str) -> Run:
    """Return `Run.parse(text)`, its errors as argparse shows them."""
    try:
        return Run.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live_quality", description=__doc__)
    parser.add_argument("--bundle", type=Path, default=FACTORY_BUNDLE, help="folder of the bundle")
    parser.add_argument("--songs", type=Path, required=True, help="folder of song folders; see docs/contracts.md")
    parser.add_argument("--count", type=int, default=12, help="how many songs of the test split")
    parser.add_argument("--seconds", type=float, default=30.0, help="how much of each song")
    parser.add_argument("--results", type=Path, required=True, help="file of JSON lines that takes the figures")
    parser.add_argument("--run", type=_run, action="append", help="a run; '' is the reference, chunk=0 offline")
    parser.add_argument("--minutes", type=float, default=600.0, help="stop after as many")
    return parser.parse_args()


if __name__ == "__main__":
    main()
