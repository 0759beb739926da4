"""The one error of the bridge that a user can mend."""

from __future__ import annotations


class UserError(Exception):
    """A call, a file or a device is wrong; the message is one line with what, why and the remedy."""


class UnsureError(UserError):
    """An estimate is too unsure to build on."""
