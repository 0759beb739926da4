"""The live view in the terminal: what a performer sees from two metres, and what an engineer reads from up close.

`render` is a pure function of a status. `LiveView` asks for the status ten times a second and shows it on a display:
here the terminal, in `bridge.live.line_log` lines for a service.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, Protocol

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from bridge.clock import Clock
from bridge.live import view_parts as parts
from bridge.live.status import LiveStatus, TransportStatus
from bridge.live.view_digits import STATES, large
from bridge.live.view_trouble import Counts, RecentCounts, Severity, troubles
from bridge.sound.output import RING_SECONDS

REFRESH_SECONDS: Final = 0.1
LEAST_COLUMNS: Final = 60
LEAST_ROWS: Final = 24
WIDE_COLUMNS: Final = 144
_BESIDE_COLUMNS: Final = 20  # what must be left beside the digits
_JOIN_SECONDS: Final = 2.0
_ROOMY_ROWS: Final = 28
_ASCII: Final = str.maketrans("█▒·┃✓✗●○×│", "#=.|vX*o||")
_NO_COUNTS: Final = Counts()


def render(
    status: LiveStatus,
    width: int,
    height: int = LEAST_ROWS,
    recent: Counts = _NO_COUNTS,
    ring_seconds: float = RING_SECONDS,
    ascii_only: bool = False,
) -> RenderableType:
    """Return the view of a status.

    Args:
        status: what to show.
        width: columns; fewer than 60 are cut.
        height: rows; fewer than 24 lose the last ones.
        recent: what went wrong within the last seconds.
        ring_seconds: the ring's wanted fill, where its bar is full.
        ascii_only: for a terminal that has no other letters.
    """
    found = troubles(status, recent)
    lines = [*_place(status, width, found[0].severity if found else Severity.GOOD), *parts.banner(found, width)]
    gap = [Text()] if height >= _ROOMY_ROWS else []
    rest = height - len(lines)
    if width >= WIDE_COLUMNS:
        left = width * 2 // 3
        facts = [*parts.meters(status, left), *gap, *_facts(status, left, ring_seconds)]
        lines += _beside(facts, parts.events(status, width - left - 3, rest), left)
    else:
        facts = [*parts.meters(status, width), *gap, *_facts(status, width, ring_seconds), *gap]
        lines += [*facts, *parts.events(status, width, rest - len(facts))]
    text = Text("\n", no_wrap=True, overflow="crop").join(lines[:height])
    if ascii_only:
        text.plain = text.plain.translate(_ASCII).encode("ascii", "replace").decode("ascii")
    return text


def _facts(status: LiveStatus, width: int, ring_seconds: float) -> list[Text]:
    return [
        parts.ladder(status, width),
        *parts.making(status, width),
        *parts.sound(status, width, ring_seconds),
        parts.reaction(status, width),
        parts.vocal(status, width),
        parts.music(status, width),
    ]


def _place(status: LiveStatus, width: int, severity: Severity) -> list[Text]:
    """Return five rows: the state's sign and bar.beat, large, and the rest of the transport beside them."""
    transport = status.transport
    bar_beat = f"{transport.bar + 1}.{_beat(transport) + 1}" if transport.age_seconds is not None else "-.-"
    state = transport.state if transport.state in STATES else "unknown"
    digits = large(bar_beat, state)
    if len(digits[0]) > width - _BESIDE_COLUMNS:
        digits = large(bar_beat)
    style = {Severity.WARNING: f"bold {parts.YELLOW}", Severity.BAD: f"bold {parts.VERMILLION}"}.get(severity, "bold")
    return [
        parts.cut([(row, style), ("  ", ""), *beside], width)
        for row, beside in zip(digits, _transport(status), strict=True)
    ]


def _transport(status: LiveStatus) -> list[list[parts.Part]]:
    """Return the five lines beside bar and beat."""
    transport = status.transport
    badge = f"{parts.BADGES[Severity.GOOD]} reverse" if transport.state == "playing" else "bold reverse"
    if transport.state == "unknown" and transport.age_seconds is not None:
        badge = parts.BADGES[Severity.BAD]
    moving = "" if transport.moving or transport.state != "playing" else " (still)"
    age = "no host yet" if transport.age_seconds is None else f"host {transport.age_seconds:.1f} s ago"
    loop = "no loop" if transport.loop is None else f"loop {transport.loop[0]:g} to {transport.loop[1]:g} b"
    return [
        [(f" {transport.state.upper()}{moving} ", badge)],
        [(f"{transport.bpm:.1f}", "bold"), (f" bpm {transport.numerator}/{transport.denominator}", "")],
        [(_dots(transport), "bold")],
        [(loop, "")],
        [(f"{parts.clock_words(transport.song_seconds)} {age}", parts.DIM)],
    ]


def _beat(transport: TransportStatus) -> int:
    """Return the beat of the bar from 0, counted in the signature's own notes."""
    return min(int(transport.beat_in_bar * transport.denominator / 4 + 1e-6), max(transport.numerator - 1, 0))


def _dots(transport: TransportStatus) -> str:
    """Return a dot for each beat of the bar, full where the song is."""
    if transport.numerator > 9:
        return f"beat {_beat(transport) + 1} of {transport.numerator}"
    return " ".join("●" if beat == _beat(transport) else "○" for beat in range(transport.numerator))


def _beside(left: list[Text], right: list[Text], columns: int) -> list[Text]:
    """Return the lines of two columns, the first one `columns` wide."""
    empty = Text()
    rows = []
    for row in range(max(len(left), len(right))):
        line = (left[row] if row < len(left) else empty).copy()
        line.pad_right(columns - line.cell_len)
        rows.append(Text.assemble(line, (" │ ", parts.DIM), right[row] if row < len(right) else empty))
    return rows


class Display(Protocol):
    """What shows a status."""

    def open(self) -> None:
        """Begin."""

    def show(self, status: LiveStatus, now_seconds: float) -> None:
        """Show `status`, which is of `now_seconds` of the clock."""

    def close(self) -> None:
        """End, and leave the terminal as it was."""


class TerminalView:
    """Shows the view on the terminal's alternate screen, each frame in one write, so that nothing flickers.

    Args:
        console: the terminal; None for standard output.
        ring_seconds: the ring's wanted fill.
    """

    def __init__(self, console: Console | None = None, ring_seconds: float = RING_SECONDS) -> None:
        self._console = console or Console()
        self._ring_seconds = ring_seconds
        self._recent = RecentCounts()
        self._live = Live(
            console=self._console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )

    def open(self) -> None:
        """Switch to the alternate screen."""
        self._live.start()

    def show(self, status: LiveStatus, now_seconds: float) -> None:
        """Draw a status over the one before."""
        width, height = self._console.size
        view = render(
            status,
            width,
            height,
            self._recent.step(status, now_seconds),
            self._ring_seconds,
            self._console.options.ascii_only,
        )
        self._live.update(view, refresh=True)

    def close(self) -> None:
        """Switch back."""
        self._live.stop()


class LiveView:
    """Shows on `display`, ten times a second and in a thread of its own, what `read_status` returns.

    What goes wrong in here must not touch the music: it is counted, told once for each new kind, and tried again.

    Args:
        clock: where time comes from.
        read_status: returns the status, quickly.
        display: shows it.
        on_trouble: told what went wrong.
        refresh_seconds: time between two pictures.

    Attributes:
        failures: how often showing failed.
    """

    def __init__(
        self,
        clock: Clock,
        read_status: Callable[[], LiveStatus],
        display: Display,
        on_trouble: Callable[[str], None] | None = None,
        refresh_seconds: float = REFRESH_SECONDS,
    ) -> None:
        self.failures = 0
        self._clock, self._read_status, self._display = clock, read_status, display
        self._on_trouble, self._refresh_seconds = on_trouble, refresh_seconds
        self._told = ""
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Open the display and begin."""
        self._display.open()
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="live-view", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End, show the last status once more, and close the display."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_JOIN_SECONDS)
            self._thread = None
            self.step()
            self._display.close()

    def step(self) -> None:
        """Show the status once."""
        try:
            self._display.show(self._read_status(), self._clock.now())
        except Exception as error:  # a broken pipe or a status half made ends neither the view nor the music
            self.failures += 1
            words = f"the view failed: {type(error).__name__}: {error}"
            if words != self._told and self._on_trouble is not None:
                self._told = words
                self._on_trouble(words)

    def _run(self) -> None:
        while not self._clock.wait(self._stop, self._refresh_seconds):
            self.step()
