"""Simulate the coverage of all 95 % intervals: python -m benchmarks.interval_coverage --samples 4000.

Prints the tables of docs/intervals.md, in Markdown.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr

from fashion_lsh.evaluation.latency import latency_summary, time_saving
from fashion_lsh.metrics.statistics import item_interval, paired_difference
from fashion_lsh.report.phrases import markdown_table

VARIANCES = {"item": 0.25, "item and method": 0.1, "query": 0.2, "item and seed": 0.1, "rest": 0.35}  # sum 1
ZERO_RATIO = 0.3  # ratio of queries with an average precision of 0
NUM_TIMED, TIMED_SAMPLES = 200, 1000
Interval = tuple[float, float]
PairedInterval = Callable[[Sequence[np.ndarray], Sequence[np.ndarray], np.ndarray], Interval]


@dataclass(frozen=True)
class Scenario:
    """Scores of two methods, from trainings with several seeds, on queries of items.

    Attributes:
        kind: `0/1` (top-1, recall), or `AP`: 30 % zeros, the other scores are powers of uniform numbers.
        means: expected score of base and method over seeds and items.
        seed_sd: standard deviation over seeds of the expected difference.
        seed_effects: `normal`; or `exponential`, skewed: a few seeds of the method are much worse than the others.
        num_queries: number of queries.
        item_size: mean number of queries per item; sizes are 1 + Poisson.
    """

    kind: str
    means: tuple[float, float]
    seed_sd: float
    num_queries: int = 300
    item_size: float = 2.0
    seed_effects: str = "normal"

    def draw(self, rng: np.random.Generator, num_seeds: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draw scores (2, S, Q), item numbers (Q,) int64, and the expected scores of the models (2, S, 1)."""
        sizes = 1 + rng.poisson(self.item_size - 1, self.num_queries)
        items = np.repeat(np.arange(len(sizes)), sizes)[: self.num_queries]
        num_items, shape = int(items[-1]) + 1, (2, num_seeds, self.num_queries)
        sd = {name: np.float32(variance**0.5) for name, variance in VARIANCES.items()}
        by_item = sd["item"] * rng.standard_normal(num_items)
        by_item = by_item + sd["item and method"] * rng.standard_normal((2, 1, num_items))
        by_item = by_item + sd["item and seed"] * rng.standard_normal((2, num_seeds, num_items))
        latent = by_item.astype(np.float32)[:, :, items] + sd["query"] * rng.standard_normal(shape[2], np.float32)
        ranks = ndtr(latent + sd["rest"] * rng.standard_normal(shape, np.float32))  # uniform
        expected = np.array(self.means)[:, None, None] + self._seed_effects(rng, (2, num_seeds, 1))
        if self.kind == "0/1":
            return (ranks < expected).astype(float), items, expected
        positive = np.maximum(0, (ranks - ZERO_RATIO) / (1 - ZERO_RATIO))
        return positive ** ((1 - ZERO_RATIO) / expected - 1), items, expected

    def _seed_effects(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Effects of the seeds on a method's mean, limited to keep all means between 0 and 1."""
        limit = 0.9 * min(*self.means, *(1 - mean for mean in self.means))
        if self.seed_effects == "exponential":
            return np.stack([np.zeros(shape[1:]), self.seed_sd * (1 - rng.exponential(1.0, shape[1:]))]).clip(-limit)
        return np.clip(rng.standard_normal(shape) * self.seed_sd / np.sqrt(2), -limit, limit)


def two_level(base: Sequence[np.ndarray], method: Sequence[np.ndarray], groups: np.ndarray) -> Interval:
    """Return the interval of `paired_difference`."""
    difference = paired_difference(base, method, groups)
    return difference.low, difference.high


def paired_coverage(
    scenario: Scenario, seed_counts: Sequence[int], samples: int, interval: PairedInterval = two_level
) -> np.ndarray:
    """Coverage of paired intervals with the first of the drawn seeds, for each number of seeds: (len(seed_counts), 2).

    The columns are the fractions of intervals with the expected difference of new trainings, and of these trainings.
    """
    rng, covered = np.random.default_rng(0), np.zeros((len(seed_counts), 2))
    for _ in range(samples):
        (base, method), items, expected = scenario.draw(rng, max(seed_counts))
        for row, count in enumerate(seed_counts):
            low, high = interval(list(base[:count]), list(method[:count]), items)
            fits = expected[:, :count].mean(axis=(1, 2))
            truths = np.array([scenario.means[1] - scenario.means[0], fits[1] - fits[0]])
            covered[row] += (low <= truths) & (truths <= high)
    return covered / samples


def item_coverage(scenario: Scenario, samples: int) -> float:
    """Fraction of intervals of one model's mean score with the model's expected score on new items."""
    rng, covered = np.random.default_rng(0), 0
    for _ in range(samples):
        scores, items, expected = scenario.draw(rng, 1)
        low, high = item_interval(scores[0, 0], items.astype(str))
        covered += low <= expected[0, 0, 0] <= high
    return covered / samples


def seed_coverage(num_seeds: int, seed_effects: str, samples: int) -> float:
    """Coverage of the interval over seeds, for a fixed set of queries, with seed effects of standard deviation 1."""
    rng, covered, groups = np.random.default_rng(0), 0, np.zeros(1)
    for _ in range(samples):
        normal, skewed = rng.standard_normal(num_seeds), rng.exponential(1.0, num_seeds) - 1
        effects = normal if seed_effects == "normal" else skewed
        low, high = two_level([np.zeros(1)] * num_seeds, list(effects[:, None]), groups)
        covered += low <= 0 <= high
    return covered / samples


def latency_coverage(samples: int) -> tuple[float, float]:
    """Coverage of the bootstrap intervals of a median time and of a ratio of saved time, for log-normal times."""
    rng, covered = np.random.default_rng(0), np.zeros(2)
    for _ in range(samples):
        common = rng.standard_normal(NUM_TIMED)
        base, method = (scale * np.exp(0.2 * common + 0.2 * rng.standard_normal(NUM_TIMED)) for scale in (10.0, 8.0))
        summary, (_, low, high) = latency_summary("x", method), time_saving(method, base)
        covered += [summary["x_ms_low"] <= 8 <= summary["x_ms_high"], low <= 0.2 <= high]
    median, saving = covered / samples
    return float(median), float(saving)


def paired_table(samples: int, seeds: Sequence[int], queries: Sequence[int]) -> str:
    """Coverage of paired intervals by scenario and number of seeds."""
    lines = []
    for kind, means in (("0/1", (0.5, 0.53)), ("0/1", (0.9, 0.92)), ("AP", (0.1, 0.12)), ("AP", (0.4, 0.4))):
        for seed_sd in (0.0, 0.01, 0.03):
            for num_queries in queries:
                lines.append(_paired_line(Scenario(kind, means, seed_sd, num_queries), seeds, samples))
    skewed = Scenario("0/1", (0.5, 0.53), 0.03, seed_effects="exponential")
    lines += [_paired_line(replace(skewed, num_queries=num_queries), seeds, samples) for num_queries in queries]
    fits = ["1 seed, these fits"] if 1 in seeds else []
    titles = ["scores", "means", "sd of seeds", "queries", *fits, *(_plural(count) for count in seeds)]
    return markdown_table(lines, titles)


def _paired_line(scenario: Scenario, seeds: Sequence[int], samples: int) -> list[str]:
    coverage = paired_coverage(scenario, seeds, samples)
    fits = [_percent(coverage[seeds.index(1), 1])] if 1 in seeds else []
    sd = f"{scenario.seed_sd:g}" + (" skewed" if scenario.seed_effects == "exponential" else "")
    means = " and ".join(f"{mean:g}" for mean in scenario.means)
    return [scenario.kind, means, sd, str(scenario.num_queries), *fits, *map(_percent, coverage[:, 0])]


def item_table(samples: int, queries: Sequence[int]) -> str:
    """Coverage of the interval of one model's mean score."""
    cells = [(num_queries, item_size) for num_queries in queries for item_size in (1.0, 2.0, 5.0)]
    lines = []
    for kind, mean in (("0/1", 0.5), ("0/1", 0.9), ("0/1", 0.98), ("AP", 0.02), ("AP", 0.1), ("AP", 0.4)):
        scenarios = [Scenario(kind, (mean, mean), 0.0, *cell) for cell in cells]
        lines.append([kind, f"{mean:g}", *(_percent(item_coverage(scenario, samples)) for scenario in scenarios)])
    return markdown_table(
        lines, ["scores", "mean", *(f"{number} queries, {size:g} per item" for number, size in cells)]
    )


def seed_table(samples: int, seeds: Sequence[int]) -> str:
    """Coverage of the interval over seeds only."""
    several = [count for count in seeds if count > 1]
    lines = [
        [shape, *(_percent(seed_coverage(count, shape, samples)) for count in several)]
        for shape in ("normal", "exponential")
    ]
    return markdown_table(lines, ["seed effects", *map(_plural, several)])


def latency_table(samples: int) -> str:
    """Coverage of the intervals of times."""
    titles = [f"median of {NUM_TIMED} times", f"ratio of time saved, {NUM_TIMED} queries"]
    return markdown_table([[_percent(value) for value in latency_coverage(samples)]], titles)


def _plural(count: int) -> str:
    return f"{count} seed{'s' if count > 1 else ''}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.interval_coverage", description=__doc__)
    parser.add_argument("--samples", type=int, default=4000, help="simulations per cell")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5, 10])
    parser.add_argument("--queries", type=int, nargs="+", default=[300, 1500])
    args = parser.parse_args()
    print(f"Paired differences:\n\n{paired_table(args.samples, args.seeds, args.queries)}\n", flush=True)
    print(f"One model:\n\n{item_table(args.samples, args.queries)}\n", flush=True)
    print(f"Seeds only:\n\n{seed_table(args.samples, args.seeds)}\n", flush=True)
    print(f"Times:\n\n{latency_table(min(args.samples, TIMED_SAMPLES))}")


if __name__ == "__main__":
    main()
