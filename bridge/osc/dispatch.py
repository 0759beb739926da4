"""From a message to its handler and the reply; no socket, no thread, no clock."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bridge.errors import UserError
from bridge.osc.aliases import AliasTranslator
from bridge.osc.calls import Call, CommandError, Handler
from bridge.osc.contract import BUILT_IN, BY_ADDRESS, HANDLED, PREFIX
from bridge.osc.convert import convert, is_released_button, split_request_id, trailing_request_id
from bridge.osc.method import OscMethod, OscValue
from bridge.osc.patterns import AddressPattern, is_pattern
from bridge.osc.peers import ClientAddress
from bridge.osc.wire import MAX_ARGUMENTS, Message, encode, tag_of

DONE = f"{PREFIX}/done"
ERROR = f"{PREFIX}/error"

_INCOMING = {address: method for address, method in BY_ADDRESS.items() if method.direction == "in"}
_ALIASES = frozenset(address for address, method in _INCOMING.items() if method.alias_of)
_MAX_MESSAGE_BYTES = 600
_SIMPLE_TAGS: dict[type, str] = {float: "f", bool: "i"}  # what the simplest clients read, where the table says nothing


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one message.

    Attributes:
        replies: encoded messages for the sender.
        handled: commands that were carried out.
        errors: commands that were refused.
        is_foreign: the address is not ours at all, as much of what a stock configuration sends.
    """

    replies: tuple[bytes, ...] = ()
    handled: int = 0
    errors: int = 0
    is_foreign: bool = False


def check_coverage(handlers: Mapping[str, Handler]) -> None:
    """Refuse handlers that do not cover the table, or that are for nothing in it.

    Raises:
        ValueError: with the addresses.
    """
    missing = sorted(HANDLED - handlers.keys())
    unknown = sorted(handlers.keys() - HANDLED - _ALIASES)
    if missing or unknown:
        parts = [f"no handler for {', '.join(missing)}"] if missing else []
        parts += [f"handlers for addresses that are not in the contract: {', '.join(unknown)}"] if unknown else []
        raise ValueError("; ".join(parts) + " (bridge/osc/contract.py is the table)")


def request_id_of(message: Message) -> str | None:
    """Return what the client marked `message` with, if anything; the address need not be one of ours."""
    method = _INCOMING.get(message.address)
    return trailing_request_id(message.values) if method is None else split_request_id(method, message.values)[1]


def error_packet(address: str, request_id: str | None, code: str, message: str) -> bytes:
    """Return an encoded `/backline/error`."""
    request = () if request_id is None else (request_id,)
    text = message.replace("\x00", " ").encode("utf-8", "replace")
    if len(text) > _MAX_MESSAGE_BYTES:
        text = text[: _MAX_MESSAGE_BYTES - 3] + b"..."
    return encode(ERROR, (address, *request, code, text.decode("utf-8", "ignore")))


def done_packet(method: OscMethod, request_id: str | None, values: Sequence[OscValue]) -> bytes:
    """Return an encoded `/backline/done`, its values with the tags that the table gives them.

    Raises:
        TypeError: the handler returned values that do not fit the table or one message.
    """
    request = () if request_id is None else (request_id,)
    tags = [reply.type_tag for reply in method.replies]
    if tags == ["s"]:  # a list: one argument each
        tags *= max(1, len(values))
    sent = values[: MAX_ARGUMENTS - 1 - len(request)]
    try:
        tags += [_SIMPLE_TAGS.get(type(value)) or tag_of(value) for value in sent[len(tags) :]]
        return encode(DONE, (method.address, *request, *sent), "s" * (1 + len(request)) + "".join(tags[: len(sent)]))
    except ValueError as error:
        raise TypeError(f"carried out, but what its handler returned cannot be sent: {error}") from error


class Dispatcher:
    """Looks messages up in the table, converts and checks their arguments and calls the handlers.

    Args:
        handlers: one for each address of `contract.HANDLED`. One for an alias may be added, which then gets the alias
            as it was sent instead of its translation.
        built_in: those that the service answers itself.

    Attributes:
        last_failure: traceback of the last handler that failed in a way it should not, empty where none has.
    """

    def __init__(self, handlers: Mapping[str, Handler], built_in: Mapping[str, Handler]) -> None:
        check_coverage(handlers)
        if built_in.keys() != BUILT_IN:
            raise ValueError(f"the service must answer exactly {', '.join(sorted(BUILT_IN))}")
        self._handlers = {**handlers, **built_in}
        self._translator = AliasTranslator()
        self.last_failure = ""

    def handle(self, message: Message, client: ClientAddress, arrived_seconds: float) -> Outcome:
        """Carry out `message` and return what to tell its sender; never raises."""
        method = _INCOMING.get(message.address)
        if method is not None:
            return self._one(method, message, client, arrived_seconds)
        if is_pattern(message.address):
            return self._by_pattern(message, client, arrived_seconds)
        if not message.address.startswith(f"{PREFIX}/"):
            return Outcome(is_foreign=True)
        known = "is sent by Backline, not to it" if message.address in BY_ADDRESS else "is not in the contract"
        text = f"{message.address} {known}; OSCQuery lists all"
        return _refusal(message.address, request_id_of(message), "unknown_address", text)

    def _by_pattern(self, message: Message, client: ClientAddress, arrived_seconds: float) -> Outcome:
        """Carry a message out for each address of ours that its pattern matches."""
        try:
            pattern = AddressPattern(message.address)
        except ValueError as error:
            return _refusal(message.address, request_id_of(message), "bad_pattern", str(error))
        methods = [m for a, m in _INCOMING.items() if a.startswith(PREFIX) and pattern.matches(a)]
        if not methods:
            text = f"{message.address} matches no address in the contract"
            return _refusal(message.address, request_id_of(message), "unknown_address", text)
        outcomes = [self._one(method, message, client, arrived_seconds) for method in methods]
        return Outcome(
            tuple(reply for outcome in outcomes for reply in outcome.replies),
            sum(outcome.handled for outcome in outcomes),
            sum(outcome.errors for outcome in outcomes),
        )

    def _one(self, method: OscMethod, message: Message, client: ClientAddress, arrived_seconds: float) -> Outcome:
        values, request_id = split_request_id(method, message.values)
        try:
            result: Sequence[OscValue] = ()
            if not is_released_button(method, values):
                result = self._call(
                    method, Call(method.address, convert(method, values), client, request_id, arrived_seconds)
                )
            if method.streamed and request_id is None:
                return Outcome(handled=1)
            return Outcome((done_packet(method, request_id, result),), handled=1)
        except CommandError as error:
            return _refusal(method.address, request_id, error.code, error.message)
        except (ValueError, UserError) as error:
            return _refusal(method.address, request_id, "refused", str(error))
        except Exception as error:  # whatever a handler does, the next message must be heard
            self.last_failure = traceback.format_exc()
            text = f"{type(error).__name__}: {error}; this is a fault of Backline, please report it"
            return _refusal(method.address, request_id, "internal", text)

    def _call(self, method: OscMethod, call: Call) -> Sequence[OscValue]:
        handler = self._handlers.get(method.address)
        if handler is not None:
            if not method.streamed:
                self._translator.observe(call.address, call.arguments, call.arrived_seconds)
            return handler(call)
        result: Sequence[OscValue] = ()
        for address, arguments in self._translator.translate(call.address, call.arguments, call.arrived_seconds):
            meant = Call(
                address,
                convert(BY_ADDRESS[address], list(arguments.values())),
                call.client,
                call.request_id,
                call.arrived_seconds,
            )
            self._translator.observe(address, meant.arguments, call.arrived_seconds)
            result = self._handlers[address](meant)
        return result


def _refusal(address: str, request_id: str | None, code: str, message: str) -> Outcome:
    return Outcome((error_packet(address, request_id, code, message),), errors=1)
