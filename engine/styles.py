"""The styles that the denoiser knows, in the order of its style embedding."""

STYLES = (
    "ballad",
    "pop",
    "rock",
    "funk",
    "electronic",
    "acoustic",
    "hip-hop",
    "jazz-swing",
    "bossa-nova",
    "waltz",
)


def style_index(name: str) -> int:
    """Return the index of style `name`.

    Raises:
        ValueError: the name is not a style; the message lists those that are.
    """
    if name not in STYLES:
        raise ValueError(f"style {name!r} is not known; expected one of: {', '.join(STYLES)}")
    return STYLES.index(name)
