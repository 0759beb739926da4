"""Gains, mutes, solos and the bars in which stems play: what the player asks for each quantum."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from engine.geometry import STEMS
from engine.mixer import gain_from_db

BORDER_SAMPLES = 0.75  # a quantum that ends on a border, give or take rounding, does not reach beyond it
GATE_RAMP_SAMPLES = 64  # short, and before the beat: a kick on it keeps its attack


@dataclass(frozen=True, slots=True)
class Gate:
    """Where a stem may sound: from `start_sample` to before `end_sample`; None for no end."""

    start_sample: int
    end_sample: int | None = None

    def open_at(self, sample: float) -> bool:
        """Return whether the stem may sound at a song position."""
        begun = sample > self.start_sample - GATE_RAMP_SAMPLES + BORDER_SAMPLES
        return begun and (self.end_sample is None or sample < self.end_sample)

    def next_open(self, sample: int) -> int:
        """Return the first position from `sample`, which is before its end, on at which it is open."""
        return max(sample, self.start_sample - GATE_RAMP_SAMPLES)

    def borders(self) -> tuple[int, ...]:
        """Return the song positions at which a quantum must not go on."""
        edges = (self.start_sample - GATE_RAMP_SAMPLES, self.start_sample)
        return edges if self.end_sample is None else (*edges, self.end_sample)


@dataclass(frozen=True, slots=True)
class Channel:
    """One stem's strip."""

    gain_db: float = 0.0
    mute: bool = False
    solo: bool = False
    gate: Gate | None = field(default_factory=lambda: Gate(-(1 << 62)))


@dataclass(frozen=True, slots=True)
class MixingDesk:
    """The strips, replaced as a whole when one changes, so that threads need no lock.

    Attributes:
        channels: in the order of `STEMS`.
        master_db: gain of all.
    """

    channels: tuple[Channel, ...] = tuple(Channel() for _ in STEMS)
    master_db: float = 0.0

    @property
    def stems(self) -> tuple[str, ...]:
        """The stems that have a strip."""
        return STEMS

    def channel(self, stem: str) -> Channel:
        """Return the strip of `stem`."""
        return self.channels[STEMS.index(stem)]

    def audible(self, stem: str) -> bool:
        """Return whether `stem` is neither muted nor left out by another's solo."""
        strip = self.channel(stem)
        return not strip.mute and (strip.solo or not any(other.solo for other in self.channels))

    def changed(self, stem: str, **values: object) -> MixingDesk:
        """Return the desk with some values of one strip replaced."""
        row = STEMS.index(stem)
        strip = replace(self.channels[row], **values)  # type: ignore[arg-type]
        return replace(self, channels=(*self.channels[:row], strip, *self.channels[row + 1 :]))

    def factors_at(self, sample: float) -> tuple[float, ...]:
        """Return each stem's amplitude factor at a song position."""
        return tuple(self._factor(stem, strip, sample) for stem, strip in zip(STEMS, self.channels, strict=True))

    def next_open(self, sample: int) -> int | None:
        """Return the first song position from `sample` on at which any stem's gate is open; None if none is."""
        gates = [strip.gate for strip in self.channels if strip.gate is not None]
        return min(
            (gate.next_open(sample) for gate in gates if gate.end_sample is None or gate.end_sample > sample),
            default=None,
        )

    def border_after(self, sample: float) -> int | None:
        """Return the next song position after `sample` at which a gate opens or closes."""
        borders = [border for strip in self.channels if strip.gate for border in strip.gate.borders()]
        return min((border for border in borders if border > sample), default=None)

    def _factor(self, stem: str, strip: Channel, sample: float) -> float:
        silent = not self.audible(stem) or strip.gate is None or not strip.gate.open_at(sample)
        return 0.0 if silent else gain_from_db(strip.gain_db + self.master_db)
