"""Harmony parts: the style's layers played over the chords, each with its own voice leading."""

from collections.abc import Sequence

import numpy as np

from training.corpus.layers import Layer
from training.corpus.layers_grooves import GROOVE_LAYERS
from training.corpus.layers_songs import SONG_LAYERS
from training.corpus.notes import Chord, Note
from training.corpus.score import Bar, chord_index_at
from training.corpus.theory import lead_voicing, nearest_pitch, voice_tones

LAYERS = {**SONG_LAYERS, **GROOVE_LAYERS}
_STROKES = {"X": 14, "x": 0, "o": -18, "u": -6, "l": 2, "m": -26}


def choose_layers(style: str, rng: np.random.Generator) -> tuple[Layer, ...]:
    """Return the layers that a song of the style has, two of the three at least where the style offers them."""
    layers = [layer for layer in LAYERS[style] if rng.random() < layer.chance]
    if len(layers) < 2:
        layers = list(LAYERS[style][:2])
    return tuple(layers)


def voicings(layer: Layer, chords: Sequence[Chord]) -> tuple[tuple[int, ...], ...]:
    """Return one voicing a chord (empty for no chord), each led from the one before."""
    result: list[tuple[int, ...]] = []
    previous: tuple[int, ...] = ()
    for chord in chords:
        voicing = _power(layer, chord) if layer.power else _led(layer, chord, previous)
        previous = voicing or previous
        result.append(voicing)
    return tuple(result)


def _led(layer: Layer, chord: Chord, previous: tuple[int, ...]) -> tuple[int, ...]:
    tones = voice_tones(chord, layer.voices, layer.rootless)
    if not tones:
        return ()
    voicing = lead_voicing(tones, previous, layer.low, layer.high, layer.spread)
    if layer.voices > len(tones) and voicing[0] + 12 <= layer.high + 3:
        voicing = tuple(sorted({*voicing, voicing[0] + 12}))
    return voicing


def _power(layer: Layer, chord: Chord) -> tuple[int, ...]:
    if chord.root < 0:
        return ()
    root = nearest_pitch(chord.root, layer.low + 4, layer.low, layer.low + 12)
    fifth = 7 if (chord.root + 7) % 12 in chord.pitch_classes or (chord.root + 6) % 12 not in chord.pitch_classes else 6
    return (root, root + fifth, root + 12)


def layer_notes(
    layer: Layer, bars: Sequence[Bar], chords: Sequence[Chord], metre: str, bpm: float, rng: np.random.Generator
) -> list[Note]:
    """Play a layer through the song: a pattern a section, silent below the layer's energy.

    Args:
        layer: what to play.
        bars: the song's bars.
        chords: its chords, covering all bars.
        metre: `4/4`, `3/4` or `6/8`; one that the layer lacks is played as held chords.
        bpm: turns the time of a strum into beats.
        rng: chooses the patterns.
    """
    options = layer.patterns.get(metre) or layer.patterns.get("any") or ("=",)
    voiced = voicings(layer, chords)
    strum = layer.strum_seconds * bpm / 60
    chosen: dict[str, str] = {}
    notes: list[Note] = []
    main = options[int(rng.integers(len(options)))]
    for bar in bars:
        if bar.section not in chosen:
            fresh = bar.section in ("chorus", "bridge") and rng.random() < 0.6
            chosen[bar.section] = options[int(rng.integers(len(options)))] if fresh else main
        if bar.energy < layer.from_energy:
            continue
        pattern = chosen[bar.section]
        play = _hold_bar if pattern == "=" else _pattern_bar
        notes += play(layer, pattern, bar, chords, voiced, strum)
    return notes


def _hold_bar(
    layer: Layer, pattern: str, bar: Bar, chords: Sequence[Chord], voiced: Sequence[tuple[int, ...]], strum: float
) -> list[Note]:
    """Hold each chord of the bar; one that goes on over the bar line rings for two bars before it is struck again."""
    del pattern, strum
    notes: list[Note] = []
    velocity = layer.velocity + round(44 * (bar.energy - 0.6))
    end_of_bar = bar.start_beat + bar.beats
    for index in range(chord_index_at(chords, bar.start_beat), len(chords)):
        chord = chords[index]
        if chord.start_beat >= end_of_bar - 1e-6:
            break
        bars_before = (bar.start_beat - chord.start_beat) / bar.beats
        if bars_before > 0.01 and not bar.opens_section and round(bars_before + 0.49) % 2 == 1:
            continue
        start = max(chord.start_beat, bar.start_beat)
        end = min(chord.end_beat, end_of_bar + (0 if bar.closes_phrase else bar.beats))
        notes += [Note(start, (end - start) * layer.gate, pitch, velocity) for pitch in voiced[index]]
    return notes


def _pattern_bar(
    layer: Layer, pattern: str, bar: Bar, chords: Sequence[Chord], voiced: Sequence[tuple[int, ...]], strum: float
) -> list[Note]:
    step = bar.beats / len(pattern)
    notes: list[Note] = []
    base = layer.velocity + round(44 * (bar.energy - 0.6))
    stroke = 0
    for place, mark in enumerate(pattern):
        beat = bar.start_beat + place * step
        index = chord_index_at(chords, beat)
        changes = place > 0 and abs(chords[index].start_beat - beat) < 1e-6
        if mark == "." or (mark == "-" and not changes) or not voiced[index]:
            continue
        sounding = pattern[:place].rstrip("-")[-1:] if mark == "-" else mark
        if not sounding or sounding == ".":
            continue
        length = 1
        while place + length < len(pattern) and pattern[place + length] == "-":
            length += 1
        end = min(beat + length * step, max(chords[index].end_beat, beat + step))
        pitches = _pitches(sounding, voiced[index])
        duration = step * 0.3 if sounding == "m" else (end - beat) * layer.gate
        velocity = base + _STROKES.get(sounding, 0) + (4 if place == 0 else 0)
        notes += _strummed(pitches, beat, duration, velocity, strum, down=stroke % 2 == 0)
        stroke += 1
    return notes


def _pitches(mark: str, voicing: tuple[int, ...]) -> tuple[int, ...]:
    if mark.isdigit():
        octave, voice = divmod(int(mark), len(voicing))
        return (voicing[voice] + 12 * octave,)
    if mark == "l":
        return voicing[:1]
    return voicing[1:] or voicing if mark == "u" else voicing


def _strummed(
    pitches: tuple[int, ...], beat: float, duration: float, velocity: int, strum: float, down: bool
) -> list[Note]:
    ordered = pitches if down else pitches[::-1]
    gap = strum / max(1, len(ordered) - 1)
    return [
        Note(beat + place * gap, max(0.03, duration - place * gap), pitch, velocity - 2 * place)
        for place, pitch in enumerate(ordered)
    ]
