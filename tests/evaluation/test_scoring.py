"""Scores of searches against loops on random encoded images."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fashion_lsh.evaluation.protocol import EncodedSplit
from fashion_lsh.evaluation.scoring import relevance_by_column, score_search
from fashion_lsh.index.hits import Hits
from fashion_lsh.metrics import ranking, retrieval
from fashion_lsh.metrics.ranking import ALL, CUTOFFS
from fashion_lsh.metrics.retrieval import Relevance
from fashion_lsh.search.policy import NProbe
from tests.evaluation.factories import (
    BITS,
    assert_same_scores,
    hamming_distances,
    make_searcher,
    random_split,
    scores_of_all_pairs,
)


@pytest.mark.parametrize(("nprobe", "num_probed"), [(1, 1), (2, 2), ("all", 3)])
@pytest.mark.parametrize("column", ["category", "item"])
def test_hamming_is_scored_over_all_orders_of_ties_in_the_probed_lists(
    nprobe: NProbe, num_probed: int, column: str
) -> None:
    query, gallery = random_split(0, 12), random_split(1, 150)
    relevance = relevance_by_column(query.catalogue, gallery.catalogue)[column]
    searcher = make_searcher(gallery, "hamming", nprobe)
    scores = score_search(searcher, query.encoded, relevance)
    probed_lists = [
        sorted(range(3), key=lambda c: -probabilities[c])[:num_probed]
        for probabilities in query.encoded.probabilities.tolist()
    ]
    probed = [[category in lists for category in gallery.encoded.predicted] for lists in probed_lists]
    assert_same_scores(scores, scores_of_all_pairs(hamming_distances(query, gallery), probed, relevance))
    scores_of_hits = retrieval.score_hits(searcher.search_encoded(query.encoded, 150), relevance)
    has_relevant = relevance.totals > 0
    for k in CUTOFFS:
        worst, best = (scores[name, k][has_relevant] for name in ("map_worst", "map_best"))
        assert (worst <= scores_of_hits["map", k][has_relevant] + 1e-12).all()
        assert (scores_of_hits["map", k][has_relevant] <= best + 1e-12).all()


@pytest.mark.parametrize("distance", ["euclidean", "tie_break", "weighted"])
@pytest.mark.parametrize("nprobe", [1, "all"])
def test_other_distances_are_scored_by_their_hits(distance: str, nprobe: NProbe) -> None:
    query, gallery = random_split(0, 12), random_split(1, 150)
    relevance = relevance_by_column(query.catalogue, gallery.catalogue)["category"]
    searcher = make_searcher(gallery, distance, nprobe)
    hits = searcher.search_encoded(query.encoded, 150)
    assert_same_scores(score_search(searcher, query.encoded, relevance), retrieval.score_hits(hits, relevance))
    limited = score_search(searcher, query.encoded, relevance, (1, 10))
    assert {k for _, k in limited} == {1, 10, ALL}
    np.testing.assert_allclose(limited["map", 10], retrieval.score_hits(hits, relevance)["map", 10], atol=1e-12)


@pytest.mark.parametrize("nprobe", [1, "all"])
@pytest.mark.parametrize("column", ["category", "item"])
def test_asymmetric_distance_is_scored_over_all_orders_of_equal_codes(nprobe: NProbe, column: str) -> None:
    query, gallery = random_split(0, 12), random_split(1, 150)
    relevance = relevance_by_column(query.catalogue, gallery.catalogue)[column]
    searcher = make_searcher(gallery, "asymmetric", nprobe)
    hits = searcher.search_encoded(query.encoded, 150)
    distances, probed = np.zeros((12, 150), dtype=int), np.zeros((12, 150), dtype=bool)
    for row, (hit_rows, hit_distances) in enumerate(zip(hits.rows, hits.distances, strict=True)):
        found = hit_rows >= 0
        distances[row, hit_rows[found]] = np.unique(hit_distances[found], return_inverse=True)[1]
        probed[row, hit_rows[found]] = True
    assert distances.max() == 5  # six distinct codes
    expected = scores_of_all_pairs(distances.tolist(), probed.tolist(), relevance)
    assert_same_scores(score_search(searcher, query.encoded, relevance), expected)


@pytest.mark.parametrize("rerank_k", [1, 7, 0.3])
@pytest.mark.parametrize("rerank_by", ["euclidean", "asymmetric"])
@pytest.mark.parametrize("column", ["category", "item"])
def test_reranking_is_scored_over_all_choices_of_tied_candidates(
    rerank_k: int | float, rerank_by: Any, column: str
) -> None:
    query, gallery = random_split(0, 12), random_split(1, 60)
    if rerank_by == "asymmetric":  # equal codes would be tied after the re-ranking, too
        distinct_codes = np.random.default_rng(3).permutation(2**BITS)[:60].astype("<u2")[:, None].view(np.uint8)
        gallery = replace(gallery, encoded=gallery.encoded._replace(codes=distinct_codes))
    relevance = relevance_by_column(query.catalogue, gallery.catalogue)[column]
    searcher = make_searcher(gallery, "rerank", 2)
    searcher = searcher.with_policy(replace(searcher.policy, rerank_k=rerank_k, rerank_by=rerank_by))
    scores = score_search(searcher, query.encoded, relevance)
    assert gallery.encoded.codes is not None
    sampled, rng = [], np.random.default_rng(0)
    for _ in range(400):  # the search breaks ties by the row: shuffle the rows
        order = rng.permutation(60)
        shuffled = EncodedSplit(gallery.catalogue.take(order), gallery.encoded.take(order), {})
        shuffled_searcher = make_searcher(shuffled, "rerank", 2).with_policy(searcher.policy)
        lists = searcher.policy.select_lists(query.encoded.probabilities)
        candidates = shuffled_searcher.candidates(query.encoded, lists, 1)
        hits = shuffled_searcher.rerank(query.encoded, candidates, candidates.rows.shape[1])
        sampled.append(retrieval.score_hits(hits, Relevance(relevance.query, relevance.gallery[order])))
    for name, k in scores:
        values = np.stack([single[name, k] for single in sampled])
        tolerance = 5 * values.std(axis=0) / 20 + 1e-6
        assert (np.abs(scores[name, k] - values.mean(axis=0)) <= tolerance)[relevance.totals > 0].all(), (name, k)
    assert any(len(np.unique(np.stack([single["map", ALL] for single in sampled])[:, row])) > 1 for row in range(12))


@pytest.mark.parametrize("distance", ["rerank", "euclidean", "asymmetric"])
def test_scores_do_not_depend_on_the_block_size(distance: str, monkeypatch: pytest.MonkeyPatch) -> None:
    query, gallery = random_split(0, 12), random_split(1, 60)
    relevance = relevance_by_column(query.catalogue, gallery.catalogue)["category"]
    searcher = make_searcher(gallery, distance, 2)
    expected = score_search(searcher, query.encoded, relevance)
    monkeypatch.setattr(ranking, "BLOCK_CELLS", 200)
    assert_same_scores(score_search(searcher, query.encoded, relevance), expected)


def test_garments_not_indexed_count_as_relevant() -> None:
    query, gallery = random_split(0, 12).catalogue, random_split(1, 150).catalogue
    not_indexed = gallery.take(np.flatnonzero(gallery.column("item") == query.column("item")[0]))
    indexed = gallery.take(np.flatnonzero(gallery.column("item") != query.column("item")[0]))
    for name, relevance in relevance_by_column(query, indexed, not_indexed).items():
        assert np.array_equal(relevance.totals, relevance_by_column(query, gallery)[name].totals)
        assert len(relevance.gallery) == len(indexed)
    items = relevance_by_column(query, indexed, not_indexed)["item"]
    hits = Hits(np.tile(np.arange(5), (len(query), 1)), np.zeros((len(query), 5), np.float32))
    scores = retrieval.score_hits(hits, items)
    assert scores["recall", 10][0] == 0  # 0 instead of NaN, since the not indexed garments are relevant


@pytest.mark.parametrize("missing_items", ["query", "gallery", "both"])
def test_items_are_scored_only_if_queries_and_gallery_have_items(missing_items: str) -> None:
    query, gallery = random_split(0, 12).catalogue, random_split(1, 150).catalogue
    assert set(relevance_by_column(query, gallery)) == {"category", "item"}
    if missing_items != "gallery":
        query = query.with_columns(item=[""] * 12)
    if missing_items != "query":
        gallery = gallery.with_columns(item=[""] * 150)
    assert set(relevance_by_column(query, gallery)) == {"category"}
