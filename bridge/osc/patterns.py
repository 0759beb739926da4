"""OSC 1.0 address patterns: `?` `*` `[a-z]` `[!a-z]` `{one,other}`, part by part between the slashes.

Braces may hold other forms, but not braces; the `//` of OSC 1.1 stands for itself.

Matched by hand in bounded time: a regular expression made of a client's pattern could be made to take for ever.
"""

from __future__ import annotations

from itertools import product

MAX_ALTERNATIVES = 16

_SPECIAL = frozenset("?*[]{}")

Token = str | tuple[bool, frozenset[str]]  # a character, "*" or "?" as themselves doubled, or a set with its sense
_STAR = "**"
_ANY = "??"


class AddressPattern:
    """A pattern, checked.

    Raises:
        ValueError: the pattern is not well formed or has too many alternatives.
    """

    def __init__(self, text: str) -> None:
        if not text.startswith("/"):
            raise ValueError(f"pattern {text!r} does not start with '/'")
        self.text = text
        self._is_plain = not _SPECIAL & set(text)
        self._alternatives = () if self._is_plain else _alternatives(text)

    def matches(self, address: str) -> bool:
        """Return whether the pattern matches the whole of `address`."""
        if self._is_plain:
            return address == self.text
        parts = address.split("/")
        return any(
            len(pattern) == len(parts) and all(map(_part_matches, pattern, parts)) for pattern in self._alternatives
        )


def is_pattern(address: str) -> bool:
    """Return whether `address` has any of a pattern's special characters."""
    return not _SPECIAL.isdisjoint(address)


def _alternatives(text: str) -> tuple[tuple[tuple[Token, ...], ...], ...]:
    """Return the pattern with its braces written out: alternatives of parts of tokens."""
    choices: list[list[str]] = []
    count, at = 1, 0
    while at < len(text):
        start = text.find("{", at)
        end = text.find("}", at)
        if start < 0:
            start = len(text)
        if 0 <= end < start or (end < 0 and start < len(text)):
            raise ValueError(f"pattern {text!r}: a brace without its other")
        choices.append([text[at:start]])
        if start == len(text):
            break
        inner = text[start + 1 : end]
        if "{" in inner:
            raise ValueError(
                f"pattern {text!r}: nested braces are not supported; write all alternatives in one pair, such as "
                "{drums,bass}, or send one message for each"
            )
        choices.append(inner.split(","))
        count *= len(choices[-1])
        if count > MAX_ALTERNATIVES:
            raise ValueError(f"pattern {text!r}: more than {MAX_ALTERNATIVES} alternatives")
        at = end + 1
    return tuple(
        tuple(tuple(_tokens(part, text)) for part in "".join(chosen).split("/")) for chosen in product(*choices)
    )


def _tokens(part: str, text: str) -> list[Token]:
    tokens: list[Token] = []
    at = 0
    while at < len(part):
        character = part[at]
        at += 1
        if character == "*":
            if not tokens or tokens[-1] != _STAR:
                tokens.append(_STAR)
        elif character == "?":
            tokens.append(_ANY)
        elif character == "[":
            end = part.find("]", at)
            if end < 0:
                raise ValueError(f"pattern {text!r}: '[' without ']'")
            tokens.append(_set(part[at:end], text))
            at = end + 1
        elif character == "]":
            raise ValueError(f"pattern {text!r}: ']' without '['")
        else:
            tokens.append(character)
    return tokens


def _set(inner: str, text: str) -> tuple[bool, frozenset[str]]:
    wanted = not inner.startswith("!")
    inner = inner if wanted else inner[1:]
    members: set[str] = set()
    at = 0
    while at < len(inner):
        if inner[at + 1 : at + 2] == "-" and at + 2 < len(inner):
            first, last = ord(inner[at]), ord(inner[at + 2])
            if last > 0x7F:
                raise ValueError(f"pattern {text!r}: a range beyond ASCII")
            members.update(map(chr, range(first, last + 1)))
            at += 3
        else:
            members.add(inner[at])
            at += 1
    return wanted, frozenset(members)


def _part_matches(tokens: tuple[Token, ...], part: str) -> bool:
    """Match with at most len(tokens) x len(part) steps: only the last star is ever tried again."""
    token, character = 0, 0
    star, after_star = -1, 0
    while character < len(part):
        if token < len(tokens) and tokens[token] == _STAR:
            star, after_star = token, character
            token += 1
        elif token < len(tokens) and _token_matches(tokens[token], part[character]):
            token += 1
            character += 1
        elif star >= 0:
            after_star += 1
            token, character = star + 1, after_star
        else:
            return False
    return all(rest == _STAR for rest in tokens[token:])


def _token_matches(token: Token, character: str) -> bool:
    if isinstance(token, tuple):
        wanted, members = token
        return (character in members) == wanted
    return token in (_ANY, character)
