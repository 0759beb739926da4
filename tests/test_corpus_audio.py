"""The audio half of the corpus: instruments on their beats, voices on their melody, folders whole and repeatable."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from engine.geometry import SAMPLE_RATE_HZ, STEMS
from training.corpus import build as corpus_build
from training.corpus.clock import beats_to_samples, song_samples
from training.corpus.demo import demo_song
from training.corpus.effects import PEAK_LIMIT, limit_peaks, loudness_db, process_stem, set_loudness
from training.corpus.espeak import SPEAKERS, has_espeak, speak
from training.corpus.folder import is_finished, write_song
from training.corpus.formant import formant_voice
from training.corpus.notes import Chord, Note, Part, Song
from training.corpus.performance import Company, perform
from training.corpus.render import Orchestra, RenderError, find_soundfont
from training.corpus.singer import sing
from training.corpus.voices import load_syllables, parse_oto, read_voice, save_syllables
from training.corpus.world import FRAME_SECONDS, estimate_f0

FORMANT_ONLY = Company((), (), {"formant": 1.0})
KICK = 36


def small_song(seed: int = 5, song_id: str = "small") -> Song:
    """Return a song of 4 s: 2 beats at 120, then 4.5 at 90, a kick on every beat, a bass, chords, and a melody."""
    melody = (Note(0.5, 1.0, 60, 90), Note(1.5, 1.0, 64, 90), Note(2.5, 2.0, 67, 90), Note(5.0, 1.4, 62, 90))
    drums = Part("drums", 0, tuple(Note(float(beat), 0.25, KICK, 110) for beat in range(6)))
    bass = Part("bass", 33, tuple(Note(float(beat), 0.9, 36, 90) for beat in range(6)))
    keys = Part(
        "other", 4, tuple(Note(2.0 * bar, 1.9, pitch, 80) for bar in range(3) for pitch in (60, 64, 67)), pan=-0.3
    )
    return Song(
        song_id, "composer", "train", "pop", ((0.0, 120.0), (2.0, 90.0)), ((0.0, 4, 4),), 4, "C major",
        (Chord(0.0, 6.5, 0, (0, 4, 7), 0, "C"),), ((0.0, 6.5, "verse"),), 6.5, melody, (drums, bass, keys), seed,
    )  # fmt: skip


@pytest.fixture(scope="module")
def orchestra() -> Orchestra:
    return Orchestra(find_soundfont())


def test_a_song_of_two_tempi_has_its_beats_and_length_where_the_tempo_map_says() -> None:
    song = small_song()
    expected = [0, 11_025, 44_100, 44_100 + 29_400]
    assert beats_to_samples(song, [0.0, 0.5, 2.0, 3.0]).tolist() == expected
    assert song_samples(song) == 44_100 + 132_300


def test_each_kick_starts_within_3_ms_of_its_beat(orchestra: Orchestra) -> None:
    song = small_song()
    level = np.abs(orchestra.play(song, "drums")).max(axis=0)
    for beat in beats_to_samples(song, range(6)):
        around = level[max(0, beat - 400) : beat + 800]
        onset = int(np.argmax(around > 0.05 * around.max())) - min(int(beat), 400)
        assert abs(onset) < 0.003 * SAMPLE_RATE_HZ


def test_the_same_song_sounds_the_same_whatever_was_played_before(orchestra: Orchestra) -> None:
    song = small_song()
    first = orchestra.play(song, "other")
    orchestra.play(replace(song, parts=(replace(song.parts[2], program=48),)), "other", detune_cents=13.0)
    assert np.array_equal(first, orchestra.play(song, "other"))
    assert not np.array_equal(first, orchestra.play(song, "other", detune_cents=13.0))


def test_a_stem_without_parts_is_silent_and_as_long_as_the_song(orchestra: Orchestra) -> None:
    song = replace(small_song(), parts=())
    audio = orchestra.play(song, "bass")
    assert audio.shape == (2, song_samples(song))
    assert not audio.any()
    assert not process_stem(audio, "bass", np.random.default_rng(1)).any()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_sung_pitch_is_the_melodys(seed: int) -> None:
    song = small_song()
    rng = np.random.default_rng(seed)
    vocal = sing(song, formant_voice(rng), rng)
    assert vocal.shape == (1, song_samples(song))
    f0_hz = estimate_f0(vocal[0], SAMPLE_RATE_HZ)
    errors = []
    for note in song.melody:
        start, stop = beats_to_samples(song, [note.start_beat, note.start_beat + note.duration_beats]) / SAMPLE_RATE_HZ
        inside = f0_hz[int((start + 0.1) / FRAME_SECONDS) : int((stop - 0.1) / FRAME_SECONDS)]
        assert (inside > 0).mean() > 0.6, "most of a held note is voiced"
        cents = 1_200 * np.log2(inside[inside > 0] / 440) - 100 * (note.pitch - 69)
        errors.append((cents + 600) % 1_200 - 600)
    assert (np.abs(np.concatenate(errors)) < 30).mean() > 0.75
    assert abs(np.median(np.concatenate(errors))) < 12


def test_the_vowel_starts_with_its_note() -> None:
    song = replace(small_song(), melody=(Note(2.0, 2.0, 60, 90),))
    starts = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        f0_hz = estimate_f0(sing(song, formant_voice(rng), rng)[0], SAMPLE_RATE_HZ)
        starts.append(np.flatnonzero(f0_hz > 0)[0] * FRAME_SECONDS)
    assert min(starts) > 0.8, "nothing but the consonant before the note"
    assert max(starts) < 1.06, "the vowel does not come late"


def test_stems_are_equally_long_finite_and_within_their_levels(orchestra: Orchestra) -> None:
    _, stems = perform(small_song(), FORMANT_ONLY, orchestra)
    assert set(stems) == {"vocals", *STEMS}
    for name, audio in stems.items():
        assert audio.shape == (2, song_samples(small_song()))
        assert np.isfinite(audio).all()
        assert np.abs(audio).max() < 0.99
        assert -33 < loudness_db(audio) < (-13 if name == "vocals" else -17)


def test_the_seed_decides_every_bit_and_another_seed_gives_another_performance(orchestra: Orchestra) -> None:
    first = perform(small_song(seed=5), FORMANT_ONLY, orchestra)[1]
    again = perform(small_song(seed=5), FORMANT_ONLY, orchestra)[1]
    other = perform(small_song(seed=6), FORMANT_ONLY, orchestra)[1]
    for name in first:
        assert np.array_equal(first[name], again[name])
    assert not np.array_equal(first["vocals"], other["vocals"])


def test_loudness_is_met_unless_the_peak_forbids_it() -> None:
    steady = np.full((2, 44_100), 0.1, dtype=np.float32)
    assert loudness_db(set_loudness(steady, -23.0)) == pytest.approx(-23.0, abs=0.1)
    spiky = np.zeros((2, 44_100), dtype=np.float32)
    spiky[:, ::4_410] = 0.5
    assert np.abs(set_loudness(spiky, -3.0)).max() == pytest.approx(PEAK_LIMIT, abs=1e-3)


def test_the_limiter_spares_what_is_quiet_and_holds_what_is_loud() -> None:
    ramp = np.linspace(-3, 3, 6_001, dtype=np.float32)[None]
    limited = limit_peaks(ramp)
    quiet = np.abs(ramp) <= 0.6
    assert np.array_equal(limited[quiet], ramp[quiet])
    assert np.abs(limited).max() <= PEAK_LIMIT + 1e-6
    assert (np.diff(limited) >= 0).all()


def test_a_song_folder_holds_the_contract_and_a_broken_stem_is_refused(tmp_path: Path, orchestra: Orchestra) -> None:
    song = small_song()
    voice, stems = perform(song, FORMANT_ONLY, orchestra)
    write_song(song, voice, stems, tmp_path / song.id)
    for name in ("vocals", *STEMS):
        info = soundfile.info(tmp_path / song.id / f"{name}.flac")
        assert (info.samplerate, info.channels, info.frames, info.subtype) == (44_100, 2, song_samples(song), "PCM_16")
    described = json.loads((tmp_path / song.id / "song.json").read_text(encoding="utf-8"))
    assert described["tempo_map"] == [[0.0, 120.0], [2.0, 90.0]]
    assert described["chords"] == [[0.0, 6.5, 0, [0, 4, 7], 0, "C"]]
    assert described["voice"] == "formant"
    with pytest.raises(ValueError, match="NaN"):
        write_song(song, voice, {**stems, "bass": stems["bass"] * np.float32("nan")}, tmp_path / "broken")
    with pytest.raises(ValueError, match="shape"):
        write_song(song, voice, {**stems, "bass": stems["bass"][:, 1:]}, tmp_path / "broken")
    assert not is_finished(tmp_path / "broken")


def test_oto_lines_are_read_and_others_left_out() -> None:
    entries = parse_oto("a.wav=a,1.5,2,-3,4,5\nnonsense\nb.wav=b,1,2\nc.wav=- ka,0,,1,2,3\n")
    assert [(entry.file, entry.alias, entry.cutoff_ms) for entry in entries] == [
        ("a.wav", "a", -3.0),
        ("c.wav", "- ka", 1.0),
    ]


def test_a_bank_of_recordings_is_read_analysed_once_and_sung(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bank = tmp_path / "bank"
    bank.mkdir()
    song = replace(small_song(), melody=(Note(2.0, 2.0, 57, 90),))
    rng = np.random.default_rng(2)
    recording = sing(song, formant_voice(rng), rng)[0]
    soundfile.write(bank / "sung.wav", recording / np.abs(recording).max(), SAMPLE_RATE_HZ)
    line = "sung.wav=- か,900,200,-1200,100,20\n"  # the vowel starts at beat 2, which is 1 s
    (bank / "oto.ini").write_bytes(line.encode("cp932"))
    voice = read_voice(bank, tmp_path / "cache")
    assert [syllable.name for syllable in voice.syllables] == ["- か"]
    assert voice.syllables[0].vowel_frame == pytest.approx(20, abs=1)
    assert voice.centre_pitch == pytest.approx(57, abs=0.5)
    monkeypatch.setattr("training.corpus.voices.analyse", lambda _audio: pytest.fail("analysed a second time"))
    again = read_voice(bank, tmp_path / "cache")
    assert np.isfinite(sing(small_song(), again, np.random.default_rng(1))).all()


@pytest.mark.skipif(not has_espeak(), reason="espeak-ng is not installed")
def test_a_spoken_syllable_has_its_vowel_where_its_voice_begins() -> None:
    syllable = speak("sa:", SPEAKERS[1])
    assert syllable is not None
    voiced = syllable.tracks.f0_hz > 0
    assert voiced[syllable.vowel_frame :].all()
    assert not voiced[: syllable.vowel_frame // 2].any(), "the s is not voiced"
    assert syllable.vowel_frame * FRAME_SECONDS > 0.04


def test_the_shipped_demo_is_twelve_bars_on_its_melody() -> None:
    song = demo_song()
    assert song.length_beats == 48
    path = Path(__file__).parent.parent / "presets" / "demo" / "vocal.flac"
    audio, rate_hz = soundfile.read(path)
    assert (rate_hz, audio.shape) == (SAMPLE_RATE_HZ, (song_samples(song),))
    assert path.stat().st_size < 3_000_000
    f0_hz = estimate_f0(audio, rate_hz)
    times = beats_to_samples(song, [note.start_beat for note in song.melody]) / SAMPLE_RATE_HZ
    pitches = [f0_hz[int((time_ + 0.12) / FRAME_SECONDS) :][:20] for time_ in times]
    cents = [
        (1_200 * np.log2(np.median(f0[f0 > 0]) / 440) - 100 * (note.pitch - 69) + 600) % 1_200 - 600
        for note, f0 in zip(song.melody, pitches, strict=True)
        if (f0 > 0).any()
    ]
    assert len(cents) > 0.9 * len(song.melody)
    assert np.mean(np.abs(cents) < 40) > 0.9


def test_syllables_come_back_from_the_cache(tmp_path: Path) -> None:
    syllables = formant_voice(np.random.default_rng(1)).syllables
    save_syllables(syllables, tmp_path / "voice.npz")
    restored = load_syllables(tmp_path / "voice.npz")
    assert [s.name for s in restored] == [s.name for s in syllables]
    assert [(s.vowel_frame, s.stable_frame) for s in restored] == [(s.vowel_frame, s.stable_frame) for s in syllables]
    assert np.abs(restored[3].tracks.log_envelope - syllables[3].tracks.log_envelope).max() < 0.02


def test_a_missing_soundfont_is_named_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(RenderError, match="BACKLINE_SOUNDFONT"):
        find_soundfont(str(tmp_path / "none.sf2"))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("songs = 3", "seed"),
        ("songs = 0\nseed = 1", "songs is 0"),
        ("songs = 1\nseed = 1\nsong = 2", "unknown"),
        ("=", "TOML"),
    ],
)
def test_a_wrong_configuration_is_refused_with_its_reason(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "corpus.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=complaint):
        corpus_build.read_config(path)


@pytest.mark.parametrize("name", ["tiny", "cpu", "gpu"])
def test_the_shipped_configurations_are_valid(name: str) -> None:
    path = Path(__file__).parent.parent / "configs" / f"corpus_{name}.toml"
    assert corpus_build.read_config(path).songs >= 1


def test_a_killed_build_goes_on_where_it_stopped(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "training.corpus.build", "--workers", "1", "--out", str(tmp_path)]
    command += ["--config", "configs/corpus_tiny.toml", "--songs", "2"]
    root = Path(__file__).parent.parent
    process = subprocess.Popen(command, cwd=root, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not list(tmp_path.glob("[!.]*/song.json")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("[!.]*/song.json")}
    assert kept, "a song was finished before the kill"
    subprocess.run(command, cwd=root, check=True, stderr=subprocess.DEVNULL)
    finished = list(tmp_path.glob("[!.]*/song.json"))
    assert len(finished) == 2
    assert all(path.stat().st_mtime_ns == moment for path, moment in kept.items())
    assert not list(tmp_path.glob(".*.partial"))
