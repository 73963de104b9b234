"""Search a gallery: crop, encode in one forward pass, select lists, search them, re-rank."""

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
    """Result of one query: predicted category, its probability, and hits (1, k)."""

    category: str
    confidence: float
    hits: Hits


class Searcher:
    """Search a gallery with the model that built it.  The rows of hits are catalogue rows.

    Args:
        model: fitted model.
        gallery: gallery with codes and embeddings of this model.
        policy: lists to probe, and distance.

    Raises:
        ValueError: the gallery was built by another model, or `policy` does not fit the model.
    """

    def __init__(self, model: Model, gallery: Gallery, policy: SearchPolicy) -> None:
        policy.check(model.bits, len(model.categories))
        check_fingerprint("the gallery", gallery.fingerprint, model.fingerprint())
        self.model, self.gallery, self.policy = model, gallery, policy

    def with_policy(self, policy: SearchPolicy) -> "Searcher":
        """Return a searcher of the same model and gallery with another policy.

        Raises:
            ValueError: `policy` does not fit the model.
        """
        policy.check(self.model.bits, len(self.model.categories))
        other = copy(self)
        other.policy = policy
        return other

    def search_encoded(self, queries: Encoded, k: int) -> Hits:
        """Find the k nearest gallery garments of each of Q encoded queries: (Q, k)."""
        return self.search_lists(queries, self.policy.select_lists(queries.probabilities), k)

    def search_lists(self, queries: Encoded, lists: np.ndarray, k: int) -> Hits:
        """Find the k nearest garments in given lists, (Q, C) int64 padded with -1: (Q, k)."""
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
            Hits.concatenate([self._search_combined(index, *query, k) for query in arguments], k)
        )

    def candidates(self, queries: Encoded, lists: np.ndarray, k: int) -> Hits:
        """Find the candidates to re-rank: `rerank_k` index rows by Hamming distance, ties broken by the lowest row.

        Returns (Q, S) hits, S at least k, padded where `rerank_k` is a fraction of the rows in the probed lists.
        """
        codes, index = self._codes_and_index(queries)
        if isinstance(self.policy.rerank_k, int):
            return index.search_exact(codes, lists, max(k, min(self.policy.rerank_k, len(index))))
        probed_rows = np.append(index.list_sizes(), 0)[lists].sum(axis=1)  # -1 selects the appended 0
        candidate_counts = np.maximum(k, np.ceil(np.round(self.policy.rerank_k * probed_rows, 6))).astype(np.int64)
        hits = index.search_exact(codes, lists, int(candidate_counts.max(initial=k)))
        unused = np.arange(hits.rows.shape[1]) >= candidate_counts[:, None]
        return Hits(np.where(unused, -1, hits.rows), np.where(unused, np.float32(np.inf), hits.distances))

    def search(self, image: np.ndarray, box: np.ndarray | None = None, k: int = 10) -> SearchResult:
        """Search with one query image.

        Args:
            image: (H, W, 3) uint8.
            box: (4,) xyxy of the garment in pixels; None: the whole image.
            k: number of hits, at most the size of the gallery.

        Raises:
            ValueError: the image has another shape or dtype, the box lies outside it, or k is not a positive integer.
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
            raise ValueError(
                f"search={self.policy.distance} needs codes, but the gallery has none; set search=euclidean"
            )
        return queries.codes, self.gallery.index

    def _search_combined(
        self, index: HashIndex, code: np.ndarray, embedding: np.ndarray, lists: np.ndarray, k: int
    ) -> Hits:
        """Search one query by Hamming and Euclidean distance combined; exact, by range search: (1, k)."""
        embeddings, query = self.gallery.embeddings, embedding[None]
        first_hits = index.search(code[None], lists[None], k)
        radius = min(index.bits, first_hits.distances[0, -1])  # inf: fewer than k rows, all within the radius
        if self.policy.distance == "tie_break":
            return tie_break(query, index.range_search(code, lists, int(radius)), embeddings, k)
        alpha = self.policy.alpha
        kth_distance = weighted(query, first_hits, embeddings, k, alpha, index.bits).distances[0, -1]
        # Beyond this Hamming distance, the Hamming term alone exceeds the k-th weighted distance.
        max_distance = kth_distance * index.bits / alpha + 1 if alpha else np.inf
        hits = index.range_search(code, lists, int(min(index.bits, max_distance)))
        return weighted(query, hits, embeddings, k, alpha, index.bits)
