"""What a DAW sends, as datagrams of the OSC contract, and what comes back, as counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from bridge.hearing.packets import PcmFormat, VocalPacket, encode_pcm
from bridge.osc.contract import BY_ADDRESS, MAX_BLOB_BYTES, PREFIX
from bridge.osc.wire import Message, WireError, decode, encode
from bridge.transport.snapshot import TransportSnapshot

TRANSPORT_ADDRESS = f"{PREFIX}/transport"
VOCAL_ADDRESS = f"{PREFIX}/vocal"
ERROR_ADDRESS = f"{PREFIX}/error"

_SAMPLE_BYTES: dict[PcmFormat, int] = {"f32": 4, "i16": 2}
_MOST_KINDS = 64
_SIGN_BIT = 1 << 31


def transport_datagram(snapshot: TransportSnapshot) -> bytes:
    """Return `snapshot` as a datagram."""
    values = (
        int(snapshot.playing),
        snapshot.song_sample,
        snapshot.rate_hz,
        snapshot.ppq,
        snapshot.bpm,
        snapshot.numerator,
        snapshot.denominator,
        int(snapshot.loop_on),
        snapshot.loop_start_ppq,
        snapshot.loop_end_ppq,
        as_int32(snapshot.sequence),
    )
    return encode(TRANSPORT_ADDRESS, values, BY_ADDRESS[TRANSPORT_ADDRESS].type_tags)


def vocal_datagram(packet: VocalPacket, pcm_format: PcmFormat = "f32") -> bytes:
    """Return `packet` as a datagram.

    Raises:
        ValueError: it holds more than one datagram may; see `most_samples`.
    """
    channels, length = packet.samples.shape
    if length > most_samples(channels, pcm_format):
        raise ValueError(
            f"vocal packet of {length} samples; at most {most_samples(channels, pcm_format)} of {channels} channels "
            f"as {pcm_format} go into a datagram: split it"
        )
    values = (
        packet.stream,
        as_int32(packet.sequence),
        packet.host_sample,
        packet.rate_hz,
        channels,
        pcm_format,
        encode_pcm(packet.samples, pcm_format),
    )
    return encode(VOCAL_ADDRESS, values, BY_ADDRESS[VOCAL_ADDRESS].type_tags)


def most_samples(channels: int, pcm_format: PcmFormat = "f32") -> int:
    """Return the most samples that one vocal datagram may hold."""
    return MAX_BLOB_BYTES // (channels * _SAMPLE_BYTES[pcm_format])


def as_int32(number: int) -> int:
    """Return `number` modulo 2**32 as OSC's signed 32 bits."""
    return (number + _SIGN_BIT) % (2 * _SIGN_BIT) - _SIGN_BIT


@dataclass(frozen=True, slots=True)
class ReplyCounts:
    """What came back.

    Attributes:
        messages: `(address, count)` of everything but errors, the most frequent first.
        errors: `(text, count)`, the most frequent first; the text is code and message.
        unreadable: datagrams that are no OSC.
    """

    messages: tuple[tuple[str, int], ...] = ()
    errors: tuple[tuple[str, int], ...] = ()
    unreadable: int = 0

    @property
    def error_count(self) -> int:
        """How many errors came back."""
        return sum(count for _, count in self.errors)


class ReplyCounter:
    """Counts replies by what they say; bounded, whatever comes."""

    def __init__(self) -> None:
        self._messages: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._unreadable = 0

    def take(self, datagram: bytes) -> None:
        """Count what `datagram` holds."""
        try:
            for message in decode(datagram):
                self._count(message)
        except WireError:
            self._unreadable += 1

    def counts(self) -> ReplyCounts:
        """Return what came so far."""
        return ReplyCounts(tuple(self._messages.most_common()), tuple(self._errors.most_common()), self._unreadable)

    def _count(self, message: Message) -> None:
        if message.address != ERROR_ADDRESS:
            _add(self._messages, message.address)
            return
        text = ": ".join(str(value) for value in message.values[-2:])
        _add(self._errors, text or "no reason given")


def _add(counter: Counter[str], text: str) -> None:
    """Count `text`, or that there are too many different ones to name."""
    counter[text if text in counter or len(counter) < _MOST_KINDS else "others"] += 1


def split(packet: VocalPacket, most: int) -> Iterator[VocalPacket]:
    """Yield `packet` in parts of at most `most` samples, counted from its own sequence number on."""
    for i, start in enumerate(range(0, packet.samples.shape[1], most)):
        yield VocalPacket(
            packet.stream,
            packet.sequence + i,
            packet.host_sample + start,
            packet.rate_hz,
            packet.samples[:, start : start + most],
        )
