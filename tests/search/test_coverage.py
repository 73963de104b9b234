"""Calibrated coverage: threshold against a loop, the promise in simulations, and refusals."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fashion_lsh.search.coverage import (
    NEVER,
    CoverageCalibration,
    coverage_scores,
    max_coverage,
    min_groups,
    risk_threshold,
)
from fashion_lsh.search.policy import SearchPolicy

CATEGORIES = 6
LEVELS = np.array([0.5, 0.8, 0.9, 0.95, 0.99])
SCORE = st.sampled_from([NEVER, 0.0, 0.1, 0.25, 0.5, 0.7, 1.0])
SCORES = st.lists(st.tuples(SCORE, st.integers(0, 12)), min_size=1, max_size=40)


def slow_threshold(scores: np.ndarray, groups: np.ndarray, coverage: float) -> float:
    """Try every score and 1 in a loop over the groups."""
    names = sorted(set(groups.tolist()))
    allowed = (1 - coverage) * (len(names) + 1)
    thresholds = [
        threshold
        for threshold in {1.0, *scores.tolist()}
        if sum(float(np.mean(scores[groups == name] < threshold)) for name in names) + 1 <= allowed + 1e-9
    ]
    return max(thresholds, default=-np.inf)


def arrays(pairs: list[tuple[float, int]]) -> tuple[np.ndarray, np.ndarray]:
    scores, groups = zip(*pairs, strict=True)
    return np.array(scores, np.float32), np.array(groups)


def random_queries(rng: np.random.Generator, num_groups: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Overconfident probabilities (Q, C), relevant lists (Q, C) and groups (Q,); queries of a group are alike."""
    sizes = rng.integers(1, 4, num_groups)
    groups = np.repeat(np.arange(num_groups), sizes)
    logits = 2 * rng.normal(size=(num_groups, CATEGORIES))[groups] + 0.3 * rng.normal(size=(len(groups), CATEGORIES))
    cumulative = softmax(logits[np.cumsum(sizes) - 1] / 2).cumsum(axis=1)
    labels = np.minimum((cumulative < rng.random((num_groups, 1))).sum(axis=1), CATEGORIES - 1)[groups]
    return softmax(logits).astype(np.float32), np.eye(CATEGORIES, dtype=bool)[labels], groups


def is_covered(lists: np.ndarray, is_relevant: np.ndarray) -> np.ndarray:
    return np.asarray((np.take_along_axis(is_relevant, lists, axis=1) & (lists >= 0)).any(axis=1))


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


@settings(max_examples=200)
@given(SCORES, st.sampled_from(LEVELS.tolist()))
def test_threshold_equals_that_of_a_loop(pairs: list[tuple[float, int]], coverage: float) -> None:
    scores, groups = arrays(pairs)
    assert risk_threshold(scores, groups, coverage) == slow_threshold(scores, groups, coverage)


@given(SCORES)
def test_a_larger_coverage_never_probes_fewer_lists(pairs: list[tuple[float, int]]) -> None:
    thresholds = [risk_threshold(*arrays(pairs), coverage) for coverage in LEVELS.tolist()]
    assert thresholds == sorted(thresholds, reverse=True)


def test_promise_holds_on_average_over_draws() -> None:
    """Each draw calibrates on new groups, and measures the coverage of other new groups."""
    rng, num_groups, measured = np.random.default_rng(0), 120, []
    for _ in range(150):
        probabilities, is_relevant, groups = random_queries(rng, num_groups)
        calibration = CoverageCalibration(coverage_scores(probabilities, is_relevant), groups, "category")
        probabilities, is_relevant, groups = random_queries(rng, num_groups)
        policies = [SearchPolicy(coverage=coverage, calibration=calibration) for coverage in LEVELS.tolist()]
        covered = [is_covered(policy.select_lists(probabilities), is_relevant) for policy in policies]
        measured.append([np.mean(np.bincount(groups, each) / np.bincount(groups)) for each in covered])
    means, errors = np.mean(measured, axis=0), np.std(measured, axis=0, ddof=1) / np.sqrt(len(measured))
    assert (means >= LEVELS - 2 * errors).all()
    assert (means <= LEVELS + 2 / (num_groups + 1) + 3 * errors).all()


def test_scores_equal_those_of_a_loop_and_decide_which_queries_are_covered() -> None:
    probabilities, is_relevant, groups = random_queries(np.random.default_rng(1), 60)
    probabilities[3], is_relevant[5] = 0, False  # no detection; no relevant row
    scores = coverage_scores(probabilities, is_relevant)
    for query, score in enumerate(scores):
        order = sorted(range(CATEGORIES), key=lambda category: (-probabilities[query, category], category))
        first = next((place for place, category in enumerate(order) if is_relevant[query, category]), None)
        unreachable = first is None or not probabilities[query].any()
        expected = probabilities[query, order[first]] if first else 1.0
        assert score == (NEVER if unreachable else expected)
    calibration = CoverageCalibration(scores, groups, "item")
    for coverage in (0.5, 0.8, 0.9):
        policy = SearchPolicy(coverage=coverage, calibration=calibration)
        lists = policy.select_lists(probabilities)
        assert is_covered(lists, is_relevant).tolist() == (scores >= policy.list_threshold).tolist()
        assert (lists[3] == -1).all()


def test_a_coverage_adds_lists_to_nprobe_and_another_needs_no_new_calibration() -> None:
    probabilities, is_relevant, groups = random_queries(np.random.default_rng(2), 200)
    calibration = CoverageCalibration(coverage_scores(probabilities, is_relevant), groups, "category")
    policy, counts = SearchPolicy(coverage=0.8, calibration=calibration), []
    for coverage in (0.8, 0.9, 0.95):
        lists = replace(policy, coverage=coverage).select_lists(probabilities)
        two = replace(policy, coverage=coverage, nprobe=2).select_lists(probabilities)
        counts.append((lists >= 0).sum(axis=1))
        assert ((two >= 0).sum(axis=1) == np.maximum(2, counts[-1])).all()
    assert (counts[0] <= counts[1]).all()
    assert (counts[1] <= counts[2]).all()
    assert counts[0].sum() < counts[1].sum() < counts[2].sum()


def test_number_of_needed_groups_is_the_smallest_that_is_accepted() -> None:
    assert [min_groups(coverage) for coverage in (0.5, 0.9, 0.95, 0.99)] == [1, 9, 19, 99]
    for coverage in (*LEVELS.tolist(), 0.123, 0.875, 0.999):
        accepted = [n for n in range(1100) if (1 - coverage) * (n + 1) - 1 >= -1e-9]
        assert min_groups(coverage) == max(1, accepted[0])
    for num_groups in (1, 9, 98, 99, 372):
        largest = max_coverage(num_groups)
        assert min_groups(largest) <= num_groups < min_groups(largest + 0.0001)


def calibration_of(num_groups: int, score: float = 0.5, missing: tuple[str, ...] = ()) -> CoverageCalibration:
    return CoverageCalibration(np.full(num_groups, score, np.float32), np.arange(num_groups), "item", 0, missing)


def test_too_few_queries_are_refused_with_the_number_needed_and_the_largest_coverage() -> None:
    assert calibration_of(99).threshold(0.99) == 0.5
    with pytest.raises(ValueError, match=r"search\.coverage=0\.99: 98 .* 99 .*0\.9898.*split\.calibration"):
        calibration_of(98).threshold(0.99)
    with pytest.raises(ValueError, match=r"search\.coverage=0\.9: 0 "):
        calibration_of(0).threshold(0.9)
    with pytest.raises(ValueError, match=r"search\.coverage=0\.9: 8 "):
        SearchPolicy(coverage=0.9, calibration=calibration_of(8))


def test_a_category_without_calibration_query_is_refused() -> None:
    with pytest.raises(ValueError, match=r"search\.coverage=0\.9: .*'hat', 'coat'"):
        calibration_of(50, missing=("hat", "coat")).threshold(0.9)


@pytest.mark.parametrize("score", [0.0, NEVER])
def test_a_coverage_that_needs_all_lists_is_refused(score: float) -> None:
    with pytest.raises(ValueError, match=r"search\.coverage=0\.9: .*all lists; 50 of 50 .*search\.nprobe=all"):
        calibration_of(50, score).threshold(0.9)


def test_a_saved_calibration_is_read_again_and_damage_is_found(tmp_path: Path) -> None:
    path = tmp_path / "calibration.parquet"
    saved = CoverageCalibration(
        np.random.default_rng(0).random(500, np.float32), np.arange(500) // 2, "item", 3, ("a",)
    )
    saved.save(path, "model")
    read, fingerprint = CoverageCalibration.open(path)
    assert fingerprint == "model"
    assert (read.relevance, read.excluded, read.missing) == ("item", 3, ("a",))
    assert (read.scores.tolist(), read.groups.tolist()) == (saved.scores.tolist(), saved.groups.tolist())
    content = path.read_bytes()
    num_damaged = 0
    for position in range(0, len(content), 97):
        path.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        try:
            read, fingerprint = CoverageCalibration.open(path)
        except ValueError as error:
            num_damaged += 1
            assert "calibration.parquet is damaged" in str(error)  # noqa: PT017  some bytes are not read
        else:
            assert (read.scores.tolist(), read.groups.tolist()) == (saved.scores.tolist(), saved.groups.tolist())
            assert (fingerprint, read.relevance, read.excluded, read.missing) == ("model", "item", 3, ("a",))
    assert num_damaged > len(content) / 97 / 2
