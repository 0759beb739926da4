"""A trained chord reader into a bundle: `python -m export.chords CHECKPOINT --bundle BUNDLE`."""

import argparse
import sys
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from engine.bundle import BundleError
from engine.chord_reader import UNIT_CHANNELS
from engine.manifest import CHORD_GRAPH, file_facts, read_manifest
from export.graphs import BATCH, Axis, GraphPlan, export_graph, round_weights
from export.levels import change_manifest
from export.parity import ParityError, measure_parity, require
from training.chords.network import ChordNetwork
from training.chords.train import load_network
from training.common.checkpoint import CheckpointError

AXES = {"units": {0: BATCH, 1: Axis("units")}}
CASES = ((1, 1), (1, 40), (2, 100), (1, 128))


def chord_plan(network: ChordNetwork) -> GraphPlan:
    """Return the plan of `chords.onnx`."""
    return GraphPlan(CHORD_GRAPH, network.eval(), example_inputs, AXES, ("chords", "keys"), cases=CASES)


def example_inputs(batch: int, frames: int) -> tuple[Tensor, ...]:
    """Return random inputs for `batch` songs of `frames` units."""
    return (torch.rand(batch, frames, UNIT_CHANNELS),)


def put_in(bundle: Path, checkpoint: Path) -> None:
    """Write the chord reader of `checkpoint` into `bundle`, in place of the one that it has.

    Raises:
        BundleError: the bundle is damaged or has no harmony tables, which say the key.
        CheckpointError: the checkpoint cannot be read.
        ParityError: the graph does not give what torch gives; the bundle is left as it was.
    """
    if read_manifest(bundle).harmony is None:
        raise BundleError(f"{bundle}: has no harmony tables, which find the key; export it with --harmony first")
    network, training = load_network(checkpoint)
    plan = chord_plan(network)
    with tempfile.TemporaryDirectory(prefix=".chords.", dir=bundle) as name:
        count = round_weights(network)
        path = export_graph(plan, Path(name))
        parities = measure_parity(plan, path)
        require(parities)
        path.replace(bundle / CHORD_GRAPH)
    change_manifest(bundle, ("files", CHORD_GRAPH), file_facts(bundle / CHORD_GRAPH))
    change_manifest(bundle, ("training", "chords"), training)
    print(f"{CHORD_GRAPH}: {count / 1e6:.2f} M weights, {(bundle / CHORD_GRAPH).stat().st_size / 1e6:.2f} MB")
    for parity in parities:
        print(f"  {parity.line()}")


def main() -> int:
    """Export; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m export.chords", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="chords.pt of training.chords")
    parser.add_argument("--bundle", type=Path, required=True, help="the bundle that takes it")
    options = parser.parse_args()
    try:
        put_in(options.bundle, options.checkpoint)
    except (BundleError, CheckpointError, ParityError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
