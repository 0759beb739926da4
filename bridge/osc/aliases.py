"""What stock configurations of REAPER and DrivenByMoss send, put into commands of the contract.

Both report the position many times a second while the host rolls. Only a report that the tempo does not explain is a
jump and becomes a locate.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

from bridge.osc.calls import CommandError
from bridge.osc.contract import PREFIX
from bridge.osc.method import OscValue
from engine.timeline import DENOMINATORS, MAX_NUMERATOR

Command = tuple[str, dict[str, OscValue]]

JUMP_SECONDS = 0.25  # a report may lie this far off while the host rolls; network and screen refresh take up to 0.1
STILL_BEATS = 0.02  # and this far while it stands; positions come in hundredths of a beat
_BEAT_STRINGS_HOLD_SECONDS = 2.0  # a beat string says more than seconds do: seconds right after one are not used

_SIGNATURE = re.compile(r"\s{0,4}(\d{1,2})\s{0,4}/\s{0,4}(\d{1,2})\s{0,4}", re.ASCII)
_POSITION = re.compile(r"(-?\d{1,6})\.(\d{1,3})\.(?:(\d{1,3})\.)?(\d{1,3})", re.ASCII)


class AliasTranslator:
    """Follows tempo, time signature and position, as far as turning one notation into the other needs them."""

    def __init__(self) -> None:
        self._bpm: float | None = None
        self._signature = (4, 4)
        self._playing = False
        self._beat: float | None = None
        self._beat_seconds = 0.0
        self._beat_string_seconds: float | None = None

    def observe(self, address: str, arguments: Mapping[str, OscValue], now_seconds: float) -> None:
        """Take notice of a command of the contract, whoever sent it."""
        if address == f"{PREFIX}/tempo":
            self._move_on(now_seconds)
            self._bpm = cast("float", arguments["bpm"])
        elif address == f"{PREFIX}/time_signature":
            self._signature = (cast("int", arguments["numerator"]), cast("int", arguments["denominator"]))
        elif address in (f"{PREFIX}/play", f"{PREFIX}/stop"):
            self._move_on(now_seconds)
            self._playing = address.endswith("play")
        elif address == f"{PREFIX}/locate":
            self._beat, self._beat_seconds = cast("float", arguments["beat"]), now_seconds

    def translate(self, address: str, arguments: Mapping[str, OscValue], now_seconds: float) -> list[Command]:
        """Return the commands that the alias `address` means now; none where it changes nothing.

        Raises:
            CommandError: the text is no position or time signature, or seconds come before any tempo.
        """
        if address == "/tempo/raw":
            return [(f"{PREFIX}/tempo", {"bpm": arguments["bpm"]})]
        if address == "/time/signature":
            return [(f"{PREFIX}/time_signature", parse_signature(str(arguments["signature"])))]
        if address == "/beat/str":
            self._beat_string_seconds = now_seconds
            return self._report(parse_position(str(arguments["position"]), self._signature), now_seconds)
        if address == "/time":
            return self._time(cast("float", arguments["seconds"]), now_seconds)
        pressed = cast("float", arguments["on"]) >= 0.5
        if address == "/play" or pressed:
            plays = pressed and address != "/stop"
            return [(f"{PREFIX}/play" if plays else f"{PREFIX}/stop", {})]
        return []  # "not stopped" and "not recording" say nothing that /play does not say too

    def _time(self, seconds: float, now_seconds: float) -> list[Command]:
        heard = self._beat_string_seconds
        if heard is not None and now_seconds - heard < _BEAT_STRINGS_HOLD_SECONDS:
            return []
        if self._bpm is None:
            raise CommandError("no_tempo", "a position in seconds needs a tempo; send /tempo/raw or /backline/tempo")
        return self._report(seconds * self._bpm / 60.0, now_seconds)

    def _report(self, beat: float, now_seconds: float) -> list[Command]:
        expected = self._expected(now_seconds)
        allowed = JUMP_SECONDS * (self._bpm or 120.0) / 60.0 if self._playing else STILL_BEATS
        self._beat, self._beat_seconds = beat, now_seconds
        if expected is not None and abs(beat - expected) <= allowed:
            return []
        return [(f"{PREFIX}/locate", {"beat": beat})]

    def _move_on(self, now_seconds: float) -> None:
        self._beat, self._beat_seconds = self._expected(now_seconds), now_seconds

    def _expected(self, now_seconds: float) -> float | None:
        if self._beat is None or not self._playing or self._bpm is None:
            return self._beat
        return self._beat + (now_seconds - self._beat_seconds) * self._bpm / 60.0


def parse_signature(text: str) -> dict[str, OscValue]:
    """Return numerator and denominator of a text such as `4 / 4`.

    Raises:
        CommandError: it is no time signature.
    """
    match = _SIGNATURE.fullmatch(text)
    numerator, denominator = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= numerator <= MAX_NUMERATOR or denominator not in DENOMINATORS:
        raise CommandError("not_a_time_signature", f"signature {text!r} is no time signature; such as '4 / 4', '7/8'")
    return {"numerator": numerator, "denominator": denominator}


def parse_position(text: str, signature: tuple[int, int]) -> float:
    """Return the beat (quarter notes from 0) of `bar.beat.hundredths` or `bar.beat.sixteenth.hundredths`.

    Args:
        text: bars, beats and sixteenths count from 1; a beat here is what the time signature counts.
        signature: numerator and denominator, taken to hold from the song's start.

    Raises:
        CommandError: it is no position.
    """
    match = _POSITION.fullmatch(text.strip())
    if match is None:
        raise CommandError("not_a_position", f"position {text!r} is none; such as '12.3.50' (bar.beat.hundredths)")
    numerator, denominator = signature
    bar, beat, hundredths = int(match[1]), int(match[2]), int(match[4])
    bars_and_beats = ((bar - 1) * numerator + beat - 1) * 4.0 / denominator
    if match[3] is None:
        return bars_and_beats + hundredths / 100.0 * 4.0 / denominator
    return bars_and_beats + (int(match[3]) - 1 + hundredths / 100.0) / 4.0
