"""Which garments an epoch shows, and in which order."""

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler


class EpochSampler(Sampler[tuple[int, int]]):
    """Keys (row, epoch) in an order that depends on seed and epoch alone, so that a resumed run goes on exactly.

    Args:
        rows: (n,) what to draw from.
        seed: of the order.
        count: keys an epoch; None: n. Epochs take turns through the rows: none comes twice before all came once.
        labels: (n,) give these to draw all labels equally often instead.
    """

    def __init__(self, rows: np.ndarray, seed: int, count: int | None = None, labels: np.ndarray | None = None) -> None:
        self.rows, self.seed, self.count, self.labels = rows, seed, count or len(rows), labels
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[int, int]]:
        drawn = self._rounds() if self.labels is None else self._balanced(self.labels)
        return iter([(int(row), self.epoch) for row in drawn])

    def _rounds(self) -> np.ndarray:
        first = self.epoch * self.count
        rounds = range(first // len(self.rows), (first + self.count - 1) // len(self.rows) + 1)
        order = [np.random.default_rng([self.seed, number]).permutation(self.rows) for number in rounds]
        start = first - rounds[0] * len(self.rows)
        return np.concatenate(order)[start : start + self.count]

    def _balanced(self, labels: np.ndarray) -> np.ndarray:
        rng = np.random.default_rng([self.seed, self.epoch])
        drawn_labels = rng.permutation(np.resize(rng.permutation(np.unique(labels)), self.count))
        chosen = np.empty(self.count, dtype=np.int64)
        for label in np.unique(labels):
            places = np.flatnonzero(drawn_labels == label)
            chosen[places] = rng.choice(self.rows[labels == label], len(places))
        return chosen
