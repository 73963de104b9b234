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
from fashion_lsh.search.combined import search_combined
from fashion_lsh.search.filters import FilteredHits, ResultFilters
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.search.prefixes import asymmetric_queries, prefix_gallery, prefix_queries
from fashion_lsh.search.rerank import rerank
from fashion_lsh.search.result import SearchResult, query_result

QueryImage = str | Path | BinaryIO | np.ndarray  # path, open binary file, or (H, W, 3) uint8 RGB
NOT_ANNOTATED = np.full(4, np.nan, np.float32)


class Searcher:
    """Search a gallery with the model that built it.  The rows of hits are catalogue rows.

    Args:
        model: fitted model.
        gallery: gallery with codes of this model, and embeddings if the policy needs them. With `bits` in the policy,
            the attribute of this name has the cut codes; update a gallery without it.
        policy: policy that selects the lists to probe and the distance.
        detector: detector of the garments in a query image; None: a query without a box is the whole image.
        box_selector: thresholds of detections, selection of one of them, and fallback without a detection.

    Raises:
        ValueError: the gallery was built by another model, `policy` is incompatible with model or gallery, or its
            filter with the columns of the gallery.
    """

    def __init__(
        self,
        model: Model,
        gallery: Gallery,
        policy: SearchPolicy,
        detector: BoxDetector | None = None,
        box_selector: BoxSelector = BoxSelector(),  # noqa: B008  frozen
    ) -> None:
        check_fingerprint("the gallery", gallery.fingerprint, model.fingerprint())
        self.model, self.detector, self.box_selector = model, detector, box_selector
        self._whole_gallery = self.gallery = gallery
        self._filters = ResultFilters()
        self._bits: int | None = None  # prefix of the codes in `gallery`; None: whole codes
        self._set_policy(policy)

    def with_policy(self, policy: SearchPolicy) -> "Searcher":
        """Return a searcher of the same model and gallery with another policy.

        Raises:
            ValueError: `policy` is incompatible with model or gallery.
        """
        searcher = copy(self)
        searcher._set_policy(policy)
        return searcher

    def search_encoded(self, queries: Encoded, k: int, where: str | None = None) -> Hits:
        """Find the k nearest garments of Q encoded queries: (Q, k) hits.  `where` replaces that of the policy."""
        return self.search_filtered(queries, k, where).hits

    def search_filtered(self, queries: Encoded, k: int, where: str | None = None) -> FilteredHits:
        """Find the k nearest garments of Q encoded queries, as `search_encoded`, with the counts of the filters."""
        lists = self.policy.select_lists(queries.probabilities)

        def find(gallery: Gallery, count: int) -> Hits:
            if gallery is self.gallery:
                return self.search_lists(queries, lists, count)
            searcher = copy(self)
            searcher.gallery = gallery
            return searcher.search_lists(queries, lists, count)

        return self._filters.search(find, self.gallery, self.policy, lists, k, where)

    def search_lists(self, queries: Encoded, probed_lists: np.ndarray, k: int) -> Hits:
        """Find the k nearest garments of Q queries in the probed lists, (Q, C) int64 padded with -1: (Q, k) hits."""
        if self.policy.distance == "euclidean":
            return self.gallery.to_catalogue_rows(self.gallery.float_index.search(queries.embeddings, probed_lists, k))
        queries = prefix_queries(queries, self.policy.bits)
        codes, index = self._codes_and_index(queries)
        match self.policy.distance:
            case "hamming":
                return self.gallery.to_catalogue_rows(index.search(codes, probed_lists, k))
            case "asymmetric":
                hits = self.gallery.code_lists.search(asymmetric_queries(queries), probed_lists, k)
                return self.gallery.to_catalogue_rows(hits)
            case "rerank":
                return self.rerank(queries, self.candidates(queries, probed_lists, k), k)
        hits = search_combined(index, self.gallery.embeddings, self.policy, codes, queries.embeddings, probed_lists, k)
        return self.gallery.to_catalogue_rows(hits)

    def candidates(self, queries: Encoded, probed_lists: np.ndarray, k: int) -> Hits:
        """Find the candidates to re-rank: the nearest index rows by (Hamming distance, row).

        Returns (Q, S) hits, S at least k. A query with fewer than S candidates is padded with row -1.
        """
        codes, index = self._codes_and_index(prefix_queries(queries, self.policy.bits))
        num_candidates = self.policy.num_candidates(self.num_probed_rows(probed_lists), k)
        most = max(k, min(int(num_candidates.max(initial=k)), len(index)))
        hits = index.search(codes, probed_lists, most)
        is_padding = np.arange(hits.rows.shape[1]) >= num_candidates[:, None]
        return Hits(np.where(is_padding, -1, hits.rows), np.where(is_padding, np.float32(np.inf), hits.distances))

    def num_probed_rows(self, probed_lists: np.ndarray) -> np.ndarray:
        """Number of rows in the probed lists.  (Q, C) int64 padded with -1 -> (Q,) int64."""
        return np.asarray(np.append(self.gallery.index.list_sizes(), 0)[probed_lists].sum(axis=1))  # list -1: 0 rows

    def rerank(self, queries: Encoded, candidates: Hits, k: int) -> Hits:
        """Re-rank the candidates of Q queries by the distance or the re-ranker of the policy: (Q, k) hits."""
        if self.policy.rerank_by == "asymmetric":
            activations = asymmetric_queries(prefix_queries(queries, self.policy.bits))
            hits = self.gallery.code_lists.rerank(activations, candidates, k)
            return self.gallery.to_catalogue_rows(hits)
        own_reranker = self.policy.own_reranker
        select = rerank if own_reranker is None else own_reranker.rerank
        return self.gallery.to_catalogue_rows(select(queries.embeddings, candidates, self.gallery.embeddings, k))

    def search(
        self,
        image: QueryImage,
        box: Sequence[float] | np.ndarray | None = None,
        k: int = 12,
        where: str | None = None,
    ) -> SearchResult:
        """Search with one garment of a query image.

        Args:
            image: path or open binary file of the image, or (H, W, 3) uint8 RGB.
            box: (4,) xyxy of the garment in pixels. None for the detection that `box_selector` selects, or for the
                whole image without a detector or without a detection.
            k: maximum number of hits.
            where: filter on columns of the gallery's catalogue, for example `price < 50 and color = 'red'` (see
                `search.where`); the k nearest of the rows that pass are found. None for the filter of the policy.

        Raises:
            ImageError: the file is missing, or is not a readable image.
            ValueError: the array has another shape or dtype, the box lies outside the image, k is not a positive
                integer, there is no detection and `box_selector.fallback` is "skip", or the filter is invalid or
                contains an unknown column.
        """
        pixels = _read_image(image)
        if box is None and self.detector is not None:
            detections = self.detector.detect([pixels])[0]
            box = self.box_selector.select_one(detections, NOT_ANNOTATED)
            if box is None and self.box_selector.fallback == "skip":
                raise ValueError("no garment detected; pass box=[x1, y1, x2, y2] of the garment")
        return self._search_box(pixels, box, k, where)

    def search_garments(self, image: QueryImage, k: int = 12, where: str | None = None) -> list[SearchResult]:
        """Search with each detected garment of a query image.

        Args:
            image: path or open binary file of the image, or (H, W, 3) uint8 RGB.
            k: maximum number of hits of each garment.
            where: filter, as for `search`.

        Returns:
            One result per garment, by descending detection score; `SearchResult.box` is the detected box. Without a
            detector or without a detection, one result for the whole image, or none if `box_selector.fallback` is
            "skip".

        Raises:
            ImageError: the file is missing, or is not a readable image.
            ValueError: the array has another shape or dtype, k is not a positive integer, or the filter is invalid.
        """
        pixels = _read_image(image)
        if self.detector is None:
            return [self._search_box(pixels, None, k, where)]
        detections = self.detector.detect([pixels])[0].filter(self.box_selector.min_score, self.box_selector.min_size)
        if not len(detections.scores) and self.box_selector.fallback == "whole":
            return [self._search_box(pixels, None, k, where)]
        return [self._search_box(pixels, box, k, where) for box in detections.xyxy]

    def search_vectors(self, vectors: np.ndarray, k: int = 12, where: str | None = None) -> list[SearchResult]:
        """Search with backbone features instead of images, for a model that was trained on vectors (data=embeddings).

        Args:
            vectors: (Q, D) float, computed like the training data.
            k: maximum number of hits of each query.
            where: filter, as for `search`.

        Raises:
            ValueError: the vectors have another length or are not finite, k is not a positive integer, or the filter
                is invalid.
        """
        k = min(check_positive(k=k), max(1, len(self.gallery)))
        if not np.isfinite(vectors).all():
            raise ValueError("vectors contain NaN or inf; remove these rows")
        encoded = encode(self.model, torch.from_numpy(np.asarray(vectors, dtype=np.float32)))
        return [self._result(encoded.at(row), k, where) for row in range(len(vectors))]

    def _search_box(
        self, pixels: np.ndarray, box: Sequence[float] | np.ndarray | None, k: int, where: str | None
    ) -> SearchResult:
        """Search with a box (4,), or with the whole image if the box is None or NaN."""
        k = min(check_positive(k=k), max(1, len(self.gallery)))
        xyxy = NOT_ANNOTATED if box is None else np.asarray(box, dtype=np.float32)
        if xyxy.shape != (4,):
            raise ValueError(f"box={xyxy.tolist()}: pass four coordinates x1 y1 x2 y2 in pixels")
        query = encode_crops(self.model, [crop_image(pixels, xyxy, self.model.margin, self.model.image_size)])
        return self._result(query, k, where, None if np.isnan(xyxy).any() else tuple(xyxy.tolist()))

    def _result(
        self, query: Encoded, k: int, where: str | None, box: tuple[float, float, float, float] | None = None
    ) -> SearchResult:
        """Search with one encoded query."""
        hits = self.search_filtered(query, k, where)
        return query_result(self.model.categories, query.probabilities[0], hits, self.gallery.catalogue, box)

    def _set_policy(self, policy: SearchPolicy) -> None:
        """Check a policy, resolve its names, and cut the codes to its prefix.  Raises ValueError."""
        policy.check(self.model.bits, len(self.model.categories))
        policy.check_embeddings(self._whole_gallery.has_embeddings)
        policy.check_calibrated()
        if policy.max_distance == "auto":
            raise ValueError("search.max_distance=auto is calibrated in a run; open it by Run(…).searcher(policy)")
        if policy.bits != self._bits:
            self.gallery, self._bits = prefix_gallery(self._whole_gallery, policy.bits), policy.bits
            self._filters = ResultFilters()  # its subsets are those of one gallery
        self._filters.subset(self.gallery, policy.where)  # raises ValueError for an unknown column
        self.policy = policy.bind(self.model.categories)

    def _codes_and_index(self, queries: Encoded) -> tuple[np.ndarray, HashIndex]:
        if queries.codes is None or not isinstance(self.gallery.index, HashIndex):
            raise ValueError(
                f"search={self.policy.distance} needs codes, but the gallery has none; set search=euclidean"
            )
        return queries.codes, self.gallery.index


def _read_image(image: QueryImage) -> np.ndarray:
    """Read the image if it is a path or an open file."""
    is_file = isinstance(image, str | Path) or hasattr(image, "read")
    return cast(np.ndarray, open_image(cast(BinaryIO, image)) if is_file else image)
