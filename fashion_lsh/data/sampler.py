"""Which garments an epoch shows, and in which order."""

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

PARTNER_EPOCH_OFFSET = (
    2**31
)  # added to the epoch of a picture that comes second in a pair: it is augmented otherwise than as the first


class EpochSampler(Sampler[tuple[int, int]]):
    """Keys (row, epoch) in an order that depends on seed and epoch alone, so that a resumed run goes on exactly.

    Args:
        rows: (n,) what to draw from, ascending.
        seed: of the order.
        count: keys an epoch; None: n. Epochs take turns through the rows: none comes twice before all came once.
        labels: (n,) give these to draw all labels equally often instead.
        items: (n,) int, give these to have half as many drawn, each followed by another row of its item, which may
            have been drawn as well, or, where there is none, by itself; the second has another epoch.
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
        self.count = max(1, (count or len(rows)) // (1 if items is None else 2))  # that are drawn
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before each epoch."""
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
        """(n,) another row of each one's item, by chance; a row that is alone is its own."""
        order = np.argsort(items, kind="stable")  # rows of one item side by side
        _, first, size = np.unique(items[order], return_index=True, return_counts=True)
        group = np.repeat(np.arange(len(size)), size)  # of each place in the order
        position = np.argsort(order)[np.searchsorted(self.rows, drawn)]
        first, size = first[group[position]], size[group[position]]
        step = 1 + np.random.default_rng([self.seed, self.epoch, 1]).integers(np.maximum(size - 1, 1))
        return np.asarray(self.rows[order[first + (position - first + step) % size]])
