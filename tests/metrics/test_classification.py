"""Accuracy and F1 against values computed by counting."""

import numpy as np
import pytest

from fashion_lsh.metrics.classification import classification_results
from fashion_lsh.metrics.results import Result
from fashion_lsh.metrics.statistics import item_interval


def values_by_metric(results: list[Result]) -> dict[tuple[str, int], float]:
    assert {row.method for row in results} == {"classifier"}
    return {(row.metric, row.k): row.value for row in results}


@pytest.mark.parametrize("num_categories", [2, 3, 5, 6, 12])
def test_classification_results_equal_counts(num_categories: int) -> None:
    rng = np.random.default_rng(num_categories)
    probabilities = rng.random((40, num_categories)).astype(np.float32)
    labels = rng.integers(0, num_categories - 1, 40)  # the last category never occurs
    probabilities[np.arange(40), labels] += 0.3
    ranks = np.array([sorted(range(num_categories), key=lambda c: -row[c]).index(label)
                      for row, label in zip(probabilities, labels, strict=True)])  # fmt: skip
    f1 = []
    for category in range(num_categories):
        is_predicted, is_true = probabilities.argmax(axis=1) == category, labels == category
        if is_predicted.any() or is_true.any():
            f1.append(2 * (is_predicted & is_true).sum() / (is_predicted.sum() + is_true.sum()))
    items = np.array([f"item {query // 2}" for query in range(40)])
    results = classification_results(probabilities, probabilities.argmax(axis=1), labels, items)
    assert values_by_metric(results) == {
        ("accuracy", 0): pytest.approx((ranks == 0).mean()),
        ("accuracy", 5): pytest.approx((ranks < 5).mean()),
        ("macro_accuracy", 0): pytest.approx(np.mean([(ranks[labels == c] == 0).mean() for c in set(labels)])),
        ("macro_f1", 0): pytest.approx(np.mean(f1)),
    }
    [accuracy] = [row for row in results if row.has_interval]
    assert (accuracy.metric, accuracy.k) == ("accuracy", 0)
    assert (accuracy.low, accuracy.high) == item_interval((ranks == 0).astype(float), items)
    assert {row.n for row in results} == {40}
    assert all(type(row.value) is float for row in results)


def test_macro_accuracy_ignores_absent_categories() -> None:
    probabilities = np.eye(3, dtype=np.float32)[[0, 0, 1, 2, 0]]  # category 2 has no labels
    results = classification_results(
        probabilities, probabilities.argmax(axis=1), np.array([0, 0, 1, 1, 1]), np.array([""] * 5)
    )
    values = values_by_metric(results)
    assert values["macro_accuracy", 0] == pytest.approx((1 + 1 / 3) / 2)
    assert values["accuracy", 0] == pytest.approx(0.6)


def test_queries_of_categories_outside_the_training_data_are_ignored() -> None:
    probabilities = np.eye(3, dtype=np.float32)[[0, 1, 2, 2, 1]]
    probabilities[4] = 0  # no detection
    labels, items = np.array([0, -1, 1, -1, -1]), np.array(["a", "", "b", "", ""])
    predicted, is_labelled = np.array([0, 1, 2, 2, -1]), labels >= 0
    results = classification_results(probabilities, predicted, labels, items)
    labelled_results = classification_results(
        probabilities[is_labelled], predicted[is_labelled], labels[is_labelled], items[is_labelled]
    )
    assert repr(results) == repr(labelled_results)  # bounds that were not computed are NaN
    assert values_by_metric(results)["accuracy", 0] == 0.5
    assert {row.n for row in results} == {2}
    assert classification_results(probabilities, predicted, np.full(5, -1), items) == []


def test_an_undetected_query_counts_as_wrong() -> None:
    probabilities = np.float32([[1, 0, 0], [0, 0, 0]])
    results = classification_results(probabilities, np.array([0, -1]), np.array([0, 0]), np.array(["", ""]))
    values = values_by_metric(results)
    assert values["accuracy", 0] == values["accuracy", 5] == values["macro_accuracy", 0] == 0.5
    assert values["macro_f1", 0] == pytest.approx(2 / 3)
