"""Search a gallery: detect, crop, encode in one forward pass, select lists, search them, re-rank."""

from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import torch

from fashion_lsh.data.crops import crop_image
from fashion_lsh.data.detections import BoxDetector, BoxSelector
from fashion_lsh.data.images import open_image
from fashion_lsh.gallery.files import check_fingerprint
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.index.hits import Hits
from fashion_lsh.index.indexes import HashIndex
from fashion_lsh.index.validation import check_positive
from fashion_lsh.models.encoding import Encoded, Model, encode, encode_crops
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.search.rerank import rerank, tie_break, weighted
from fashion_lsh.search.result import SearchResult, garment_hits

QueryImage = str | Path | BinaryIO | np.ndarray  # path, open binary file, or (H, W, 3) uint8 RGB
NOT_ANNOTATED = np.full(4, np.nan, np.float32)


class Searcher:
    """Search a gallery with the model that built it.  The rows of hits are catalogue rows.

    Args:
        model: fitted model.
        gallery: gallery with codes and embeddings of this model.
        policy: policy that selects the lists to probe and the distance.
        detector: detector of the garments in a query image; None: a query without a box is the whole image.
        box_selector: thresholds of detections, selection of one of them, and fallback without a detection.

    Raises:
        ValueError: the gallery was built by another model, or `policy` is incompatible with the model.
    """

    def __init__(
        self,
        model: Model,
        gallery: Gallery,
        policy: SearchPolicy,
        detector: BoxDetector | None = None,
        box_selector: BoxSelector = BoxSelector(),  # noqa: B008  frozen
    ) -> None:
        policy.check(model.bits, len(model.categories))
        policy.check_calibrated()
        check_fingerprint("the gallery", gallery.fingerprint, model.fingerprint())
        self.model, self.gallery, self.policy = model, gallery, policy
        self.detector, self.box_selector = detector, box_selector

    def with_policy(self, policy: SearchPolicy) -> "Searcher":
        """Return a searcher of the same model and gallery with another policy.

        Raises:
            ValueError: `policy` is incompatible with the model.
        """
        policy.check(self.model.bits, len(self.model.categories))
        policy.check_calibrated()
        searcher = copy(self)
        searcher.policy = policy
        return searcher

    def search_encoded(self, queries: Encoded, k: int) -> Hits:
        """Find the k nearest garments of Q encoded queries: (Q, k) hits."""
        return self.search_lists(queries, self.policy.select_lists(queries.probabilities), k)

    def search_lists(self, queries: Encoded, probed_lists: np.ndarray, k: int) -> Hits:
        """Find the k nearest garments of Q queries in the probed lists, (Q, C) int64 padded with -1: (Q, k) hits."""
        if self.policy.distance == "euclidean":
            return self.gallery.to_catalogue_rows(self.gallery.float_index.search(queries.embeddings, probed_lists, k))
        codes, index = self._codes_and_index(queries)
        match self.policy.distance:
            case "hamming":
                return self.gallery.to_catalogue_rows(index.search_exact(codes, probed_lists, k))
            case "rerank":
                return self.rerank(queries, self.candidates(queries, probed_lists, k), k)
        encoded_queries = zip(codes, queries.embeddings, probed_lists, strict=True)
        return self.gallery.to_catalogue_rows(
            Hits.concatenate([self._search_combined(index, *query, k) for query in encoded_queries], k)
        )

    def candidates(self, queries: Encoded, probed_lists: np.ndarray, k: int) -> Hits:
        """Find the candidates to re-rank: the nearest index rows by (Hamming distance, row).

        Returns (Q, S) hits, S at least k. A query with fewer than S candidates is padded with row -1.
        """
        codes, index = self._codes_and_index(queries)
        num_candidates = self.policy.num_candidates(self.num_probed_rows(probed_lists), k)
        most = max(k, min(int(num_candidates.max(initial=k)), len(index)))
        hits = index.search_exact(codes, probed_lists, most)
        is_padding = np.arange(hits.rows.shape[1]) >= num_candidates[:, None]
        return Hits(np.where(is_padding, -1, hits.rows), np.where(is_padding, np.float32(np.inf), hits.distances))

    def num_probed_rows(self, probed_lists: np.ndarray) -> np.ndarray:
        """Number of rows in the probed lists.  (Q, C) int64 padded with -1 -> (Q,) int64."""
        return np.asarray(np.append(self.gallery.index.list_sizes(), 0)[probed_lists].sum(axis=1))  # list -1: 0 rows

    def rerank(self, queries: Encoded, candidates: Hits, k: int) -> Hits:
        """Re-rank the candidates of Q queries by the distance or the re-ranker of the policy: (Q, k) hits."""
        own_reranker = self.policy.own_reranker
        select = rerank if own_reranker is None else own_reranker.rerank
        return self.gallery.to_catalogue_rows(select(queries.embeddings, candidates, self.gallery.embeddings, k))

    def search(self, image: QueryImage, box: Sequence[float] | np.ndarray | None = None, k: int = 12) -> SearchResult:
        """Search with one garment of a query image.

        Args:
            image: path or open binary file of the image, or (H, W, 3) uint8 RGB.
            box: (4,) xyxy of the garment in pixels. None for the detection that `box_selector` selects, or for the
                whole image without a detector or without a detection.
            k: maximum number of hits.

        Raises:
            ImageError: the file is missing, or is not a readable image.
            ValueError: the array has another shape or dtype, the box lies outside the image, k is not a positive
                integer, or there is no detection and `box_selector.fallback` is "skip".
        """
        pixels = _read_image(image)
        if box is None and self.detector is not None:
            detections = self.detector.detect([pixels])[0]
            box = self.box_selector.select_one(detections, NOT_ANNOTATED)
            if box is None and self.box_selector.fallback == "skip":
                raise ValueError("no garment detected; pass box=[x1, y1, x2, y2] of the garment")
        return self._search_box(pixels, box, k)

    def search_garments(self, image: QueryImage, k: int = 12) -> list[SearchResult]:
        """Search with each detected garment of a query image.

        Args:
            image: path or open binary file of the image, or (H, W, 3) uint8 RGB.
            k: maximum number of hits of each garment.

        Returns:
            One result per garment, by descending detection score; `SearchResult.box` is the detected box. Without a
            detector or without a detection, one result for the whole image, or none if `box_selector.fallback` is
            "skip".

        Raises:
            ImageError: the file is missing, or is not a readable image.
            ValueError: the array has another shape or dtype, or k is not a positive integer.
        """
        pixels = _read_image(image)
        if self.detector is None:
            return [self._search_box(pixels, None, k)]
        detections = self.detector.detect([pixels])[0].filter(self.box_selector.min_score, self.box_selector.min_size)
        if not len(detections.scores) and self.box_selector.fallback == "whole":
            return [self._search_box(pixels, None, k)]
        return [self._search_box(pixels, box, k) for box in detections.xyxy]

    def search_vectors(self, vectors: np.ndarray, k: int = 12) -> list[SearchResult]:
        """Search with backbone features instead of images, for a model that was trained on vectors (data=embeddings).

        Args:
            vectors: (Q, D) float, computed like the training data.
            k: maximum number of hits of each query.

        Raises:
            ValueError: the vectors have another length or are not finite, or k is not a positive integer.
        """
        k = min(check_positive(k=k), max(1, len(self.gallery)))
        if not np.isfinite(vectors).all():
            raise ValueError("vectors contain NaN or inf; remove these rows")
        encoded = encode(self.model, torch.from_numpy(np.asarray(vectors, dtype=np.float32)))
        return [self._result(encoded.at(row), k) for row in range(len(vectors))]

    def _search_box(self, pixels: np.ndarray, box: Sequence[float] | np.ndarray | None, k: int) -> SearchResult:
        """Search with a box (4,), or with the whole image if the box is None or NaN."""
        k = min(check_positive(k=k), max(1, len(self.gallery)))
        xyxy = NOT_ANNOTATED if box is None else np.asarray(box, dtype=np.float32)
        if xyxy.shape != (4,):
            raise ValueError(f"box={xyxy.tolist()}: pass four coordinates x1 y1 x2 y2 in pixels")
        query = encode_crops(self.model, [crop_image(pixels, xyxy, self.model.margin, self.model.image_size)])
        return self._result(query, k, None if np.isnan(xyxy).any() else tuple(xyxy.tolist()))

    def _result(self, query: Encoded, k: int, box: tuple[float, float, float, float] | None = None) -> SearchResult:
        """Search with one encoded query."""
        probabilities, names = query.probabilities[0], [*self.model.categories, ""]
        first, second = (*np.argsort(-probabilities, kind="stable")[:2], -1)[:2]
        return SearchResult(
            names[first],
            float(probabilities[first]),
            names[second],
            float(probabilities[second]) if second >= 0 else 0.0,
            garment_hits(self.search_encoded(query, k), self.gallery.catalogue),
            box,
        )

    def _codes_and_index(self, queries: Encoded) -> tuple[np.ndarray, HashIndex]:
        if queries.codes is None or not isinstance(self.gallery.index, HashIndex):
            raise ValueError(
                f"search={self.policy.distance} needs codes, but the gallery has none; set search=euclidean"
            )
        return queries.codes, self.gallery.index

    def _search_combined(
        self, index: HashIndex, code: np.ndarray, embedding: np.ndarray, probed_lists: np.ndarray, k: int
    ) -> Hits:
        """Search exactly by `tie_break` or `weighted` distance, with a range search of one query: (1, k) hits."""
        embeddings, query = self.gallery.embeddings, embedding[None]
        first_hits = index.search(code[None], probed_lists[None], k)
        radius = min(index.bits, first_hits.distances[0, -1])  # the distance is inf if the lists have fewer than k rows
        if self.policy.distance == "tie_break":
            return tie_break(query, index.range_search(code, probed_lists, int(radius)), embeddings, k)
        alpha = self.policy.alpha
        kth_distance = weighted(query, first_hits, embeddings, k, alpha, index.bits).distances[0, -1]
        # Beyond max_distance, the Hamming term of the weighted sum exceeds the weighted distance of the k-th hit.
        max_distance = kth_distance * index.bits / alpha + 1 if alpha else np.inf
        hits = index.range_search(code, probed_lists, int(min(index.bits, max_distance)))
        return weighted(query, hits, embeddings, k, alpha, index.bits)


def _read_image(image: QueryImage) -> np.ndarray:
    """Read the image if it is a path or an open file."""
    is_file = isinstance(image, str | Path) or hasattr(image, "read")
    return cast(np.ndarray, open_image(cast(BinaryIO, image)) if is_file else image)
