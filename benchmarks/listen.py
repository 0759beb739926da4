"""A page to hear a bundle: the demo vocal accompanied in every style, as sound, picture and figures.

`python -m benchmarks.listen --bundle presets/factory-bundle --out docs/listen` bounces the demo vocal once a style,
with the factory preset of that style where there is one, and writes Ogg files and pictures to the folder and the page
that shows them beside it. What was written by hand on the page stays.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.listen_figures import TakeFigures, take_figures
from benchmarks.listen_page import Shown, chords_by_bar, speaks_of, update_page
from benchmarks.listen_picture import write_take_picture
from benchmarks.vorbis import write_vorbis
from bridge.audio_files import file_sha256, read_stereo
from bridge.bounce import BounceSettings, bounce, open_bundle
from bridge.errors import UserError
from bridge.output_folder import staged_folder
from bridge.rendering import factor
from engine.features import features_of
from engine.geometry import SAMPLE_RATE_HZ, STEMS
from engine.harmony import ChordSpan
from engine.spectra import Array
from engine.styles import STYLES
from engine.timeline import Timeline
from presets.store import PLAIN, Preset, load_preset_file

FACTORY_BUNDLE = Path("presets") / "factory-bundle"
DEMO_VOCAL = Path("presets") / "demo" / "vocal.flac"
DEMO_BPM = 92.0
SIGNATURES = {"waltz": (3, 4)}
SEED = 0
HEARD_BEATS = 32.0  # the demo's verse: 20.9 s
FADE_SECONDS = 0.1
QUALITY = 0.0  # keeps twenty files and ten pictures below 4 MB
MOST_BYTES = 4_000_000


@dataclass(frozen=True, slots=True)
class Take:
    """One style's bounce, cut to what is listened to.

    Attributes:
        style: one of `engine.styles.STYLES`.
        preset: the preset's name, or nothing.
        timeline: of the bounce.
        bars: how many bars are heard.
        mix: (2, samples) vocal and stems with the preset's gains and effects.
        stems: stem to (2, samples), as the model gave them.
    """

    style: str
    preset: str
    timeline: Timeline
    bars: int
    mix: Array
    stems: Mapping[str, Array]


def factory_presets() -> dict[str, tuple[str, Preset]]:
    """Return the factory presets, name and content, by the style that they are for."""
    files = sorted((resources.files("presets") / "factory").iterdir(), key=lambda file: file.name)
    presets = [(file.name.removesuffix(".toml"), load_preset_file(file)) for file in files if file.name[-5:] == ".toml"]
    return {preset.style: (name, preset) for name, preset in reversed(presets) if preset.style}


def make_take(style: str, bundle: Path, vocal: Path) -> Take:
    """Bounce `vocal` in a style as `backline bounce` does, and return the bars that are listened to."""
    name, preset = factory_presets().get(style, ("", PLAIN))
    timeline = Timeline.constant(DEMO_BPM, *SIGNATURES.get(style, (4, 4)))
    bars = int(np.ceil(HEARD_BEATS / timeline.beats_per_bar_at(0.0)))
    with TemporaryDirectory() as made:
        settings = BounceSettings(
            vocal=vocal, out=Path(made) / style, timeline=timeline, preset=preset, preset_name=name or None,
            style=style, steps=preset.steps, guidance=preset.guidance, seed=SEED, dry=True, rate_hz=SAMPLE_RATE_HZ,
            bundle=bundle,
        )  # fmt: skip
        session = bounce(settings, lambda *_: None)
        mix = read_stereo(settings.out / "mix.wav", SAMPLE_RATE_HZ)
        as_given = np.float32(factor(-session.dry_gain_db))
        stems = {stem: as_given * read_stereo(settings.out / "dry" / f"{stem}.wav", SAMPLE_RATE_HZ) for stem in STEMS}
    samples = min(timeline.sample_at_bar(bars), mix.shape[1])
    cut = {stem: np.ascontiguousarray(audio[:, :samples]) for stem, audio in stems.items()}
    return Take(style, name, timeline, bars, np.ascontiguousarray(mix[:, :samples]), cut)


def write_take(take: Take, figures: TakeFigures, folder: Path) -> None:
    """Write both sounds of a take and its picture into `folder`."""
    accompaniment = take.stems["drums"] + take.stems["bass"] + take.stems["other"]
    for name, audio in (("mix", take.mix), ("accompaniment", accompaniment)):
        write_vorbis(folder / f"{take.style}-{name}.ogg", faded(audio), SAMPLE_RATE_HZ, QUALITY)
    chords = [heard.name for heard in figures.chords]
    write_take_picture(folder / f"{take.style}.png", take.style, take.stems, take.timeline, chords)


def faded(audio: Array) -> Array:
    """Return (2, samples) with its last 0.1 s faded out, and no sample above full scale."""
    fade = min(int(FADE_SECONDS * SAMPLE_RATE_HZ), audio.shape[1])
    gain = np.ones(audio.shape[1], np.float32)
    gain[audio.shape[1] - fade :] = np.linspace(1.0, 0.0, fade, dtype=np.float32)
    return audio * gain / np.float32(max(1.0, float(np.abs(audio).max(initial=0.0))))


class Listener:
    """Reads key and chords off the vocal as the engine does, for the page to say what the model was told."""

    def __init__(self, bundle: Path, vocal: Path) -> None:
        self._harmoniser = open_bundle(bundle, "cpu")[0].harmony
        self._pitch = features_of(read_stereo(vocal, SAMPLE_RATE_HZ)).pitch

    def chords(self, timeline: Timeline) -> tuple[ChordSpan, ...]:
        """Return the chords on `timeline`; none where the bundle cannot read them."""
        harmony = self._harmoniser.harmonise(self._pitch, timeline) if self._harmoniser else None
        return harmony.chords if harmony else ()


def make_page(bundle: Path, out: Path, vocal: Path, styles: tuple[str, ...] = STYLES) -> None:
    """Bounce, measure, and write the folder `out` and the page `out`.md beside it.

    Args:
        bundle: the bundle's folder.
        out: the folder for sounds and pictures; what this command wrote there before is replaced.
        vocal: the demo vocal, at 92 BPM from its first sample on.
        styles: which styles.

    Raises:
        UserError: the bundle or the vocal is wrong, the folder holds other files, or nothing can be written.
    """
    check_folder(out)
    listener, shown = Listener(bundle, vocal), {}
    with staged_folder(out) as folder:
        for style in styles:
            take = make_take(style, bundle, vocal)
            chords = listener.chords(take.timeline)
            figures = take_figures(take.stems, take.timeline, style, chords, take.bars)
            write_take(take, figures, folder)
            shown[style] = Shown(take.preset, figures, chords_by_bar(chords, take.timeline, take.bars))
            print(f"{style}: {figures.strokes_a_bar:.1f} strokes a bar, {figures.key.name}", file=sys.stderr)
        total = sum(path.stat().st_size for path in folder.iterdir())
        if total > MOST_BYTES:
            raise UserError(f"{out}: {total} bytes of sound and pictures, more than {MOST_BYTES}; lower QUALITY")
    page, digest = out.with_suffix(".md"), file_sha256(bundle / "manifest.json")[:10]
    update_page(page, shown, digest, HEARD_BEATS)
    print(f"{out}: {total / 1e6:.2f} MB; {page}", file=sys.stderr)
    if not speaks_of(page, digest):
        print(
            f"{page}: the part by hand is of another bundle than {digest}; listen, and write it anew", file=sys.stderr
        )


def check_folder(out: Path) -> None:
    """Refuse a folder that holds other than this command's files: it is replaced as a whole."""
    if out.is_file():
        raise UserError(f"{out}: is a file; name a folder with --out")
    foreign = [path.name for path in out.glob("*") if path.suffix not in (".ogg", ".png")]
    if foreign:
        raise UserError(f"{out}: holds {foreign[0]}, which is not of this page; name another folder with --out")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.listen", description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, default=FACTORY_BUNDLE, help="folder of the bundle")
    parser.add_argument("--out", type=Path, default=Path("docs") / "listen", help="folder of sounds and pictures")
    parser.add_argument("--vocal", type=Path, default=DEMO_VOCAL, help="another vocal of 92 BPM")
    options = parser.parse_args(arguments)
    try:
        make_page(options.bundle, options.out, options.vocal)
    except UserError as error:
        print(f"listen: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
