"""Near-duplicate detection: run time, memory and recall for 500,000 random fingerprints.

python -m benchmarks.duplicates_scale
"""

import resource
import time

import numpy as np
from tabulate import tabulate

from fashion_lsh.data.near_duplicates import MAX_DISTANCE, near_duplicate_pairs

NUM_RANDOM, NUM_PLANTED = 500_000, 5_000  # number of random fingerprints and of planted near-duplicates


def main(seed: int = 0) -> None:
    """Print time, memory and recall by distance for NUM_RANDOM random fingerprints and NUM_PLANTED near-duplicates."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 256, (NUM_RANDOM + NUM_PLANTED, 4, 32), dtype=np.uint8)
    distances = rng.integers(0, 2 * MAX_DISTANCE + 1, NUM_PLANTED)
    flips = np.arange(256) < distances[:, None]
    planted_codes = codes[:NUM_PLANTED, 0] ^ np.packbits(rng.permuted(flips, axis=1), axis=1)
    codes[NUM_RANDOM + np.arange(NUM_PLANTED), rng.integers(0, 4, NUM_PLANTED)] = planted_codes
    memory_before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    matched_pairs = near_duplicate_pairs(codes, 2 * MAX_DISTANCE)
    elapsed = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    is_detected = np.isin(
        np.arange(NUM_PLANTED) * len(codes) + NUM_RANDOM + np.arange(NUM_PLANTED),
        matched_pairs[:, 0] * len(codes) + matched_pairs[:, 1],
    )
    print(f"{len(codes):,} fingerprints of 4 codes: {elapsed:.1f} s, peak memory {peak / 2**20:.2f} GiB "
          f"({memory_before / 2**20:.2f} GiB before); "
          f"{len(matched_pairs) - is_detected.sum()} pairs not planted")  # fmt: skip
    steps = [
        (low, low + 3, is_detected[(distances >= low) & (distances < low + 4)].mean())
        for low in range(0, 2 * MAX_DISTANCE, 4)
    ]
    print(tabulate(steps, ["distance from", "to", "recall"], floatfmt=".4f"))


if __name__ == "__main__":
    main()
