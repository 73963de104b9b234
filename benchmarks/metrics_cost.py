"""Measure time and memory of scoring searches with all ranking metrics.

    python -m benchmarks.metrics_cost [--small]

Prints the table of docs/metrics.md. Each row is measured in a process of its own. Codes have 48 bits, embeddings 128
dimensions; 30 categories of equal size are relevant. Euclidean distances are measured on 1,000 queries.
"""

import argparse
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np

from fashion_lsh.metrics.retrieval import Relevance, score_codes, score_embeddings

SIZES = [("codes", 1_344, 6_000), ("embeddings", 1_344, 6_000), ("codes", 20_000, 100_000),
         ("codes", 20_000, 1_000_000), ("embeddings", 1_000, 1_000_000)]  # fmt: skip
SMALL = [("codes", 100, 6_000), ("embeddings", 100, 6_000)]
CATEGORIES, CODE_BYTES, DIMENSIONS = 30, 6, 128


def measure(kind: str, num_queries: int, num_rows: int) -> tuple[float, float]:
    """Seconds of scoring with all metrics at 1, 10, 100 and all rows, and peak memory of the process in GiB."""
    rng = np.random.default_rng(0)
    relevance = Relevance(rng.integers(0, CATEGORIES, num_queries), rng.integers(0, CATEGORIES, num_rows))
    queries, gallery = (
        rng.integers(0, 256, (count, CODE_BYTES), dtype=np.uint8)
        if kind == "codes"
        else rng.standard_normal((count, DIMENSIONS), dtype=np.float32)
        for count in (num_queries, num_rows)
    )
    start = time.perf_counter()
    (score_codes if kind == "codes" else score_embeddings)(queries, gallery, relevance, None)
    return time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="small sizes, to try the script")
    print("| distance | queries | rows | seconds | peak memory |\n|---|---|---|---|---|", flush=True)
    for size in SMALL if parser.parse_args().small else SIZES:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            seconds, memory = pool.submit(measure, *size).result()
        kind, num_queries, num_rows = size
        print(f"| {kind} | {num_queries:,} | {num_rows:,} | {seconds:.1f} | {memory:.2f} GiB |", flush=True)


if __name__ == "__main__":
    main()
