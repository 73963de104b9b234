"""Training sampler: shuffled rows, rows balanced by category, or pairs of rows of the same item."""

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

PARTNER_EPOCH_OFFSET = 2**31  # added to the epoch of a pair's second image, so that its augmentation differs


class EpochSampler(Sampler[tuple[int, int]]):
    """Sampler of keys (row, epoch); the order depends only on seed and epoch, so a resumed run continues exactly.

    Args:
        rows: (n,) rows to draw from, ascending.
        seed: random seed of the order.
        count: number of keys per epoch; None: n. Each epoch continues where the last one stopped: no row is drawn again
            before all rows were drawn.
        labels: (n,) int labels of the rows; if passed, all labels are drawn equally often instead.
        items: (n,) int items of the rows; if passed, half as many rows are drawn, and each row is followed by a
            partner: a random other row of the same item, or the row itself if the item has no other row. The epoch in
            the partner's key is increased by PARTNER_EPOCH_OFFSET.
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
        # number of rows drawn per epoch, without partners
        self.count = max(1, (count or len(rows)) // (1 if items is None else 2))
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count * (1 if self.items is None else 2)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter([(row, epoch) for row, epoch in self.keys().tolist()])

    def keys(self) -> np.ndarray:
        """Keys (row, epoch) of the current epoch, (len(self), 2) int64."""
        drawn = self._draw_rounds() if self.labels is None else self._draw_balanced(self.labels)
        if self.items is None:
            return np.stack([drawn, np.full_like(drawn, self.epoch)], axis=1)
        rows = np.stack([drawn, self._draw_partners(self.items, drawn)], axis=1)
        epochs = np.broadcast_to([self.epoch, self.epoch + PARTNER_EPOCH_OFFSET], rows.shape)
        return np.stack([rows, epochs], axis=2).reshape(-1, 2)

    def _draw_rounds(self) -> np.ndarray:
        """Draw consecutive rows from an endless sequence of rounds; each round is a permutation of all rows."""
        position = self.epoch * self.count
        rounds = range(position // len(self.rows), (position + self.count - 1) // len(self.rows) + 1)
        permutations = [np.random.default_rng([self.seed, index]).permutation(self.rows) for index in rounds]
        start = position - rounds[0] * len(self.rows)
        return np.concatenate(permutations)[start : start + self.count]

    def _draw_balanced(self, labels: np.ndarray) -> np.ndarray:
        rng = np.random.default_rng([self.seed, self.epoch])
        drawn_labels = rng.permutation(np.resize(rng.permutation(np.unique(labels)), self.count))
        drawn_rows = np.empty(self.count, dtype=np.int64)
        for label in np.unique(labels):
            positions = np.flatnonzero(drawn_labels == label)
            drawn_rows[positions] = rng.choice(self.rows[labels == label], len(positions))
        return drawn_rows

    def _draw_partners(self, items: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        """Draw a random other row of the same item for each of m drawn rows, (m,); the row itself if there is none."""
        order = np.argsort(items, kind="stable")  # makes the rows of an item adjacent
        _, item_start, item_size = np.unique(items[order], return_index=True, return_counts=True)
        item_index = np.repeat(np.arange(len(item_size)), item_size)  # by position in the order
        position = np.argsort(order)[np.searchsorted(self.rows, drawn)]
        start, size = item_start[item_index[position]], item_size[item_index[position]]
        step = 1 + np.random.default_rng([self.seed, self.epoch, 1]).integers(np.maximum(size - 1, 1))
        return np.asarray(self.rows[order[start + (position - start + step) % size]])
