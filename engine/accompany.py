"""The composition: a vocal, a timeline and a wish in, accompaniment stems out, offline, for a song of any length."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from engine import codec
from engine.features import features_of
from engine.finish import as_made, finished
from engine.geometry import (
    ACCOMPANIMENT_CHANNELS,
    AUDIO_CHANNELS,
    LATENT_CHANNELS,
    STEMS,
    frames_covering,
)
from engine.harmoniser import Harmoniser
from engine.manifest import SamplingFacts
from engine.noise import latent_noise
from engine.planner import Chunk, plan_windows
from engine.sampler import Known
from engine.span import Span
from engine.timeline import Timeline
from engine.window import Heard, Model, Place, normalised, sample_window, window_conditions
from engine.wish import Kept, Wish

__all__ = ["Kept", "Timings", "Wish", "accompany", "take_latents"]

Array = NDArray[np.float32]
Progress = Callable[[str, float], None]

CROSSFADE_SAMPLES = 256


@dataclass(slots=True)
class Timings:
    """Seconds spent in each stage, added up over calls; `clock` gives seconds."""

    clock: Callable[[], float] = time.perf_counter
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time spent inside to stage `name`."""
        start = self.clock()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + self.clock() - start


def accompany(
    bundle: Model,
    vocal: Array,
    timeline: Timeline,
    wish: Wish,
    kept: Kept | None = None,
    progress: Progress | None = None,
    timings: Timings | None = None,
) -> dict[str, Array]:
    """Return the accompaniment of `vocal`.

    Args:
        bundle: the trained graphs.
        vocal: (2, samples) float32 in [-1, 1] at 44.1 kHz.
        timeline: the song's tempos and time signatures.
        wish: what is wanted.
        kept: stems of an earlier take, of the vocal's length, and what of them to make anew; None for a first take.
        progress: called with the stage (`encode`, `denoise`, `decode`) and the done share of it.
        timings: takes the seconds of each stage.

    Returns:
        Stem to (2, samples), as long as the vocal, for each wanted or kept stem. Kept audio that is not made anew
        comes back bit for bit; what is made anew fades in and out over 256 samples within its own range.

    Raises:
        ValueError: the vocal or a kept stem has a wrong shape, or a number in it is not finite.
    """
    _check_audio("vocal", vocal, vocal.shape[-1])
    samples = vocal.shape[-1]
    kept = (kept or Kept()).within(samples)
    for stem, audio in kept.stems.items():
        _check_audio(f"kept stem {stem!r}", audio, samples)
    tell = progress or _ignore
    timings = timings or Timings()
    new_stems = kept.new_stems(wish)
    chunks = _plan(samples, bundle.sampling, kept, new_stems) if new_stems else ()
    if not chunks:
        return dict(kept.stems)
    span = Span.around(chunks, codec.settling_frames(bundle))
    latents = _made(bundle, vocal, timeline, wish, kept, chunks, span, tell, timings)
    with timings.stage("decode"):
        count = span.samples_in(samples)
        made = latents[:, : frames_covering(count)]
        decoded = finished(bundle, made, count, wish.style, new_stems, lambda share: tell("decode", share))
    fresh = dict(zip(new_stems, decoded, strict=True))
    return {stem: _joined(stem, fresh, kept, span) for stem in STEMS if stem in fresh or stem in kept.stems}


def take_latents(bundle: Model, vocal: Array, timeline: Timeline, wish: Wish) -> Array:
    """Return the normalised latents (192, frames) of a first take, which `engine.finish.finished` decodes.

    The arguments are those of `accompany`.
    """
    samples = vocal.shape[-1]
    _check_audio("vocal", vocal, samples)
    chunks = _plan(samples, bundle.sampling, Kept(), STEMS)
    span = Span.around(chunks, codec.settling_frames(bundle))
    latents = _made(bundle, vocal, timeline, wish, Kept(), chunks, span, _ignore, Timings())
    return latents[:, : frames_covering(samples)]


def _made(
    bundle: Model,
    vocal: Array,
    timeline: Timeline,
    wish: Wish,
    kept: Kept,
    chunks: tuple[Chunk, ...],
    span: Span,
    tell: Progress,
    timings: Timings,
) -> Array:
    """Return the normalised latents (192, span frames) of all stems, made anew where `chunks` say."""
    samples, new_stems = vocal.shape[-1], kept.new_stems(wish)
    with timings.stage("encode"):
        heard = _hear(bundle, span.audio(vocal))
        wish = _harmonised(bundle.harmony, vocal, heard, span, timeline, wish)
        latents, mask = _kept_latents(bundle, kept, new_stems, wish.style, span)
        tell("encode", 1.0)
    with timings.stage("denoise"):
        for done, chunk in enumerate(chunks, start=1):
            window, new = span.columns(chunk.window), span.columns(chunk.new)
            known = Known(latents[:, window], mask[:, window])
            result = _sampled(bundle, heard.cut(window), timeline, wish, known, chunk, frames_covering(samples))
            latents[:, new] = result[:, chunk.new_in_window]
            mask[:, new] = True
            tell("denoise", done / len(chunks))
    return latents


def _plan(samples: int, sampling: SamplingFacts, kept: Kept, new_stems: tuple[str, ...]) -> tuple[Chunk, ...]:
    """Return the chunks that cover all frames to make anew: the kept range, or the song if a stem is all new."""
    total = frames_covering(samples)
    whole = any(stem not in kept.stems for stem in new_stems)
    start, end = (0, total) if whole else kept.frame_range
    lengths = sampling.window_frames, sampling.past_frames
    return plan_windows(total, *lengths, start, end, sampling.min_window_frames) if start < end else ()


def _hear(bundle: Model, vocal: Array) -> Heard:
    """Return what the conditions are made from, of the padded vocal."""
    encoded = codec.encode(bundle, vocal)
    return Heard(normalised(bundle, encoded.latents), encoded.pitch, encoded.curves)


def _harmonised(
    harmoniser: Harmoniser | None, vocal: Array, heard: Heard, span: Span, timeline: Timeline, wish: Wish
) -> Wish:
    """Return the wish with key and chords read off the vocal where the user names none.

    The whole vocal is read, whatever the span, so that a part made anew has the chords of the first take.
    """
    if harmoniser is None or wish.chords or not wish.listen_for_chords:
        return wish
    frames = frames_covering(vocal.shape[-1])
    heard_all = span.start == 0 and span.end >= frames
    pitch = heard.vocal_pitch[:, :frames] if heard_all else features_of(vocal).pitch
    harmony = harmoniser.harmonise(pitch, timeline, key=wish.key)
    return replace(wish, key=harmony.key, chords=harmony.chords) if harmony else wish


def _kept_latents(
    bundle: Model, kept: Kept, new_stems: tuple[str, ...], style: str | None, span: Span
) -> tuple[Array, NDArray[np.bool_]]:
    """Return the kept stems' normalised latents (192, frames) and the mask (stems, frames) of where they stay.

    A stem that is made anew in part is an earlier take's: it loses the tone, gain and width that were added to it, so
    that what goes on from it, and gets them again, is no louder.
    """
    latents = np.zeros((len(STEMS), LATENT_CHANNELS, span.frames), dtype=np.float32)
    mask = np.zeros((len(STEMS), span.frames), dtype=np.bool_)
    for stem, audio in kept.stems.items():
        row = STEMS.index(stem)
        known = span.audio(audio)
        made = as_made(known, bundle.sampling, stem, style) if stem in new_stems else known
        latents[row] = normalised(bundle, codec.encode(bundle, made).latents)
        mask[row] = True
        if stem in new_stems:
            mask[row, span.columns(slice(*kept.frame_range))] = False
    return latents.reshape(ACCOMPANIMENT_CHANNELS, span.frames), mask


def _sampled(
    bundle: Model, heard: Heard, timeline: Timeline, wish: Wish, known: Known, chunk: Chunk, song_frames: int
) -> Array:
    """Return the normalised latents (192, window frames) of one chunk's window."""
    conditions = window_conditions(heard, Place(chunk.window_start, timeline, song_frames), wish, known)
    noise = latent_noise(wish.seed, chunk.window_start, chunk.window_frames)
    return sample_window(bundle, conditions, noise, wish, known)


def _joined(stem: str, fresh: Mapping[str, Array], kept: Kept, span: Span) -> Array:
    """Return the audio of `stem`: the kept one, the fresh one, or the fresh range faded into the kept one."""
    if stem not in fresh:
        return kept.stems[stem]
    if stem not in kept.stems:
        return fresh[stem]
    joined = kept.stems[stem].copy()
    start, end = kept.sample_range
    share = _fades(end - start, fades_in=start > 0, fades_out=end < joined.shape[-1])
    new = fresh[stem][:, start - span.start_sample : end - span.start_sample]
    joined[:, start:end] = joined[:, start:end] * (1.0 - share) + new * share
    return joined


def _fades(samples: int, fades_in: bool, fades_out: bool) -> Array:
    """Return (samples,) shares of the new in a range: 1, but for straight ramps at the ends that fade."""
    share = np.ones(samples, dtype=np.float32)
    fade = min(CROSSFADE_SAMPLES, samples // 2)
    rise = np.arange(1, fade + 1, dtype=np.float32) / np.float32(fade + 1)
    if fades_in:
        share[:fade] = rise
    if fades_out:
        share[samples - fade :] = rise[::-1]
    return share


def _check_audio(name: str, audio: Array, samples: int) -> None:
    """Raise ValueError unless `audio` is (2, samples) float32, of at least one sample, and finite."""
    if audio.shape != (AUDIO_CHANNELS, samples) or samples < 1 or audio.dtype != np.float32:
        raise ValueError(
            f"{name} is {audio.dtype} of shape {audio.shape}, expected float32 of ({AUDIO_CHANNELS}, {max(samples, 1)})"
        )
    if not np.isfinite(audio).all():
        raise ValueError(f"{name} holds samples that are NaN or infinite; repair the recording")


def _ignore(stage: str, share: float) -> None:
    """Tell nobody."""
