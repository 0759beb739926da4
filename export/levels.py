"""How much softer and narrower a bundle plays than songs: `python -m export.levels --bundle B --songs DIR [--write]`.

For each stem: the level of the real accompaniments, of the same ones through the codec alone, and of those generated
to the same vocals, as rms of the parts that sound, and how loud the sides are against the middle; the mean difference
over songs is what the stem lacks in all styles, and what its bands lack beyond that in each style is the style's tone.
`--write` puts that into the bundle's manifest as `stem_gains_db`, `stem_widths_db` and `style_tones_db`. Measure on
train songs, eight of each style or more.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from engine import codec
from engine.accompany import accompany
from engine.bundle import Bundle, BundleError
from engine.geometry import SAMPLE_RATE_HZ, SPECTRUM_HOP_SAMPLES, SPECTRUM_WINDOW_SAMPLES, STEMS
from engine.manifest import MANIFEST_NAME, read_manifest
from engine.runtime import GraphError
from engine.spectra import Array, frames_at, magnitudes
from engine.timeline import Timeline
from engine.tone import BANDS, Decibels, band_levels_db
from engine.wish import Wish
from training.corpus.folder import SONG_FILE, VOCALS, is_finished
from training.folders.audio import read_track

BLOCK_SAMPLES = SAMPLE_RATE_HZ * 2 // 5
SILENT_DB = -60.0
LARGEST_GAIN_DB = 9.0
BAND_FLOOR_DB = -70.0
LEAST_SONGS = 3
DOUBTED_SONGS = 2.0
"""So many songs of a style that lack nothing are counted beside those that were measured."""
MONO_DB = -30.0


@dataclass(frozen=True, slots=True)
class Levels:
    """Levels of one stem of one song in dB of full scale; NaN where it does not sound.

    Attributes:
        real: the song's own.
        coded: the same through encoder and decoder.
        generated: made by the bundle in no style's tone, less the gains that the manifest has already.
        lacking_width: how much softer against the middle its sides are than the real ones, less the width that the
            manifest has already; NaN for a stem that is mono.
        real_bands: the song's own by band and hop, (hops, BANDS).
        generated_bands: those of `generated`.
    """

    real: float
    coded: float
    generated: float
    lacking_width: float = float("nan")
    real_bands: Decibels = field(default_factory=lambda: np.zeros((0, BANDS)))
    generated_bands: Decibels = field(default_factory=lambda: np.zeros((0, BANDS)))


def active_rms_db(audio: Array) -> float:
    """Return the rms of the parts of `audio` (2, samples) that sound, in dB of full scale; NaN if none does.

    Parts are 0.4 s; those under -60 dB are left out.
    """
    blocks = audio.shape[1] // BLOCK_SAMPLES
    cut = audio[:, : blocks * BLOCK_SAMPLES].reshape(2, blocks, BLOCK_SAMPLES)
    powers = np.square(cut, dtype=np.float64).mean(axis=(0, 2))
    sounding = powers[powers > 10.0 ** (SILENT_DB / 10.0)]
    return float(10.0 * np.log10(sounding.mean())) if len(sounding) else float("nan")


def song_levels(bundle: Bundle, folder: Path, seconds: float, seed: int) -> dict[str, Levels]:
    """Return the levels of each stem over the first `seconds` of the song in `folder`.

    Raises:
        ValueError: song.json or a stem is missing or damaged.
    """
    audio, timeline, wish = song_task(bundle, folder, seconds, seed)
    made = accompany(bundle.with_sampling(style_tones_db={}), audio[VOCALS], timeline, wish)
    return {stem: _levels(bundle, stem, audio[stem], made[stem]) for stem in STEMS}


def song_task(bundle: Bundle, folder: Path, seconds: float, seed: int) -> tuple[dict[str, Array], Timeline, Wish]:
    """Return the vocals and stems of the first `seconds` of a song, and what is asked of `bundle` for them.

    Raises:
        ValueError: song.json or a stem is missing or damaged.
    """
    facts = json.loads((folder / SONG_FILE).read_text(encoding="utf-8"))
    audio = {part: read_track(part_file(folder, part))[:, : int(seconds * SAMPLE_RATE_HZ)] for part in (VOCALS, *STEMS)}
    sampling = bundle.sampling
    wish = Wish(facts["style"], steps=sampling.steps, guidance_scale=sampling.guidance_scale, seed=seed)
    return audio, Timeline(facts["tempo_map"], facts["time_signatures"]), wish


def wanted_style_tones_db(
    songs: Sequence[Mapping[str, Levels]], styles: Sequence[str], gains_db: Mapping[str, float]
) -> dict[str, dict[str, list[float]]]:
    """Return style to stem to what each of its bands lacks in it, once the stem has its gain.

    To half a decibel, -9 to 9 dB; the fewer songs of a style sound, the less.
    """
    found: dict[str, dict[str, list[float]]] = {style: {} for style in sorted(set(styles))}
    for style, of_style in found.items():
        for stem in STEMS:
            own = [song[stem] for song, one in zip(songs, styles, strict=True) if one == style]
            lacking = np.array([
                band_levels(level.real_bands) - band_levels(level.generated_bands + gains_db.get(stem, 0.0))
                for level in own
                if np.isfinite(level.real) and np.isfinite(level.generated)
            ]).reshape(-1, BANDS)  # fmt: skip
            tone_db = lacking.sum(axis=0) / (len(lacking) + DOUBTED_SONGS)
            of_style[stem] = np.clip(np.round(2.0 * tone_db) / 2.0, -LARGEST_GAIN_DB, LARGEST_GAIN_DB).tolist()
    return found


def band_levels(levels_db: Decibels) -> Decibels:
    """Return one level for each band of (hops, BANDS): half mean level, which gaps decide, half mean power (strokes).

    By the first alone a stem whose gaps hold a wash would lose its strokes' level; by the second alone it would keep
    its wash. Below -70 dB counts as that.
    """
    heard = np.maximum(levels_db, BAND_FLOOR_DB)
    return np.asarray((heard.mean(axis=0) + 10.0 * np.log10((10.0 ** (heard / 10.0)).mean(axis=0))) / 2.0)


def hop_bands(audio: Array) -> Decibels:
    """Return the levels of `audio` (2, samples) by hop and band in dB: (hops, BANDS)."""
    padded = np.pad(audio, ((0, 0), (0, SPECTRUM_WINDOW_SAMPLES)))
    starts = np.arange(0, audio.shape[1], SPECTRUM_HOP_SAMPLES)
    spectra = magnitudes(frames_at(padded, starts, SPECTRUM_WINDOW_SAMPLES), SPECTRUM_WINDOW_SAMPLES)
    return band_levels_db(np.square(spectra).mean(axis=0))


def wanted_gains_db(songs: Sequence[Mapping[str, Levels]]) -> dict[str, float]:
    """Return stem to the gain that gives stems the balance of the real ones, and their sum no more than the real level.

    That is the mean difference of real and generated levels, all lowered alike where the sum would be louder: some
    songs come out much louder than others. To half a decibel, -9 to 9 dB: more would be noise made loud.

    Raises:
        ValueError: a stem sounds in fewer than three songs.
    """
    gains = {stem: _lacking_db(stem, [levels[stem] for levels in songs]) for stem in STEMS}
    excess_db = np.mean([_sum_db(levels, "generated", gains) - _sum_db(levels, "real", {}) for levels in songs])
    balanced = {stem: gain_db - max(float(excess_db), 0.0) for stem, gain_db in gains.items()}
    return {
        stem: min(max(round(2.0 * gain_db) / 2.0, -LARGEST_GAIN_DB), LARGEST_GAIN_DB)
        for stem, gain_db in balanced.items()
    }


def _lacking_db(stem: str, levels: Sequence[Levels]) -> float:
    lacking = np.array([level.real - level.generated for level in levels])
    lacking = lacking[np.isfinite(lacking)]
    if len(lacking) < LEAST_SONGS:
        raise ValueError(f"{stem} sounds in {len(lacking)} songs; give at least {LEAST_SONGS} in which it does")
    return float(lacking.mean())


def wanted_widths_db(songs: Sequence[Mapping[str, Levels]]) -> dict[str, float]:
    """Return stem to what makes it as wide as the real ones on average; a stem that is mono in most songs has none.

    To half a decibel, -9 to 9 dB.
    """
    widths = {}
    for stem in STEMS:
        lacking = np.array([levels[stem].lacking_width for levels in songs])
        lacking = lacking[np.isfinite(lacking)]
        if len(lacking) > max(LEAST_SONGS, len(songs) / 2):
            widths[stem] = float(np.clip(np.round(2.0 * lacking.mean()) / 2.0, -LARGEST_GAIN_DB, LARGEST_GAIN_DB))
    return widths


def _sum_db(levels: Mapping[str, Levels], kind: str, gains_db: Mapping[str, float]) -> float:
    """Return the level of a song's stems together."""
    each = [getattr(level, kind) + gains_db.get(stem, 0.0) for stem, level in levels.items()]
    return float(10.0 * np.log10(np.nansum(10.0 ** (np.array(each) / 10.0)) + 1e-12))


def write_gains(
    bundle: Path,
    gains_db: Mapping[str, float],
    widths_db: Mapping[str, float],
    style_tones_db: Mapping[str, Mapping[str, Sequence[float]]],
) -> None:
    """Put gains, widths and tones into the manifest of the bundle in the folder `bundle`; all else in it stays.

    Raises:
        BundleError: the bundle is damaged.
        ValueError: a gain, width or tone is out of range.
    """
    sampling = read_manifest(bundle).sampling  # which checks each
    dataclasses.replace(sampling, stem_gains_db=gains_db, stem_widths_db=widths_db, style_tones_db=style_tones_db)
    tones_db = {style: {stem: list(one) for stem, one in tones.items()} for style, tones in style_tones_db.items()}
    change_manifest(bundle, ("sampling", "stem_gains_db"), dict(gains_db))
    change_manifest(bundle, ("sampling", "style_tones_db"), tones_db)
    change_manifest(bundle, ("sampling", "stem_widths_db"), dict(widths_db))


def change_manifest(bundle: Path, place: Sequence[str], value: object) -> None:
    """Put `value` at `place`, such as ("files", "decoder.onnx"), into a bundle's manifest; all else in it stays."""
    path = bundle / MANIFEST_NAME
    facts = json.loads(path.read_text(encoding="utf-8"))
    part = facts
    for name in place[:-1]:
        part = part[name]
    part[place[-1]] = value
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)


def report(songs: Sequence[Mapping[str, Levels]]) -> Iterator[str]:
    """Yield the table's lines: mean levels in dB of full scale over songs in which the stem sounds."""
    yield f"{'stem':<8}{'real':>8}{'coded':>8}{'generated':>11}   dB of full scale, {len(songs)} songs"
    for stem in STEMS:
        columns = np.array([(level.real, level.coded, level.generated) for level in (song[stem] for song in songs)])
        real, coded, generated = np.nanmean(columns, axis=0)
        yield f"{stem:<8}{real:>8.1f}{coded:>8.1f}{generated:>11.1f}"


def _levels(bundle: Bundle, stem: str, real: Array, made: Array) -> Levels:
    gain_db = bundle.sampling.stem_gains_db.get(stem, 0.0)
    return Levels(
        real=active_rms_db(real),
        coded=active_rms_db(through_codec(bundle, real)),
        generated=active_rms_db(made) - gain_db,
        lacking_width=width_db(real) - (width_db(made) - bundle.sampling.stem_widths_db.get(stem, 0.0)),
        real_bands=hop_bands(real),
        generated_bands=hop_bands(made) - gain_db,
    )


def width_db(audio: Array) -> float:
    """Return how loud the sides of `audio` (2, samples) are against its middle in dB; NaN under -30 dB: it is mono."""
    middle, side = (float(np.square(audio[0] + sign * audio[1], dtype=np.float64).mean()) for sign in (1, -1))
    width = 10.0 * np.log10((side + 1e-15) / (middle + 1e-10))
    return width if width > MONO_DB else float("nan")


def through_codec(bundle: Bundle, audio: Array) -> Array:
    """Return (2, samples) through encoder and decoder."""
    return codec.decode(bundle, codec.encode(bundle, audio).latents[None], audio.shape[1])[0]


def style_of(folder: Path) -> str:
    """Return the style of the song in `folder`."""
    return str(json.loads((folder / SONG_FILE).read_text(encoding="utf-8"))["style"])


def part_file(folder: Path, part: str) -> Path:
    """Return the audio file of `part` in a song folder.

    Raises:
        ValueError: there is none.
    """
    path = next((folder / f"{part}{end}" for end in (".flac", ".wav") if (folder / f"{part}{end}").is_file()), None)
    if path is None:
        raise ValueError(f"{folder}: has no {part}.flac or {part}.wav; see docs/contracts.md for a song folder")
    return path


def song_folders(songs: Path, split: str, count: int) -> list[Path]:
    """Return up to `count` song folders of `split`, spread over their sorted names."""
    finished = [path for path in sorted(songs.iterdir()) if is_finished(path) and path.name[0] != "."]
    found = [path for path in finished if json.loads((path / SONG_FILE).read_text(encoding="utf-8"))["split"] == split]
    places = np.linspace(0, len(found) - 1, min(count, len(found))).round().astype(int)
    return [found[place] for place in places]


def measuring_parser(name: str, about: str | None, split: str, count: int, seconds: float) -> argparse.ArgumentParser:
    """Return the parser of a program that measures a bundle on songs and may write what it found into it."""
    parser = argparse.ArgumentParser(prog=f"python -m export.{name}", description=about)
    parser.add_argument("--bundle", type=Path, required=True, help="folder of the bundle")
    parser.add_argument("--songs", type=Path, required=True, help="folder that holds song folders (docs/contracts.md)")
    parser.add_argument("--split", default=split, help=f"which songs (default: {split})")
    parser.add_argument("--count", type=int, default=count, help=f"how many of them (default: {count})")
    parser.add_argument("--seconds", type=float, default=seconds, help=f"how much of each (default: {seconds:g})")
    parser.add_argument("--threads", type=int, default=0, help="of each graph; as many as there are cores by default")
    parser.add_argument("--write", action="store_true", help="write the gains into the bundle")
    return parser


def main() -> int:
    """Measure, print and, if asked, write; return the exit code."""
    options = measuring_parser("levels", __doc__, "train", 80, 20.0).parse_args()
    try:
        bundle = Bundle.load(options.bundle, threads=options.threads)
        folders = song_folders(options.songs, options.split, options.count)
        songs = [song_levels(bundle, folder, options.seconds, seed) for seed, folder in enumerate(folders)]
        gains_db, widths_db = wanted_gains_db(songs), wanted_widths_db(songs)
        style_tones_db = wanted_style_tones_db(songs, [style_of(folder) for folder in folders], gains_db)
        if options.write:
            write_gains(options.bundle, gains_db, widths_db, style_tones_db)
    except (OSError, KeyError, ValueError, BundleError, GraphError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("\n".join(report(songs)))
    for style, of_style in style_tones_db.items():
        print(f"{style:<12}" + "".join(f"{stem} {np.mean(one):+.1f} dB  " for stem, one in of_style.items()))
    found = f"stem_gains_db: {json.dumps(gains_db)}, stem_widths_db: {json.dumps(widths_db)}"
    print(found + (f", written to {options.bundle}" if options.write else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
