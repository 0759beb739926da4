"""Plays the DAW's part: one transport snapshot and one block of vocal after the other, in time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from bridge.clock import Clock
from bridge.hearing.packets import Audio, VocalPacket
from bridge.send.link import Link
from bridge.send.messages import ReplyCounter, ReplyCounts, most_samples, split, transport_datagram, vocal_datagram
from bridge.send.network import BadNetwork, NetworkStats
from bridge.transport.snapshot import TransportSnapshot

STREAM = 1
FAREWELLS = 3  # UDP may lose one "stopped"
PROGRESS_SECONDS = 0.1
REPLY_SECONDS = 0.2  # how long to listen for what is still on its way back


@dataclass(frozen=True, slots=True)
class PlayedBlock:
    """One block of the host's.

    Attributes:
        snapshot: the transport at its first sample; its sequence number is not used.
        samples: its length at the host's rate.
        loop: first sample of the host's loop and first sample after it, if it loops.
    """

    snapshot: TransportSnapshot
    samples: int
    loop: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class PlacedVocal:
    """A vocal on the host's timeline.

    Attributes:
        audio: (channels, samples) float32 at the host's rate.
        host_sample: place of its first sample.
    """

    audio: Audio
    host_sample: int

    @property
    def end_sample(self) -> int:
        """Place after its last sample."""
        return self.host_sample + self.audio.shape[1]

    def at(self, host_sample: int, samples: int) -> Audio:
        """Return (channels, samples) from `host_sample` on; silence beyond the vocal's ends."""
        start = host_sample - self.host_sample
        first, last = max(start, 0), min(start + samples, self.audio.shape[1])
        if first >= last:
            return np.zeros((self.audio.shape[0], samples), np.float32)
        return np.pad(self.audio[:, first:last], ((0, 0), (first - start, start + samples - last)))


@dataclass(frozen=True, slots=True)
class SendReport:
    """What was sent and what came of it.

    Attributes:
        snapshots: transport snapshots made.
        packets: vocal packets made.
        datagrams: datagrams that left, after the bad network.
        sent_bytes: their size together.
        host_seconds: how much of the host's time was played.
        late_blocks: blocks sent more than their own length too late.
        refused: datagrams that could not be sent or met a closed port.
        network: what the bad network did; None without one.
        replies: what came back.
        position: where the host is.
    """

    snapshots: int = 0
    packets: int = 0
    datagrams: int = 0
    sent_bytes: int = 0
    host_seconds: float = 0.0
    late_blocks: int = 0
    refused: int = 0
    network: NetworkStats | None = None
    replies: ReplyCounts = field(default_factory=ReplyCounts)
    position: TransportSnapshot | None = None


class Player:
    """Sends blocks over a link as their time comes.

    Attributes:
        report: what was sent so far.
    """

    def __init__(self, vocal: PlacedVocal, link: Link, clock: Clock, network: BadNetwork[bytes] | None = None) -> None:
        self.report = SendReport()
        self._vocal = vocal
        self._link = link
        self._clock = clock
        self._network = network
        self._replies = ReplyCounter()

    def play(
        self, blocks: Iterable[PlayedBlock], speed: float = 1.0, progress: Callable[[SendReport], None] | None = None
    ) -> SendReport:
        """Send `blocks`, `speed` times as fast as they sound, then "stopped", and return what came of it.

        "Stopped" is sent however it ends, an interrupt included.
        """
        start = shown = self._clock.now()
        try:
            for block in blocks:
                due = start + self.report.host_seconds / speed
                self._clock.sleep(due - self._clock.now())
                self._send_block(block, self._clock.now() - due, speed)
                if progress is not None and self._clock.now() - shown >= PROGRESS_SECONDS:
                    shown = self._clock.now()
                    progress(self.report)
            self._clock.sleep(start + self.report.host_seconds / speed - self._clock.now())
        finally:
            self._say_stopped()
        self._clock.sleep(REPLY_SECONDS)
        self._listen()
        return self.report

    def _send_block(self, block: PlayedBlock, late_seconds: float, speed: float) -> None:
        """Send a block's snapshot and, while the host plays, its vocal."""
        report = self.report
        seconds = block.samples / block.snapshot.rate_hz
        snapshot = replace(block.snapshot, sequence=report.snapshots)
        self._send(transport_datagram(snapshot))
        packets = 0
        if snapshot.playing:
            for packet in self._vocal_packets(block):
                self._send(vocal_datagram(packet))
                packets += 1
        self.report = replace(
            self.report,
            snapshots=report.snapshots + 1,
            packets=report.packets + packets,
            host_seconds=report.host_seconds + seconds,
            late_blocks=report.late_blocks + (late_seconds > seconds / speed),
            position=snapshot,
        )
        self._listen()

    def _vocal_packets(self, block: PlayedBlock) -> Iterator[VocalPacket]:
        """Yield a block's vocal, cut where the host's loop wraps and where a datagram is full."""
        sequence = self.report.packets
        for host_sample, samples in unlooped(block):
            audio = self._vocal.at(host_sample, samples)
            packet = VocalPacket(STREAM, sequence, host_sample, block.snapshot.rate_hz, audio)
            for part in split(packet, most_samples(audio.shape[0])):
                sequence += 1
                yield part

    def _send(self, datagram: bytes) -> None:
        """Send a datagram, through the bad network if there is one."""
        for sent in (datagram,) if self._network is None else self._network.passed(datagram):
            self._send_directly(sent)

    def _send_directly(self, datagram: bytes) -> None:
        self._link.send(datagram)
        report = self.report
        self.report = replace(report, datagrams=report.datagrams + 1, sent_bytes=report.sent_bytes + len(datagram))

    def _say_stopped(self) -> None:
        """Let out what the network still holds, then say that the host stands, past the network."""
        for datagram in self._network.rest() if self._network is not None else ():
            self._send_directly(datagram)
        last = self.report.position
        for _ in range(FAREWELLS if last is not None else 0):
            assert last is not None
            stopped = replace(last, playing=False, sequence=self.report.snapshots)
            self._send_directly(transport_datagram(stopped))
            self.report = replace(self.report, snapshots=self.report.snapshots + 1, position=stopped)
        self._listen()

    def _listen(self) -> None:
        """Count what came back."""
        for datagram in self._link.received():
            self._replies.take(datagram)
        network = None if self._network is None else self._network.stats
        self.report = replace(self.report, replies=self._replies.counts(), refused=self._link.refused, network=network)


def unlooped(block: PlayedBlock) -> Iterator[tuple[int, int]]:
    """Yield `(host_sample, samples)` of the stretches that a block plays, cut where the loop wraps."""
    position, left = block.snapshot.song_sample, block.samples
    while left:
        samples = left
        if block.loop is not None and block.loop[0] <= position < block.loop[1]:
            samples = min(left, block.loop[1] - position)
        yield position, samples
        left -= samples
        position += samples
        if block.loop is not None and position == block.loop[1]:
            position = block.loop[0]
