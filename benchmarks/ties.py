"""Time tie-aware scores of random codes: python -m benchmarks.ties --queries 10000 --gallery 100000."""

import argparse
import time
import tracemalloc

import numpy as np

from fashion_lsh.metrics.retrieval import Relevance, score_codes

NUM_CATEGORIES = 30


def main() -> None:
    """Print run time and peak array memory of `score_codes`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ties", description=__doc__)
    for name, default in (("queries", 10_000), ("gallery", 100_000), ("bits", 64)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    query, gallery, relevance = random_codes(args.queries, args.gallery, args.bits)
    tracemalloc.start()
    start = time.perf_counter()
    scores = score_codes(query, gallery, relevance, None)
    seconds, (_, peak) = time.perf_counter() - start, tracemalloc.get_traced_memory()
    print(f"{args.queries:,} queries x {args.gallery:,} codes of {args.bits} bits: {seconds:.1f} s, "
          f"{peak / 2**20:.0f} MiB peak memory of arrays, mAP@100 {np.nanmean(scores['map', 100]):.4f}")  # fmt: skip


def random_codes(num_queries: int, num_gallery: int, bits: int) -> tuple[np.ndarray, np.ndarray, Relevance]:
    """Return random codes, (Q, W) and (N, W) uint8, of queries and gallery, and the relevance by random categories."""
    rng = np.random.default_rng(0)
    codes = np.packbits(rng.random((num_queries + num_gallery, bits)) < 0.5, axis=1, bitorder="little")
    categories = rng.integers(0, NUM_CATEGORIES, num_queries + num_gallery)
    return codes[:num_queries], codes[num_queries:], Relevance(categories[:num_queries], categories[num_queries:])


if __name__ == "__main__":
    main()
