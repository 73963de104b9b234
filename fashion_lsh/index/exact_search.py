"""Exact Hamming search of one query in blocks of an array of codes: one scan, any number of ties.

FAISS computes the distances. A radius that contains k codes is estimated from a sample and then found by bisection, so
that only the codes within the radius are sorted.
"""

from collections.abc import Iterable, Iterator

import faiss
import numpy as np

from fashion_lsh.index.hits import make_sort_keys
from fashion_lsh.index.validation import ROW_BITS

BLOCK = 2**17  # number of codes compared at once; their distances take 512 kB
SAMPLE = 512  # number of distances that give a first estimate of the radius
FEW = 400  # number of codes that are sorted in less time than it takes to narrow the radius

Block = tuple[int, int]  # first position, position after the last


def split_blocks(slices: Iterable[Block]) -> Iterator[Block]:
    """Split slices into blocks of 1 to BLOCK positions."""
    for start, stop in slices:
        for first in range(start, stop, BLOCK):
            yield first, min(first + BLOCK, stop)


def hamming_distances(query: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Hamming distance of one query to each code.  (1, W) and (N, W) uint8, contiguous -> (N,) int32."""
    distances = np.empty(len(codes), dtype=np.int32)
    pointers = faiss.swig_ptr(query), faiss.swig_ptr(codes), faiss.swig_ptr(distances)
    faiss.hammings(pointers[0], pointers[1], 1, *codes.shape, pointers[2])  # type: ignore[attr-defined]  # not in its stubs
    return distances


def nearest_positions(distances: np.ndarray, k: int, limit: int) -> np.ndarray:
    """Positions of the distances up to a radius: the smallest that contains k, or one that contains at most FEW.

    Args:
        distances: (n,) int.
        k: number of distances to find.
        limit: upper bound of the radius; if fewer than k distances are within it, it is the radius.

    Returns:
        (m,) int64, ascending.
    """
    if len(distances) <= k:
        return (distances <= limit).nonzero()[0]
    sample = distances[:SAMPLE].copy()
    sample.sort()
    radius, step = min(int(sample[k * len(sample) // len(distances)]), limit), 1
    low, high, nearest = 0, limit + 1, np.empty(0, dtype=np.int64)  # `nearest` are the positions up to `high`
    while low < high:
        positions = (distances <= radius).nonzero()[0]
        count = len(positions)
        if count >= k or radius == limit:
            high, nearest = radius, positions
        if k <= count <= FEW:
            break
        low, radius = (low, radius - step) if count >= k else (radius + 1, radius + step)
        step *= 2
        if not low <= radius < high:
            radius = (low + high) // 2
    return nearest


def nearest_keys(
    query: np.ndarray, codes: np.ndarray, rows: np.ndarray, slices: Iterable[Block], k: int, max_distance: int
) -> np.ndarray:
    """Find the first k rows by (Hamming distance, row) in slices of an index.

    Args:
        query: (1, W) uint8, contiguous.
        codes: (N, W) uint8, contiguous.
        rows: (N,) int64, the row of each code, in any order.
        slices: disjoint slices of `codes` to search.
        k: number of rows.
        max_distance: upper bound of all distances, for example the code length in bits.

    Returns:
        (at most k,) int64 sort keys of distances and rows, ascending.
    """
    nearest, limit = np.empty(0, dtype=np.int64), max_distance
    for start, stop in split_blocks(slices):
        distances = hamming_distances(query, codes[start:stop])
        positions = nearest_positions(distances, k, limit)
        keys = make_sort_keys(distances[positions], rows[start:stop][positions])
        keys = np.concatenate([nearest, keys]) if len(nearest) else keys
        keys.sort()
        nearest = keys[:k]
        if len(nearest) == k:
            limit = int(nearest[-1]) >> ROW_BITS
    return nearest
