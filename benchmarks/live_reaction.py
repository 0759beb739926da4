"""How soon something new is heard: `python -m benchmarks.live_reaction [--seconds 60]`; 1 if a floor does not hold.

The server plays in this process on a sound card, and a DAW in another process sings, always further on in the song, so
that nothing is known before it is sung. First a control (style, seed, arousal in turn) is sent at irregular times: how
long until the first chunk made with it is heard? Then for each sung note: how long from the sending of its first sample
until the first chunk is heard whose model saw that note? *Heard* is when the card plays the chunk's first own sample,
by the output's clock; the cross-fade into it begins 12 ms before.
"""

from __future__ import annotations

import argparse
import sys
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from random import Random
from typing import Final

import numpy as np

from benchmarks.live_clients import Daw, OscClient, long_vocal
from benchmarks.live_support import (
    HostShare,
    Watched,
    end_on_sigterm,
    quantiles_ms,
    say,
    serve_options,
    settings_words,
    sound_device,
    start_busy,
    takes_aside,
    until_moving,
)
from bridge.evaluation.onsets import onset_seconds
from bridge.evaluation.provenance import provenance
from bridge.live.quantum import Quantum
from bridge.live.status import ReactionTerms
from bridge.live.work import Delivery
from bridge.osc.contract import PREFIX
from bridge.osc.method import OscValue
from engine.features import LOOKAHEAD_SAMPLES
from engine.geometry import LATENT_HOP_SAMPLES, SAMPLE_RATE_HZ
from engine.styles import STYLES
from engine.wish import Wish

FLOOR_MS: Final = 600.0
EVERY_SECONDS: Final = 2.7
SETTLE_SECONDS: Final = 8.0
LAST_SECONDS: Final = 3.0
VOICED_RMS: Final = 0.01  # -40 dB of full scale
SHARES: Final = (0.5, 0.95, 1.0)
CONTROLS: Final = ("style", "seed", "arousal")


@dataclass(frozen=True, slots=True)
class Made:
    """A chunk; times of `perf_counter`.

    Attributes:
        roll: number of its roll.
        begun_seconds: when it was begun.
        done_seconds: when it was there.
        first_frame: its first frame.
        visible_end_frame: frame after the last of the vocal that the model saw.
        wish: what it was made for.
    """

    roll: int
    begun_seconds: float
    done_seconds: float
    first_frame: int
    visible_end_frame: int
    wish: Wish


@dataclass(frozen=True, slots=True)
class Entered:
    """When a roll was first played: written to the ring, and heard at its chunk's first own sample if that follows.

    Attributes:
        written_seconds: when.
        heard_seconds: when the first sample written is heard.
        position: where on the roll's timeline that sample lies.
    """

    written_seconds: float
    heard_seconds: float
    position: float


@dataclass(frozen=True, slots=True)
class Stimulus:
    """Something new.

    Attributes:
        sent_seconds: when it was sent.
        known_seconds: when all was sent that the model needs for it: of a note, its frame and the encoder's look-ahead.
        answers: whether a chunk was made with it.
    """

    sent_seconds: float
    known_seconds: float
    answers: Callable[[Made], bool]


class Watch:
    """What the generator's and the player's threads leave behind; each collection has one writer."""

    def __init__(self) -> None:
        self.made: list[Made] = []
        self.entered: dict[int, Entered] = {}
        self.server: Watched | None = None

    def delivered(self, delivery: Delivery) -> None:
        """Take note of a chunk."""
        now, chunk = time.perf_counter(), delivery.chunk
        if chunk.sampled:
            place, visible = chunk.plan.first_frame, chunk.visible_end_frame
            self.made.append(Made(delivery.roll.number, now - delivery.seconds, now, place, visible, chunk.score.wish))

    def played(self, quantum: Quantum, _position: float) -> None:
        """Take note of each roll that is played for the first time."""
        for voice in quantum.voices:
            if voice.roll not in self.entered:
                assert self.server is not None
                heard = self.server.session.out.next_sample_seconds()
                self.entered[voice.roll] = Entered(time.perf_counter(), heard, voice.start)


def reaction(stimulus: Stimulus, made: Sequence[Made], entered: dict[int, Entered]) -> ReactionTerms | None:
    """Return the time from a stimulus to the first chunk heard that was made with it, term by term; None without one.

    A chunk may be played from its first piece on, before all of it is there; `guard` is negative then.
    """
    for chunk in made:
        entry = entered.get(chunk.roll)
        if entry is None or chunk.done_seconds < stimulus.sent_seconds or not stimulus.answers(chunk):
            continue
        fade = max(chunk.first_frame * LATENT_HOP_SAMPLES - entry.position, 0.0) / SAMPLE_RATE_HZ
        return ReactionTerms(
            hearing=stimulus.known_seconds - stimulus.sent_seconds,
            waiting=chunk.begun_seconds - stimulus.known_seconds,
            making=chunk.done_seconds - chunk.begun_seconds,
            guard=entry.written_seconds - chunk.done_seconds,
            sounding=entry.heard_seconds - entry.written_seconds + fade,
        )
    return None


def notes_of(sent: Sequence[tuple[int, int, float]], onsets: Sequence[int]) -> Iterator[Stimulus]:
    """Yield the notes that begin at `onsets` (samples) as they were sent: (first sample, end, seconds) a packet."""
    firsts = [first for first, _, _ in sent]

    def sent_at(sample: int) -> float | None:
        at = bisect_right(firsts, sample) - 1
        return sent[at][2] if at >= 0 and sample < sent[at][1] else None

    for onset in onsets:
        frame = onset // LATENT_HOP_SAMPLES
        started, known = sent_at(onset), sent_at((frame + 1) * LATENT_HOP_SAMPLES + LOOKAHEAD_SAMPLES - 1)
        if started is not None and known is not None:
            yield Stimulus(started, known, partial(has_seen, frame))


def sung_onsets(seconds: float) -> list[int]:
    """Return where notes begin in what the DAW sings, in samples: attacks followed by a tenth of a second of voice."""
    audio = long_vocal(seconds).audio
    starts = np.round(onset_seconds(audio) * SAMPLE_RATE_HZ).astype(int)
    tenth = SAMPLE_RATE_HZ // 10
    return [int(at) for at in starts if at >= 0 and np.sqrt(np.mean(audio[:, at : at + tenth] ** 2)) > VOICED_RMS]


def send_controls(client: OscClient, seconds: float, chance: Random) -> list[Stimulus]:
    """Send a control each 2.7 s or so, another value each time, and return what was sent when."""
    stimuli: list[Stimulus] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        name = CONTROLS[len(stimuli) % len(CONTROLS)]
        value = control_value(name, len(stimuli))
        sent = time.perf_counter()
        client.send(f"{PREFIX}/control/{name}", value)
        stimuli.append(Stimulus(sent, sent, partial(has_control, name, value)))
        time.sleep(EVERY_SECONDS * chance.uniform(0.7, 1.3))
    time.sleep(LAST_SECONDS)
    return stimuli


def control_value(name: str, number: int) -> OscValue:
    """Return the `number`th value of a control, unlike the one before; what a float of 32 bits holds exactly."""
    if name == "style":
        return STYLES[number % len(STYLES)]
    return number + 1 if name == "seed" else (number % 64 + 1) / 128


def has_control(name: str, value: OscValue, chunk: Made) -> bool:
    """Return whether a chunk was made with a control at `value`."""
    return bool(getattr(chunk.wish, name) == value)


def has_seen(frame: int, chunk: Made) -> bool:
    """Return whether a chunk was made with the vocal of `frame` in view."""
    return chunk.visible_end_frame > frame


def table(reactions: Sequence[ReactionTerms | None], expected: ReactionTerms) -> str:
    """Return the terms' quantiles in milliseconds beside what the reporter says, as a table in markdown."""
    heard = [each for each in reactions if each is not None]
    rows = ["| term | p50 ms | p95 ms | longest ms | reporter ms |", "| --- | --- | --- | --- | --- |"]
    for name, value in {**asdict(expected), "total": expected.total}.items():
        measured = " | ".join(f"{ms:.1f}" for ms in quantiles_ms([getattr(each, name) for each in heard], SHARES))
        rows.append(f"| {name} | {measured} | {1e3 * value:.1f} |")
    return "\n".join(rows)


def faults(what: str, reactions: Sequence[ReactionTerms | None]) -> list[str]:
    """Return which floors do not hold; empty where all do."""
    heard = [each.total for each in reactions if each is not None]
    if not heard:
        return [f"{what}: nothing was heard of {len(reactions)}"]
    (p95,) = quantiles_ms(heard, (0.95,))
    found = []
    if p95 > FLOOR_MS:
        found.append(f"{what}: 95 of 100 are heard within {p95:.0f} ms; {FLOOR_MS:g} ms is wanted")
    if len(heard) < len(reactions):
        found.append(f"{what}: {len(reactions) - len(heard)} of {len(reactions)} were never heard")
    return found


def measure(seconds: float, device: str, busy_cores: int) -> list[str]:
    """Play, print what came of it, and return the faults."""
    watch, whole = Watch(), SETTLE_SECONDS + 2.0 * (seconds + LAST_SECONDS)
    with ExitStack() as stack:
        stack.enter_context(takes_aside())
        name = stack.enter_context(sound_device(device))
        for _ in range(busy_cores):
            stack.enter_context(start_busy())
        server = watch.server = Watched(serve_options(name, take="reaction"), say, watch.delivered, watch.played)
        server.open()
        stack.callback(server.close)
        daw = stack.enter_context(Daw(server.service.port, whole + 60.0))
        until_moving(server, daw)
        time.sleep(SETTLE_SECONDS)
        client = OscClient(server.service.port)
        stack.callback(client.close)
        controls = send_controls(client, seconds, Random(0))
        expected_of_controls = server.reporter.status("benchmark").reaction_control
        sung_from = time.perf_counter()
        time.sleep(seconds)
        sung_until = time.perf_counter()
        time.sleep(LAST_SECONDS)
        expected_of_notes = server.reporter.status("benchmark").reaction_vocal
        pace = server.session.generator.pace
        say(f"{settings_words(server)}; {pace.on_time} chunks on time, {pace.late} late, {pace.abandoned} abandoned")
    notes = [
        note for note in notes_of(list(daw.sent), sung_onsets(whole)) if sung_from <= note.sent_seconds < sung_until
    ]
    found = []
    for what, stimuli, expected in (
        ("controls", controls, expected_of_controls),
        ("sung notes", notes, expected_of_notes),
    ):
        reactions = [reaction(stimulus, watch.made, watch.entered) for stimulus in stimuli]
        say(f"\n{len(stimuli)} {what}:\n\n{table(reactions, expected)}")
        found += faults(what, reactions)
    return found


def main() -> int:
    """Measure, print, and return 1 where a floor does not hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live_reaction", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="for controls, and as long again for notes")
    parser.add_argument("--device", choices=("pulse", "null"), default="null")
    parser.add_argument("--busy-cores", type=int, default=0, help="programs that keep a core busy beside it")
    options = parser.parse_args()
    end_on_sigterm()
    host = HostShare()
    found = measure(options.seconds, options.device, options.busy_cores)
    say(f"\n{options.busy_cores} core(s) kept busy. {provenance().line} {host.words}")
    for fault in found:
        print(f"FAULT: {fault}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
