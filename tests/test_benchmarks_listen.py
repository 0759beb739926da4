"""The page to hear a bundle: figures with known answers, files that stay the same, and what people wrote stays."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from benchmarks import listen
from benchmarks.listen_figures import bar_chords, drum_patterns, likeness, most_alike, repeat, take_figures, width_db
from benchmarks.listen_page import HAND_START, Shown, chords_by_bar, speaks_of, takes_table, update_page
from benchmarks.listen_picture import write_take_picture
from benchmarks.vorbis import with_serial_number, write_vorbis
from bridge.errors import UserError
from engine.features import features_of
from engine.geometry import SAMPLE_RATE_HZ
from engine.harmony import Chord, ChordSpan
from engine.metrics import pitch_class_energy
from engine.spectra import Array
from engine.styles import STYLES
from engine.timeline import Timeline
from tests.bridge_support import Studio

TIMELINE = Timeline.constant(120.0)
BARS = 4
SAMPLES = TIMELINE.sample_at_bar(BARS)
LABELS = ("C", "Am", "F", "G")
SPANS = tuple(ChordSpan(4.0 * bar, 4.0 * bar + 4.0, Chord.parse(label)) for bar, label in enumerate(LABELS))


def drums(beats_by_bar: list[list[float]], hiss: float = 1e-4) -> Array:
    """Return (2, samples) with a burst of noise at each beat of each bar."""
    generator = np.random.default_rng(0)
    audio = hiss * generator.standard_normal((2, SAMPLES + 4_410))
    burst = 0.3 * np.exp(-np.arange(4_410) / 700)
    for bar, beats in enumerate(beats_by_bar):
        for beat in beats:
            start = TIMELINE.sample_at_beat(4.0 * bar + beat)
            audio[:, start : start + 4_410] += burst * generator.standard_normal((2, 4_410))
    return audio[:, :SAMPLES].astype(np.float32)


def tones(octave: int) -> Array:
    """Return (2, samples) of sines: the notes of each label for a bar."""
    seconds = np.arange(SAMPLES) / SAMPLE_RATE_HZ
    bars = (TIMELINE.beats_at_samples(np.arange(SAMPLES)) // 4).astype(int)
    audio = np.zeros(SAMPLES)
    for bar, label in enumerate(LABELS):
        for pitch_class in Chord.parse(label).pitch_classes:
            hz = 440.0 * 2 ** ((pitch_class + 12 * (octave + 1) - 69) / 12)
            audio += (bars == bar) * 0.1 * np.sin(2 * np.pi * hz * seconds)
    return np.tile(audio.astype(np.float32), (2, 1))


def stems() -> dict[str, Array]:
    return {"drums": drums([[0.0, 1.0, 2.0, 3.0]] * BARS), "bass": tones(2), "other": tones(3)}


def test_a_take_of_known_chords_and_strokes_is_measured_as_such() -> None:
    figures = take_figures(stems(), TIMELINE, "pop", SPANS, BARS)
    assert [heard.name for heard in figures.chords] == ["C", "Am", "F", "G"]
    assert figures.key.name == "C major"
    assert figures.strokes_a_bar == pytest.approx(4.0, abs=0.25)
    assert figures.off_grid_ms < 2.0
    assert figures.on_chord > 0.9
    assert figures.width_db == -np.inf
    assert figures.repeat > 0.8


def test_silence_is_no_chord_and_unclear_bars_are_marked() -> None:
    energy = pitch_class_energy(np.zeros((2, SAMPLES), np.float32))
    assert [heard.name for heard in bar_chords(energy, TIMELINE, BARS)] == ["N"] * BARS
    assert all(heard.name.endswith(" ?") for heard in bar_chords(np.ones_like(energy), TIMELINE, BARS))


def test_drums_that_play_the_same_bar_again_repeat_and_others_do_not() -> None:
    steady = drum_patterns(drums([[0.0, 1.5, 2.0, 3.25]] * BARS), TIMELINE, BARS)
    restless = drum_patterns(drums([[0.0, 1.0], [0.5, 2.5, 3.0], [1.25, 2.0], [0.75, 3.5]]), TIMELINE, BARS)
    assert steady.shape == (BARS, 3, 48)
    assert repeat(steady) > 0.8
    assert repeat(restless) < 0.3
    assert np.isnan(repeat(steady[:1]))


def test_a_pattern_is_like_itself_and_unlike_one_moved_by_a_16th() -> None:
    straight = drum_patterns(drums([[0.0, 1.0, 2.0, 3.0]] * BARS), TIMELINE, BARS).mean(axis=0)
    moved = drum_patterns(drums([[0.25, 1.25, 2.25, 3.25]] * BARS), TIMELINE, BARS).mean(axis=0)
    assert likeness(straight, straight) == pytest.approx(1.0)
    assert likeness(straight, moved) < 0.3


def test_another_metre_has_nothing_alike() -> None:
    three = Timeline.constant(120.0, 3, 4)
    takes = {
        "pop": take_figures(stems(), TIMELINE, "pop", SPANS, BARS),
        "rock": take_figures(stems(), TIMELINE, "rock", SPANS, BARS),
        "waltz": take_figures(stems(), three, "waltz", SPANS, 5),
    }
    name, alike = most_alike("pop", takes) or ("", 0.0)
    assert name == "rock"
    assert alike == pytest.approx(1.0)
    assert most_alike("waltz", takes) is None


def test_width_is_the_sides_level() -> None:
    generator = np.random.default_rng(0)
    assert width_db(generator.standard_normal((2, 44_100)).astype(np.float32)) == pytest.approx(0.0, abs=0.2)


def test_chords_are_told_by_bar() -> None:
    rows = ((0.0, 4.0, "C"), (4.0, 6.0, "Am"), (6.0, 12.0, "E7"))
    spans = [ChordSpan(start, end, Chord.parse(label)) for start, end, label in rows]
    assert chords_by_bar(spans, TIMELINE, 4) == ("C", "Am E7", "E7", "–")


def test_vorbis_files_are_the_same_for_the_same_sound_and_can_be_read(tmp_path: Path) -> None:
    audio = stems()["other"]
    for name in ("one.ogg", "two.ogg"):
        write_vorbis(tmp_path / name, audio, SAMPLE_RATE_HZ, 0.1)
    one = (tmp_path / "one.ogg").read_bytes()
    assert one == (tmp_path / "two.ogg").read_bytes()
    heard, rate_hz = soundfile.read(tmp_path / "one.ogg")
    assert (rate_hz, heard.shape) == (SAMPLE_RATE_HZ, (SAMPLES, 2))
    assert np.sqrt(np.mean((heard.T - audio) ** 2)) < 0.1 * np.sqrt(np.mean(audio**2))


def test_checksums_are_those_of_the_library(tmp_path: Path) -> None:
    write_vorbis(tmp_path / "one.ogg", stems()["other"], SAMPLE_RATE_HZ, 0.1)
    with soundfile.SoundFile(tmp_path / "drawn.ogg", "w", SAMPLE_RATE_HZ, 2, format="OGG", subtype="VORBIS") as file:
        file.write(stems()["other"].T)
    drawn = (tmp_path / "drawn.ogg").read_bytes()
    assert with_serial_number(drawn, int.from_bytes(drawn[14:18], "little")) == drawn


def test_a_quality_out_of_range_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"quality 1\.5"):
        write_vorbis(tmp_path / "one.ogg", np.zeros((2, 100), np.float32), SAMPLE_RATE_HZ, 1.5)


def test_the_picture_is_dark_and_small(tmp_path: Path) -> None:
    path = tmp_path / "pop.png"
    write_take_picture(path, "pop", stems(), TIMELINE, LABELS)
    with Image.open(path) as image:
        assert image.width >= 640
        assert np.asarray(image.convert("L"))[:4].mean() < 16.0
    assert path.stat().st_size < 60_000


def test_what_was_written_by_hand_stays(tmp_path: Path) -> None:
    page = tmp_path / "listen.md"
    shown = {"pop": Shown("radio-pop", take_figures(stems(), TIMELINE, "pop", SPANS, BARS), LABELS)}
    update_page(page, shown, "aaaa", 32.0)
    page.write_text(page.read_text(encoding="utf-8").replace(HAND_START, f"{HAND_START}\nGood."), encoding="utf-8")
    update_page(page, shown, "bbbb", 32.0)
    text = page.read_text(encoding="utf-8")
    assert "Good." in text
    assert not speaks_of(page, "bbbb")
    assert speaks_of(page, "Good")
    assert "Bundle bbbb" in text
    assert "aaaa" not in text


def test_every_row_names_its_files() -> None:
    shown = {"pop": Shown("", take_figures(stems(), TIMELINE, "pop", SPANS, BARS), LABELS)}
    table = takes_table(shown, "listen")
    assert table.rows[0][1:4] == (
        "[mix](listen/pop-mix.ogg)",
        "[accompaniment](listen/pop-accompaniment.ogg)",
        "[picture](listen/pop.png)",
    )
    assert len(table.rows[0]) == len(table.columns)


def test_factory_presets_are_found_by_style() -> None:
    found = listen.factory_presets()
    assert found["rock"][0] == "garage-rock"
    assert set(found) <= set(STYLES)


def test_a_page_is_made_of_bounces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    studio = Studio(tmp_path, monkeypatch)

    class Deaf(listen.Listener):
        def __init__(self, bundle: Path, vocal: Path) -> None:
            self._harmoniser, self._pitch = None, features_of(np.zeros((2, 4_096), np.float32)).pitch

    monkeypatch.setattr(listen, "Listener", Deaf)
    monkeypatch.setattr(listen, "HEARD_BEATS", 8.0)
    out = tmp_path / "pages" / "listen"
    listen.make_page(studio.bundle, out, studio.sing(seconds=6.0), ("rock", "waltz"))
    assert len(list(out.iterdir())) == 6
    assert studio.calls[1].timeline.time_signature_at_beat(0.0) == (3, 4)
    assert [call.wish.style for call in studio.calls] == ["rock", "waltz"]
    text = out.with_suffix(".md").read_text(encoding="utf-8")
    assert "garage-rock" in text


def test_a_folder_of_other_files_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "thesis.doc").write_text("mine")
    with pytest.raises(UserError, match=r"thesis\.doc"):
        listen.check_folder(tmp_path)
    assert listen.main(["--out", str(tmp_path)]) == 2
    assert (tmp_path / "thesis.doc").read_text() == "mine"
