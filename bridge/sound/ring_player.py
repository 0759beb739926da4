"""Which sample of the ring is heard when: the bookkeeping between what is written and what the card plays.

The card counts its blocks from its start. While it plays from the ring, ring sample `w` is card sample
`first_block * block_samples + w - first_ring_sample`; when the ring runs dry this ends, silence follows, and the next
write begins it anew at a block that was promised beforehand, filled up to it with silence.

After what is written the ring may hold a *standby*: what is played should the next write be late. A write takes its
place, but for what the card is about to play: that counts as written, as if it had been.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from bridge.sound.card import PlayingCard
from bridge.sound.output import Audio

LEAD_BLOCKS: Final = 2  # the next block may begin any moment: a start is promised for the one after
UNTOUCHABLE_BLOCKS: Final = 2  # the callback may read the next block at any moment


class RingPlayer:
    """Feeds one card's ring; not thread-safe.

    Args:
        card: the card, running and not armed.
    """

    def __init__(self, card: PlayingCard) -> None:
        self._card = card
        self._block_samples = card.block_samples
        self._written = 0  # samples put into the ring
        self._standby = 0  # samples in the ring after those
        self._playing = False
        self._first_ring_sample = 0  # of the present run of the ring
        self._first_block = 0
        self._first_block_known = False
        self._promised_sample: int | None = None
        self._origin_sample: int | None = None  # the card's sample with the very first one written
        self._end_sample = 0  # the card's sample after the last one that was played from the ring
        self.underruns = 0
        self.silent_samples = 0
        self.stood_in_samples = 0

    def notice(self) -> None:
        """Look whether the ring ran dry since the last look; what came too late for it is started anew."""
        if self._playing and not self._card.armed():
            self.underruns += 1
            self._playing = False
            self._stand_in(self._standby)
            self._end_sample = self._card_sample(self._written - self._card.fill())
        if not self._playing and self._card.fill() > 0:
            self._arm(lead_samples=0)
        if self._playing:
            self._learn_first_block()
            self._stand_in(UNTOUCHABLE_BLOCKS * self._block_samples - self._waiting())

    def fill(self) -> int:
        """Return how many written samples wait in the ring."""
        return max(0, self._waiting())

    def stand_by(self, samples: Audio) -> None:
        """Let (samples, channels) be played after what is written, should the next write be late."""
        self.notice()
        if self._playing:
            silence = np.zeros((max(0, self._standby - len(samples)), samples.shape[1]), np.float32)
            over = np.concatenate([samples, silence])  # what was put into the ring cannot be taken out
            self._check(self._card.write(over, self._standby), len(over))
            self._standby = len(over)

    def write(self, samples: Audio) -> None:
        """Append (samples, channels); after a gap, from the card's sample that `next_card_sample` promised."""
        self.notice()
        lead_samples = 0
        if not self._playing and self._promised_sample is not None:
            lead_samples = self._promised_sample - self._card.blocks() * self._block_samples
            if 0 < lead_samples <= LEAD_BLOCKS * self._block_samples:
                self._put(np.zeros((lead_samples, samples.shape[1]), np.float32))
            else:
                lead_samples = 0
        self._put(samples)
        if not self._playing and samples.shape[0] > 0:
            self._arm(lead_samples)

    def next_card_sample(self) -> int:
        """Return which sample of the card the next one written will be."""
        self.notice()
        if self._playing:
            return self._card_sample(self._written)
        self._promised_sample = (self._card.blocks() + LEAD_BLOCKS) * self._block_samples
        return self._promised_sample

    def write_position(self) -> int:
        """Return how far the next sample written is from the very first one, silence included."""
        return round(self.position_of(self.next_card_sample()))

    def heard_position(self) -> int:
        """Return up to which position the card has taken its samples from the ring."""
        self.notice()
        if self._origin_sample is None:
            return 0
        taken = self._card_sample(self._written - self._waiting()) if self._playing else self._end_sample
        return max(0, taken - self._origin_sample)

    def last_card_sample(self) -> int | None:
        """Return which sample of the card follows all that was written; None before any. Asks the card nothing."""
        if self._origin_sample is None:
            return None
        return self._card_sample(self._written) if self._playing else self._end_sample

    def position_of(self, card_sample: float) -> float:
        """Return how far `card_sample` is from the very first sample written."""
        return 0 if self._origin_sample is None else card_sample - self._origin_sample

    def _waiting(self) -> int:
        """Return how many written samples wait in the ring; below 0, how much of the standby was played."""
        return self._card.fill() - self._standby

    def _stand_in(self, samples: int) -> None:
        """Count the first `samples` of the standby, as far as there are so many, as written."""
        taken = min(max(samples, 0), self._standby)
        self._written += taken
        self._standby -= taken
        self.stood_in_samples += taken

    def _put(self, samples: Audio) -> None:
        found_room = self._card.write(samples, self._standby)
        self._written += found_room
        self._standby = max(0, self._standby - found_room)
        self._check(found_room, samples.shape[0])

    @staticmethod
    def _check(found_room: int, samples: int) -> None:
        if found_room != samples:  # the ring holds more than is ever wanted: this cannot be
            raise ValueError(f"the ring took {found_room} of {samples} samples; report this as a bug")

    def _arm(self, lead_samples: int) -> None:
        """Let the card play the ring, whose first `lead_samples` are silence, from its next block on."""
        self._first_ring_sample = self._written - self._card.fill()
        self._first_block = self._card.blocks()
        self._first_block_known = False
        self._card.arm()
        self._playing = True
        self._promised_sample = None
        start_sample = self._first_block * self._block_samples + lead_samples
        if self._origin_sample is None:
            self._origin_sample = start_sample
        else:
            self.silent_samples += start_sample - self._end_sample

    def _learn_first_block(self) -> None:
        """Take over what the card says of the block that the ring began at.

        The callback counts its blocks first and the ring's after that, and we read them the other way round: what we
        find is never too small, so that the least is the truth. Once the ring has run dry its blocks stand still.
        """
        armed_blocks = self._card.armed_blocks()
        found = self._card.blocks() - armed_blocks
        if armed_blocks == 0 or not self._card.armed():
            return
        if not self._first_block_known or found < self._first_block:
            late_samples = (found - self._first_block) * self._block_samples
            if self._end_sample == 0 and self._origin_sample is not None:
                self._origin_sample += late_samples
            else:
                self.silent_samples += late_samples
            self._first_block, self._first_block_known = found, True

    def _card_sample(self, ring_sample: int) -> int:
        return self._first_block * self._block_samples + ring_sample - self._first_ring_sample
