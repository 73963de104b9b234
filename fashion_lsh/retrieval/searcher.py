"""Picture -> crop -> one forward -> lists -> shortlist -> hits."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import torch

from fashion_lsh.catalogue.crops import cut
from fashion_lsh.retrieval.distances import rerank
from fashion_lsh.retrieval.encoding import Encoded, Model, encode
from fashion_lsh.retrieval.gallery import Gallery, check_model
from fashion_lsh.retrieval.hits import Hits
from fashion_lsh.retrieval.index import FloatIndex, HashIndex

Probes = int | float | Literal["all"]


@dataclass(frozen=True)
class Search:
    """How to search.

    Attributes:
        distance: `hamming`; `euclidean`, exact, between embeddings; `shortlist`, the best by Hamming re-ranked by
            Euclid.
        probes: lists to search: how many of the likeliest categories, `all`, or the softmax mass they must reach.
        shortlist: rows that are re-ranked, at least as many as the hits that are asked for.
    """

    distance: Literal["hamming", "euclidean", "shortlist"]
    probes: Probes
    shortlist: int

    def check(self, bits: int | None, categories: int) -> None:
        """Refuse what cannot be searched.

        Raises:
            ValueError: probes beyond the categories, a mass outside 0..1, an empty shortlist, codes without bits.
        """
        probes = self.probes
        if isinstance(probes, float) and not 0 < probes < 1:
            raise ValueError(f"search.probes={probes}: a softmax mass lies between 0 and 1; give one, a number, or all")
        if isinstance(probes, int) and not 1 <= probes <= categories:
            raise ValueError(
                f"search.probes={probes}: there are {categories} categories; give 1 to {categories}, or all"
            )
        if self.shortlist < 1:
            raise ValueError(f"search.shortlist={self.shortlist}: give at least 1 row")
        if bits is None and self.distance != "euclidean":
            raise ValueError(f"search={self.distance} compares codes, and hash=none makes none: give search=euclidean")

    def lists(self, masses: np.ndarray) -> np.ndarray:
        """Which lists each query searches, likeliest first.  (Q, C) softmax masses -> (Q, C) int64, -1 padded."""
        order = np.argsort(-masses, axis=1, kind="stable")
        if self.probes == "all":
            return order
        if isinstance(self.probes, float):
            reached = np.cumsum(np.take_along_axis(masses, order, axis=1), axis=1)
            wanted = 1 + (reached < self.probes).sum(axis=1)
        else:
            wanted = np.full(len(masses), self.probes)
        return np.where(np.arange(masses.shape[1]) < wanted[:, None], order, -1)

    @property
    def label(self) -> str:
        """A name for tables: `shortlist_1`, `hamming_all`, `euclidean_0.95`."""
        return f"{self.distance}_{self.probes}"


class Found(NamedTuple):
    """The answer to one picture: its category, the mass of it, and the hits (1, k)."""

    category: str
    mass: float
    hits: Hits


class Searcher:
    """A fitted model and a gallery filed by it.

    Raises:
        ValueError: the gallery is another model's, or `search` does not fit it.
    """

    def __init__(self, model: Model, gallery: Gallery, search: Search) -> None:
        search.check(model.bits, len(model.categories))
        check_model("the gallery", gallery.fingerprint, model.fingerprint())
        self.model, self.gallery, self.search = model, gallery, search

    def hits(self, queries: Encoded, k: int) -> Hits:
        """The k most similar rows of the gallery for each of Q encoded queries: (Q, k)."""
        return self.within(queries, self.search.lists(queries.masses), k)

    def within(self, queries: Encoded, lists: np.ndarray, k: int) -> Hits:
        """The same in given lists: (Q, C) int64, -1 padded."""
        if self.search.distance == "euclidean":
            return self._float_index.search(queries.embeddings, lists, k)
        codes, index = queries.codes, self.gallery.index
        if codes is None or not isinstance(index, HashIndex):
            raise ValueError(f"search={self.search.distance} compares codes, and this gallery has none")
        if self.search.distance == "hamming":
            return index.search(codes, lists, k)
        shortlist = index.search(codes, lists, max(k, self.search.shortlist))
        return rerank(queries.embeddings, shortlist, self.gallery.embeddings, k)

    def find(self, picture: np.ndarray, box: np.ndarray | None = None, k: int = 10) -> Found:
        """Answer one picture.

        Args:
            picture: (H, W, 3) uint8.
            box: (4,) xyxy of the garment in pixels; None: the whole picture.
            k: hits.
        """
        crop = cut(picture, box, self.model.margin, self.model.image_size)
        query = encode(self.model, torch.from_numpy(crop.transpose(2, 0, 1)[None].copy()))
        best = int(query.predicted[0])
        return Found(self.model.categories[best], float(query.masses[0, best]), self.hits(query, k))

    @cached_property
    def _float_index(self) -> FloatIndex:
        """Exact Euclid needs float32 in memory: the gallery's own index, or one made of its embeddings."""
        if isinstance(self.gallery.index, FloatIndex):
            return self.gallery.index
        index = FloatIndex(self.gallery.embeddings.shape[1], len(self.model.categories))
        index.add(
            np.asarray(self.gallery.embeddings, dtype=np.float32),
            self.gallery.lists,
            np.arange(len(self.gallery.lists)),
        )
        return index
