"""The expander that brings generated levels to the songs' own, found from sound alone."""

import json
import shutil
from pathlib import Path

import soundfile

from bridge.bounce import factory_bundle
from engine.accompany import accompany
from engine.bundle import Bundle
from engine.expander import Expansion
from engine.geometry import SAMPLE_RATE_HZ
from engine.timeline import Timeline
from engine.wish import Wish
from export.expansions import NONE, best, measured, write_expansions
from export.levels import song_folders
from tests.live_support import sung


def test_the_best_is_taken_where_it_is_worth_it() -> None:
    assert best({NONE: 3.0, Expansion(-40.0, 2.0): 1.0, Expansion(-50.0, 2.0): 2.0}) == Expansion(-40.0, 2.0)
    assert best({NONE: 1.04, Expansion(-40.0, 2.0): 1.0}) == NONE


def test_drums_with_a_wash_get_an_expander_and_a_bundle_keeps_it(tmp_path: Path) -> None:
    """The song is what the bundle plays through an expander: the program must find that one."""
    bundle = tmp_path / "bundle"
    shutil.copytree(factory_bundle(), bundle)
    true = Expansion(-50.0, 2.0)
    write_expansions(bundle, {"drums": true})
    wanted = Bundle.load(bundle, threads=1)
    assert tuple(wanted.sampling.stem_expansions["drums"]) == true
    tight = wanted.with_sampling(stem_gains_db={}, style_tones_db={}, stem_widths_db={})
    timeline, vocal, folder = Timeline([(0.0, 100.0)], [(0.0, 4, 4)]), sung(60), tmp_path / "songs" / "song"
    folder.mkdir(parents=True)
    wish = Wish("pop", steps=tight.sampling.steps, seed=0)
    for part, audio in {"vocals": vocal, **accompany(tight, vocal, timeline, wish)}.items():
        soundfile.write(folder / f"{part}.wav", audio.T, SAMPLE_RATE_HZ, "FLOAT")
    facts = {"tempo_map": [[0, 100]], "time_signatures": [[0, 4, 4]], "style": "pop", "split": "train"}
    (folder / "song.json").write_text(json.dumps(facts))
    distances = measured(wanted, song_folders(folder.parent, "train", 1), 9.0)
    assert best(distances["drums"]) == true
    assert distances["drums"][true] < 0.01
    assert best(distances["bass"]) == NONE
    assert best(distances["other"]) == NONE
