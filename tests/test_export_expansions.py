"""The expander that brings generated levels to the songs' own, found from sound alone."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bridge.bounce import factory_bundle
from engine.accompany import accompany
from engine.bundle import Bundle
from engine.expander import fall_db, in_all_bands
from engine.geometry import SAMPLE_RATE_HZ
from engine.timeline import Timeline
from engine.tone import BANDS
from engine.wish import Wish
from export.expansions import CHOICES, NONE, Take, best, distances, takes_of, write_expansions
from export.levels import song_folders
from tests.live_support import sung


def levels(of_noise_db: float, seed: int) -> np.ndarray:
    """Return levels of strokes of 0 dB every half second over noise of a level, (hops, BANDS)."""
    hops = np.full((20 * 86, BANDS), of_noise_db)
    hops[::43] = 0.0
    return hops + np.random.default_rng(seed).normal(0.0, 1.0, hops.shape)


def test_each_band_gets_the_expansion_that_its_wash_needs() -> None:
    real, made = levels(-60.0, 0), levels(-60.0, 1)
    made[:, 3] = levels(-40.0, 2)[:, 3]  # a wash in one band
    found = distances([Take("pop", real, made, made, 0.0)] * 3)
    bands = best(found)
    assert bands is not None
    assert fall_db(np.full((1, BANDS), -40.0), bands)[0, 3] == pytest.approx(20.0, abs=6.0)
    assert found[CHOICES.index(NONE), 3] > 20.0 * found[:, 3].min()
    assert best(distances([Take("pop", real, real, real, 0.0)] * 3)) is None, "nothing to make good"


def test_what_a_style_lacks_in_level_is_its_tone_and_no_expansion() -> None:
    real = levels(-50.0, 0)
    assert distances([Take("pop", real, real - 6.0, real, 0.0)] * 3)[0].max() < 1e-9
    one, other = Take("pop", real, real - 6.0, real, 0.0), Take("pop", real, real + 6.0, real, 0.0)
    assert distances([one, one, other])[0].min() > 1.0, "what differs from song to song is none of its style's"


def test_levels_are_compared_at_the_same_loudness() -> None:
    real = levels(-50.0, 0)
    quieter = [Take("pop", real, real - level, real, level) for level in (0.0, 6.0)]
    assert distances(quieter)[0].max() < 1e-9


def test_drums_with_a_wash_get_an_expander_and_a_bundle_keeps_it(tmp_path: Path) -> None:
    """The song is what the bundle plays through an expander: the program must find what does the same."""
    bundle = tmp_path / "bundle"
    shutil.copytree(factory_bundle(), bundle)
    true = in_all_bands(-25.0, 2.0)
    write_expansions(bundle, {"drums": true})
    wanted = Bundle.load(bundle, threads=1)
    assert [tuple(band) for band in wanted.sampling.stem_expansions["drums"]] == list(true)
    tight = wanted.with_sampling(stem_gains_db={}, style_tones_db={}, stem_widths_db={})
    timeline, vocal, folder = Timeline([(0.0, 100.0)], [(0.0, 4, 4)]), sung(60), tmp_path / "songs" / "song"
    folder.mkdir(parents=True)
    wish = Wish("pop", steps=tight.sampling.steps, seed=0)
    for part, audio in {"vocals": vocal, **accompany(tight, vocal, timeline, wish)}.items():
        soundfile.write(folder / f"{part}.wav", audio.T, SAMPLE_RATE_HZ, "FLOAT")
    facts = {"tempo_map": [[0, 100]], "time_signatures": [[0, 4, 4]], "style": "pop", "split": "train"}
    (folder / "song.json").write_text(json.dumps(facts))
    takes = takes_of(wanted, song_folders(folder.parent, "train", 1), 9.0)
    found = distances(takes["drums"])
    none, same = (found[CHOICES.index(choice)].sum() for choice in (NONE, true[0]))
    assert same < 0.4 * none, "hops and bands hear their neighbours, but for that it is the same"
    assert best(found) is not None
    assert best(distances(takes["bass"])) is None
    assert best(distances(takes["other"])) is None
