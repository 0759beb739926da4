"""A song's melody, sung: syllables of a voice laid on the notes, through WORLD, with breath, room and noise."""

from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray

from engine.geometry import SAMPLE_RATE_HZ
from training.corpus.clock import song_samples
from training.corpus.effects import Audio, apply_chain, random_compressor, random_equaliser, random_reverb, set_loudness
from training.corpus.melody import (
    LEAD_SECONDS,
    RELEASE_SECONDS,
    Manner,
    SungNote,
    octave_shift,
    pitch_curve,
    random_manner,
    split_phrases,
    sung_notes,
)
from training.corpus.notes import Song
from training.corpus.vocoder import synthesise
from training.corpus.voices import Syllable, Voice
from training.corpus.world import (
    APERIODICITY_BANDS,
    ENVELOPE_BINS,
    FRAME_SECONDS,
    LOWEST_F0_HZ,
    VOICE_RATE_HZ,
    SmallArray,
    Tracks,
)

CROSSFADE_FRAMES = 6
FADE_FRAMES = 10
SILENCE_LOG_POWER = -30.0
MELISMA_CHANCE = 0.15
BREATH_CHANCE = 0.7


@dataclass(frozen=True, slots=True)
class Timbre:
    """How a song bends a voice, so that few are many: frequency scale, tilt in dB an octave, breathiness in dB."""

    scale: float
    tilt_db_octave: float
    breath_db: float


@dataclass(frozen=True, slots=True)
class Segment:
    """A syllable in its place: phrase frames [start, vowel, stop), level of its note in nepers of power."""

    syllable: Syllable
    start: int
    vowel: int
    stop: int
    log_level: float


def random_timbre(rng: np.random.Generator) -> Timbre:
    """Return a random bending of a voice that still sounds like a person."""
    return Timbre(float(rng.uniform(0.9, 1.12)), float(rng.uniform(-1.0, 1.0)), float(rng.uniform(-4, 6)))


def sing(song: Song, voice: Voice, rng: np.random.Generator, detune_cents: float = 0.0) -> Audio:
    """Return the dry vocal of `song` by a random rendering of `voice`: (1, samples) float32, as long as the song."""
    manner, timbre = random_manner(rng, detune_cents), random_timbre(rng)
    notes = sung_notes(song, octave_shift(song, voice.centre_pitch)) if song.melody else []
    return sing_notes(song, split_phrases(notes), voice, manner, timbre, rng)


def sing_notes(
    song: Song,
    phrases: list[list[SungNote]],
    voice: Voice,
    manner: Manner,
    timbre: Timbre,
    rng: np.random.Generator,
) -> Audio:
    """Return the phrases sung one after the other, with breaths between: (1, samples) float32, as long as `song`."""
    output = np.zeros(song_samples(song), dtype=np.float32)
    previous_stop = 0.0
    for phrase in phrases:
        start_seconds = max(0.0, phrase[0].start_seconds - LEAD_SECONDS)
        audio = sing_phrase(phrase, start_seconds, voice, manner, timbre, rng)
        add_at(output, audio, start_seconds)
        if rng.random() < BREATH_CHANCE:
            add_breath(output, previous_stop, phrase[0].start_seconds, rng)
        previous_stop = phrase[-1].stop_seconds
    return output[None]


def sing_phrase(
    notes: list[SungNote], start_seconds: float, voice: Voice, manner: Manner, timbre: Timbre, rng: np.random.Generator
) -> SmallArray:
    """Return one phrase, (samples,) at the project's rate, beginning at `start_seconds` of the song."""
    frames = int((notes[-1].stop_seconds + RELEASE_SECONDS - start_seconds) / FRAME_SECONDS) + 1
    segments = lay_out(notes, start_seconds, voice, rng)
    envelope, aperiodicity_db, voiced = join_segments(segments, frames)
    pitch = pitch_curve(notes, start_seconds, frames, manner, rng)
    f0_hz = np.maximum(440 * 2 ** ((pitch - 69) / 12), LOWEST_F0_HZ)
    bent = bend_timbre(envelope, timbre)
    tracks = Tracks(np.where(voiced, f0_hz, 0.0).astype(np.float32), bent, aperiodicity_db + timbre.breath_db)
    audio = soxr.resample(synthesise(tracks, rng), VOICE_RATE_HZ, SAMPLE_RATE_HZ)
    return np.asarray(audio, dtype=np.float32)


def lay_out(notes: list[SungNote], start_seconds: float, voice: Voice, rng: np.random.Generator) -> list[Segment]:
    """Choose a syllable for each note and place it: the vowel starts with the note, the consonant comes before it.

    A consonant takes at most half of the note before. Sometimes a note goes on with the vowel of the one before.
    """
    vowels = [round((note.start_seconds - start_seconds) / FRAME_SECONDS) for note in notes]
    segments: list[Segment] = []
    syllable = voice.syllables[0]
    for index, note in enumerate(notes):
        melisma = (
            index > 0 and rng.random() < MELISMA_CHANCE and note.start_seconds - notes[index - 1].stop_seconds < 0.01
        )
        if not melisma:
            syllable = voice.syllables[int(rng.integers(len(voice.syllables)))]
        room = vowels[index] if index == 0 else (vowels[index] - vowels[index - 1]) // 2
        before = 0 if melisma else min(syllable.vowel_frame, room)
        stop = round((note.stop_seconds - start_seconds) / FRAME_SECONDS)
        level = 2 * np.log(0.35 + note.loudness) + rng.normal(0, 0.15)
        if melisma:
            last = segments[-1]
            segments[-1] = Segment(last.syllable, last.start, last.vowel, stop, last.log_level)
        else:
            segments.append(Segment(syllable, vowels[index] - before, vowels[index], stop, float(level)))
    return segments


def source_frames(segment: Segment, start: int, stop: int) -> NDArray[np.int64]:
    """Return, for the phrase frames from `start` to `stop`, which frame of the syllable sounds.

    Up to the steady part the syllable runs at its own speed; then it runs to and fro in the steady part.
    """
    syllable = segment.syllable
    own = np.arange(start, stop) - segment.vowel + syllable.vowel_frame
    span = max(1, len(syllable.tracks.f0_hz) - 1 - syllable.stable_frame)
    beyond = np.maximum(own - syllable.stable_frame, 0)
    swing = span - np.abs(beyond % (2 * span) - span)
    return np.where(own < syllable.stable_frame, np.maximum(own, 0), syllable.stable_frame + swing)


def join_segments(segments: list[Segment], frames: int) -> tuple[SmallArray, SmallArray, NDArray[np.bool_]]:
    """Cross-fade the segments: log envelope (frames, bins), aperiodicity (frames, bands) and voiced (frames,)."""
    envelope = np.zeros((frames, ENVELOPE_BINS), dtype=np.float32)
    aperiodicity_db = np.zeros((frames, APERIODICITY_BANDS), dtype=np.float32)
    total = np.zeros(frames, dtype=np.float32)
    voicing = np.zeros(frames, dtype=np.float32)
    for index, segment in enumerate(segments):
        following = segments[index + 1].start if index + 1 < len(segments) else frames
        start = max(0, segment.start - CROSSFADE_FRAMES // 2)
        stop = min(frames, max(start + 2, min(following, segment.stop + FADE_FRAMES) + CROSSFADE_FRAMES // 2))
        weight = _weights(start, stop)
        rows = source_frames(segment, start, stop)
        tracks = segment.syllable.tracks
        envelope[start:stop] += weight[:, None] * (tracks.log_envelope[rows] + np.float32(segment.log_level))
        aperiodicity_db[start:stop] += weight[:, None] * tracks.aperiodicity_db[rows]
        voicing[start:stop] += weight * (tracks.f0_hz[rows] > 0)
        total[start:stop] += weight
    sounding = total > 0
    scale = np.float32(1) / np.maximum(total, np.float32(1e-6))
    envelope *= scale[:, None]
    envelope += loudness_shape(segments, frames)[:, None]
    envelope[~sounding] = SILENCE_LOG_POWER
    aperiodicity_db *= scale[:, None]
    return envelope, aperiodicity_db, sounding & (voicing * scale >= 0.5)


def _weights(start: int, stop: int) -> SmallArray:
    """Return (stop - start,) weights that rise and fall over CROSSFADE_FRAMES."""
    ramp = np.arange(1, stop - start + 1)
    return np.minimum(1.0, np.minimum(ramp, ramp[::-1]) / (CROSSFADE_FRAMES + 1)).astype(np.float32)


def loudness_shape(segments: list[Segment], frames: int) -> SmallArray:
    """Return (frames,) nepers of power: notes after which there is a rest fade out, and attacks after rests fade in."""
    shape = np.zeros(frames, dtype=np.float32)
    positions = np.arange(frames)
    for index, segment in enumerate(segments):
        following = segments[index + 1].start if index + 1 < len(segments) else frames
        if following - segment.stop > CROSSFADE_FRAMES or index + 1 == len(segments):
            fading = (positions >= segment.stop - FADE_FRAMES) & (positions < following)
            depth = (positions - segment.stop + FADE_FRAMES) / (2 * FADE_FRAMES)
            shape -= np.where(fading, 14 * np.clip(depth, 0, 2) ** 1.5, 0.0).astype(np.float32)
        earlier = segments[index - 1].stop if index else 0
        if segment.start - earlier > CROSSFADE_FRAMES or index == 0:
            rising = (positions >= segment.start - CROSSFADE_FRAMES) & (positions < segment.start + 6)
            height = (segment.start + 6 - positions) / 12
            shape -= np.where(rising, 6 * np.clip(height, 0, 1) ** 2, 0.0).astype(np.float32)
    return shape


def bend_timbre(envelope: SmallArray, timbre: Timbre) -> SmallArray:
    """Return the log envelope (frames, bins) with its frequency axis scaled and its slope changed."""
    bins = np.arange(ENVELOPE_BINS)
    read = np.minimum(bins / timbre.scale, ENVELOPE_BINS - 1.001)
    low = read.astype(int)
    part = (read - low).astype(np.float32)
    octaves = np.log2(np.maximum(bins, 8) * VOICE_RATE_HZ / (2 * (ENVELOPE_BINS - 1)) / 500)
    tilt = (timbre.tilt_db_octave * octaves * np.log(10) / 10).astype(np.float32)
    bent: SmallArray = envelope[:, low] * (1 - part) + envelope[:, low + 1] * part + tilt
    return bent


def add_at(output: SmallArray, audio: SmallArray, start_seconds: float) -> None:
    """Add `audio` into `output`, both (samples,), from `start_seconds`; what is past the end is cut."""
    start = round(start_seconds * SAMPLE_RATE_HZ)
    count = min(len(audio), len(output) - start)
    if count > 0:
        output[start : start + count] += audio[:count]


def add_breath(output: SmallArray, after_seconds: float, before_seconds: float, rng: np.random.Generator) -> None:
    """Add a breath in the rest that ends at `before_seconds`, where the rest is long enough."""
    rest = before_seconds - after_seconds - 0.2
    if rest < 0.2:
        return
    length = int(min(rest, rng.uniform(0.18, 0.4)) * SAMPLE_RATE_HZ)
    spectrum = np.fft.rfft(rng.normal(0, 1, length))
    frequencies_hz = np.fft.rfftfreq(length, 1 / SAMPLE_RATE_HZ)
    centre_hz = rng.uniform(1_200, 2_500)
    shape = np.exp(-0.5 * (np.log2(np.maximum(frequencies_hz, 20) / centre_hz) / 0.9) ** 2)
    noise = np.fft.irfft(spectrum * shape, length)
    swell = np.sin(np.pi * np.linspace(0, 1, length) ** 0.7) ** 2
    level = float(np.sqrt(np.mean(output**2)) + 1e-9) or 0.05
    gain = max(level, 0.01) * 10 ** (rng.uniform(-24, -8) / 20) / (np.std(noise) + 1e-9)
    add_at(output, (noise * swell * gain).astype(np.float32), before_seconds - 0.15 - length / SAMPLE_RATE_HZ)


def finish_vocal(dry: Audio, rng: np.random.Generator) -> Audio:
    """Return the vocal as a listener or a producer would have it: (2, samples), with room, noise and a level."""
    chain = random_equaliser(rng, 4.0) if rng.random() < 0.7 else []
    if rng.random() < 0.5:
        chain.append(random_compressor(rng))
    wide = rng.random() < 0.4
    if rng.random() < 0.6:
        chain.append(random_reverb(rng, 0.3))
    stereo = np.repeat(set_loudness(dry, -20.0), 2, axis=0)
    wet = apply_chain(stereo, chain)
    if not wide:
        wet = np.repeat(wet.mean(axis=0, keepdims=True), 2, axis=0)
    if rng.random() < 0.35:
        wet = wet + background_noise(wet.shape[1], rng)
    return set_loudness(wet.astype(np.float32), float(rng.uniform(-30, -14)))


def background_noise(samples: int, rng: np.random.Generator) -> SmallArray:
    """Return (1, samples) of room noise, -60 to -35 dB, its slope between white and brown."""
    period = 1 << 17
    frequencies = np.fft.rfftfreq(period)
    slope = rng.uniform(0.0, 1.0)
    shape = np.maximum(frequencies, 1e-3) ** -slope
    noise = np.fft.irfft(np.fft.rfft(rng.normal(0, 1, period)) * shape, period)
    noise *= 10 ** (rng.uniform(-60, -35) / 20) / np.std(noise)
    return np.tile(noise, samples // period + 1)[None, :samples].astype(np.float32)
