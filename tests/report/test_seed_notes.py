"""Notes on what intervals cover with few seeds."""

import pytest

from fashion_lsh.metrics.statistics import MIN_SEEDS, SIMULATED_COVERAGE
from fashion_lsh.report.seed_notes import coverage_range, describe_seeds, seeds_note


@pytest.mark.parametrize("num_seeds", range(2, MIN_SEEDS))
def test_few_seeds_have_their_simulated_coverage_and_no_claim(num_seeds: int) -> None:
    note = describe_seeds(num_seeds)
    low, high = SIMULATED_COVERAGE[num_seeds]
    assert note.startswith(f"{num_seeds} seeds")
    assert f"{low:g} to {high:g} %" in note
    assert "claim" in note


def test_one_seed_has_no_coverage_of_other_seeds() -> None:
    assert "1 seed" in describe_seeds(1)
    assert "%" not in describe_seeds(1)


def test_many_seeds_have_one_note() -> None:
    assert seeds_note({MIN_SEEDS + 3, MIN_SEEDS, 1}) == f"{describe_seeds(1)}. {describe_seeds(MIN_SEEDS)}."
    assert coverage_range(MIN_SEEDS) in seeds_note([12])
    assert "claim" not in seeds_note([12])
    assert seeds_note([]) == ""
