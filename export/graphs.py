"""torch to ONNX: one graph with dynamic batch and frames, its weights stored as float16 under the state dictionary's names.

A float16 weight `name` is followed by a Cast to float32, which onnxruntime folds away when it loads the graph; so a
bundle is half as large, runs in float32, and `export.restore` finds every weight by its name.
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn

OPSET = 18
CAST_SUFFIX = ".float32"
EXAMPLE_BATCH = 2
LARGEST_FLOAT16 = 65_504.0


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis that stays open in the graph.

    Attributes:
        name: axes of one name are of one length, but for `multiple`.
        multiple: the length is this many times the named number.
    """

    name: str
    multiple: int = 1


BATCH = Axis("batch")
FRAMES = Axis("frames")


class ExampleInputs(Protocol):
    """Makes random inputs of a graph, in the order of its names."""

    def __call__(self, batch: int, frames: int) -> tuple[Tensor, ...]:
        """Return inputs for `batch` signals of `frames` times the axis `frames`."""
        ...


@dataclass(frozen=True, slots=True)
class GraphPlan:
    """What is exported and how it is called.

    Attributes:
        name: the graph's file name, such as `denoiser.onnx`.
        network: its forward takes the inputs in order and gives the outputs in order.
        examples: makes inputs.
        axes: input name to (axis number to what is open there), in the order of the inputs.
        outputs: names of the outputs.
        example_frames: what is traced; any other number works afterwards.
        cyclic_outputs: outputs in cycles, for which 0 and 1 are the same.
    """

    name: str
    network: nn.Module
    examples: ExampleInputs
    axes: Mapping[str, Mapping[int, Axis]]
    outputs: Sequence[str]
    example_frames: int = 16
    cyclic_outputs: frozenset[str] = field(default_factory=frozenset)


def round_weights(network: nn.Module) -> int:
    """Round the parameters of `network` to what float16 holds, in place; return how many numbers they are.

    Raises:
        ValueError: a weight is too large for float16 or not finite.
    """
    count = 0
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            largest = parameter.abs().max().item() if parameter.numel() else 0.0
            if not largest <= LARGEST_FLOAT16:
                raise ValueError(f"weight {name} reaches {largest}; float16 ends at {LARGEST_FLOAT16:.0f}, train longer")
            parameter.copy_(parameter.half().float())
            count += parameter.numel()
    return count


def export_graph(plan: GraphPlan, folder: Path) -> Path:
    """Write `plan.network`, its weights already rounded, to `folder` and return the file's path."""
    model = traced(plan)
    store_as_float16(model, {name for name, _ in plan.network.named_parameters()})
    remove_unused_initialisers(model)
    model.graph.doc_string = ""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del model.graph.value_info[:]
    onnx.checker.check_model(model)
    path = folder / plan.name
    onnx.save(model, path)
    return path


def traced(plan: GraphPlan) -> onnx.ModelProto:
    """Return the ONNX graph of `plan.network` in float32, with initialisers named as its state dictionary."""
    examples = plan.examples(EXAMPLE_BATCH, plan.example_frames)
    open_axes = {axis.name: torch.export.Dim(axis.name, min=1) for axes in plan.axes.values() for axis in axes.values()}
    shapes = tuple(
        {number: axis.multiple * open_axes[axis.name] for number, axis in axes.items()} or None
        for axes in plan.axes.values()
    )
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            plan.network.eval(),
            examples,
            None,
            input_names=list(plan.axes),
            output_names=list(plan.outputs),
            opset_version=OPSET,
            dynamo=True,
            dynamic_shapes=shapes,
            external_data=False,
            optimize=False,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


@contextlib.contextmanager
def _quiet():  # type: ignore[no-untyped-def]
    """Silence what torch's exporter says on its way; its errors are raised all the same."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def store_as_float16(model: onnx.ModelProto, names: set[str]) -> None:
    """Turn the float32 initialisers called `names` into float16 ones, each followed by a Cast to float32, in place."""
    casts = []
    for initialiser in model.graph.initializer:
        if initialiser.name in names and initialiser.data_type == onnx.TensorProto.FLOAT:
            halves = numpy_helper.to_array(initialiser).astype(np.float16)
            initialiser.CopyFrom(numpy_helper.from_array(halves, initialiser.name))
            casts.append(_cast(initialiser.name))
    renamed = {cast.input[0]: cast.output[0] for cast in casts}
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = renamed.get(name, name)
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _cast(name: str) -> onnx.NodeProto:
    widened = f"{name}{CAST_SUFFIX}"
    return helper.make_node("Cast", [name], [widened], name=f"{widened}.cast", to=onnx.TensorProto.FLOAT)


def remove_unused_initialisers(model: onnx.ModelProto) -> None:
    """Drop the initialisers that no node reads, in place."""
    used = {name for node in model.graph.node for name in node.input} | {output.name for output in model.graph.output}
    kept = [initialiser for initialiser in model.graph.initializer if initialiser.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
