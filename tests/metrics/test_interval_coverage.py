"""Intervals cover the true value about as often as they state, in small simulations; percentile bootstraps do not."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmarks.interval_coverage import Scenario, item_coverage, paired_coverage, seed_coverage
from fashion_lsh.metrics.statistics import MIN_SEEDS, SIMULATED_COVERAGE

PAGE = Path(__file__).parents[2] / "docs/intervals.md"
SAMPLES = 400  # standard deviation of a coverage of 0.95: 0.011


def percentile_bootstrap(
    base: Sequence[np.ndarray], method: Sequence[np.ndarray], groups: np.ndarray
) -> tuple[float, float]:
    """Percentile bootstrap over seeds and items."""
    rng, num_samples, num_seeds = np.random.default_rng(0), 300, len(base)
    differences = np.stack(method) - np.stack(base)
    sums, counts = np.stack([np.bincount(groups, weights=row) for row in differences]), np.bincount(groups)
    item_draws = rng.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), num_samples)
    seed_draws = rng.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), num_samples) / num_seeds
    means = ((item_draws @ sums.T) * seed_draws).sum(axis=1) / (item_draws @ counts)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


@pytest.mark.parametrize("scenario", [
    Scenario("0/1", (0.5, 0.53), 0.03), Scenario("0/1", (0.9, 0.92), 0.01), Scenario("AP", (0.1, 0.12), 0.03)
])  # fmt: skip
def test_paired_intervals_cover_new_seeds_and_items(scenario: Scenario) -> None:
    new, same = paired_coverage(scenario, [2, 3, 5, 10], SAMPLES).T
    assert new == pytest.approx(0.96, abs=0.04)
    assert (same >= new - 0.02).all()


def test_percentile_bootstraps_over_few_seeds_are_too_narrow() -> None:
    scenario = Scenario("0/1", (0.5, 0.53), 0.06, 600)
    [[new, _]] = paired_coverage(scenario, [3], SAMPLES)
    assert new == pytest.approx(0.96, abs=0.04)
    [[new, _]] = paired_coverage(scenario, [3], SAMPLES // 2, percentile_bootstrap)
    assert new < 0.9


def test_an_interval_of_one_seed_covers_these_fits_only() -> None:
    [[new, same]] = paired_coverage(Scenario("0/1", (0.5, 0.53), 0.03, 1500), [1], SAMPLES)
    assert same == pytest.approx(0.95, abs=0.04)
    assert new < 0.8


@pytest.mark.parametrize(("kind", "mean"), [("0/1", 0.5), ("0/1", 0.95), ("AP", 0.2)])
def test_item_intervals_cover_new_items(kind: str, mean: float) -> None:
    assert item_coverage(Scenario(kind, (mean, mean), 0.0), SAMPLES) == pytest.approx(0.95, abs=0.04)


def test_intervals_over_seeds_cover_new_seeds() -> None:
    assert seed_coverage(3, "normal", 2000) == pytest.approx(0.95, abs=0.02)


def table_columns(text: str) -> dict[str, list[str]]:
    """Read the columns of the first Markdown table of a text."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    rows = rows[: next((row for row, cells in enumerate(rows) if len(cells) != len(rows[0])), len(rows))]
    return {column[0]: list(column[2:]) for column in zip(*rows, strict=True)}


@pytest.mark.parametrize("num_seeds", [2, 3, 4, 5, 10])
def test_the_stated_coverage_equals_the_published_simulation(num_seeds: int) -> None:
    columns = table_columns(PAGE.read_text().partition("## Paired differences")[2])
    is_normal = ["skewed" not in sd for sd in columns["sd of seeds"]]
    values = [float(value) for value, use in zip(columns[f"{num_seeds} seeds"], is_normal, strict=True) if use]
    assert len(values) == 24
    low, high = SIMULATED_COVERAGE[min(num_seeds, MIN_SEEDS)]
    assert low <= min(values)
    assert max(values) <= high
    if num_seeds >= MIN_SEEDS:
        assert low >= 93
        assert high <= 97.5  # 97 and the error of the simulation
    else:
        assert (low, high) == (min(values), max(values))
