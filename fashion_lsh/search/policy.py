"""How to search: which lists, by which distance."""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, PositiveInt

Probes = int | float | Literal["all"]
Share = Annotated[float, Field(gt=0, lt=1)]
Mass = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class Search:
    """How to search.

    Attributes:
        distance: `hamming`; `euclidean`, exact, between embeddings; `shortlist`, the best by Hamming re-ranked by
            Euclid; `tie_break`, Hamming, equal distances in the order of Euclid; `weighted`, a sum of both.
        probes: lists to search: how many of the likeliest categories, `all`, or the softmax mass they must reach.
        shortlist: rows that are re-ranked (at least as many as the hits asked for): how many, or as a share of the
            rows in the lists that are searched.
        alpha: the weight of Hamming in `weighted`, 0..1; the rest is Euclid's.
        whole_below: where the likeliest category has less mass than this, all lists are searched; 0: never.
    """

    distance: Literal["hamming", "euclidean", "shortlist", "tie_break", "weighted"]
    probes: Probes
    shortlist: PositiveInt | Share
    alpha: Mass
    whole_below: Mass

    def check(self, bits: int | None, categories: int) -> None:
        """Refuse what cannot be searched.

        Raises:
            ValueError: probes beyond the categories, a mass or share or weight out of range, an empty shortlist, codes
                without bits.
        """
        probes = self.probes
        if isinstance(probes, float) and not 0 < probes < 1:
            raise ValueError(f"search.probes={probes}: a softmax mass lies between 0 and 1; give one, a number, or all")
        if isinstance(probes, int) and not 1 <= probes <= categories:
            raise ValueError(
                f"search.probes={probes}: there are {categories} categories; give 1 to {categories}, or all"
            )
        if not (0 < self.shortlist < 1 or (isinstance(self.shortlist, int) and self.shortlist >= 1)):
            raise ValueError(f"search.shortlist={self.shortlist}: give at least 1 row, or a share between 0 and 1")
        for name, value in (("alpha", self.alpha), ("whole_below", self.whole_below)):
            if not 0 <= value <= 1:
                raise ValueError(f"search.{name}={value}: give 0 to 1")
        if bits is None and self.distance != "euclidean":
            raise ValueError(f"search={self.distance} compares codes, and hash=none makes none: give search=euclidean")

    def lists(self, masses: np.ndarray) -> np.ndarray:
        """Which lists each query searches, likeliest first.  (Q, C) softmax masses -> (Q, C) int64, -1 padded.

        A query without any mass, in which nothing was seen, searches none.
        """
        order = np.argsort(-masses, axis=1, kind="stable")
        order[~masses.any(axis=1)] = -1
        if self.probes == "all":
            return order
        if isinstance(self.probes, float):
            reached = np.cumsum(np.take_along_axis(masses, order, axis=1), axis=1)
            wanted = 1 + (reached < self.probes).sum(axis=1)
        else:
            wanted = np.full(len(masses), self.probes)
        wanted = np.where(masses.max(axis=1) < self.whole_below, masses.shape[1], wanted)
        return np.where(np.arange(masses.shape[1]) < wanted[:, None], order, -1)

    @property
    def label(self) -> str:
        """A name for tables, of all that matters: `hamming_all`, `shortlist200_1`, `weighted0.3_0.95_sure0.5`."""
        own = {"shortlist": self.shortlist, "weighted": self.alpha}.get(self.distance, "")
        sure = f"_sure{self.whole_below}" if self.whole_below and self.probes != "all" else ""
        return f"{self.distance}{own}_{self.probes}{sure}"
