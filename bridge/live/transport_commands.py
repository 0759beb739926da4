"""What a client says of its transport and its vocal: the commands that come for every block."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bridge.hearing.packets import VocalPacket
from bridge.hearing.vocal_buffer import VocalBuffer
from bridge.live.command_values import number
from bridge.osc.calls import Call, CommandError, Handler
from bridge.osc.method import OscValue
from bridge.transport.host import HostTransport
from bridge.transport.snapshot import TransportSnapshot

Values = Sequence[OscValue]


class TransportCommands:
    """The handlers of transport and vocal.

    Args:
        host: the transport.
        vocal: where packets go.
        wake: called when the transport was told something that cannot wait.
    """

    def __init__(self, host: HostTransport, vocal: VocalBuffer, wake: Callable[[], None]) -> None:
        self._host, self._vocal, self._wake = host, vocal, wake

    def handlers(self) -> Mapping[str, Handler]:
        """Return the handlers by address, without its prefix."""
        return {
            "transport": self._transport,
            "tempo": lambda call: self._partial(self._host.set_tempo, call.arguments["bpm"], call),
            "time_signature": self._time_signature,
            "play": lambda call: self._partial(self._host.play, call),
            "stop": lambda call: self._partial(self._host.stop, call),
            "locate": lambda call: self._partial(self._host.locate, call.arguments["beat"], call),
            "loop": self._loop,
            "vocal": self._vocal_packet,
        }

    def _transport(self, call: Call) -> Values:
        given = call.arguments
        loop_on = bool(given["loop_on"]) and number(given["loop_end_ppq"]) > number(given["loop_start_ppq"])
        snapshot = TransportSnapshot(
            playing=bool(given["playing"]),
            song_sample=int(number(given["song_sample"])),
            rate_hz=int(number(given["rate"])),
            ppq=number(given["ppq"]),
            bpm=number(given["bpm"]),
            numerator=int(number(given["numerator"])),
            denominator=int(number(given["denominator"])),
            loop_on=loop_on,
            loop_start_ppq=number(given["loop_start_ppq"]),
            loop_end_ppq=number(given["loop_end_ppq"]),
            sequence=int(number(given["sequence"])),
        )
        self._host.observe(snapshot, call.arrived_seconds)
        return ()

    def _partial(self, change: Callable[..., None], *arguments: object) -> Values:
        """Carry out one part of the transport; the last of `arguments` is the call."""
        *values, call = arguments
        assert isinstance(call, Call)
        change(*values, call.arrived_seconds)
        self._wake()
        return ()

    def _time_signature(self, call: Call) -> Values:
        given = call.arguments
        return self._partial(self._host.set_time_signature, given["numerator"], given["denominator"], call)

    def _loop(self, call: Call) -> Values:
        given = call.arguments
        on = bool(given["on"])
        if on and not number(given["end_beat"]) > number(given["start_beat"]):
            raise CommandError("empty_loop", "the loop ends where it starts or before; send end_beat after start_beat")
        return self._partial(self._host.set_loop, on, given["start_beat"], given["end_beat"], call)

    def _vocal_packet(self, call: Call) -> Values:
        given = call.arguments
        if not self._host.now_view(call.arrived_seconds).moving:
            return ()  # what is sung while the song stands has no place in it
        names = ("stream", "sequence", "song_sample", "rate", "channels")
        stream, sequence, song_sample, rate_hz, channels = (int(number(given[name])) for name in names)
        blob = given["samples"]
        assert isinstance(blob, bytes)
        try:
            packet = VocalPacket.from_pcm(stream, sequence, song_sample, rate_hz, channels, str(given["format"]), blob)
        except ValueError as error:
            self._vocal.count_bad()
            raise CommandError("bad_vocal", str(error)) from error
        self._vocal.push(packet, call.arrived_seconds)
        return ()
