"""How to search: which lists, by which distance."""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, PositiveInt

Probes = int | float | Literal["all"]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Probability = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class SearchPolicy:
    """How to search.

    Attributes:
        distance: `hamming`; `euclidean`, exact, between embeddings; `shortlist`, the best by Hamming re-ranked by
            Euclid; `tie_break`, Hamming, equal distances in the order of Euclid; `weighted`, a sum of both.
        probes: lists to search: how many of the likeliest categories, `all`, or the softmax mass they must reach.
        rerank_k: rows that are re-ranked (at least as many as the hits asked for): how many, or as a share of the
            rows in the lists that are searched.
        alpha: the weight of Hamming in `weighted`, 0..1; the rest is Euclid's.
        min_confidence: where the likeliest category has less mass than this, all lists are searched; 0: never.
    """

    distance: Literal["hamming", "euclidean", "rerank", "tie_break", "weighted"]
    probes: Probes
    rerank_k: PositiveInt | Fraction
    alpha: Probability
    min_confidence: Probability

    def check(self, bits: int | None, category_count: int) -> None:
        """Refuse what cannot be searched.

        Raises:
            ValueError: probes beyond the categories, a mass or share or weight out of range, an empty shortlist, codes
                without bits.
        """
        probes = self.probes
        if isinstance(probes, float) and not 0 < probes < 1:
            raise ValueError(f"search.probes={probes}: a softmax mass lies between 0 and 1; give one, a number, or all")
        if isinstance(probes, int) and not 1 <= probes <= category_count:
            raise ValueError(
                f"search.probes={probes}: there are {category_count} categories; give 1 to {category_count}, or all"
            )
        if not (0 < self.rerank_k < 1 or (isinstance(self.rerank_k, int) and self.rerank_k >= 1)):
            raise ValueError(f"search.rerank_k={self.rerank_k}: give at least 1 row, or a share between 0 and 1")
        for name, value in (("alpha", self.alpha), ("min_confidence", self.min_confidence)):
            if not 0 <= value <= 1:
                raise ValueError(f"search.{name}={value}: give 0 to 1")
        if bits is None and self.distance != "euclidean":
            raise ValueError(f"search={self.distance} compares codes, and hash=none makes none: give search=euclidean")

    def select_lists(self, probabilities: np.ndarray) -> np.ndarray:
        """Which lists each query searches, likeliest first.  (Q, C) softmax masses -> (Q, C) int64, -1 padded.

        A query without any mass, in which nothing was seen, searches none.
        """
        order = np.argsort(-probabilities, axis=1, kind="stable")
        order[~probabilities.any(axis=1)] = -1
        if self.probes == "all":
            return order
        if isinstance(self.probes, float):
            cumulative = np.cumsum(np.take_along_axis(probabilities, order, axis=1), axis=1)
            list_counts = 1 + (cumulative < self.probes).sum(axis=1)
        else:
            list_counts = np.full(len(probabilities), self.probes)
        list_counts = np.where(probabilities.max(axis=1) < self.min_confidence, probabilities.shape[1], list_counts)
        return np.where(np.arange(probabilities.shape[1]) < list_counts[:, None], order, -1)

    @property
    def label(self) -> str:
        """A name for tables, of all that matters: `hamming_all`, `rerank200_1`, `weighted0.3_0.95_sure0.5`."""
        parameter = {"rerank": self.rerank_k, "weighted": self.alpha}.get(self.distance, "")
        suffix = f"_sure{self.min_confidence}" if self.min_confidence and self.probes != "all" else ""
        return f"{self.distance}{parameter}_{self.probes}{suffix}"
