"""Share of one of several processes (a rank) in each global batch."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from torch.utils.data import Sampler

from fashion_lsh.data.sampler import EpochSampler


class Ranks(NamedTuple):
    """Rank of this process, and number of processes that train one network.

    Attributes:
        rank: 0..size - 1.
        size: number of processes.
    """

    rank: int = 0
    size: int = 1

    def check_batch_size(self, batch_size: int, key: str) -> None:
        """Check that a global batch can be divided among the processes.

        Raises:
            ValueError: `batch_size` is not a multiple of the number of processes; the message names `key`.
        """
        if batch_size % self.size:
            valid = max(round(batch_size / self.size), 1) * self.size
            raise ValueError(
                f"{key}={batch_size}: the global batch is divided among {self.size} processes; set {key}={valid}"
            )


class RankBatches(Sampler[list[Any]]):
    """Batches of one rank: its contiguous part of each global batch, with the same number of batches in all ranks.

    The parts of all ranks, concatenated, are the batches of a single process, except for the last batch: in training,
    all parts are equally large, so the remaining keys are dropped; in evaluation, each part has at least one key, so a
    last batch with fewer keys than ranks is added to the batch before it.

    Args:
        sampler: sampler of a training epoch, or the keys of an evaluation.
        batch_size: size of the global batch, a multiple of the number of ranks.
        ranks: rank and number of ranks.

    Raises:
        ValueError: fewer keys than ranks.
    """

    def __init__(self, sampler: EpochSampler | Sequence[Any], batch_size: int, ranks: Ranks) -> None:
        if len(sampler) < ranks.size:
            raise ValueError(
                f"trainer.devices={ranks.size}: only {len(sampler)} rows in an epoch or split; use fewer processes"
            )
        self.sampler, self.batch_size, self.ranks = sampler, batch_size, ranks  # Lightning calls `sampler.set_epoch`

    @property
    def is_training(self) -> bool:
        """True if the keys are those of a training epoch."""
        return isinstance(self.sampler, EpochSampler)

    @property
    def num_dropped(self) -> int:
        """Number of keys of an epoch that are dropped, below the size of the global batch."""
        return len(self.sampler) - self._bounds()[-1]

    def _bounds(self) -> list[int]:
        """Start of each global batch, and end of the last one."""
        total, size, count = len(self.sampler), self.batch_size, self.ranks.size
        if self.is_training:
            return list(range(0, total + 1, size)) if total >= size else [0, total - total % count]
        starts = list(range(0, total, size))
        if len(starts) > 1 and total - starts[-1] < count:
            starts.pop()
        return [*starts, total]

    def __len__(self) -> int:
        return len(self._bounds()) - 1

    def __iter__(self) -> Iterator[list[Any]]:
        keys, bounds, own = list(self.sampler), self._bounds(), self.ranks.rank
        for start, end in pairwise(bounds):
            first, last = (start + rank * (end - start) // self.ranks.size for rank in (own, own + 1))
            yield keys[first:last]
