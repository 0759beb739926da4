"""One sound card while it plays: its ring, its clock, its rate; all of it gone when the card is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from bridge.clock import Clock
from bridge.resampling import StreamResampler
from bridge.sound.card import CardSettings, PlayingCard
from bridge.sound.card_clock import CardClock
from bridge.sound.output import Audio, SoundError
from bridge.sound.pacer import Pacer
from bridge.sound.ring_player import RingPlayer
from engine.geometry import AUDIO_CHANNELS, SAMPLE_RATE_HZ

OpenCard: TypeAlias = Callable[[CardSettings, bool], PlayingCard]

START_SECONDS: Final = 6.0  # PulseAudio renders up to 2 s ahead while idle, and a card starts after that
LOOK_SECONDS: Final = 0.01
_STAMPS_TO_START: Final = 4
_STAMPS_OF_THE_FILLING: Final = 3  # while the driver fills its own buffer its stamps stand still


@dataclass(slots=True)
class Playing:
    """A card in use and what is known of it.

    Attributes:
        first_position: the 44.1 kHz position at which the player's positions begin.
        seen_blocks: how many blocks had begun when time was seen to move last.
        seen_seconds: when that was.
        seen_xruns: how many gaps the driver had reported by then.
        ahead_seconds: how long before it is heard the card takes a sample from the ring, about.
    """

    card: PlayingCard
    player: RingPlayer
    clock: CardClock
    resampler: StreamResampler
    first_position: int
    seen_blocks: int
    seen_seconds: float
    seen_xruns: int
    ahead_seconds: float

    @property
    def ratio(self) -> float:
        """Card samples for each at 44.1 kHz."""
        return self.card.rate_hz / SAMPLE_RATE_HZ

    def observe(self, now_seconds: float) -> None:
        """Take in what the probe found, and what the driver says it lost."""
        xruns = self.card.xruns()
        if xruns != self.seen_xruns:
            self.seen_xruns = xruns
            self.clock.jumped()
        stamp = self.card.finish_probe(now_seconds)
        if stamp is not None:
            self.clock.observe(stamp)
        self.player.notice()

    def write(self, audio: Audio) -> None:
        """Put (2, samples) at 44.1 kHz into the ring, at the card's rate."""
        self.player.write(self.resampler.step(audio).T)

    def stand_by(self, audio: Audio) -> None:
        """Let (2, samples) at 44.1 kHz follow, should the next write be late; a card at another rate goes without."""
        if self.card.rate_hz == SAMPLE_RATE_HZ:
            self.player.stand_by(audio.T)

    def writable_samples(self, ring_seconds: float) -> int:
        """Return how many samples at 44.1 kHz are missing to `ring_seconds`."""
        self.player.notice()
        wanted_samples = ring_seconds * self.card.rate_hz
        return max(0, int((wanted_samples - self.player.fill() - self.resampler.held_samples) / self.ratio))

    def next_seconds(self) -> float:
        """Return when the first sample of the next write will be heard."""
        return self.clock.seconds_at(self.player.next_card_sample() + self.resampler.held_samples)

    def write_position(self) -> int:
        """Return the 44.1 kHz position of the first sample of the next write."""
        return self.position(self.player.write_position() + self.resampler.held_samples)

    def losses(self) -> tuple[int, int]:
        """Return the underruns and the silence, in samples at 44.1 kHz, of this card's time."""
        silent_samples = round(self.player.silent_samples / self.ratio)
        try:
            return self.player.underruns + self.card.xruns(), silent_samples
        except SoundError:  # closed: what the driver counted went with it
            return self.player.underruns, silent_samples

    def pacer(self, now_seconds: float, wanted_samples: int) -> Pacer:
        """Return what keeps time from where this card was; asks the card nothing."""
        end_sample = self.player.last_card_sample()
        if end_sample is None:
            position = self.first_position or None
            heard_seconds = now_seconds + self.ahead_seconds
        else:
            after_all = end_sample + self.resampler.held_samples
            position = self.position(self.player.position_of(after_all))
            heard_seconds = self.clock.seconds_at(after_all)
        return Pacer(
            origin_seconds=heard_seconds - (position or 0) / SAMPLE_RATE_HZ,
            rate_hz=SAMPLE_RATE_HZ,
            wanted_samples=wanted_samples,
            latency_seconds=self.ahead_seconds,
            write_position=position,
        )

    def position(self, card_position: float) -> int:
        """Return the 44.1 kHz position of the player's."""
        return self.first_position + round(card_position / self.ratio)


def start_playing(
    open_card: OpenCard, settings: CardSettings, clock: Clock, stop: threading.Event, anew: bool = False
) -> Playing:
    """Open the card and return it as soon as its time stamps make a clock.

    Args:
        open_card: opens it.
        settings: how.
        clock: where time comes from.
        stop: set when nobody wants it any more.
        anew: whether to look for devices that were plugged in since.

    Raises:
        SoundError: it cannot be opened or does not run.
    """
    card = open_card(settings, anew)
    try:
        card_clock, ahead_seconds = _first_stamps(card, clock, stop)
        return Playing(
            card=card,
            player=RingPlayer(card),
            clock=card_clock,
            resampler=StreamResampler(SAMPLE_RATE_HZ, card.rate_hz, AUDIO_CHANNELS),
            first_position=0,
            seen_blocks=card.blocks(),
            seen_seconds=clock.now(),
            seen_xruns=card.xruns(),
            ahead_seconds=max(0.0, ahead_seconds),
        )
    except SoundError:
        card.close()
        raise


def _first_stamps(card: PlayingCard, clock: Clock, stop: threading.Event) -> tuple[CardClock, float]:
    """Return the card's clock once it runs, and how far ahead of the ear it takes its samples."""
    card_clock = CardClock(card.rate_hz)
    until_seconds = clock.now() + START_SECONDS
    ahead_seconds, skipped = 0.0, 0
    while card_clock.stamps < _STAMPS_TO_START:
        card.start_probe(card.clock_offset(clock), clock.now())
        if clock.wait(stop, LOOK_SECONDS):
            raise SoundError(f"{card.name}: was closed before it ran")
        now_seconds = clock.now()
        if now_seconds > until_seconds or not card.active():
            raise SoundError(
                f"{card.name}: the device opened and does not run; check that nothing else holds it, "
                "restart the sound system, or name another device"
            )
        stamp = card.finish_probe(now_seconds)
        if stamp is None:
            continue
        skipped += 1
        if skipped > _STAMPS_OF_THE_FILLING:
            card_clock.observe(stamp)
            ahead_seconds = stamp.seconds - now_seconds
    return card_clock, ahead_seconds
