"""The terminal view and the line log: what they show, that it fits, and that they never disturb."""

from __future__ import annotations

import io
import threading
from dataclasses import replace

import pytest
from rich.console import Console

from bridge.clock import ManualClock
from bridge.hearing.ordering import VocalStats
from bridge.live.line_log import LineLog
from bridge.live.status import GeneratorStatus, LiveStatus, Meter, ReactionTerms, TransportStatus
from bridge.live.view import LiveView, TerminalView, render
from bridge.live.view_digits import STATES, large
from bridge.live.view_parts import bar, short_seconds
from bridge.live.view_trouble import Counts, RecentCounts, Severity, troubles
from bridge.sound.output import LatencyTerms, SoundFacts

TRANSPORT = TransportStatus("playing", True, 0.01, 32, 2.4, 133.2, 120.0, 4, 4, (128.0, 144.0))
GENERATOR = GeneratorStatus(
    812, 0, 1, 0.182, 0.231, 0.262, 16, 2, 2.0, 0.41, "cpu", "a3b4c5d6e7", "pop", "A minor", "F"
)
SOUND = SoundFacts("Card", 44_100, 256, "open", 0, 0, 0.052, LatencyTerms(0.052, 0.0, 0.006, 0.021, 0.079), 1.000012)
STATUS = LiveStatus(
    level="fresh",
    level_seconds={"fresh": 183.2, "backup": 1.4, "bar loop": 0.0, "silence": 0.0},
    repeats=0,
    clipped_samples=0,
    transport=TRANSPORT,
    generator=GENERATOR,
    sound=SOUND,
    vocal=VocalStats(packets=12_034, reordered=5),
    meters={"drums": Meter(-3.2, -14.0), "bass": Meter(-9.0, -16.5), "other": Meter(-14, -24), "mix": Meter(-1, -9)},
    muted=("other",),
    reaction_control=ReactionTerms(0.0, 0.05, 0.231, 0.015, 0.079),
    reaction_vocal=ReactionTerms(0.07, 0.186, 0.231, 0.015, 0.079),
    take="evening",
    events=((1.0, "started"), (60.0, "tempo 92 to 120"), (90.0, "backup for 0.7 s"), (120.0, "other muted")),
)
TROUBLED = replace(
    STATUS,
    level="silence",
    transport=replace(TRANSPORT, state="unknown", age_seconds=3.2),
    generator=replace(GENERATOR, late=7, p95_seconds=0.9),
    sound=replace(SOUND, state="lost", underruns=3),
)
FRESH = replace(
    STATUS,
    level="resting",
    level_seconds={},
    transport=TransportStatus("unknown", False, None, 0, 0.0, 0.0, 120.0, 4, 4, None),
    generator=GeneratorStatus(0, 0, 0, 0.0, 0.0, 0.0, 0, 2, 2.0, 0.0, "cpu", "", "", "", ""),
    vocal=VocalStats(),
    meters={},
    muted=(),
    take="",
    events=(),
)

NO_COUNTS = Counts()


def drawn(
    status: LiveStatus, width: int, height: int = 24, recent: Counts = NO_COUNTS, ascii_only: bool = False
) -> str:
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None)
    with console.capture() as capture:
        console.print(render(status, width, height, recent, ascii_only=ascii_only))
    return capture.get()


@pytest.mark.parametrize("status", [STATUS, TROUBLED, FRESH])
def test_it_fits_into_any_terminal(status: LiveStatus) -> None:
    crowded = replace(status, events=tuple((float(n), f"{n} " + "long " * 60) for n in range(100)))
    for width in (20, 60, 61, 80, 100, 143, 144, 200):
        for height in (5, 24, 28, 60):
            lines = drawn(crowded, width, height).splitlines()
            assert len(lines) <= height
            assert max(map(len, lines)) <= width


def test_all_that_was_asked_for_is_there_at_sixty_columns_and_twenty_four_rows() -> None:
    view = drawn(STATUS, 60)
    for words in (
        *("PLAYING", "120.0 bpm 4/4", "loop 128 to 144", "host 0.0 s ago", "drums", "bass", "other  MUTE", "mix"),
        *("fresh 183s", "backup 1.4s", "bar loop 0.0s", "silence 0.0", "p50 182 p95 231 of 743 ms", "begun 262 before"),
        *("on time 812", "late 0", "52 of 50 ms", "underruns 0", "12034 packets", "lost 0", "reordered 5"),
        *("79 ms = ring 52 + resampler 0 + block 6 + device 21", "control 375 ms", "note 581 ms", "F in A minor"),
        *("style pop", "all is well", "other muted"),
    ):
        assert words in view
    assert all(
        "note 581 ms  = hear 70 + wait 186 + make 231 + guard 15 + sound 79" in drawn(STATUS, n) for n in (94, 144)
    )


def test_bar_and_beat_are_counted_from_one_and_large() -> None:
    assert all(row in drawn(STATUS, 60) for row in large("33.3", "playing"))
    assert all(row in drawn(FRESH, 60) for row in large("-.-", "unknown"))


@pytest.mark.parametrize(
    ("beat_in_bar", "numerator", "denominator", "shown"),
    [(0.0, 4, 4, "1.1"), (3.999, 4, 4, "1.4"), (3.0, 7, 8, "1.7"), (3.4999, 7, 8, "1.7"), (3.5, 7, 8, "1.7")],
)
def test_beats_are_those_of_the_signature(beat_in_bar: float, numerator: int, denominator: int, shown: str) -> None:
    place = replace(TRANSPORT, bar=0, beat_in_bar=beat_in_bar, numerator=numerator, denominator=denominator)
    assert all(row in drawn(replace(STATUS, transport=place), 80) for row in large(shown, "playing"))


def test_each_digit_and_state_looks_different_and_has_one_width() -> None:
    digits = [large(digit) for digit in "0123456789"]
    assert len(set(digits)) == 10
    assert {len(row) for digit in digits for row in digit} == {6}
    assert len({large("1", state) for state in STATES}) == 3
    with pytest.raises(ValueError, match="'x' with state None cannot be drawn"):
        large("x")


def test_trouble_is_obvious_without_any_colour() -> None:
    rows = drawn(TROUBLED, 80).splitlines()
    assert "✗ SOUND DEVICE LOST" in rows[6]
    assert "SILENCE: nothing is ready" in rows[7]
    assert "HOST NOT HEARD for 3 s; playing on" in rows[7]


@pytest.mark.parametrize(
    ("status", "recent", "severity", "words"),
    [
        (replace(STATUS, level="backup"), Counts(), Severity.WARNING, "BACKUP plays"),
        (replace(STATUS, level="silence"), Counts(), Severity.BAD, "SILENCE"),
        (STATUS, Counts(underruns=1), Severity.BAD, "1 UNDERRUN in the last 10 s"),
        (STATUS, Counts(late=2), Severity.WARNING, "2 LATE CHUNKS"),
        (STATUS, Counts(lost_packets=3), Severity.WARNING, "VOCAL: 3 packets lost"),
        (STATUS, Counts(clipped_samples=4), Severity.WARNING, "CLIPPING: 4 samples"),
        (replace(STATUS, generator=replace(GENERATOR, p95_seconds=0.7)), Counts(), Severity.WARNING, "near its limit"),
        (replace(STATUS, generator=replace(GENERATOR, p95_seconds=0.8)), Counts(), Severity.BAD, "800 of 743 ms"),
        (replace(STATUS, sound=replace(SOUND, state="null")), Counts(), Severity.NOTE, "no sound device"),
        (replace(STATUS, vocal=VocalStats()), Counts(), Severity.NOTE, "no vocal has come yet"),
        (FRESH, Counts(), Severity.NOTE, "waiting for the host's transport"),
    ],
)
def test_each_trouble_has_its_words(status: LiveStatus, recent: Counts, severity: Severity, words: str) -> None:
    (found,) = troubles(status, recent)
    assert found.severity is severity
    assert words in found.words


def test_nothing_is_wrong_while_all_is_well_or_the_host_rests() -> None:
    assert troubles(STATUS, Counts()) == ()
    resting = replace(STATUS, level="silence", transport=replace(TRANSPORT, state="stopped", moving=False))
    assert troubles(resting, Counts()) == ()


def test_recent_counts_forget_after_ten_seconds_and_survive_a_restart() -> None:
    recent = RecentCounts()
    status = replace(STATUS, sound=replace(SOUND, underruns=5))
    assert recent.step(status, 0.0) == Counts()
    status = replace(STATUS, sound=replace(SOUND, underruns=6))
    assert recent.step(status, 1.0).underruns == 1
    assert recent.step(status, 10.9).underruns == 1
    assert recent.step(status, 11.1).underruns == 0
    assert recent.step(replace(STATUS, sound=replace(SOUND, underruns=2)), 12.0).underruns == 2


def test_bars_are_as_long_as_their_shares() -> None:
    def cells(solid: float, light: float, mark: float | None = None) -> str:
        return "".join(text for text, _ in bar(10, solid, light, mark, ""))

    assert cells(0.0, 0.0) == "··········"
    assert cells(0.5, 0.7) == "█████▒▒···"
    assert cells(1.0, 1.0) == "██████████"
    assert cells(0.2, 0.2, 0.5) == "██···┃····"
    assert cells(1.0, 1.0, 1.0) == "█████████┃"


def test_a_meter_shows_level_over_sixty_decibels() -> None:
    loud = replace(STATUS, meters={"drums": Meter(0.0, 0.0), "bass": Meter(-120, -120), "mix": Meter(-30.0, -30.0)})
    rows = drawn(loud, 86).splitlines()[8:12]
    assert [row.count("█") for row in rows] == [60, 0, 0, 30]
    assert "silent" in rows[1]


def test_a_terminal_without_other_letters_gets_ascii() -> None:
    assert drawn(TROUBLED, 80, ascii_only=True).isascii()
    assert len(drawn(TROUBLED, 80, ascii_only=True)) == len(drawn(TROUBLED, 80))


def test_durations_stay_short() -> None:
    assert [short_seconds(s) for s in (0.0, 9.94, 83.4, 599.0, 5400.0, 86_400.0)] == [
        *("0.0s", "9.9s", "83s", "599s", "90m", "24h"),
    ]


def test_the_terminal_is_left_as_it_was_and_never_cleared_between_frames() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=80, height=24, legacy_windows=False)
    view = TerminalView(console)
    view.open()
    opened = len(stream.getvalue())
    for frame in range(3):
        view.show(STATUS, float(frame))
    frames = stream.getvalue()[opened:]
    view.close()
    assert "\x1b[?1049h" in stream.getvalue()[:opened]
    assert stream.getvalue().rstrip().endswith("\x1b[?25h") or "\x1b[?1049l" in stream.getvalue()[opened:]
    assert frames.count("PLAYING") == 3
    assert "\x1b[2J" not in frames
    assert "\x1b[2K" not in frames


class Screen:
    """A display that counts."""

    def __init__(self) -> None:
        self.seen: list[float] = []
        self.state = "new"
        self.shown = threading.Semaphore(0)

    def open(self) -> None:
        self.state = "open"

    def show(self, status: LiveStatus, now_seconds: float) -> None:
        self.seen.append(now_seconds)
        self.shown.release()

    def close(self) -> None:
        self.state = "closed"


def test_the_live_view_shows_ten_pictures_a_second_and_one_at_the_end() -> None:
    clock, screen = ManualClock(), Screen()
    view = LiveView(clock, lambda: STATUS, screen)
    view.start()
    for _ in range(5):
        shown = False
        while not shown:  # the thread may not wait yet when the time moves
            clock.advance(0.02)
            shown = screen.shown.acquire(timeout=0.02)
    view.stop()
    assert screen.state == "closed"
    assert len(screen.seen) == 6
    assert all(later - earlier >= 0.1 - 1e-9 for earlier, later in zip(screen.seen[:4], screen.seen[1:5], strict=True))


def test_a_failing_view_is_counted_told_once_and_goes_on() -> None:
    told: list[str] = []

    def read() -> LiveStatus:
        raise RuntimeError("half made")

    view = LiveView(ManualClock(), read, Screen(), told.append)
    view.step()
    view.step()
    assert view.failures == 2
    assert told == ["the view failed: RuntimeError: half made"]


def test_the_log_writes_each_event_once_even_if_alike() -> None:
    lines: list[str] = []
    log = LineLog(lines.append, 100.0)
    log.show(replace(STATUS, events=((1.0, "located"), (1.0, "located"))), 101.0)
    log.show(replace(STATUS, events=((1.0, "located"), (1.0, "located"), (62.0, "two\nlines"))), 162.0 - 60.0)
    assert lines == ["0:00:01 located", "0:00:01 located", "0:01:02 two lines"]


def test_the_log_sums_up_every_ten_seconds_and_at_the_end() -> None:
    lines: list[str] = []
    log = LineLog(lines.append, 100.0)
    quiet = replace(STATUS, events=())
    for tenth in range(1, 301):
        log.show(quiet, 100.0 + tenth / 10)
    assert len(lines) == 3
    assert lines[0].startswith("0:00:10 playing bar 33, 120.0 bpm 4/4; fresh now (fresh 183 s, backup 1 s); chunks 812")
    log.close()
    assert lines[-1].startswith("at the end: playing bar 33")


def test_the_log_tells_of_losses_at_most_once_a_second_and_misses_none() -> None:
    lines: list[str] = []
    log = LineLog(lines.append, 0.0)
    for tenth in range(1, 26):
        lossy = replace(STATUS, events=(), sound=replace(SOUND, underruns=tenth))
        log.show(lossy, tenth / 10)
    assert lines == [
        "0:00:00 1 underruns (1 so far)",
        "0:00:01 10 underruns (11 so far)",
        "0:00:02 10 underruns (21 so far)",
    ]
