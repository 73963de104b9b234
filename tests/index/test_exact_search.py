"""Exact search against a plain search that unpacks all bits and sorts all rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fashion_lsh.index import exact_search
from fashion_lsh.index.exact_search import Block, hamming_distances, nearest_keys, nearest_positions
from fashion_lsh.index.hits import make_sort_keys

seeds = st.integers(0, 2**32 - 1)


def plain_distances(query: np.ndarray, codes: np.ndarray) -> np.ndarray:
    return np.unpackbits(query ^ codes, axis=1).sum(axis=1, dtype=np.int64)


def plain_search(query: np.ndarray, codes: np.ndarray, rows: np.ndarray, slices: list[Block], k: int) -> np.ndarray:
    positions = [position for start, stop in slices for position in range(start, stop)]
    distances = plain_distances(query, codes[positions])
    ranking = sorted(zip(distances.tolist(), rows[positions].tolist(), strict=True))[:k]
    return np.array([distance << 40 | row for distance, row in ranking], dtype=np.int64)


def random_codes(seed: int, count: int, size: int) -> np.ndarray:
    """Codes (count, size) uint8 of random density, so that all distances from 0 to 8 · size bits occur."""
    rng = np.random.default_rng(seed)
    return np.packbits(rng.random((count, 8 * size)) < rng.random((count, 1)), axis=1)


@given(seeds, st.integers(0, 40), st.integers(1, 300))
@settings(max_examples=60, deadline=None)
def test_distances_of_codes_of_any_size(seed: int, num_codes: int, size: int) -> None:
    codes, query = random_codes(seed, num_codes, size), random_codes(seed + 1, 1, size)
    assert np.array_equal(hamming_distances(query, codes), plain_distances(query, codes))
    assert hamming_distances(query, ~query).tolist() == [8 * size]


@given(
    st.lists(st.integers(0, 70), max_size=60),
    st.integers(1, 80),
    st.integers(0, 80),
    st.integers(1, 20),
    st.integers(0, 40),
)
@settings(max_examples=200, deadline=None)
def test_nearest_positions_are_all_up_to_the_kth_distance(
    values: list[int], k: int, limit: int, sample: int, few: int
) -> None:
    distances = np.array(values, dtype=np.int32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact_search, "SAMPLE", sample)
        patch.setattr(exact_search, "FEW", few)
        positions = nearest_positions(distances, k, limit).tolist()
    kth_distance = sorted(values)[k - 1] if len(values) > k else max(values, default=0)
    nearest = [position for position, value in enumerate(values) if value <= min(kth_distance, limit)]
    assert set(nearest) <= set(positions)
    assert positions == sorted(positions)
    assert all(values[position] <= limit for position in positions)
    assert len(positions) <= max(len(nearest), few)


@given(seeds, st.integers(1, 40), st.integers(0, 90), st.integers(1, 100), st.integers(1, 30), st.data())
@settings(max_examples=150, deadline=None)
def test_search_equals_plain_search(
    seed: int, size: int, num_codes: int, k: int, block: int, data: st.DataObject
) -> None:
    rng = np.random.default_rng(seed)
    num_distinct = data.draw(st.integers(1, 90), label="number of distinct codes")  # few: many ties
    codes = random_codes(seed, num_distinct, size)[rng.integers(0, num_distinct, num_codes)]
    rows = rng.choice(10**6, num_codes, replace=False)  # in any order
    cuts = np.sort(rng.integers(0, num_codes + 1, 6)).tolist()
    slices = data.draw(st.permutations([(cuts[0], cuts[1]), (cuts[2], cuts[3]), (cuts[4], cuts[5])]), label="slices")
    query = random_codes(seed + 1, 1, size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact_search, "BLOCK", block)
        patch.setattr(exact_search, "FEW", 5)
        keys = nearest_keys(query, codes, rows, slices, k, 8 * size)
    assert np.array_equal(keys, plain_search(query, codes, rows, slices, k))


@pytest.mark.parametrize("num_near", [0, 99, 100, 20_000])
def test_later_blocks_may_be_nearer(num_near: int) -> None:
    """The limit of the first block is far above the distances of the last block."""
    codes = random_codes(0, 150_000, 8)
    codes[len(codes) - num_near :] = 0
    rows, query = np.arange(len(codes))[::-1].copy(), np.zeros((1, 8), np.uint8)
    keys = nearest_keys(query, codes, rows, [(0, len(codes))], 100, 64)
    expected = np.sort(make_sort_keys(plain_distances(query, codes), rows))[:100]
    assert np.array_equal(keys, expected)
