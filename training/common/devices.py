"""Where a training runs: device, threads, mixed precision, and the processes of a `torchrun`."""

import contextlib
import os
from dataclasses import dataclass

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among those of a `torchrun`; alone it is rank 0 of 1."""

    rank: int
    count: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this process writes checkpoints, curves and progress."""
        return self.rank == 0


def start_processes(device: str = "auto", threads: int = 0) -> Processes:
    """Join the other processes of a `torchrun` (if any) and choose the device.

    Args:
        device: `auto` (a GPU if there is one), `cpu`, `cuda` or `cuda:1`.
        threads: CPU threads for torch; 0 leaves its default.
    """
    if threads > 0:
        torch.set_num_threads(threads)
    wanted = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    if "WORLD_SIZE" not in os.environ:
        return Processes(0, 1, torch.device(wanted))
    chosen = torch.device(f"cuda:{os.environ['LOCAL_RANK']}" if wanted == "cuda" else wanted)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    return Processes(distributed.get_rank(), distributed.get_world_size(), chosen)


def stop_processes() -> None:
    """Leave the process group, if there is one."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def replicated(network: nn.Module, processes: Processes) -> nn.Module:
    """Return `network`, wrapped so that gradients are averaged where there are several processes."""
    if processes.count == 1:
        return network
    return DistributedDataParallel(network, device_ids=[processes.device] if processes.device.type == "cuda" else None)


def broadcast_value(value: float, processes: Processes) -> float:
    """Return the first process's `value` in every process, so that all of them use one rate and stop together."""
    if processes.count == 1:
        return value
    tensor = torch.tensor([value], dtype=torch.float64, device=processes.device)
    distributed.broadcast(tensor, 0)
    return float(tensor.item())


def mixed_precision(device: torch.device, enabled: bool) -> contextlib.AbstractContextManager[object]:
    """Return the context of a forward pass: bfloat16 where `enabled` and fast, without loss scaling, else float32."""
    if not enabled or not has_fast_bfloat16(device):
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def has_fast_bfloat16(device: torch.device) -> bool:
    """Return whether bfloat16 is worth it: a CPU without instructions for it takes fifteen times as long as float32."""
    return device.type != "cpu" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
