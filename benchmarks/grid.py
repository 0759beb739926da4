"""Where the sound lies against the host's grid: `python -m benchmarks.grid` (a clock of its own, some 500 bars).

The real transport, player, generator and lanes play a click on each beat for a simulated host that changes tempo in
steps and ramps, plays 3/4 and 7/8, locates, loops and stops. Each click is then compared with the host's own beat.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.click_band import ClickBand
from bridge.clock import ManualClock
from bridge.evaluation.provenance import provenance
from bridge.live.controls import Controls
from bridge.live.session import LiveSession
from bridge.live.work import Shape
from bridge.sound.null import NullOutput
from bridge.sound.output import Audio
from bridge.transport.simulation import HostScript, HostSimulator, ScriptAction, ScriptTempo
from bridge.transport.snapshot import TransportSnapshot
from engine.geometry import SAMPLE_RATE_HZ
from engine.wish import Wish

Array = NDArray[np.float32]

RING_SECONDS = 0.03
MAKING_SECONDS = 0.1
HEARD = 0.1


class Recording(NullOutput):
    """A null output that keeps what is written and when it is heard."""

    def __init__(self, clock: ManualClock) -> None:
        """Record on `clock`."""
        super().__init__(clock, ring_seconds=RING_SECONDS)
        self.blocks: list[tuple[float, Array]] = []

    def write(self, audio: Audio) -> None:
        """Keep (2, samples)."""
        self.blocks.append((self.next_sample_seconds(), audio[0].copy()))
        super().write(audio)


@dataclass(frozen=True, slots=True)
class Beat:
    """A beat of the host's: its number and when it comes."""

    beat: int
    seconds: float


@dataclass(frozen=True, slots=True)
class GridResult:
    """What came out.

    Attributes:
        bars: bars the host played.
        beats: the host's beats that were to be heard.
        errors: (beats found,) samples that each click was away from its beat.
        missing: beats without a click, where sound had begun.
        extra: clicks that belong to no beat.
    """

    bars: float
    beats: int
    errors: NDArray[np.float64]
    missing: tuple[Beat, ...]
    extra: int


def evening() -> HostScript:
    """Return the script: steps, ramps, 3/4, 7/8, locates, loops and stops over some 500 bars."""
    tempos = (
        ScriptTempo(0, 92),
        ScriptTempo(64, 120),
        ScriptTempo(128, 120, ramp=True),
        ScriptTempo(160, 90),
        ScriptTempo(256, 90, ramp=True),
        ScriptTempo(288, 140),
        ScriptTempo(448, 61.5),
        ScriptTempo(512, 173),
        ScriptTempo(1024, 100, ramp=True),
        ScriptTempo(1056, 104),
    )
    signatures = ((0.0, 4, 4), (192.0, 3, 4), (282.0, 7, 8), (380.0, 4, 4))
    actions = (
        ScriptAction(1.0, "play"),
        ScriptAction(200.0, "loop", 448.0, 456.0),
        ScriptAction(201.0, "locate", 450.0),
        ScriptAction(260.0, "loop_off"),
        ScriptAction(300.0, "stop"),
        ScriptAction(303.5, "locate", 8.0),
        ScriptAction(304.0, "play"),
        ScriptAction(340.0, "locate", 130.0),
        ScriptAction(420.0, "loop", 512.0, 515.5),
        ScriptAction(421.0, "locate", 513.0),
        ScriptAction(480.0, "loop_off"),
    )
    return HostScript(tempos, signatures, actions, rate_hz=SAMPLE_RATE_HZ, block_samples=256)


def run(script: HostScript, seconds: float) -> GridResult:
    """Play `script` for `seconds` and compare."""
    clock = ManualClock()
    out = Recording(clock)
    band = ClickBand(clock)
    session = LiveSession(clock, out, band, Controls(Wish()), Shape(8, 128), MAKING_SECONDS)
    out.open()
    host = HostSimulator(script)
    beats: list[Beat] = []
    bars = 0.0
    for block in host.blocks(round(seconds * script.rate_hz / script.block_samples)):
        clock.advance_to(block.seconds)
        session.host.observe(block.snapshot, block.seconds)
        beats += beats_in(host, block.snapshot, block.seconds)
        if block.snapshot.playing:
            length = 4 * block.snapshot.numerator / block.snapshot.denominator
            bars += block.snapshot.bpm / 60 * script.block_samples / script.rate_hz / length
        for _ in range(3):
            if session.generator.step() > 0:
                break
        while session.generator.step_backup() == 0.0:
            pass
        session.player.fill()
    return _compared(bars, beats, out.blocks)


def beats_in(host: HostSimulator, snapshot: TransportSnapshot, seconds: float) -> list[Beat]:
    """Return the beats that fall into one block of the host's."""
    if not snapshot.playing:
        return []
    loop = (snapshot.loop_start_ppq, snapshot.loop_end_ppq) if snapshot.loop_on else None
    found, sample, left, offset = [], snapshot.song_sample, host.script.block_samples, 0
    while left > 0:
        end = sample + left
        if loop is not None and sample < round(host.sample_at_beat(loop[1])) < end:
            end = round(host.sample_at_beat(loop[1]))
        beat = int(np.ceil(host.beat_at(sample) - 1e-4))
        while host.sample_at_beat(beat) < end - 0.5:
            at = float(host.sample_at_beat(beat)) - sample + offset
            found.append(Beat(beat, seconds + at / host.script.rate_hz))
            beat += 1
        left -= end - sample
        offset += end - sample
        sample = round(host.sample_at_beat(loop[0])) if loop is not None and left > 0 else end
    return found


def _compared(bars: float, beats: list[Beat], blocks: list[tuple[float, Array]]) -> GridResult:
    start = blocks[0][0]
    total = round((blocks[-1][0] - start) * SAMPLE_RATE_HZ) + len(blocks[-1][1])
    sound = np.zeros(total, np.float32)
    for seconds, audio in blocks:
        at = round((seconds - start) * SAMPLE_RATE_HZ)
        sound[at : at + len(audio)] = audio
    clicks = _click_positions(sound)
    wanted = np.array([(beat.seconds - start) * SAMPLE_RATE_HZ for beat in beats])
    errors, missing, used = [], [], set()
    for beat, position in zip(beats, wanted, strict=True):
        near = int(np.abs(clicks - position).argmin()) if len(clicks) else -1
        if near >= 0 and abs(clicks[near] - position) < 2_000:
            errors.append(clicks[near] - position)
            used.add(near)
        else:
            missing.append(beat)
    return GridResult(bars, len(beats), np.array(errors), tuple(missing), len(clicks) - len(used))


def _click_positions(sound: Array) -> NDArray[np.float64]:
    """Return where the clicks are: their highest sample."""
    above = np.flatnonzero(np.abs(sound) > HEARD)
    groups = np.split(above, np.flatnonzero(np.diff(above) > 64) + 1) if len(above) else []
    return np.array([group[np.abs(sound[group]).argmax()] for group in groups], dtype=np.float64)


def main() -> int:
    """Play the evening, print what came out, and return 1 if a beat is off its sample."""
    result = run(evening(), 1020.0)
    starts = [f"{beat.beat} at {beat.seconds:.2f} s" for beat in result.missing]
    largest = float(np.abs(result.errors).max())
    print(f"{result.bars:.0f} bars, {result.beats} beats")
    print(f"largest error {largest:.2f} samples, mean {result.errors.mean():.3f}")
    print(f"{result.extra} clicks more; within the output's latency after a start or locate: {', '.join(starts)}")
    print(provenance().line)
    return 0 if largest < 1.0 and result.extra == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
