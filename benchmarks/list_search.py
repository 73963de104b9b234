"""Speed of searches in lists relative to FAISS and numpy: random codes in 30 lists, one thread, interleaved medians."""

from collections.abc import Callable
from functools import partial

import faiss
import numpy as np
from faiss.contrib import ivf_tools

from fashion_lsh.evaluation.latency import time_interleaved
from fashion_lsh.index.distances import hamming
from fashion_lsh.index.indexes import HashIndex

BITS, NUM_LISTS, NUM_ROWS, K, EMBEDDING_DIM = 64, 30, 500_000, 100, 256
NUM_QUERIES, BATCH_SIZE = 200, 64
ALL_LISTS = np.arange(NUM_LISTS)

SearchCall = Callable[[np.ndarray, np.ndarray, int], object]


def build_index(num_rows: int) -> tuple[HashIndex, np.ndarray, np.ndarray]:
    """Build lists of equal size: an index of random codes, its codes (num_rows, BITS / 8), and list ids (num_rows,)."""
    rng = np.random.default_rng(0)
    codes, lists = rng.integers(0, 256, (num_rows, BITS // 8), dtype=np.uint8), np.arange(num_rows) % NUM_LISTS
    index = HashIndex(BITS, NUM_LISTS)
    index.add(codes, lists, np.arange(num_rows))
    return index, codes, lists


def build_faiss_index(codes: np.ndarray, lists: np.ndarray) -> faiss.IndexBinaryIVF:
    """Return a FAISS index with the same lists as `build_index`; it breaks ties in no defined order."""
    quantiser = faiss.IndexBinaryFlat(BITS)
    quantiser.add(np.zeros((NUM_LISTS, BITS // 8), dtype=np.uint8))
    index = faiss.IndexBinaryIVF(quantiser, BITS, NUM_LISTS)
    index.nprobe = NUM_LISTS
    ivf_tools.add_preassigned(index, codes, lists, np.arange(len(codes)))  # type: ignore[no-untyped-call]
    return index


def make_queries() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return query codes and the lists to probe, (NUM_QUERIES, NUM_LISTS): one list (-1 padded), and all lists."""
    rng = np.random.default_rng(1)
    one_list = np.full((NUM_QUERIES, NUM_LISTS), -1)
    one_list[:, 0] = rng.integers(0, NUM_LISTS, NUM_QUERIES)
    return (
        rng.integers(0, 256, (NUM_QUERIES, BITS // 8), dtype=np.uint8),
        one_list,
        np.tile(ALL_LISTS, (NUM_QUERIES, 1)),
    )


def nearest_in_list(words: np.ndarray, rows: np.ndarray, query: np.uint64, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the first k rows of a list by (Hamming distance, row), without validation of arguments.

    words (N,) uint64 codes, rows (N,) int64 ascending, k at most N -> rows (k,) int64 and distances (k,) uint8.
    """
    distances = np.bitwise_count(words ^ query)
    low, high = 0, 64
    while low < high:
        middle = (low + high) // 2
        if np.count_nonzero(distances <= middle) < k:
            low = middle + 1
        else:
            high = middle
    positions = np.flatnonzero(distances <= high)
    candidates = distances[positions]
    order = np.argsort(candidates, kind="stable")[:k]
    return rows[positions[order]], candidates[order]


def time_searches() -> dict[str, float]:
    """Compare probing one and all lists with FAISS IVF, FAISS flat and numpy."""
    index, codes, lists = build_index(NUM_ROWS)
    queries, one_list, all_lists = make_queries()
    check_hits(index, codes, lists, queries, one_list)
    list_words = [np.ascontiguousarray(codes[lists == list_id]).view(np.uint64)[:, 0] for list_id in ALL_LISTS]
    list_rows = [np.flatnonzero(lists == list_id) for list_id in ALL_LISTS]
    query_words = queries.view(np.uint64)[:, 0]
    flat = faiss.IndexBinaryFlat(BITS)
    flat.add(codes)
    floats = faiss.IndexFlatL2(EMBEDDING_DIM)
    floats.add(np.random.default_rng(2).random((NUM_ROWS // 5, EMBEDDING_DIM), dtype=np.float32))
    faiss_index = build_faiss_index(codes, lists)

    timed_call = partial(search_call, queries)

    def faiss_call(codes: np.ndarray, lists: np.ndarray, k: int) -> object:
        return ivf_tools.search_preassigned(faiss_index, codes, k, lists)  # type: ignore[no-untyped-call]

    def numpy_call(query: int) -> object:
        list_id = one_list[query, 0]
        return nearest_in_list(list_words[list_id], list_rows[list_id], query_words[query], K)

    def flat_call(codes: np.ndarray, _: np.ndarray, k: int) -> object:
        return flat.search(codes, k)

    all_lists_medians = median_times(
        {"all_lists": timed_call(index.search, all_lists), "flat": timed_call(flat_call, one_list)}
    )
    one_list_medians = median_times({
        "one_list": timed_call(index.search, one_list),
        "one_list_faiss": timed_call(faiss_call, one_list),
        "one_list_numpy": numpy_call,
    })  # fmt: skip
    batches = median_times(
        {"ours": timed_call(index.search, one_list, BATCH_SIZE), "faiss": timed_call(faiss_call, one_list, BATCH_SIZE)}
    )
    other_medians = median_times({
        "numpy": lambda start: np.argpartition(hamming(queries[[start]], codes)[0], K),
        "flat_l2_100k": lambda _: floats.search(np.full((1, EMBEDDING_DIM), 0.5, dtype=np.float32), K),
    })  # fmt: skip
    return {
        **{f"{name}_ms": value for name, value in (all_lists_medians | one_list_medians | other_medians).items()},
        "one_list_exact_ms": one_list_medians["one_list"],  # `search` is exact
        "single_exact_overhead_us": 1000 * (one_list_medians["one_list"] - one_list_medians["one_list_numpy"]),
        **speedups_over_flat(index, flat_call, queries, one_list),
        "call_over_faiss": batches["ours"] / batches["faiss"],
        "single_call_extra_us": 1000 * (one_list_medians["one_list"] - one_list_medians["one_list_faiss"]),
        "all_lists_over_flat": all_lists_medians["all_lists"] / all_lists_medians["flat"],
    }


def search_call(
    queries: np.ndarray, search: SearchCall, lists: np.ndarray, count: int = 1, k: int = K
) -> Callable[[int], object]:
    """Return a function that searches with `count` queries from a start, which are selected beforehand."""
    batches = [np.arange(start, start + count) % NUM_QUERIES for start in range(NUM_QUERIES)]
    arguments = [(queries[batch], lists[batch], k) for batch in batches]
    return lambda start: search(*arguments[start])


def speedups_over_flat(
    index: HashIndex, flat_call: SearchCall, queries: np.ndarray, one_list: np.ndarray
) -> dict[str, float]:
    """Time of a flat search / time of an exact search of one list, by number of queries and k."""

    def speedup(count: int, k: int) -> float:
        calls = {"ours": index.search, "flat": flat_call}
        medians = median_times({name: search_call(queries, each, one_list, count, k) for name, each in calls.items()})
        return medians["flat"] / medians["ours"]

    speedups = {
        f"speedup_over_flat{single}{suffix}": speedup(count, k)
        for single, count in (("", BATCH_SIZE), ("_single", 1))
        for suffix, k in (("", 10), ("_k100", 100))
    }
    return {
        **{f"one_list{exact}_{name}": value for exact in ("", "_exact") for name, value in speedups.items()},
        "exact_speedup_over_flat": speedups["speedup_over_flat_k100"],
        "single_exact_speedup_over_flat": speedups["speedup_over_flat_single_k100"],
    }


def check_hits(
    index: HashIndex, codes: np.ndarray, lists: np.ndarray, queries: np.ndarray, one_list: np.ndarray
) -> None:
    """Raise AssertionError if exact search in one list and numpy return different hits."""
    for query in range(20):
        list_rows = np.flatnonzero(lists == one_list[query, 0])
        distances = hamming(queries[[query]], codes[list_rows])[0]
        order = np.lexsort((list_rows, distances))[:K]
        hits = index.search(queries[[query]], one_list[[query]], K)
        if not np.array_equal(hits.rows[0], list_rows[order]):
            raise AssertionError(f"query={query}: hits of index and numpy differ")


def time_by_size(num_rows: int) -> dict[str, float]:
    """Milliseconds for one list and all lists of an index with `num_rows` codes, and the ratio of both."""
    index, _, _ = build_index(num_rows)
    queries, one_list, all_lists = make_queries()
    medians = median_times({
        "one list ms": lambda query: index.search(queries[[query]], one_list[[query]], K),
        "all lists ms": lambda query: index.search(queries[[query]], all_lists[[query]], K),
    }, queries=50)  # fmt: skip
    return medians | {"all lists over one list": medians["all lists ms"] / medians["one list ms"]}


def median_times(methods: dict[str, Callable[[int], object]], queries: int = NUM_QUERIES) -> dict[str, float]:
    """Median milliseconds of each method, timed interleaved."""
    return {name: float(np.median(values)) for name, values in time_interleaved(methods, queries).items()}
