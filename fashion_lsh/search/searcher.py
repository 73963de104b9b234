"""Picture -> crop -> one forward -> lists -> shortlist -> hits."""

from copy import copy
from typing import NamedTuple

import numpy as np

from fashion_lsh.data.crops import crop_image
from fashion_lsh.gallery.files import check_fingerprint
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.index.hits import Hits
from fashion_lsh.index.indexes import HashIndex
from fashion_lsh.index.validation import check_positive
from fashion_lsh.models.encoding import Encoded, Model, encode_crops
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.search.rerank import rerank, tie_break, weighted


class SearchResult(NamedTuple):
    """The answer to one picture: its category, the mass of it, and the hits (1, k)."""

    category: str
    confidence: float
    hits: Hits


class Searcher:
    """A fitted model and a gallery filed by it.  Hits name lines of the gallery's catalogue.

    Raises:
        ValueError: the gallery is another model's, or `policy` does not fit it.
    """

    def __init__(self, model: Model, gallery: Gallery, policy: SearchPolicy) -> None:
        policy.check(model.bits, len(model.categories))
        check_fingerprint("the gallery", gallery.fingerprint, model.fingerprint())
        self.model, self.gallery, self.policy = model, gallery, policy

    def with_policy(self, policy: SearchPolicy) -> "Searcher":
        """The same model and gallery, searched in another way.

        Raises:
            ValueError: `policy` does not fit them.
        """
        policy.check(self.model.bits, len(self.model.categories))
        other = copy(self)
        other.policy = policy
        return other

    def search_encoded(self, queries: Encoded, k: int) -> Hits:
        """The k most similar garments of the gallery for each of Q encoded queries: (Q, k)."""
        return self.search_lists(queries, self.policy.select_lists(queries.probabilities), k)

    def search_lists(self, queries: Encoded, lists: np.ndarray, k: int) -> Hits:
        """The same in given lists: (Q, C) int64, -1 padded."""
        if self.policy.distance == "euclidean":
            return self.gallery.to_catalogue_rows(self.gallery.float_index.search(queries.embeddings, lists, k))
        codes, index = self._codes_and_index(queries)
        match self.policy.distance:
            case "hamming":
                return self.gallery.to_catalogue_rows(index.search_exact(codes, lists, k))
            case "rerank":
                candidates = self.candidates(queries, lists, k)
                return self.gallery.to_catalogue_rows(
                    rerank(queries.embeddings, candidates, self.gallery.embeddings, k)
                )
        arguments = zip(codes, queries.embeddings, lists, strict=True)
        return self.gallery.to_catalogue_rows(
            Hits.concatenate([self._search_combined(index, *one, k) for one in arguments], k)
        )

    def candidates(self, queries: Encoded, lists: np.ndarray, k: int) -> Hits:
        """The rows (not lines) that `rerank` re-ranks: as many for all queries, or a share of what each reaches.

        Exact to the row; (Q, S), S at least k.
        """
        codes, index = self._codes_and_index(queries)
        if isinstance(self.policy.rerank_k, int):
            return index.search_exact(codes, lists, max(k, min(self.policy.rerank_k, len(index))))
        probed_rows = np.append(index.list_sizes(), 0)[lists].sum(axis=1)  # -1 names the 0 behind the last list
        candidate_counts = np.maximum(k, np.ceil(np.round(self.policy.rerank_k * probed_rows, 6))).astype(np.int64)
        hits = index.search_exact(codes, lists, int(candidate_counts.max(initial=k)))
        unused = np.arange(hits.rows.shape[1]) >= candidate_counts[:, None]
        return Hits(np.where(unused, -1, hits.rows), np.where(unused, np.float32(np.inf), hits.distances))

    def search(self, image: np.ndarray, box: np.ndarray | None = None, k: int = 10) -> SearchResult:
        """Answer one picture.

        Args:
            image: (H, W, 3) uint8.
            box: (4,) xyxy of the garment in pixels; None: the whole picture.
            k: hits, as many as there are garments at most.

        Raises:
            ValueError: the picture is of another form, the box lies off it, or k is no number of hits.
        """
        k = min(check_positive(k=k), max(1, len(self.gallery)))
        crop = crop_image(image, box, self.model.margin, self.model.image_size)
        query = encode_crops(self.model, [crop])
        predicted = int(query.predicted[0])
        return SearchResult(
            self.model.categories[predicted], float(query.probabilities[0, predicted]), self.search_encoded(query, k)
        )

    def _codes_and_index(self, queries: Encoded) -> tuple[np.ndarray, HashIndex]:
        if queries.codes is None or not isinstance(self.gallery.index, HashIndex):
            raise ValueError(f"search={self.policy.distance} compares codes, and this gallery has none")
        return queries.codes, self.gallery.index

    def _search_combined(
        self, index: HashIndex, code: np.ndarray, embedding: np.ndarray, lists: np.ndarray, k: int
    ) -> Hits:
        """The k best of one query by Hamming and Euclid together, of all rows that could be among them."""
        embeddings, first_hits, query = (
            self.gallery.embeddings,
            index.search(code[None], lists[None], k),
            embedding[None],
        )
        radius = min(index.bits, first_hits.distances[0, -1])  # inf: fewer than k rows, all are found
        if self.policy.distance == "tie_break":
            return tie_break(query, index.range_search(code, lists, int(radius)), embeddings, k)
        alpha = self.policy.alpha
        kth_distance = weighted(query, first_hits, embeddings, k, alpha, index.bits).distances[0, -1]
        max_distance = (
            kth_distance * index.bits / alpha + 1 if alpha else np.inf
        )  # beyond, Hamming's part alone is too much
        hits = index.range_search(code, lists, int(min(index.bits, max_distance)))
        return weighted(query, hits, embeddings, k, alpha, index.bits)
