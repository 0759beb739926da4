"""torch to ONNX: a graph with dynamic batch and frames, its weights in float16 under the state dictionary's names.

A float16 weight `name` is followed by a Cast to float32, which onnxruntime folds away when it loads the graph; so a
bundle is half as large, runs in float32, and `export.restore` finds every weight by its name.
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnxscript import optimizer
from torch import Tensor, nn

OPSET = 18
CAST_SUFFIX = ".float32"
EXAMPLE_BATCH = 2
LARGEST_FLOAT16 = 65_504.0
CASES = ((1, 2), (1, 16), (2, 9), (3, 40))


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
        cases: batch and frames of each comparison between torch and onnxruntime.
    """

    name: str
    network: nn.Module
    examples: ExampleInputs
    axes: Mapping[str, Mapping[int, Axis]]
    outputs: Sequence[str]
    example_frames: int = 16
    cyclic_outputs: frozenset[str] = frozenset()
    cases: Sequence[tuple[int, int]] = CASES


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
                raise ValueError(f"weight {name} reaches {largest}; float16 ends at {LARGEST_FLOAT16:.0f}")
            parameter.copy_(parameter.half().float())
            count += parameter.numel()
    return count


def export_graph(plan: GraphPlan, folder: Path) -> Path:
    """Write `plan.network`, its weights already rounded, to `folder` and return the file's path."""
    weights = {name for name, _ in plan.network.named_parameters()}
    model = simplified(traced(plan), weights)
    store_as_float16(model, weights)
    remove_unused_initialisers(model)
    remove_notes(model)
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
def _quiet() -> Iterator[None]:
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


def simplified(model: onnx.ModelProto, weights: set[str]) -> onnx.ModelProto:
    """Return `model` with constants folded and functions inlined, but the initialisers called `weights` as they are.

    The optimiser folds what it can reach, weights too, and renames the results; so the weights are inputs meanwhile.
    """
    held = [initialiser for initialiser in model.graph.initializer if initialiser.name in weights]
    constants = [initialiser for initialiser in model.graph.initializer if initialiser.name not in weights]
    _replace(model.graph.initializer, constants)
    infos = [helper.make_tensor_value_info(weight.name, weight.data_type, list(weight.dims)) for weight in held]
    model.graph.input.extend(infos)
    with _quiet():
        model = optimizer.optimize(model)
    _replace(model.graph.input, [value for value in model.graph.input if value.name not in weights])
    model.graph.initializer.extend(held)
    return model


def _replace(repeated: Any, values: Sequence[Any]) -> None:
    """Let a protobuf list hold `values`."""
    kept = list(values)
    del repeated[:]
    repeated.extend(kept)


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
    _replace(model.graph.node, [*casts, *model.graph.node])


def _cast(name: str) -> onnx.NodeProto:
    widened = f"{name}{CAST_SUFFIX}"
    return helper.make_node("Cast", [name], [widened], name=f"{widened}.cast", to=onnx.TensorProto.FLOAT)


def remove_unused_initialisers(model: onnx.ModelProto) -> None:
    """Drop the initialisers that no node reads, in place."""
    used = {name for node in model.graph.node for name in node.input} | {output.name for output in model.graph.output}
    _replace(model.graph.initializer, [weight for weight in model.graph.initializer if weight.name in used])


def remove_notes(model: onnx.ModelProto) -> None:
    """Drop what the exporter notes about where nodes come from (it names this computer's folders), in place."""
    _replace(model.graph.value_info, [])
    _replace(model.graph.metadata_props, [])
    _replace(model.metadata_props, [])
    model.graph.doc_string = ""
    for node in model.graph.node:
        _replace(node.metadata_props, [])
        node.doc_string = ""
    for value in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        _replace(value.metadata_props, [])
        value.doc_string = ""


def scale_rows(path: Path, out: Path, name: str, factors: NDArray[np.float64]) -> bool:
    """Write the graph at `path` to `out`, each row of its weight `name` times a factor; False, and nothing, without it.

    Args:
        path: an ONNX graph.
        out: another file.
        name: of a weight (rows, columns).
        factors: (rows,).
    """
    model = onnx.load(path)
    held = next((weight for weight in model.graph.initializer if weight.name == name), None)
    if held is None or held.dims[0] != len(factors):
        return False
    weight = numpy_helper.to_array(held)
    held.CopyFrom(numpy_helper.from_array((weight * factors[:, None]).astype(weight.dtype), name))
    onnx.save(model, out)
    return True
