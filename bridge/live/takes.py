"""The user's takes, as a running session offers them: their names, and one bounce at a time beside the music."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from bridge import precedence
from bridge.errors import UserError
from bridge.live.take_bounce import TakeBounceOptions, TakeBundle, bounce_take
from bridge.live.take_store import find_take, take_names, takes_folder
from bridge.osc.calls import CommandError


class UserTakes:
    """Takes of the user's folder.

    Args:
        bundle: the bundle that is loaded.
        tell: told when a bounce ends, and how.
    """

    def __init__(self, bundle: TakeBundle, tell: Callable[[str], None]) -> None:
        self._bundle = bundle
        self._tell = tell
        self._bouncing = threading.Lock()

    def names(self) -> Sequence[str]:
        """Return their names, the newest first."""
        return tuple(reversed(take_names()))

    def bounce(self, name: str) -> str:
        """Begin to render the take called `name`, the newest if empty, into `bounces/` beside the takes.

        Returns:
            Its name.

        Raises:
            CommandError: there is none of that name, or another is being rendered.
        """
        try:
            take = find_take(name).name
        except UserError as error:
            raise CommandError("unknown_take", str(error)) from error
        if not self._bouncing.acquire(blocking=False):
            raise CommandError("busy", "a take is being rendered; ask again when it is done")
        threading.Thread(target=self._render, args=(take,), name="bounce", daemon=True).start()
        return take

    def _render(self, take: str) -> None:
        out = takes_folder().parent / "bounces" / take
        precedence.take_precedence(precedence.BOUNCE)
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            bounce_take(take, out, self._bundle, TakeBounceOptions(overwrite=True))
            self._tell(f"take {take} is in {out}")
        except (UserError, OSError) as error:
            self._tell(f"take {take} was not rendered: {error}")
        finally:
            self._bouncing.release()
