"""The expander that brings generated levels to the songs' own, found from levels alone."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from bridge.bounce import factory_bundle
from engine.accompany import accompany
from engine.bundle import Bundle
from engine.expander import BANDS, Expansion, fall_db
from engine.geometry import SAMPLE_RATE_HZ
from engine.timeline import Timeline
from engine.wish import Wish
from export.expansions import NONE, SHARES, best, distance_db, level_shares, measured, write_expansions
from export.levels import song_folders
from tests.live_support import sung


def levels(songs: int = 12, seed: int = 0) -> NDArray[np.float64]:
    """Return (songs, shares, bands) of rising levels from about -62 to -20 dB."""
    rng = np.random.default_rng(seed)
    rising = np.linspace(-62.0, -20.0, len(SHARES))[:, None] + rng.uniform(-1.0, 1.0, (len(SHARES), BANDS))
    return np.asarray(rising + rng.uniform(-2.0, 2.0, (songs, 1, 1)), np.float64)


def test_levels_are_off_by_what_all_songs_share() -> None:
    real, true = levels(), Expansion(-40.0, 1.5)
    assert distance_db(real, real) == pytest.approx(0.0)
    assert distance_db(real, real + 4.0) == pytest.approx(4.0)
    washed = distance_db(real - fall_db(real, true), real)
    assert washed > 1.0
    own = np.random.default_rng(2).choice([-3.0, 3.0], (12, 1, 1))  # each song's kit, in sum nothing
    own -= own.mean()
    assert distance_db(real + own, real) < 0.2


def test_the_best_is_taken_where_it_is_worth_it() -> None:
    assert best({NONE: 3.0, Expansion(-40.0, 2.0): 1.0, Expansion(-50.0, 2.0): 2.0}) == Expansion(-40.0, 2.0)
    assert best({NONE: 1.1, Expansion(-40.0, 2.0): 1.0}) == NONE


def test_drums_with_a_wash_get_an_expander_and_a_bundle_keeps_it(tmp_path: Path) -> None:
    """The song is what the bundle plays through an expander: the program must find that one."""
    bundle = tmp_path / "bundle"
    shutil.copytree(factory_bundle(), bundle)
    true = Expansion(-50.0, 2.0)
    write_expansions(bundle, {"drums": true})
    wanted = Bundle.load(bundle, threads=1)
    assert tuple(wanted.sampling.stem_expansions["drums"]) == true
    plain = dataclasses.replace(wanted.sampling, stem_gains_db={}, stem_widths_db={})
    tight = dataclasses.replace(wanted, manifest=dataclasses.replace(wanted.manifest, sampling=plain))
    timeline, vocal, folder = Timeline([(0.0, 100.0)], [(0.0, 4, 4)]), sung(60), tmp_path / "songs" / "song"
    folder.mkdir(parents=True)
    wish = Wish("pop", steps=tight.sampling.steps, seed=0)
    for part, audio in {"vocals": vocal, **accompany(tight, vocal, timeline, wish)}.items():
        soundfile.write(folder / f"{part}.wav", audio.T, SAMPLE_RATE_HZ, "FLOAT")
    facts = {"tempo_map": [[0, 100]], "time_signatures": [[0, 4, 4]], "style": "pop", "split": "train"}
    (folder / "song.json").write_text(json.dumps(facts))
    distances = measured(wanted, song_folders(folder.parent, "train", 1), 9.0)
    assert best(distances["drums"]) == true
    assert distances["drums"][true] < 0.05
    assert best(distances["bass"]) == NONE
    assert best(distances["other"]) == NONE


def test_levels_of_a_sound_that_pauses() -> None:
    rng = np.random.default_rng(0)
    audio = rng.standard_normal((2, 4 * SAMPLE_RATE_HZ)).astype(np.float32) * 0.1
    audio[:, : 2 * SAMPLE_RATE_HZ] = 0.0
    found = level_shares(audio)
    assert found.shape == (len(SHARES), BANDS)
    assert (found[SHARES.index(0.25)] < -100.0).all()
    assert (found[SHARES.index(0.75)] > -70.0).all()
    np.testing.assert_allclose(level_shares(2.0 * audio)[-1] - found[-1], 20.0 * np.log10(2.0), atol=0.1)
