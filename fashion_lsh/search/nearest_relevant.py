"""Calibrate `search.max_distance=auto` on val: a distance that keeps the nearest relevant hit of 95 % of queries.

Queries are garments of val, and the other garments of val form the gallery; if val has both views, street images are
the queries and shop images the gallery. Relevant are garments of the item or, if too few queries have one, of the
category. The limit is the ⌈0.95 (n + 1)⌉-th smallest of the n distances to the nearest relevant garment. With n
exchangeable queries that selected nothing, a new query would keep its nearest relevant hit with a probability of at
least 0.95 (split conformal prediction, Papadopoulos et al., ECML 2002); val also selected the epoch, so this is an
estimate and not a promise.
"""

from collections.abc import Iterator, Mapping
from math import ceil
from typing import Any

import numpy as np

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.connected_components import factorize
from fashion_lsh.index.distances import euclidean, hamming
from fashion_lsh.io.rows import evenly_spaced
from fashion_lsh.models.encoding import Encoded

FILE = "nearest_relevant.json"  # in a run folder
KEPT = 0.95  # fraction of queries that keep their nearest relevant hit
MIN_QUERIES = ceil(KEPT / (1 - KEPT))  # below, the rank of the limit exceeds the number of queries
MAX_QUERIES = 2_000


def calibrate(encoded: Encoded, catalogue: Catalogue) -> dict[str, Any]:
    """Compute the distance limits from the N garments of val.

    Returns:
        `hamming` (bits; missing without codes) and `euclidean`: the limits, None with fewer than MIN_QUERIES queries;
        `queries`: number of queries with a relevant garment; `relevance`: `item` or `category`; `kept`: KEPT.
    """
    pairs: list[tuple[int, np.ndarray]] = []
    relevance = ""
    for relevance in ("item", "category"):
        pairs = list(_relevant_rows(catalogue, relevance))
        if len(pairs) >= MIN_QUERIES:
            break
    limits = {"euclidean": _limit([_nearest_euclidean(encoded.embeddings, *pair) for pair in pairs])}
    if encoded.codes is not None:
        codes = encoded.codes
        limits["hamming"] = _limit([float(hamming(codes[[query]], codes[rows]).min()) for query, rows in pairs])
    return {**limits, "queries": len(pairs), "relevance": relevance, "kept": KEPT}


def _relevant_rows(catalogue: Catalogue, relevance: str) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each query with its relevant rows, (n,) int64, if it has any; rows of its image or copies are left out."""
    views = catalogue.column("view")
    queries, is_gallery = np.arange(len(views)), np.ones(len(views), dtype=bool)
    if {"street", "shop"} <= set(views):
        queries, is_gallery = np.flatnonzero(views == "street"), views == "shop"
    labels, images, groups = (factorize(catalogue.column(name)) for name in (relevance, "image", "group"))
    for query in queries[evenly_spaced(len(queries), MAX_QUERIES)].tolist() if len(queries) else ():
        is_copy = (images == images[query]) | (groups == groups[query])
        rows = np.flatnonzero(is_gallery & ~is_copy & (labels == labels[query]))
        if len(rows):
            yield query, rows


def max_distance(calibration: Mapping[str, Any], distance: str) -> float:
    """Return the limit of a calibration for a distance of AUTO_DISTANCES.

    Raises:
        ValueError: val had too few queries for a limit.
    """
    limit = calibration["hamming" if distance == "hamming" else "euclidean"]
    if limit is None:
        raise ValueError(
            f"search.max_distance=auto: val has {calibration['queries']} queries with a relevant garment, but "
            f"{MIN_QUERIES} are needed; set a number, or use more val data"
        )
    return float(limit)


def _nearest_euclidean(embeddings: np.ndarray, query: int, rows: np.ndarray) -> float:
    return float(euclidean(embeddings[[query]], embeddings[rows][None]).min())


def _limit(distances: list[float]) -> float | None:
    """The ⌈KEPT (n + 1)⌉-th smallest of n distances; None if n is below it."""
    rank = ceil(round(KEPT * (len(distances) + 1), 6))
    return sorted(distances)[rank - 1] if rank <= len(distances) else None
