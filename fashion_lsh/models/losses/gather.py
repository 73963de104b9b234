"""Gather the rows of a batch that is divided among several processes, for losses that compare rows."""

from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist


def num_ranks() -> int:
    """Number of processes that train one network; 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def gather_rows(rows: Tensor) -> Tensor:
    """Concatenate the rows of all processes in the order of the ranks.  (B, ...) -> (ranks * B, ...).

    A single process returns its rows. All processes must have equally many rows, and must compute the same function of
    the result: the gradient of the own rows is multiplied by the number of processes, since
    DistributedDataParallel averages the gradients of the weights over the processes.
    """
    return rows if num_ranks() == 1 else _GatherRows.apply(rows)


def own_rows(gathered: Tensor, count: int) -> Tensor:
    """Rows of this process in the result of `gather_rows`.  (ranks * count, ...) -> (count, ...)."""
    start = dist.get_rank() * count if num_ranks() > 1 else 0
    return gathered[start : start + count]


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(num_ranks())]
        dist.all_gather(parts, rows.contiguous())
        ctx.count = len(rows)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return own_rows(gradient, ctx.count) * num_ranks()
