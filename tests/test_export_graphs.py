from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto
from torch import Tensor, nn

from engine.bundle import BundleError
from engine.runtime import Graph
from export.graphs import BATCH, FRAMES, Axis, GraphPlan, export_graph, round_weights
from export.parity import Parity, ParityError, measure_parity, relative_error, require
from export.restore import restore_parameters, weights_of


class Small(nn.Module):
    """A convolution, a group norm (whose weights an optimiser would fold away), a state, an axis of 4 x frames."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv1d(4, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.SiLU())
        self.gain = nn.Parameter(torch.tensor(1.7))
        self.register_buffer("table", torch.tensor([0.1234567]))

    def forward(self, x: Tensor, fine: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.layers(x) * self.gain + fine.unflatten(-1, (-1, 4)).mean(dim=-1) + self.table
        return hidden, state + hidden.mean(dim=-1)


def examples(batch: int, frames: int) -> tuple[Tensor, ...]:
    return torch.randn(batch, 4, frames), torch.randn(batch, 8, 4 * frames), torch.randn(batch, 8)


def plan_of(network: nn.Module) -> GraphPlan:
    axes = {"x": {0: BATCH, 2: FRAMES}, "fine": {0: BATCH, 2: Axis("frames", 4)}, "state": {0: BATCH}}
    return GraphPlan("small.onnx", network, examples, axes, ("y", "state_out"))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[GraphPlan, Path]:
    torch.manual_seed(0)
    network = Small().eval()
    with torch.no_grad():
        dict(network.named_parameters())["layers.1.weight"].normal_()
    assert round_weights(network) == 4 * 8 * 3 + 8 + 8 + 8 + 1
    plan = plan_of(network)
    return plan, export_graph(plan, tmp_path_factory.mktemp("graphs"))


def test_any_batch_and_length_gives_what_torch_gives(exported: tuple[GraphPlan, Path]) -> None:
    plan, path = exported
    parities = measure_parity(plan, path)
    assert [parity.output for parity in parities] == ["y", "state_out"]
    assert all(parity.error < 1e-5 for parity in parities)
    require(parities)


def test_weights_are_float16_under_their_names_and_buffers_stay(exported: tuple[GraphPlan, Path]) -> None:
    plan, path = exported
    model = onnx.load(path)
    held = {weight.name: weight.data_type for weight in model.graph.initializer}
    for name, _ in plan.network.named_parameters():
        assert held[name] == TensorProto.FLOAT16
    assert held["table"] == TensorProto.FLOAT
    assert model.opset_import[0].version >= 18


def test_the_graph_does_not_name_this_computer(exported: tuple[GraphPlan, Path]) -> None:
    content = exported[1].read_bytes()
    assert b"site-packages" not in content
    assert str(Path(__file__).parents[1]).encode() not in content


def test_weights_come_back_from_the_graph(exported: tuple[GraphPlan, Path]) -> None:
    plan, path = exported
    network = Small()
    restore_parameters(path, network)
    for (name, found), expected in zip(network.named_parameters(), plan.network.parameters(), strict=True):
        assert torch.equal(found, expected), name


def test_weights_of_another_network_are_refused(exported: tuple[GraphPlan, Path], tmp_path: Path) -> None:
    path = exported[1]
    with pytest.raises(BundleError, match="lacks weight 'other'"):
        weights_of(path, ["gain", "other"])
    wide = Small()
    wide.layers[0] = nn.Conv1d(4, 16, 3)
    with pytest.raises(BundleError, match=r"layers\.0\.weight is \(8, 4, 3\), expected \(16, 4, 3\)"):
        restore_parameters(path, wide)
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(BundleError, match=r"damaged\.onnx"):
        weights_of(damaged, ["gain"])


def test_a_changed_weight_breaks_parity(exported: tuple[GraphPlan, Path]) -> None:
    path = exported[1]
    network = Small().eval()
    restore_parameters(path, network)
    with torch.no_grad():
        network.gain.mul_(1.001)
    parities = measure_parity(plan_of(network), path)
    with pytest.raises(ParityError, match=r"small\.onnx y"):
        require(parities)


def test_rounding_moves_weights_to_float16_and_refuses_what_does_not_fit() -> None:
    network = nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([[0.1], [1000.3]]))
    round_weights(network)
    assert network.weight.flatten().tolist() == [float(np.float16(0.1)), float(np.float16(1000.3))]
    for wrong in (70_000.0, float("nan")):
        with torch.no_grad():
            network.weight.fill_(wrong)
        with pytest.raises(ValueError, match="weight weight reaches"):
            round_weights(network)


def test_errors_are_relative_to_the_output_and_never_hidden() -> None:
    expected = np.array([0.0, 10.0])
    assert relative_error(expected, np.array([0.001, 10.0])) == pytest.approx(1e-4)
    assert relative_error(expected, np.array([0.0, np.nan])) == float("inf")
    assert relative_error(expected, np.zeros(3)) == float("inf")
    assert relative_error(np.array([0.999, 0.5]), np.array([0.001, 0.5]), cyclic=True) < 0.003
    assert relative_error(np.array([0.999, 0.5]), np.array([0.001, 0.5])) > 0.9
    assert not Parity("a", "b", float("inf"), 1, 1).holds


def test_states_are_found_by_the_engine(exported: tuple[GraphPlan, Path]) -> None:
    graph = Graph(exported[1], threads=1)
    assert graph.state_names == ("state",)
    assert graph.initial_states(3)["state"].shape == (3, 8)
