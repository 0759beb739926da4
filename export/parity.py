"""Parity: the same inputs through torch and through onnxruntime, and how far the outputs are apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from engine.runtime import Graph
from export.graphs import GraphPlan

TOLERANCE = 1e-4
SEED = 7


class ParityError(Exception):
    """onnxruntime does not give what torch gives; the message names graph, output, shape and error."""


@dataclass(frozen=True, slots=True)
class Parity:
    """The largest difference of one graph's output over all cases.

    Attributes:
        graph: the graph's file name.
        output: the output's name.
        error: largest absolute difference, as a share of the largest value of torch's output.
        batch: signals of the worst case.
        frames: frames of the worst case, in units of the graph's open axis.
    """

    graph: str
    output: str
    error: float
    batch: int
    frames: int

    @property
    def holds(self) -> bool:
        """Whether the error is within the tolerance."""
        return self.error <= TOLERANCE

    def line(self) -> str:
        """Return the measurement in words."""
        worst = f"worst at batch {self.batch}, {self.frames} frames"
        return f"{self.graph} {self.output}: {self.error:.1e} of its scale (tolerance {TOLERANCE:.0e}; {worst})"


def measure_parity(plan: GraphPlan, path: Path) -> tuple[Parity, ...]:
    """Return, for each output, the one of the plan's cases in which onnxruntime is furthest from torch."""
    graph = Graph(path, threads=1)
    torch.manual_seed(SEED)
    worst: dict[str, Parity] = {}
    for batch, frames in plan.cases:
        inputs = plan.examples(batch, frames)
        with torch.no_grad():
            result = plan.network(*inputs)
        expected = [tensor.numpy() for tensor in (result if isinstance(result, tuple) else (result,))]
        found = graph.run(dict(zip(plan.axes, (tensor.numpy() for tensor in inputs), strict=True)))
        for name, tensor in zip(plan.outputs, expected, strict=True):
            error = relative_error(tensor, found[name], cyclic=name in plan.cyclic_outputs)
            if name not in worst or not error <= worst[name].error:
                worst[name] = Parity(plan.name, name, error, batch, frames)
    return tuple(worst.values())


def relative_error(expected: NDArray[np.floating], found: NDArray[np.floating], cyclic: bool = False) -> float:
    """Return the largest difference as a share of the largest value of `expected`; NaN or infinity give infinity.

    Args:
        expected: torch's output.
        found: onnxruntime's, of the same shape.
        cyclic: whether whole numbers may be added freely, as to a phase in cycles.
    """
    if expected.shape != found.shape:
        return float("inf")
    difference = found.astype(np.float64) - expected
    if cyclic:
        difference -= np.round(difference)
    error = np.abs(difference).max(initial=0.0) / max(float(np.abs(expected).max(initial=0.0)), 1e-12)
    return float(error) if np.isfinite(error) else float("inf")


def require(parities: Sequence[Parity]) -> None:
    """Raise ParityError unless every output is within the tolerance."""
    wrong = [parity.line() for parity in parities if not parity.holds]
    if wrong:
        raise ParityError("the exported graphs differ from torch: " + "; ".join(wrong))
