"""Samplers: shuffled, balanced by category, and pairs of one item."""

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

PARTNER_EPOCH_OFFSET = 2**31  # added to the epoch of the second image of a pair, for a different augmentation


class EpochSampler(Sampler[tuple[int, int]]):
    """Draw keys (row, epoch) in an order that depends only on seed and epoch, so a resumed run continues exactly.

    Args:
        rows: (n,) rows to draw from, ascending.
        seed: seed of the order.
        count: keys per epoch; None: n. Epochs continue through the rows: no row repeats before all were drawn.
        labels: (n,) int; if passed, draw all labels equally often instead.
        items: (n,) int; if passed, draw half as many rows and follow each by another row of its item, with another
            epoch. This row may also be drawn itself; a row without another of its item is followed by itself.
    """

    def __init__(
        self,
        rows: np.ndarray,
        seed: int,
        count: int | None = None,
        labels: np.ndarray | None = None,
        items: np.ndarray | None = None,
    ) -> None:
        self.rows, self.seed, self.labels, self.items = rows, seed, labels, items
        self.count = max(1, (count or len(rows)) // (1 if items is None else 2))  # without partners
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count * (1 if self.items is None else 2)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        drawn = self._draw_rounds() if self.labels is None else self._draw_balanced(self.labels)
        if self.items is None:
            return iter([(int(row), self.epoch) for row in drawn])
        pairs = zip(drawn, self._draw_partners(self.items, drawn), strict=True)
        return iter([
            key for row, other in pairs
            for key in ((int(row), self.epoch), (int(other), self.epoch + PARTNER_EPOCH_OFFSET))
        ])  # fmt: skip

    def _draw_rounds(self) -> np.ndarray:
        first = self.epoch * self.count
        rounds = range(first // len(self.rows), (first + self.count - 1) // len(self.rows) + 1)
        order = [np.random.default_rng([self.seed, number]).permutation(self.rows) for number in rounds]
        start = first - rounds[0] * len(self.rows)
        return np.concatenate(order)[start : start + self.count]

    def _draw_balanced(self, labels: np.ndarray) -> np.ndarray:
        rng = np.random.default_rng([self.seed, self.epoch])
        drawn_labels = rng.permutation(np.resize(rng.permutation(np.unique(labels)), self.count))
        chosen = np.empty(self.count, dtype=np.int64)
        for label in np.unique(labels):
            positions = np.flatnonzero(drawn_labels == label)
            chosen[positions] = rng.choice(self.rows[labels == label], len(positions))
        return chosen

    def _draw_partners(self, items: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        """(n,) a random other row of the same item for each drawn row; the row itself if there is none."""
        order = np.argsort(items, kind="stable")  # rows of an item are adjacent
        _, first, size = np.unique(items[order], return_index=True, return_counts=True)
        group = np.repeat(np.arange(len(size)), size)  # item number by position in the order
        position = np.argsort(order)[np.searchsorted(self.rows, drawn)]
        first, size = first[group[position]], size[group[position]]
        step = 1 + np.random.default_rng([self.seed, self.epoch, 1]).integers(np.maximum(size - 1, 1))
        return np.asarray(self.rows[order[first + (position - first + step) % size]])
