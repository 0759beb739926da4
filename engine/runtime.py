"""The one door to onnxruntime: sessions with the right options, and errors that say what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

Array = NDArray[np.float32]
States = dict[str, Array]

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
}
PROVIDER_OPTIONS = {"CUDAExecutionProvider": {"cudnn_conv_algo_search": "HEURISTIC"}}
_ERRORS_ONLY = 3
_FATAL_ONLY = 4


class GraphError(Exception):
    """A graph does not load or does not run."""


class ProviderError(GraphError):
    """The device that was asked for is unknown, not supported by this onnxruntime, or not there."""


class Graph:
    """One ONNX graph, ready to run.

    Attributes:
        name: the file's name, for errors.
        input_shapes: input name to shape; a dimension that may vary is a string or None.
        output_names: in the graph's order.
        state_names: inputs that take what an earlier call gave as the output `..._out`.
    """

    def __init__(self, path: Path, providers: Sequence[str] = ("cpu",), threads: int = 0, offline: bool = True):
        """Load the graph at `path`.

        Args:
            path: the ONNX file.
            providers: names from `PROVIDERS`, the preferred one first; `cpu` always backs them up.
            threads: threads within an operator; 0 leaves the number to onnxruntime.
            offline: whether threads may spin while they wait, which is faster but takes whole cores.

        Raises:
            ProviderError: a provider is not available.
            GraphError: the graph does not load.
        """
        self.name = path.name
        self._session = _open_session(path, provider_names(providers), threads, offline)
        self.input_shapes = {node.name: tuple(node.shape) for node in self._session.get_inputs()}
        self.output_names = tuple(node.name for node in self._session.get_outputs())
        self.state_names = tuple(name for name in self.input_shapes if f"{name}_out" in self.output_names)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs by name for `inputs` by name, all float32.

        Raises:
            GraphError: names, types or shapes are not the graph's, or the run fails.
        """
        if set(inputs) != set(self.input_shapes):
            raise GraphError(f"{self.name} takes inputs {sorted(self.input_shapes)}, got {sorted(inputs)}")
        try:
            outputs = self._session.run(self.output_names, dict(inputs))
        except Exception as error:  # onnxruntime raises bare and undocumented types
            shapes = {name: value.shape for name, value in inputs.items()}
            raise GraphError(f"{self.name} did not run with shapes {shapes}: {_first_line(error)}") from error
        return dict(zip(self.output_names, outputs, strict=True))

    def initial_states(self, batch: int) -> States:
        """Return zeros for each state: an input `name` (batch, ...) that has an output `name_out`.

        Raises:
            GraphError: a state's shape is not fixed but for the batch.
        """
        states = {}
        for name in self.state_names:
            shape = self.input_shapes[name][1:]
            if not all(isinstance(size, int) for size in shape):
                raise GraphError(f"{self.name}: state {name} has the open shape {shape}; export it with fixed sizes")
            states[name] = np.zeros((batch, *shape), dtype=np.float32)
        return states

    def step(self, inputs: Mapping[str, Array], states: Mapping[str, Array]) -> tuple[dict[str, Array], States]:
        """Return the outputs other than states, and the new states by the names of their inputs."""
        outputs = self.run({**inputs, **states})
        return outputs, {name: outputs.pop(f"{name}_out") for name in self.state_names}


def available_providers() -> tuple[str, ...]:
    """Return the names, as in `PROVIDERS`, that this onnxruntime was built with; a device may still be missing."""
    built = set(onnxruntime.get_available_providers())
    return tuple(name for name, full_name in PROVIDERS.items() if full_name in built)


def provider_names(providers: Sequence[str]) -> list[str]:
    """Return onnxruntime's names of `providers`, with the CPU last.

    Raises:
        ProviderError: a name is unknown, or this onnxruntime was built without it.
    """
    available = available_providers()
    for name in providers:
        if name not in available:
            raise ProviderError(
                f"provider {name!r} is not available; this onnxruntime offers: {', '.join(available)}. "
                "Choose one of them, or install the onnxruntime package of your device"
            )
    return [PROVIDERS[name] for name in dict.fromkeys((*providers, "cpu"))]


def _open_session(path: Path, providers: list[str], threads: int, offline: bool) -> onnxruntime.InferenceSession:
    """Return the session of `path` on `providers`, and make sure that the first of them took it."""
    onnxruntime.set_default_logger_severity(_FATAL_ONLY)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.use_deterministic_compute = True
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if offline else "0")
    with_options = [(name, PROVIDER_OPTIONS.get(name, {})) for name in providers]
    try:
        with redirect_stdout(StringIO()):  # of a missing library onnxruntime prints; the check below says it once
            if "CUDAExecutionProvider" in providers and hasattr(onnxruntime, "preload_dlls"):
                onnxruntime.preload_dlls()
            session = onnxruntime.InferenceSession(str(path), options, providers=with_options)
    except Exception as error:  # onnxruntime raises bare and undocumented types
        raise GraphError(f"{path.name} does not load: {_first_line(error)}") from error
    if session.get_providers()[0] != providers[0]:
        raise ProviderError(
            f"provider {providers[0]} did not start (no such device, or its driver or libraries are missing); "
            "use provider 'cpu', or install what it needs"
        )
    return session


def _first_line(error: Exception) -> str:
    """Return the first line of what `error` says."""
    return (str(error).splitlines() or [type(error).__name__])[0]
