"""Picture -> crop -> one forward -> lists -> shortlist -> hits."""

from copy import copy
from typing import NamedTuple

import numpy as np

from fashion_lsh.data.crops import crop_image
from fashion_lsh.gallery.files import check_model
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.index.hits import Hits
from fashion_lsh.index.indexes import HashIndex
from fashion_lsh.index.validation import at_least_one
from fashion_lsh.models.encoding import Encoded, Model, encode_crops
from fashion_lsh.search.policy import Search
from fashion_lsh.search.rerank import rerank, tie_break, weighted


class Reply(NamedTuple):
    """The answer to one picture: its category, the mass of it, and the hits (1, k)."""

    category: str
    mass: float
    hits: Hits


class Searcher:
    """A fitted model and a gallery filed by it.  Hits name lines of the gallery's catalogue.

    Raises:
        ValueError: the gallery is another model's, or `search` does not fit it.
    """

    def __init__(self, model: Model, gallery: Gallery, search: Search) -> None:
        search.check(model.bits, len(model.categories))
        check_model("the gallery", gallery.fingerprint, model.fingerprint())
        self.model, self.gallery, self.search = model, gallery, search

    def by(self, search: Search) -> "Searcher":
        """The same model and gallery, searched in another way.

        Raises:
            ValueError: `search` does not fit them.
        """
        search.check(self.model.bits, len(self.model.categories))
        other = copy(self)
        other.search = search
        return other

    def hits(self, queries: Encoded, k: int) -> Hits:
        """The k most similar garments of the gallery for each of Q encoded queries: (Q, k)."""
        return self.in_lists(queries, self.search.lists(queries.masses), k)

    def in_lists(self, queries: Encoded, lists: np.ndarray, k: int) -> Hits:
        """The same in given lists: (Q, C) int64, -1 padded."""
        if self.search.distance == "euclidean":
            return self.gallery.lines(self.gallery.float_index.search(queries.embeddings, lists, k))
        codes, index = self._coded(queries)
        match self.search.distance:
            case "hamming":
                return self.gallery.lines(index.nearest(codes, lists, k))
            case "shortlist":
                shortlist = self.shortlist(queries, lists, k)
                return self.gallery.lines(rerank(queries.embeddings, shortlist, self.gallery.embeddings, k))
        asked = zip(codes, queries.embeddings, lists, strict=True)
        return self.gallery.lines(Hits.joined([self._combined(index, *one, k) for one in asked], k))

    def shortlist(self, queries: Encoded, lists: np.ndarray, k: int) -> Hits:
        """The rows (not lines) that `shortlist` re-ranks: as many for all queries, or a share of what each reaches.

        Exact to the row; (Q, S), S at least k.
        """
        codes, index = self._coded(queries)
        if isinstance(self.search.shortlist, int):
            return index.nearest(codes, lists, max(k, min(self.search.shortlist, len(index))))
        reached = np.append(index.list_sizes(), 0)[lists].sum(axis=1)  # -1 names the 0 behind the last list
        wanted = np.maximum(k, np.ceil(np.round(self.search.shortlist * reached, 6))).astype(np.int64)
        found = index.nearest(codes, lists, int(wanted.max(initial=k)))
        beyond = np.arange(found.rows.shape[1]) >= wanted[:, None]
        return Hits(np.where(beyond, -1, found.rows), np.where(beyond, np.float32(np.inf), found.distances))

    def find(self, picture: np.ndarray, box: np.ndarray | None = None, k: int = 10) -> Reply:
        """Answer one picture.

        Args:
            picture: (H, W, 3) uint8.
            box: (4,) xyxy of the garment in pixels; None: the whole picture.
            k: hits, as many as there are garments at most.

        Raises:
            ValueError: the picture is of another form, the box lies off it, or k is no number of hits.
        """
        wanted = min(at_least_one(k=k), max(1, len(self.gallery)))
        crop = crop_image(picture, box, self.model.margin, self.model.image_size)
        query = encode_crops(self.model, [crop])
        best = int(query.predicted[0])
        return Reply(self.model.categories[best], float(query.masses[0, best]), self.hits(query, wanted))

    def _coded(self, queries: Encoded) -> tuple[np.ndarray, HashIndex]:
        if queries.codes is None or not isinstance(self.gallery.index, HashIndex):
            raise ValueError(f"search={self.search.distance} compares codes, and this gallery has none")
        return queries.codes, self.gallery.index

    def _combined(self, index: HashIndex, code: np.ndarray, embedding: np.ndarray, lists: np.ndarray, k: int) -> Hits:
        """The k best of one query by Hamming and Euclid together, of all rows that could be among them."""
        kept, nearest, embedding = self.gallery.embeddings, index.search(code[None], lists[None], k), embedding[None]
        reach = min(index.bits, nearest.distances[0, -1])  # inf: fewer than k rows, all are found
        if self.search.distance == "tie_break":
            return tie_break(embedding, index.within(code, lists, int(reach)), kept, k)
        alpha = self.search.alpha
        last = weighted(embedding, nearest, kept, k, alpha, index.bits).distances[0, -1]
        farthest = last * index.bits / alpha + 1 if alpha else np.inf  # beyond, Hamming's part alone is too much
        found = index.within(code, lists, int(min(index.bits, farthest)))
        return weighted(embedding, found, kept, k, alpha, index.bits)
