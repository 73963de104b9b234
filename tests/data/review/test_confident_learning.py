"""Confident learning finds wrong labels, and agrees with a plain implementation of the paper's definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fashion_lsh.data.review.confident_learning import confident_labels, find_label_issues


def plain_labels(probabilities: np.ndarray, labels: np.ndarray) -> list[int]:
    """Confident labels by the definition, row by row."""
    size = probabilities.shape[1]
    thresholds = []
    for label in range(size):
        own = [float(row[label]) for row, own_label in zip(probabilities, labels, strict=True) if own_label == label]
        thresholds.append(sum(own) / len(own) if own else float("inf"))
    confident = []
    for row in probabilities:
        above = [label for label in range(size) if row[label] >= thresholds[label] - 1e-9]
        confident.append(max(above, key=lambda label: (row[label], -label)) if above else -1)
    return confident


@given(st.integers(1, 30), st.integers(2, 5), st.integers(0, 10**6))
def test_confident_labels_equal_the_plain_definition(count: int, size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(size, 0.5), count)
    labels = rng.integers(0, size, count)
    confident = confident_labels(probabilities, labels)
    assert confident.tolist() == plain_labels(probabilities, labels)
    issues = find_label_issues(probabilities, labels)
    is_issue = (confident >= 0) & (confident != labels) & (probabilities.argmax(axis=1) != labels)
    assert set(issues.rows) == set(np.flatnonzero(is_issue))
    assert (issues.suggested == confident[issues.rows]).all()
    assert (np.diff(issues.margins) >= 0).all()


def test_a_confident_row_of_another_label_is_an_issue() -> None:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.3, 0.7], [0.05, 0.95]])
    labels = np.array([0, 0, 1, 1, 0])  # row 4 is wrong; thresholds 0.583 and 0.75
    assert confident_labels(probabilities, labels).tolist() == [0, 0, 1, -1, 1]
    issues = find_label_issues(probabilities, labels)
    assert (issues.rows.tolist(), issues.suggested.tolist()) == ([4], [1])
    assert issues.margins == pytest.approx([-0.9])


def test_a_label_without_rows_is_never_suggested() -> None:
    probabilities = np.array([[0.1, 0.2, 0.7], [0.2, 0.1, 0.7]])
    assert 2 not in confident_labels(probabilities, np.array([0, 1]))


def test_equal_probabilities_reach_their_own_threshold() -> None:
    probabilities = np.tile([0.1, 0.9], (7, 1))
    assert confident_labels(probabilities, np.ones(7, np.int64)).tolist() == [1] * 7


@pytest.mark.parametrize(
    ("probabilities", "labels", "named"),
    [
        (np.zeros((2, 3)), np.zeros(3, np.int64), r"\(2, 3\)"),
        (np.full((1, 2), np.nan), np.zeros(1, np.int64), "NaN"),
        (np.zeros((1, 2)), np.array([2]), r"0\.\.1"),
    ],
)
def test_invalid_arguments_are_refused(probabilities: np.ndarray, labels: np.ndarray, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        find_label_issues(probabilities, labels)
