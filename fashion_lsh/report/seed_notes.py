"""Notes on what an interval covers with few seeds."""

from collections.abc import Iterable

from fashion_lsh.metrics.statistics import MIN_SEEDS, SIMULATED_COVERAGE


def coverage_range(num_seeds: int) -> str:
    """Lowest and highest simulated coverage of paired intervals with at least 2 seeds, in percent: `94 to 97`."""
    low, high = SIMULATED_COVERAGE[min(num_seeds, MIN_SEEDS)]
    return f"{low:g} to {high:g}"


def describe_seeds(num_seeds: int) -> str:
    """State what the interval of a paired difference covers with this number of seeds, at least 1."""
    if num_seeds == 1:
        return "1 seed: the interval speaks of these fits only; it does not cover other seeds"
    count, claim = (f"{num_seeds} seeds", "; too few seeds for a claim") if num_seeds < MIN_SEEDS else (
        f"{MIN_SEEDS} or more seeds", "")  # fmt: skip
    return f"{count}: intervals covered the true difference in {coverage_range(num_seeds)} % of the simulations{claim}"


def seeds_note(seed_counts: Iterable[int]) -> str:
    """Join the notes on these numbers of seeds, one sentence each; "" without numbers."""
    return " ".join(dict.fromkeys(f"{describe_seeds(count)}." for count in sorted(seed_counts)))
