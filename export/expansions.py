"""How much of a wash a bundle leaves between strokes: `python -m export.expansions --bundle B --songs DIR [--write]`.

What is generated to a song's vocal is compared with the song's own stem at the same loudness, band by band: by how loud
its pieces of 1 s are in the band, and how much the level varies within them, each as far from the song's own as a
Fréchet distance counts it. The mean over a style's songs of what is lacking in level does not count: that is its tone
(`export.levels`). For each band the downward expansion (`engine.expander`) of a grid is taken that brings it nearest,
and `--write` puts those of the stems that gain by them into the bundle's manifest as `stem_expansions`; measure
`export.levels` afterwards. Measure on songs that the denoiser never saw: of its own training songs it knows the gaps.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine import codec
from engine.accompany import take_latents
from engine.bundle import Bundle, BundleError
from engine.expander import Expander, Expansion, fall_db
from engine.geometry import (
    AUDIO_CHANNELS,
    SAMPLE_RATE_HZ,
    SPECTRA_PER_FRAME,
    SPECTRUM_HOP_SAMPLES,
    SPECTRUM_WINDOW_SAMPLES,
    STEMS,
)
from engine.runtime import GraphError
from engine.spectra import Array, hann
from engine.tone import BANDS, Decibels, band_levels_db
from engine.window import raw
from export.levels import (
    BAND_FLOOR_DB,
    active_rms_db,
    change_manifest,
    hop_bands,
    measuring_parser,
    song_folders,
    song_task,
)
from training.corpus.folder import VOCALS

BELOW_DB = tuple(float(level) for level in range(-65, -15, 5))
RATIOS = (1.25, 1.5, 2.0, 3.0)
NONE = Expansion(0.0, 1.0)
CHOICES = (NONE, *(Expansion(below_db, ratio) for ratio in RATIOS for below_db in BELOW_DB))
LEAST_GAIN = 0.05
"""Expansions that bring a stem nearer by no more than this share of its distance are not worth having."""
LEAST_DISTANCE = 1.0
"""In dB squared; a band that is nearer is as good as there."""
LEAST_SONGS = 3
_CENTRES_APART_SAMPLES = (SPECTRUM_WINDOW_SAMPLES - SPECTRUM_HOP_SAMPLES) // 2
"""The first window of `hop_bands` is centred so much later than the decoder's first hop."""
_PIECE_HOPS = SAMPLE_RATE_HZ // SPECTRUM_HOP_SAMPLES


@dataclass(frozen=True, slots=True)
class Take:
    """One stem of one song: its levels by hop and band, (hops, BANDS) each, and how much louder it is to be.

    Attributes:
        style: that it was made in.
        real: levels of the song's own.
        made: of what was generated, before any finish.
        spectrum: of the decoder's spectrum of it, which the expander sees; where hops are not alike, as in noise, those
            of the sound are lower, as the inverse transform overlaps them.
        gain_db: what makes the second as loud as the first.
    """

    style: str
    real: Decibels
    made: Decibels
    spectrum: Decibels
    gain_db: float

    def through(self, choice: Expansion) -> Decibels:
        """Return the levels of what was made behind the same expansion of each band, as loud as the song's own.

        A window of the sound hears the decoder's hops on either side, too: where one falls and its neighbours do not,
        it is their sound that is left.
        """
        power = 10.0 ** (self.spectrum / 10.0)
        fallen = power * 10.0 ** (-fall_db(self.spectrum, [choice] * BANDS) / 10.0)
        share = _overlapped(fallen) / _overlapped(power)
        return np.asarray(self.made + 10.0 * np.log10(share) + self.gain_db)


@dataclass(frozen=True, slots=True)
class Pieces:
    """Pieces of 1 s of levels, by band: mean and spread over the pieces of their mean level and of its deviation."""

    mean: Decibels
    mean_spread: Decibels
    deviation: Decibels
    deviation_spread: Decibels


def takes_of(bundle: Bundle, folders: Sequence[Path], seconds: float) -> dict[str, list[Take]]:
    """Return stem to a take of each song in which it sounds.

    Raises:
        ValueError: a stem or song.json is missing or damaged.
    """
    takes: dict[str, list[Take]] = {stem: [] for stem in STEMS}
    for seed, folder in enumerate(folders):
        audio, timeline, wish = song_task(bundle, folder, seconds, seed)
        latents = take_latents(bundle, audio[VOCALS], timeline, wish)
        heard = Listening()
        made = codec.decode(bundle, raw(bundle, latents), audio[VOCALS].shape[1], expander=heard)
        spectra = heard.levels_db()
        for stem, sound, spectrum in zip(STEMS, made, spectra, strict=True):
            gain_db = active_rms_db(audio[stem]) - active_rms_db(sound)
            if np.isfinite(gain_db):
                levels = hop_bands(np.pad(sound, ((0, 0), (_CENTRES_APART_SAMPLES, 0))))[: len(spectrum)]
                own = hop_bands(audio[stem])
                takes[stem].append(Take(wish.style or "", own, levels, spectrum[: len(levels)], gain_db))
    return takes


class Listening(Expander):
    """Changes nothing, and keeps the levels of the spectra that come by."""

    def __init__(self) -> None:
        super().__init__({})
        self._levels: list[Decibels] = []

    def expand(self, spectrum: Array) -> None:
        """Keep the levels of `spectrum` (stems, 2 left/right, hops, SPECTRUM_BINS, 2 re/im)."""
        power = np.square(spectrum).sum(axis=(1, 4)) / np.float32(AUDIO_CHANNELS)
        self._levels.append(np.stack([band_levels_db(stem) for stem in power]))

    def levels_db(self) -> Decibels:
        """Return (stems, hops, BANDS) from the song's first hop on."""
        late = codec.NETWORK_LOOKAHEAD_FRAMES * SPECTRA_PER_FRAME
        return np.concatenate(self._levels, axis=1)[:, late:]


def distances(takes: Sequence[Take]) -> Decibels:
    """Return how far each of `CHOICES` leaves each band from the songs' own: (choices, BANDS), in dB squared."""
    own = [pieces_of(take.real) for take in takes]
    found = []
    for choice in CHOICES:
        made = [pieces_of(take.through(choice)) for take in takes]
        lacking = np.array([one.mean - two.mean for one, two in zip(own, made, strict=True)])
        lacking -= _of_style(lacking, [take.style for take in takes])
        rest = [
            (one.mean_spread - two.mean_spread) ** 2
            + (one.deviation - two.deviation) ** 2
            + (one.deviation_spread - two.deviation_spread) ** 2
            for one, two in zip(own, made, strict=True)
        ]
        found.append((lacking**2 + rest).mean(axis=0))
    return np.array(found)


def pieces_of(levels_db: Decibels) -> Pieces:
    """Return what the pieces of levels (hops, BANDS) are like; below -70 dB counts as that."""
    heard = np.maximum(levels_db, BAND_FLOOR_DB)
    count = max(len(heard) // _PIECE_HOPS, 1)
    cut = np.array_split(heard[: count * _PIECE_HOPS], count)
    means, deviations = (np.array([measure(piece, axis=0) for piece in cut]) for measure in (np.mean, np.std))
    return Pieces(means.mean(axis=0), means.std(axis=0), deviations.mean(axis=0), deviations.std(axis=0))


def _overlapped(power: Decibels) -> Decibels:
    """Return what windows at each hop of `power` (hops, BANDS) hear of it and its neighbours."""
    window = hann(SPECTRUM_WINDOW_SAMPLES)
    reach = SPECTRUM_WINDOW_SAMPLES // SPECTRUM_HOP_SAMPLES - 1
    padded = np.pad(power, ((reach, reach), (0, 0)))
    total = np.zeros_like(power)
    for hop in range(-reach, reach + 1):
        apart = abs(hop) * SPECTRUM_HOP_SAMPLES
        shared = np.square(window[apart:] * window[: SPECTRUM_WINDOW_SAMPLES - apart], dtype=np.float64).sum()
        total += shared * padded[reach + hop : reach + hop + len(power)]
    return total


def _of_style(lacking: Decibels, styles: Sequence[str]) -> Decibels:
    """Return each song's mean (songs, BANDS) over the songs of its style, or over all where they are under three."""
    names = np.array(styles)
    chosen = [names == style if (names == style).sum() >= LEAST_SONGS else names != "" for style in styles]
    return np.array([lacking[rows].mean(axis=0) if rows.any() else np.zeros(BANDS) for rows in chosen])


def best(found: Decibels) -> tuple[Expansion, ...] | None:
    """Return each band's nearest of `CHOICES`; None where they bring the whole little nearer than none does.

    Args:
        found: (choices, BANDS) of `distances`.
    """
    counted = np.maximum(found, LEAST_DISTANCE)
    if counted.min(axis=0).sum() > (1.0 - LEAST_GAIN) * counted[CHOICES.index(NONE)].sum():
        return None
    return tuple(CHOICES[index] for index in counted.argmin(axis=0))


def write_expansions(bundle: Path, expansions: Mapping[str, Sequence[Expansion]]) -> None:
    """Put the expansions into the manifest of the bundle in the folder `bundle`; all else in it stays."""
    told = {stem: [list(one) for one in bands] for stem, bands in expansions.items()}
    change_manifest(bundle, ("sampling", "stem_expansions"), told)


def main() -> int:
    """Measure, print and, if asked, write; return the exit code."""
    options = measuring_parser("expansions", __doc__, "validation", 60, 20.0).parse_args()
    try:
        folders = song_folders(options.songs, options.split, options.count)
        takes = takes_of(Bundle.load(options.bundle, threads=options.threads), folders, options.seconds)
        found = {stem: distances(of_stem) for stem, of_stem in takes.items() if of_stem}
        expansions = {stem: bands for stem, of_stem in found.items() if (bands := best(of_stem)) is not None}
        if options.write:
            write_expansions(options.bundle, expansions)
    except (OSError, KeyError, ValueError, BundleError, GraphError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for stem, of_stem in found.items():
        none, least = of_stem[CHOICES.index(NONE)].sum(), of_stem.min(axis=0).sum()
        print(f"{stem:<8}{none:.0f} dB squared as it is, {least:.0f} at best; {len(takes[stem])} songs")
    shown = json.dumps({stem: [list(one) for one in bands] for stem, bands in expansions.items()})
    print(f"stem_expansions: {shown}" + (f", written to {options.bundle}" if options.write else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
