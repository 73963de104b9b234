"""Accuracy and F1 against values computed by counting."""

import numpy as np
import pytest

from fashion_lsh.metrics.classification import classification_metrics
from fashion_lsh.metrics.statistics import confidence_interval


@pytest.mark.parametrize("num_categories", [2, 3, 5, 6, 12])
def test_classification_metrics_equal_counts(num_categories: int) -> None:
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
    metrics = classification_metrics(probabilities, probabilities.argmax(axis=1), labels, items)
    low, high = confidence_interval((ranks == 0).astype(float), items)
    assert metrics == {
        "query/accuracy_low": low,
        "query/accuracy_high": high,
        "query/accuracy": pytest.approx((ranks == 0).mean()),
        "query/top5_accuracy": pytest.approx((ranks < 5).mean()),
        "query/macro_accuracy": pytest.approx(np.mean([(ranks[labels == c] == 0).mean() for c in set(labels)])),
        "query/macro_f1": pytest.approx(np.mean(f1)),
    }


def test_macro_accuracy_ignores_absent_categories() -> None:
    probabilities = np.eye(3, dtype=np.float32)[[0, 0, 1, 2, 0]]  # category 2 has no labels
    metrics = classification_metrics(
        probabilities, probabilities.argmax(axis=1), np.array([0, 0, 1, 1, 1]), np.array([""] * 5)
    )
    assert metrics["query/macro_accuracy"] == pytest.approx((1 + 1 / 3) / 2)
    assert metrics["query/accuracy"] == pytest.approx(0.6)


def test_queries_of_categories_outside_the_training_data_are_ignored() -> None:
    probabilities = np.eye(3, dtype=np.float32)[[0, 1, 2, 2, 1]]
    probabilities[4] = 0  # no detection
    labels, items = np.array([0, -1, 1, -1, -1]), np.array(["a", "", "b", "", ""])
    predicted, is_labelled = np.array([0, 1, 2, 2, -1]), labels >= 0
    metrics = classification_metrics(probabilities, predicted, labels, items)
    assert metrics == classification_metrics(
        probabilities[is_labelled], predicted[is_labelled], labels[is_labelled], items[is_labelled]
    )
    assert metrics["query/accuracy"] == 0.5
    assert classification_metrics(probabilities, predicted, np.full(5, -1), items) == {}


def test_an_undetected_query_counts_as_wrong() -> None:
    probabilities = np.float32([[1, 0, 0], [0, 0, 0]])
    metrics = classification_metrics(probabilities, np.array([0, -1]), np.array([0, 0]), np.array(["", ""]))
    assert metrics["query/accuracy"] == metrics["query/top5_accuracy"] == metrics["query/macro_accuracy"] == 0.5
    assert metrics["query/macro_f1"] == pytest.approx(2 / 3)
