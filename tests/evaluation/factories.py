"""Random encoded images, and reference scores computed pair by pair."""

from typing import Any

import numpy as np

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.evaluation.protocol import EncodedSplit
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.metrics import retrieval
from fashion_lsh.metrics.retrieval import Relevance
from fashion_lsh.metrics.ties import Levels, score_levels
from fashion_lsh.models.encoding import Encoded
from fashion_lsh.search.policy import NProbe, SearchPolicy
from fashion_lsh.search.searcher import Searcher
from tests.evaluation.fake_model import BITS, EMBEDDING_DIM, FakeModel
from tests.search.factories import POLICY_DEFAULTS

CATEGORIES = ["circle", "cross", "square"]


def random_split(seed: int, num_rows: int, bits: int | None = BITS) -> EncodedSplit:
    """Random garments with few distinct codes; a third of the garments have no item."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(num_rows, 3))
    probabilities = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)
    distinct_codes = np.packbits(np.random.default_rng(7).random((6, BITS)) < 0.5, axis=1, bitorder="little")
    codes = None if bits is None else distinct_codes[rng.integers(0, 6, num_rows)]
    embeddings, histograms = rng.normal(size=(2, num_rows, EMBEDDING_DIM)).astype(np.float32)
    ids = [f"{seed}-{row}" for row in range(num_rows)]
    items = [f"item {item}" if item < 8 else "" for item in rng.integers(0, 12, num_rows)]
    names = np.array(CATEGORIES)[rng.integers(0, 3, num_rows)].tolist()
    catalogue = Catalogue.from_columns({"id": ids, "image": ids, "category": names, "item": items})
    activations = None if bits is None else rng.normal(size=(num_rows, BITS)).astype(np.float32)
    encoded = Encoded(probabilities, codes, embeddings, activations)
    return EncodedSplit(catalogue, encoded, {"colour_histogram": histograms})


def make_searcher(gallery: EncodedSplit, distance: Any, nprobe: NProbe, bits: int | None = BITS) -> Searcher:
    model = FakeModel(CATEGORIES, bits=bits)
    return Searcher(
        model,
        Gallery.build(model, gallery.encoded, gallery.catalogue),
        SearchPolicy(distance, nprobe, 20, **POLICY_DEFAULTS),
    )


def scores_of_all_pairs(distances: list[list[int]], probed: list[list[bool]], relevance: Relevance) -> retrieval.Scores:
    """Compute scores from the distances between each query and each row in its probed lists, pair by pair."""
    num_levels = max(map(max, distances)) + 1
    relevant_at, total_at = np.zeros((2, len(distances), num_levels), dtype=np.int64)
    for query, row in np.ndindex(len(relevance.query), len(relevance.gallery)):
        if probed[query][row]:
            total_at[query, distances[query][row]] += 1
            is_relevant = relevance.query[query] == relevance.gallery[row] != -1
            relevant_at[query, distances[query][row]] += is_relevant
    return score_levels(Levels(relevant_at, total_at, relevance.totals))


def assert_same_scores(actual: retrieval.Scores, expected: retrieval.Scores) -> None:
    assert set(actual) == set(expected)
    for column, values in expected.items():
        np.testing.assert_allclose(actual[column], values, atol=1e-12, err_msg=str(column))


def hamming_distances(query: EncodedSplit, gallery: EncodedSplit) -> list[list[int]]:
    query_codes, gallery_codes = query.encoded.codes, gallery.encoded.codes
    assert query_codes is not None
    assert gallery_codes is not None
    return [[sum((a ^ b).bit_count() for a, b in zip(query_code, code, strict=True)) for code in gallery_codes.tolist()]
            for query_code in query_codes.tolist()]  # fmt: skip
