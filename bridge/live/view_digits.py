"""Digits five rows high, so that bar and beat can be read from across a stage."""

from __future__ import annotations

from typing import Final

ROWS: Final = 5
_GAP: Final = " "
_GLYPHS: Final[dict[str, tuple[str, ...]]] = {
    "0": ("██████", "██  ██", "██  ██", "██  ██", "██████"),
    "1": ("  ██  ", "████  ", "  ██  ", "  ██  ", "██████"),
    "2": ("██████", "    ██", "██████", "██    ", "██████"),
    "3": ("██████", "    ██", " █████", "    ██", "██████"),
    "4": ("██  ██", "██  ██", "██████", "    ██", "    ██"),
    "5": ("██████", "██    ", "██████", "    ██", "██████"),
    "6": ("██████", "██    ", "██████", "██  ██", "██████"),
    "7": ("██████", "    ██", "    ██", "   ██ ", "   ██ "),
    "8": ("██████", "██  ██", "██████", "██  ██", "██████"),
    "9": ("██████", "██  ██", "██████", "    ██", "██████"),
    ".": ("  ", "  ", "  ", "  ", "██"),
    "-": ("    ", "    ", "████", "    ", "    "),
    " ": ("  ", "  ", "  ", "  ", "  "),
    "playing": ("██    ", "████  ", "██████", "████  ", "██    "),
    "stopped": ("      ", "██████", "██████", "██████", "      "),
    "unknown": ("██████", "    ██", "  ████", "      ", "  ██  "),
}
STATES: Final = ("playing", "stopped", "unknown")


def large(text: str, state: str | None = None) -> tuple[str, ...]:
    """Return `text` (digits, `.`, `-` and spaces) as five rows of one length, after the sign of a transport `state`.

    Raises:
        ValueError: a character has no glyph, or the state is none of `STATES`.
    """
    unknown = sorted(set(text) - set(_GLYPHS))
    if unknown or (state is not None and state not in STATES):
        raise ValueError(
            f"{text!r} with state {state!r} cannot be drawn; give digits, '.', '-', ' ' and one of {STATES}"
        )
    glyphs = [_GLYPHS[character] for character in text]
    if state is not None:
        glyphs = [_GLYPHS[state], _GLYPHS[" "], *glyphs]
    return tuple(_GAP.join(glyph[row] for glyph in glyphs) for row in range(ROWS))
