"""One line that shows where a training is: step, losses, time left; without a terminal a log line now and then."""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

LOG_EVERY_SECONDS = 30.0


def clock_text(seconds: float | None) -> str:
    """Return a duration as h:mm:ss, or `?` where it is not known yet."""
    if seconds is None:
        return "?"
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


class TrainingProgress:
    """A progress bar on a terminal; elsewhere a plain line every `LOG_EVERY_SECONDS`.

    Use as a context manager. `show=False` (other ranks of a distributed run, tests) prints nothing.
    """

    def __init__(self, title: str, *, show: bool = True, console: Console | None = None) -> None:
        """Prepare the line called `title`; nothing is printed before the context is entered."""
        self._title = title
        self._show = show
        self._console = console or Console(stderr=True)
        self._last_log_seconds = float("-inf")
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[status]}"))
        self._bar = Progress(*columns, console=self._console, disable=not (show and self._console.is_terminal))
        self._task = self._bar.add_task(title, total=1.0, status="starting")

    def __enter__(self) -> "TrainingProgress":
        """Begin to draw."""
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop drawing; the last state of the bar stays on the screen."""
        self._bar.stop()

    def update(self, fraction: float, step: int, seconds_left: float | None, figures: dict[str, float]) -> None:
        """Show that `fraction` of the budget is used after `step` steps, with named `figures` such as a loss."""
        shown = "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
        status = f"{100 * fraction:.1f} %  step {step}  {shown}  left {clock_text(seconds_left)}"
        self._bar.update(self._task, completed=fraction, status=status)
        now = time.monotonic()
        if self._show and not self._console.is_terminal and now - self._last_log_seconds >= LOG_EVERY_SECONDS:
            self._last_log_seconds = now
            self.note(status)

    def note(self, text: str) -> None:
        """Print a line of its own above the bar."""
        if self._show:
            self._console.print(f"{self._title}: {text}", highlight=False, soft_wrap=True)
            sys.stderr.flush()
