"""Re-ranking and what combines Euclid with Hamming, against one row at a time."""

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
from fashion_lsh.search.rerank import euclidean_of, rerank, tie_break, weighted
from tests.index.factories import assert_same, library, padded, unit, whole

seeds = st.integers(0, 2**32 - 1)


def shortlist(rows: list[list[int]]) -> Hits:
    """A shortlist whose own distances mean nothing."""
    return Hits(np.array(rows, dtype=np.int64), np.zeros((len(rows), len(rows[0])), dtype=np.float32))


@given(seeds, st.integers(1, 12), st.integers(1, 15), st.sampled_from([np.float16, np.float32]))
def test_full_shortlist_is_exhaustive_search(seed: int, rows: int, k: int, dtype: type) -> None:
    asked = unit(seed, 3, 8)
    filed: np.ndarray = unit(seed + 1, rows, 8).astype(dtype)
    filed[rows // 2] = filed[0]  # equal rows: the lower comes first
    shuffled = np.random.default_rng(seed).permuted(np.tile(np.arange(rows), (3, 1)), axis=1)
    hits = rerank(asked, shortlist(shuffled.tolist()), filed, k)
    hits.check()
    exact = euclidean(asked, np.broadcast_to(filed, (3, *filed.shape)))
    for query in range(3):
        slow = sorted((exact[query, row], row) for row in range(rows))[:k]
        assert hits.rows[query, : len(slow)].tolist() == [row for _, row in slow]
        assert np.array_equal(hits.distances[query, : len(slow)], [distance for distance, _ in slow])
        assert (hits.rows[query, len(slow) :] == -1).all()


def test_only_the_shortlist_is_ranked_and_missing_rows_stay_last() -> None:
    filed = np.array([[1, 0], [0, 1], [0.6, 0.8], [-1, 0]], dtype=np.float16)
    hits = rerank(np.array([[1, 0]], dtype=np.float32), shortlist([[3, -1, 1, 2, -1]]), filed, 4)
    hits.check()
    assert hits.rows.tolist() == [[2, 1, 3, -1]]
    assert hits.distances[0] == pytest.approx([0.8**0.5, 2**0.5, 2, np.inf], rel=1e-3)


def test_nothing_filed_and_nothing_asked() -> None:
    nothing = np.empty((0, 2), dtype=np.float16)
    hits = rerank(np.ones((1, 2), dtype=np.float32), shortlist([[-1, -1]]), nothing, 3)
    hits.check()
    assert hits.rows.tolist() == [[-1, -1, -1]]
    none = Hits(np.empty((0, 5), dtype=np.int64), np.empty((0, 5), dtype=np.float32))
    assert rerank(np.empty((0, 2), dtype=np.float32), none, nothing, 3).rows.shape == (0, 3)


@given(seeds, st.integers(1, 200))
@settings(max_examples=30)
def test_block_does_not_matter(seed: int, block: int) -> None:
    asked, filed = unit(seed, 5, 33), unit(seed + 1, 20, 33).astype(np.float16)
    near = shortlist(np.random.default_rng(seed).permuted(np.tile(np.arange(-1, 20), (5, 1)), axis=1)[:, :6].tolist())
    whole = rerank(asked, near, filed, 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", block)
        parts = rerank(asked, near, filed, 4)
    assert np.array_equal(parts.rows, whole.rows)
    assert np.array_equal(parts.distances, whole.distances)


def test_mapped_embeddings_rank_as_those_in_memory(tmp_path: Path) -> None:
    asked, filed = unit(0, 4, 16), unit(1, 30, 16).astype(np.float16)
    np.save(tmp_path / "embeddings.npy", filed)
    mapped = np.load(tmp_path / "embeddings.npy", mmap_mode="r")
    near = shortlist(np.random.default_rng(2).permuted(np.tile(np.arange(30), (4, 1)), axis=1)[:, :9].tolist())
    hits, expected = rerank(asked, near, mapped, 5), rerank(asked, near, filed, 5)
    assert np.array_equal(hits.rows, expected.rows)
    assert type(hits.distances) is np.ndarray


def combined(seed: int, rows: int) -> tuple[np.ndarray, Hits, np.ndarray]:
    """Queries, rows found in any order at few Hamming distances, some missing, and exact embeddings, many equal."""
    rng = np.random.default_rng(seed)
    asked, filed = (np.float32(rng.integers(-1, 2, (count, 4)) / 8) for count in (3, rows))
    near = rng.permuted(np.tile(np.arange(rows), (3, 1)), axis=1)
    missing = rng.random(near.shape) < 0.2
    apart = np.where(missing, np.inf, rng.integers(0, 4, near.shape)).astype(np.float32)
    return asked, Hits(np.where(missing, -1, near), apart), filed.astype(np.float16)


def slow(
    asked: np.ndarray, found: Hits, filed: np.ndarray, k: int, by: Callable[[float, float], tuple[float, ...]]
) -> Hits:
    """The k best, one row at a time, by the numbers `by(Hamming, Euclid)`, of which the last is shown, then row."""
    order = []
    for query, rows, apart in zip(asked, found.rows, found.distances, strict=True):
        euclid = {row: np.linalg.norm(query - filed[row]) for row in rows if row >= 0}
        order.append(sorted((by(h, euclid[row]), row) for row, h in zip(rows, apart, strict=True) if row >= 0)[:k])
    return padded([[row for _, row in one] for one in order], [[keys[-1] for keys, _ in one] for one in order], k)


@given(seeds, st.integers(0, 30), st.integers(1, 35))
def test_tie_break_is_by_hamming_then_euclid_then_row(seed: int, rows: int, k: int) -> None:
    asked, found, filed = combined(seed, rows)
    hits = tie_break(asked, found, filed, k)
    hits.check()
    wanted = slow(asked, found, filed, k, lambda near, apart: (near, apart, near + apart / 4))
    assert np.array_equal(hits.rows, wanted.rows)
    np.testing.assert_allclose(hits.distances, wanted.distances, rtol=1e-6)
    assert np.array_equal(np.floor(hits.distances), np.floor(wanted.distances))


@given(seeds, st.integers(0, 30), st.integers(1, 35), st.sampled_from([0.0, 0.25, 0.5, 0.9, 1.0]), st.integers(4, 300))
def test_weighted_is_by_the_sum_then_row(seed: int, rows: int, k: int, alpha: float, bits: int) -> None:
    asked, found, filed = combined(seed, rows)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of what is not there, neither part may be counted
        hits = weighted(asked, found, filed, k, alpha, bits)
    hits.check()
    wanted = slow(
        asked, found, filed, k, lambda near, apart: (np.float32(alpha / bits * near + (1 - alpha) / 2 * apart),)
    )
    np.testing.assert_allclose(hits.distances, wanted.distances, rtol=1e-6)
    assert np.array_equal(hits.rows, wanted.rows)
    assert (hits.distances[hits.rows >= 0] <= 1).all()


@pytest.mark.parametrize("combine", [tie_break, lambda *given: weighted(*given, 0.5, 8)])
def test_combined_distances_refuse_as_rerank_does(combine: Callable[..., Hits]) -> None:
    asked, found, filed = combined(0, 9)
    for changed, message in (
        ((asked, found, filed, 0), "k=0"),
        ((asked * np.nan, found, filed, 1), "query 0 is not finite"),
        ((asked, found, filed[:5], 1), "the shortlist names row 8: there are 5"),
        ((asked[:2], found, filed, 1), "answers 3 queries, 2 are given"),
    ):
        with pytest.raises(ValueError, match=message):
            combine(*changed)


def test_euclid_to_rows_that_are_missing_is_infinite() -> None:
    found = euclidean_of(np.float32([[0, 3], [0, 0]]), np.array([[1, -1], [-1, 0]]), np.float16([[0, 0], [4, 0]]))
    assert found.tolist() == [[5, np.inf], [np.inf, 0]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 0}, "k=0"),
        ({"queries": np.zeros((2, 3), np.float32)}, r"queries are \(2, 3\)"),
        ({"queries": np.array([[0, 1], [np.nan, 0]], np.float32)}, "query 1 is not finite"),
        ({"queries": np.zeros((3, 2), np.float32)}, "answers 2 queries, 3 are given"),
        ({"embeddings": np.zeros((4, 2))}, "embeddings are float64"),
        ({"embeddings": np.zeros((3, 2), np.float32)}, "names row 3: there are 3"),
    ],
)
def test_rerank_refuses_and_says_why(change: dict[str, object], message: str) -> None:
    good = {
        "queries": np.zeros((2, 2), np.float32),
        "shortlist": shortlist([[0, 3], [1, 2]]),
        "embeddings": np.zeros((4, 2), np.float32),
        "k": 1,
    }
    with pytest.raises(ValueError, match=message):
        rerank(**{**good, **change})  # type: ignore[arg-type]


def test_a_full_shortlist_reranked_is_exhaustive_euclid() -> None:
    codes, embeddings = library(0, 12), library(0, 12, codes=False)
    rows = np.arange(60)
    hashes, floats = HashIndex(12, 5), FloatIndex(12, 5)
    hashes.add(codes.vectors, codes.lists, rows)
    floats.add(embeddings.vectors, embeddings.lists, rows)
    shortlist = hashes.nearest(codes.queries, whole(codes), 60)
    reranked = rerank(embeddings.queries, shortlist, embeddings.vectors, 60)
    assert_same(reranked, floats.search(embeddings.queries, whole(embeddings), 60))
