"""Bouncing a take: what was heard, rendered again to the bit from its log, written as stems and mix.

24-bit files hold the stems rounded, and the mix is their integer sum; 32-bit float files hold the very samples that
the player made, the mix those that the sound card got. Takes of hours pass through in pieces.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bridge.audio_files import FULL_SCALE_24_BIT, FileFormat, TrackWriter, file_sha256
from bridge.bounce import factory_bundle
from bridge.errors import UserError
from bridge.live.take_decoding import RollDecoder, TakeEnds, heard_mix, heard_stems
from bridge.live.take_index import Part, TakeIndex, read_index
from bridge.live.take_records import TakeHeader
from bridge.live.take_store import find_take
from bridge.output_folder import check_output, check_room, staged_folder
from bridge.rendering import MIX_TRACK, quantised
from bridge.resampling import StreamResampler
from bridge.sound.wave_file import GrowingWave
from engine.bundle import Bundle, BundleError
from engine.geometry import AUDIO_CHANNELS, SAMPLE_RATE_HZ, STEMS
from engine.runtime import GraphError
from engine.window import Model

Array = NDArray[np.float32]
Progress = Callable[[float], None]

REPORT_FILE = "bounced-take.json"
RATES_HZ = (44_100, 48_000, 88_200, 96_000)
WRITE_SAMPLES = 1 << 16
_HIGHEST = FULL_SCALE_24_BIT - 1


@dataclass(frozen=True, slots=True)
class TakeBundle:
    """A bundle that is loaded already, as a live session has it: `sha256` is of its `manifest.json`."""

    model: Model
    sha256: str


@dataclass(frozen=True, slots=True)
class TakeBounceOptions:
    """How a take is written.

    Attributes:
        file_format: of the files.
        rate_hz: their sample rate.
        floating: 32-bit float WAV at 44.1 kHz, to the bit, instead of 24 bit.
        mix_only: leave out the stems.
        part: which part, from 1, as `backline take show` numbers them; None for the whole take, rests too.
        overwrite: whether an earlier bounce in the folder may go.

    Raises:
        UserError: a value is out of range, or two of them do not go together.
    """

    file_format: FileFormat = "wav"
    rate_hz: int = SAMPLE_RATE_HZ
    floating: bool = False
    mix_only: bool = False
    part: int | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Check what goes together."""
        if self.rate_hz not in RATES_HZ:
            raise UserError(f"rate {self.rate_hz} Hz is not written; choose one of {', '.join(map(str, RATES_HZ))}")
        if self.floating and (self.file_format != "wav" or self.rate_hz != SAMPLE_RATE_HZ):
            raise UserError("32-bit float is what was heard, to the bit: WAV at 44100 Hz; leave out format and rate")


@dataclass(frozen=True, slots=True)
class TakeBounceReport:
    """What came out; `bounced-take.json` holds the same.

    Attributes:
        take: the take's name.
        samples: length of what was rendered, at 44.1 kHz.
        rate_hz: of the files.
        ended: why it ends before the music did; empty if it does not.
        differing: numbers of the chunks that did not come out the same to the bit; none is as it should be.
        clipped: how many samples of each track were beyond full scale and were cut off there.
        files: checksums by name.
    """

    take: str
    samples: int
    rate_hz: int
    ended: str
    differing: tuple[int, ...]
    clipped: dict[str, int]
    files: dict[str, str]

    @property
    def exact(self) -> bool:
        """Whether this is what was heard, all of it, to the bit."""
        return not self.ended and not self.differing


def bounce_take(
    name: str,
    out: Path,
    bundle: TakeBundle | Path | None = None,
    options: TakeBounceOptions | None = None,
    progress: Progress | None = None,
    provider: str | None = None,
    root: Path | None = None,
) -> TakeBounceReport:
    """Render the take called `name` into the folder `out`; for any thread.

    Args:
        name: the take's name; empty for the newest. It may still be played: what is written of it so far is rendered.
        out: folder to make.
        bundle: the bundle that played, loaded or as a folder; None for the factory's.
        options: how.
        progress: called with the share done, in [0, 1]; what it raises abandons the bounce and leaves no trace.
        provider: what runs the model, if it is loaded; None for what did then.
        root: where takes lie; None for the user's data.

    Raises:
        UserError: there is no such take, nothing was played, the bundle is another one, or nothing can be written.
    """
    wanted = options or TakeBounceOptions()
    index = read_index(find_take(name, root))
    part = chosen_part(index, wanted.part)
    _check_output(out, wanted.overwrite)
    check_room(out, _wanted_bytes(part, wanted))
    loaded = bundle if isinstance(bundle, TakeBundle) else open_take_bundle(index.header, bundle, provider)
    _check_bundle(index.header, loaded.sha256, "the one that is loaded")
    decoder = RollDecoder(loaded.model, index)
    with staged_folder(out) as folder:
        rendered = _Rendered(heard_stems(decoder, part))
        clipped = _write_files(_told(rendered, part, progress), wanted, folder)
        report = TakeBounceReport(
            take=index.folder.name,
            samples=rendered.samples,
            rate_hz=wanted.rate_hz,
            ended=rendered.ended or (index.ended if part.end_quantum == index.whole.end_quantum else ""),
            differing=tuple(decoder.differing),
            clipped=clipped,
            files={path.name: file_sha256(path) for path in sorted(folder.iterdir())},
        )
        _write_report(report, index, part, folder)
    return report


def chosen_part(index: TakeIndex, number: int | None) -> Part:
    """Return the part of that number, from 1; the whole for None.

    Raises:
        UserError: there is no such part, or nothing at all.
    """
    if number is not None and not 1 <= number <= len(index.parts):
        raise UserError(
            f"take {index.folder.name!r} has no part {number}; it has {len(index.parts)} (backline take show)"
        )
    part = index.whole if number is None else index.parts[number - 1]
    if part.samples == 0:
        why = f" ({index.ended})" if index.ended else ""
        raise UserError(f"take {index.folder.name!r} holds nothing that can be rendered{why}")
    return part


def open_take_bundle(header: TakeHeader, folder: Path | None, provider: str | None = None) -> TakeBundle:
    """Load the bundle in `folder`, the factory's for None, if it is the one that played, on what it ran on then.

    Raises:
        UserError: it is another one, or it cannot be loaded.
    """
    place = folder or factory_bundle()
    try:
        sha256 = file_sha256(place / "manifest.json")
        _check_bundle(header, sha256, str(place))
        return TakeBundle(Bundle.load(place, (provider or header.provider,), header.threads), sha256)
    except (BundleError, GraphError, ValueError) as error:
        raise UserError(str(error)) from error
    except OSError as error:
        reason = f"no bundle that can be read ({error.strerror})"
        raise UserError(f"{place}: {reason}; name the take's, {header.bundle!r}, with --bundle") from error


def _check_bundle(header: TakeHeader, sha256: str, where: str) -> None:
    if sha256 != header.bundle_sha256:
        raise UserError(
            f"{where}: is not the bundle that played this take ({header.bundle!r}, sha256 "
            f"{header.bundle_sha256[:12]}..., not {sha256[:12]}...); name that one with --bundle"
        )


def _check_output(out: Path, overwrite: bool) -> None:
    """Refuse a folder that cannot be made; an earlier bounce of a take may be replaced, as one of a vocal may."""
    if not (overwrite and (out / REPORT_FILE).is_file()):
        check_output(out, overwrite)


def _wanted_bytes(part: Part, options: TakeBounceOptions) -> int:
    files = 1 if options.mix_only else 1 + len(STEMS)
    sample_bytes = AUDIO_CHANNELS * (4 if options.floating else 3)
    return files * sample_bytes * part.samples * options.rate_hz // SAMPLE_RATE_HZ + 1_000_000


@dataclass(slots=True)
class _Rendered:
    """The stems of a take in larger pieces, up to where it can be rendered."""

    stems: Iterator[Array]
    samples: int = 0
    ended: str = ""

    def __iter__(self) -> Iterator[Array]:
        """Yield (stems, 2, samples)."""
        waiting: list[Array] = []
        try:
            for piece in self.stems:
                waiting.append(piece)
                self.samples += piece.shape[2]
                if sum(held.shape[2] for held in waiting) >= WRITE_SAMPLES:
                    yield np.concatenate(waiting, axis=2)
                    waiting = []
        except TakeEnds as end:
            self.ended = str(end)
        if waiting:
            yield np.concatenate(waiting, axis=2)


def _told(rendered: _Rendered, part: Part, progress: Progress | None) -> Iterator[Array]:
    for stems in rendered:
        yield stems
        if progress is not None:
            progress(min(1.0, rendered.samples / part.samples))


def _write_files(pieces: Iterable[Array], options: TakeBounceOptions, folder: Path) -> dict[str, int]:
    """Write the tracks into `folder`; return how many samples of each were beyond full scale."""
    if options.floating:
        return _write_floats(pieces, options, folder)
    names = _track_names(options)
    clipped = dict.fromkeys(names, 0)
    with ExitStack() as stack:
        writers = {
            name: stack.enter_context(TrackWriter(folder / f"{name}.{options.file_format}", options.rate_hz))
            for name in names
        }
        for stems in _resampled(pieces, options.rate_hz):
            integers = quantised(stems, 1.0)
            total = integers.sum(axis=0, dtype=np.int32)
            loud = np.abs(stems) > 1.0
            counts = {**{stem: int(loud[row].sum()) for row, stem in enumerate(STEMS)}, MIX_TRACK: _beyond(total)}
            mix = np.clip(total, -FULL_SCALE_24_BIT, _HIGHEST)
            tracks = {**dict(zip(STEMS, integers, strict=True)), MIX_TRACK: mix}
            for name, writer in writers.items():
                writer.write(tracks[name])
                clipped[name] += counts[name]
    return {name: count for name, count in clipped.items() if count}


def _write_floats(pieces: Iterable[Array], options: TakeBounceOptions, folder: Path) -> dict[str, int]:
    clipped = 0
    with ExitStack() as stack:
        waves = {name: GrowingWave(folder / f"{name}.wav", SAMPLE_RATE_HZ, "float32") for name in _track_names(options)}
        for wave in waves.values():
            stack.callback(wave.close)
        for stems in pieces:
            clipped += int((np.abs(stems.sum(axis=0)) > 1.0).sum())
            tracks = {**dict(zip(STEMS, stems, strict=True)), MIX_TRACK: heard_mix(stems)}
            for name, wave in waves.items():
                wave.append(tracks[name])
    return {MIX_TRACK: clipped} if clipped else {}


def _track_names(options: TakeBounceOptions) -> tuple[str, ...]:
    return (MIX_TRACK,) if options.mix_only else (*STEMS, MIX_TRACK)


def _beyond(total: NDArray[np.int32]) -> int:
    return int(((total < -FULL_SCALE_24_BIT) | (total > _HIGHEST)).sum())


def _resampled(pieces: Iterable[Array], rate_hz: int) -> Iterator[Array]:
    """Yield stems (stems, 2, samples) at another rate; as they are at 44.1 kHz."""
    channels = len(STEMS) * AUDIO_CHANNELS
    resampler = StreamResampler(SAMPLE_RATE_HZ, rate_hz, channels, "VHQ")
    for piece in pieces:
        yield resampler.step(piece.reshape(channels, -1)).reshape(len(STEMS), AUDIO_CHANNELS, -1)
    yield resampler.flush().reshape(len(STEMS), AUDIO_CHANNELS, -1)


def _write_report(report: TakeBounceReport, index: TakeIndex, part: Part, folder: Path) -> None:
    facts = {
        **asdict(report),
        "exact": report.exact,
        "song_position_samples": part.song_position,
        "start_in_take_samples": part.start_sample,
        "header": index.header.model_dump(mode="json"),
    }
    (folder / REPORT_FILE).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
