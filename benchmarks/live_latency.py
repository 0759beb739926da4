"""The latency that an output reports against the one measured by impulses: `python -m benchmarks.live_latency`.

Impulses go through `DeviceOutput`, PortAudio, ALSA and a private PulseAudio's null sink, and come back on its monitor.
The reported latency is right where each impulse is heard within one block of the time promised for it. Two minutes.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Final

from bridge.clock import SystemClock
from bridge.sound.device import DeviceOutput
from bridge.sound.input import DeviceInput
from bridge.sound.measure import LatencyMeasurement, measure_latency
from bridge.sound.output import SoundError
from tests.pulse_support import LOOPBACK_NAME, OUTPUT_NAME, private_pulse

BLOCKS: Final = (128, 256, 512, 1024)
RATES_HZ: Final = (44_100, 48_000)
RING_SECONDS: Final = 0.12
DEVICE_LATENCY_SECONDS: Final = 0.06


@dataclass(frozen=True, slots=True)
class Row:
    """One output: the wanted block and rate, and what was found, or why nothing was."""

    block_samples: int
    rate_hz: int
    measurement: LatencyMeasurement | None
    complaint: str = ""

    @property
    def passed(self) -> bool:
        """Whether the reported latency is equal to the block."""
        return self.measurement is not None and self.measurement.equal_to_the_block


def measured(block_samples: int, rate_hz: int, impulses: int) -> Row:
    """Measure an output of `block_samples` on a sink of `rate_hz`."""
    clock = SystemClock()
    output = DeviceOutput(
        clock,
        OUTPUT_NAME,
        block_samples,
        RING_SECONDS,
        rate_hz=rate_hz,
        device_latency_seconds=DEVICE_LATENCY_SECONDS,
    )
    with private_pulse(rate_hz):
        loopback = DeviceInput(clock, LOOPBACK_NAME, rate_hz=rate_hz)
        try:
            output.open()
            loopback.open()
            return Row(block_samples, rate_hz, measure_latency(output, loopback, clock, impulses))
        except SoundError as error:
            return Row(block_samples, rate_hz, None, str(error))
        finally:
            loopback.close()
            output.close()


def line(row: Row) -> str:
    """Return a row of the table, times in milliseconds."""
    found = row.measurement
    if found is None:
        return f"{row.rate_hz:>7}{row.block_samples:>7}  {row.complaint}"
    block_ms = 1e3 * row.block_samples / row.rate_hz
    figures = (found.reported_seconds, found.measured_seconds, found.largest_error_seconds)
    return (
        f"{row.rate_hz:>7}{row.block_samples:>7}{block_ms:>9.2f}"
        + "".join(f"{1e3 * figure:>10.2f}" for figure in figures)
        + f"{len(found.impulses):>10}{found.missed:>8}{found.disturbed:>11}  {'equal' if row.passed else 'NOT EQUAL'}"
    )


def main() -> int:
    """Run the benchmark; 1 if any output is off by more than its block."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--impulses", type=int, default=12, help="per output")
    options = parser.parse_args()
    print(
        f"{'rate':>7}{'block':>7}{'block ms':>9}{'reported':>10}{'measured':>10}{'largest':>10}"
        f"{'impulses':>10}{'missed':>8}{'disturbed':>11}"
    )
    rows = []
    for rate_hz in RATES_HZ:
        for block_samples in BLOCKS:
            rows.append(measured(block_samples, rate_hz, options.impulses))
            print(line(rows[-1]), flush=True)
    passed = all(row.passed for row in rows)
    print(f"{'PASS' if passed else 'FAIL'}: every impulse within one block of the time promised for it")
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main())
