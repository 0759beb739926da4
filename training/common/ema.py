"""An exponential moving average of a network's weights: what is validated and exported."""

import copy
from typing import Any, Generic, TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


class ExponentialMovingAverage(Generic[Network]):
    """Keeps a copy of a network whose weights follow those in training.

    The decay begins low and rises with the number of updates n as min(decay, (1 + n) / (10 + n)), so that the
    average forgets the random start quickly.

    Attributes:
        network: the averaged network, in evaluation mode, without gradients.
    """

    def __init__(self, network: Network, decay: float) -> None:
        """Start from the present weights of `network`; `decay` is in [0, 1), 0.999 for example."""
        if not 0.0 <= decay < 1.0:
            raise ValueError(f"decay is {decay}; expected a number in [0, 1)")
        self.network: Network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move the average towards the present weights of `network`; buffers are copied."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        averaged = [parameter.detach() for parameter in self.network.parameters()]
        present = [parameter.detach() for parameter in network.parameters()]
        torch._foreach_lerp_(averaged, present, 1.0 - decay)
        for target, source in zip(self.network.buffers(), network.buffers(), strict=True):
            target.copy_(source)
        self.updates += 1

    def state_dict(self) -> dict[str, Any]:
        """Return the averaged weights and the number of updates, for a checkpoint."""
        return {"network": self.network.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`, made by `state_dict`."""
        self.network.load_state_dict(state["network"])
        self.updates = int(state["updates"])
