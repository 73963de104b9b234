"""Re-ranking, tie-breaking and weighted distances against loops."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fashion_lsh.index.distances import euclidean
from fashion_lsh.index.hits import Hits
from fashion_lsh.index.indexes import FloatIndex, HashIndex
from fashion_lsh.search import rerank as module
from fashion_lsh.search.rerank import euclidean_to_rows, rerank, tie_break, weighted
from tests.index.factories import all_lists, assert_same_hits, hits_from_lists, random_unit_vectors, synthetic_dataset

seeds = st.integers(0, 2**32 - 1)


def make_candidates(rows: list[list[int]]) -> Hits:
    """Candidates with the given rows and distances 0."""
    return Hits(np.array(rows, dtype=np.int64), np.zeros((len(rows), len(rows[0])), dtype=np.float32))


@given(seeds, st.integers(1, 12), st.integers(1, 15), st.sampled_from([np.float16, np.float32]))
def test_rerank_of_all_rows_is_exhaustive_search(seed: int, num_rows: int, k: int, dtype: type) -> None:
    query_vectors = random_unit_vectors(seed, 3, 8)
    gallery_vectors: np.ndarray = random_unit_vectors(seed + 1, num_rows, 8).astype(dtype)
    gallery_vectors[num_rows // 2] = gallery_vectors[0]  # tied rows, of which the lower row comes first
    shuffled = np.random.default_rng(seed).permuted(np.tile(np.arange(num_rows), (3, 1)), axis=1)
    hits = rerank(query_vectors, make_candidates(shuffled.tolist()), gallery_vectors, k)
    hits.check()
    exact = euclidean(query_vectors, np.broadcast_to(gallery_vectors, (3, *gallery_vectors.shape)))
    for query in range(3):
        expected = sorted((exact[query, row], row) for row in range(num_rows))[:k]
        assert hits.rows[query, : len(expected)].tolist() == [row for _, row in expected]
        assert np.array_equal(hits.distances[query, : len(expected)], [distance for distance, _ in expected])
        assert (hits.rows[query, len(expected) :] == -1).all()


def test_rerank_ranks_only_candidates_and_sorts_padding_last() -> None:
    gallery_vectors = np.array([[1, 0], [0, 1], [0.6, 0.8], [-1, 0]], dtype=np.float16)
    hits = rerank(np.array([[1, 0]], dtype=np.float32), make_candidates([[3, -1, 1, 2, -1]]), gallery_vectors, 4)
    hits.check()
    assert hits.rows.tolist() == [[2, 1, 3, -1]]
    assert hits.distances[0] == pytest.approx([0.8**0.5, 2**0.5, 2, np.inf], rel=1e-3)


def test_rerank_without_rows_or_queries() -> None:
    no_embeddings = np.empty((0, 2), dtype=np.float16)
    hits = rerank(np.ones((1, 2), dtype=np.float32), make_candidates([[-1, -1]]), no_embeddings, 3)
    hits.check()
    assert hits.rows.tolist() == [[-1, -1, -1]]
    no_candidates = Hits(np.empty((0, 5), dtype=np.int64), np.empty((0, 5), dtype=np.float32))
    assert rerank(np.empty((0, 2), dtype=np.float32), no_candidates, no_embeddings, 3).rows.shape == (0, 3)


@given(seeds, st.integers(1, 200))
@settings(max_examples=30)
def test_rerank_does_not_depend_on_block_size(seed: int, block: int) -> None:
    query_vectors, gallery_vectors = (
        random_unit_vectors(seed, 5, 33),
        random_unit_vectors(seed + 1, 20, 33).astype(np.float16),
    )
    candidates = make_candidates(
        np.random.default_rng(seed).permuted(np.tile(np.arange(-1, 20), (5, 1)), axis=1)[:, :6].tolist()
    )
    expected = rerank(query_vectors, candidates, gallery_vectors, 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", block)
        actual = rerank(query_vectors, candidates, gallery_vectors, 4)
    assert np.array_equal(actual.rows, expected.rows)
    assert np.array_equal(actual.distances, expected.distances)


def test_rerank_of_memory_mapped_embeddings_equals_rerank_in_memory(tmp_path: Path) -> None:
    query_vectors, gallery_vectors = random_unit_vectors(0, 4, 16), random_unit_vectors(1, 30, 16).astype(np.float16)
    np.save(tmp_path / "embeddings.npy", gallery_vectors)
    mapped = np.load(tmp_path / "embeddings.npy", mmap_mode="r")
    candidates = make_candidates(
        np.random.default_rng(2).permuted(np.tile(np.arange(30), (4, 1)), axis=1)[:, :9].tolist()
    )
    hits, expected = rerank(query_vectors, candidates, mapped, 5), rerank(query_vectors, candidates, gallery_vectors, 5)
    assert np.array_equal(hits.rows, expected.rows)
    assert type(hits.distances) is np.ndarray


def random_candidates(seed: int, num_rows: int) -> tuple[np.ndarray, Hits, np.ndarray]:
    """Queries, unordered candidates with few distinct Hamming distances and padding, and few distinct embeddings."""
    rng = np.random.default_rng(seed)
    query_vectors, gallery_vectors = (np.float32(rng.integers(-1, 2, (count, 4)) / 8) for count in (3, num_rows))
    candidate_rows = rng.permuted(np.tile(np.arange(num_rows), (3, 1)), axis=1)
    is_padding = rng.random(candidate_rows.shape) < 0.2
    distances = np.where(is_padding, np.inf, rng.integers(0, 4, candidate_rows.shape)).astype(np.float32)
    return query_vectors, Hits(np.where(is_padding, -1, candidate_rows), distances), gallery_vectors.astype(np.float16)


def rank_one_by_one(
    query_vectors: np.ndarray,
    candidates: Hits,
    gallery_vectors: np.ndarray,
    k: int,
    sort_key: Callable[[float, float], tuple[float, ...]],
) -> Hits:
    """Sort candidates by (`sort_key(Hamming, Euclidean)`, row) in a loop; the last value of a key is the distance."""
    rankings = []
    for query, rows, hamming_distances in zip(query_vectors, candidates.rows, candidates.distances, strict=True):
        euclidean_distances = {row: np.linalg.norm(query - gallery_vectors[row]) for row in rows if row >= 0}
        ranking = sorted(
            (sort_key(hamming, euclidean_distances[row]), row)
            for row, hamming in zip(rows, hamming_distances, strict=True)
            if row >= 0
        )
        rankings.append(ranking[:k])
    return hits_from_lists(
        [[row for _, row in hits] for hits in rankings], [[keys[-1] for keys, _ in hits] for hits in rankings], k
    )


@given(seeds, st.integers(0, 30), st.integers(1, 35))
def test_tie_break_sorts_by_hamming_then_euclidean_then_row(seed: int, num_rows: int, k: int) -> None:
    query_vectors, candidates, gallery_vectors = random_candidates(seed, num_rows)
    hits = tie_break(query_vectors, candidates, gallery_vectors, k)
    hits.check()
    expected = rank_one_by_one(
        query_vectors,
        candidates,
        gallery_vectors,
        k,
        lambda hamming, euclidean_distance: (hamming, euclidean_distance, hamming + euclidean_distance / 4),
    )
    assert np.array_equal(hits.rows, expected.rows)
    np.testing.assert_allclose(hits.distances, expected.distances, rtol=1e-6)
    assert np.array_equal(np.floor(hits.distances), np.floor(expected.distances))


@given(seeds, st.integers(0, 30), st.integers(1, 35), st.sampled_from([0.0, 0.25, 0.5, 0.9, 1.0]), st.integers(4, 300))
def test_weighted_sorts_by_weighted_sum_then_row(seed: int, num_rows: int, k: int, alpha: float, bits: int) -> None:
    query_vectors, candidates, gallery_vectors = random_candidates(seed, num_rows)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # inf * 0 of padding would emit a warning
        hits = weighted(query_vectors, candidates, gallery_vectors, k, alpha, bits)
    hits.check()
    expected = rank_one_by_one(
        query_vectors,
        candidates,
        gallery_vectors,
        k,
        lambda hamming, euclidean_distance: (
            np.float32(alpha / bits * hamming + (1 - alpha) / 2 * euclidean_distance),
        ),
    )
    np.testing.assert_allclose(hits.distances, expected.distances, rtol=1e-6)
    is_tied = np.zeros(hits.rows.shape, dtype=bool)  # sums that differ by rounding alone may be in the other order
    is_tied[:, 1:] = np.isclose(expected.distances[:, 1:], expected.distances[:, :-1], rtol=1e-6)
    is_tied[:, :-1] |= is_tied[:, 1:]
    assert np.array_equal(hits.rows[~is_tied], expected.rows[~is_tied])
    assert (hits.distances[hits.rows >= 0] <= 1).all()


@pytest.mark.parametrize("combine", [tie_break, lambda *arguments: weighted(*arguments, 0.5, 8)])
def test_combined_distances_reject_invalid_arguments(combine: Callable[..., Hits]) -> None:
    query_vectors, candidates, gallery_vectors = random_candidates(0, 9)
    for arguments, message in (
        ((query_vectors, candidates, gallery_vectors, 0), "k=0"),
        ((query_vectors * np.nan, candidates, gallery_vectors, 1), r"queries\[0\] .*NaN"),
        ((query_vectors, candidates, gallery_vectors[:5], 1), "candidates .*row 8.* 5 embeddings"),
        ((query_vectors[:2], candidates, gallery_vectors, 1), "candidates .*3 queries.* 2"),
    ):
        with pytest.raises(ValueError, match=message):
            combine(*arguments)


def test_distance_to_padding_is_infinite() -> None:
    actual = euclidean_to_rows(np.float32([[0, 3], [0, 0]]), np.array([[1, -1], [-1, 0]]), np.float16([[0, 0], [4, 0]]))
    assert actual.tolist() == [[5, np.inf], [np.inf, 0]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 0}, "k=0"),
        ({"queries": np.zeros((2, 3), np.float32)}, r"queries .*\(2, 3\)"),
        ({"queries": np.array([[0, 1], [np.nan, 0]], np.float32)}, r"queries\[1\] .*NaN"),
        ({"queries": np.zeros((3, 2), np.float32)}, "candidates .*2 queries.* 3"),
        ({"embeddings": np.zeros((4, 2))}, "embeddings .*float64"),
        ({"embeddings": np.zeros((3, 2), np.float32)}, "candidates .*row 3.* 3 embeddings"),
    ],
)
def test_rerank_rejects_invalid_arguments(change: dict[str, object], message: str) -> None:
    valid_arguments = {
        "queries": np.zeros((2, 2), np.float32),
        "candidates": make_candidates([[0, 3], [1, 2]]),
        "embeddings": np.zeros((4, 2), np.float32),
        "k": 1,
    }
    with pytest.raises(ValueError, match=message):
        rerank(**{**valid_arguments, **change})  # type: ignore[arg-type]


def test_reranking_all_rows_is_exhaustive_euclidean_search() -> None:
    codes, embeddings = synthetic_dataset(0, 12), synthetic_dataset(0, 12, codes=False)
    rows = np.arange(60)
    hash_index, float_index = HashIndex(12, 5), FloatIndex(12, 5)
    hash_index.add(codes.vectors, codes.list_ids, rows)
    float_index.add(embeddings.vectors, embeddings.list_ids, rows)
    candidates = hash_index.search(codes.queries, all_lists(codes), 60)
    reranked = rerank(embeddings.queries, candidates, embeddings.vectors, 60)
    assert_same_hits(reranked, float_index.search(embeddings.queries, all_lists(embeddings), 60))
