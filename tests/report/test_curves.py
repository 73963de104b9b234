"""Data of the figures equal direct counts."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fashion_lsh.metrics.calibration import calibration_error
from fashion_lsh.report import curves


def row(step: int, epoch: int, **values: float) -> dict[str, float]:
    return {"step": step, "epoch": epoch, **{name.replace("__", "/"): value for name, value in values.items()}}


def test_each_stage_has_its_own_curves() -> None:
    rows = [
        row(9, 0, classifier__train__loss=3.0),
        row(11, 0, classifier__val__loss=2.5, classifier__val__accuracy=0.25),
        row(9, 0, hash_head__train__loss=1.0),
    ]
    result = curves.learning_curves([rows], "classifier")
    assert {name: points.tolist() for name, points in result.items()} == {
        "train/loss": [[9, 0, 3.0]], "val/loss": [[11, 0, 2.5]], "val/accuracy": [[11, 0, 0.25]],
    }  # fmt: skip
    assert list(curves.learning_curves([rows], "hash_head")) == ["train/loss"]
    assert curves.learning_curves([rows], "detector") == curves.learning_curves([], "classifier") == {}


def test_repeated_steps_of_a_resumed_training_count_once() -> None:
    first = [row(step, step // 20, classifier__train__loss=step) for step in (9, 19, 29, 39)]
    first.insert(2, row(19, 0, classifier__val__loss=0.5))
    second = [row(step, step // 20, classifier__train__loss=-step) for step in (29, 39, 49)]
    other = [row(5, 0, hash_head__train__loss=7.0)]
    result = curves.learning_curves([first, second, other], "classifier")
    assert result["train/loss"].tolist() == [[9, 0, 9], [19, 0, 19], [29, 1, -29], [39, 1, -39], [49, 2, -49]]
    assert result["val/loss"].tolist() == [[19, 0, 0.5]]


def test_a_restarted_training_has_only_the_new_curve() -> None:
    sessions = [[row(step, 0, hash_head__train__loss=loss) for step in (9, 19)] for loss in (1.0, 2.0)]
    sessions[0].append(row(19, 0, hash_head__val__loss=3.0))
    result = curves.learning_curves(sessions, "hash_head")
    assert {name: points[:, 2].tolist() for name, points in result.items()} == {"train/loss": [2.0, 2.0]}


def test_confusion_counts_by_true_and_predicted_category() -> None:
    true, predicted = np.array(["b", "a", "b", "b"]), np.array(["a", "a", "b", "a"])
    counts = curves.confusion(true, predicted, ["a", "b", "c"])
    assert counts.tolist() == [[1, 0, 0], [2, 1, 0], [0, 0, 0]]
    assert curves.row_ratios(counts).tolist() == [[1, 0, 0], [2 / 3, 1 / 3, 0], [0, 0, 0]]


@pytest.mark.parametrize("seed", range(4))
def test_precision_and_recall_equal_direct_counts_of_pairs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    distances, relevant = rng.integers(2, 7, (6, 9)), rng.random((6, 9)) < 0.3
    relevant[0], relevant[1, 0] = False, True  # a query without relevant rows
    relevant_at = np.array([[(relevant[q] & (distances[q] == d)).sum() for d in range(8)] for q in range(6)])
    total_at = np.array([[(distances[q] == d).sum() for d in range(8)] for q in range(6)])
    expected = []
    scored = [q for q in range(6) if relevant[q].any()]
    for radius in range(8):
        within_radius = [distances[q] <= radius for q in range(6)]
        with_hits = [q for q in scored if within_radius[q].any()]
        if with_hits:
            recall = np.mean([(relevant[q] & within_radius[q]).sum() / relevant[q].sum() for q in scored])
            expected.append((recall, np.mean([relevant[q][within_radius[q]].mean() for q in with_hits])))
    recall, precision = curves.recall_precision(relevant_at, total_at)
    np.testing.assert_allclose(np.stack([recall, precision], axis=1), expected)
    steps = [after[0] - before[0] for before, after in zip([(0, 0), *expected], expected, strict=False)]
    assert curves.pr_auc(recall, precision) == pytest.approx(
        sum(s * p for s, (_, p) in zip(steps, expected, strict=True))
    )


def test_without_relevant_rows_the_curve_is_empty() -> None:
    recall, precision = curves.recall_precision(np.zeros((2, 3), int), np.ones((2, 3), int))
    assert (len(recall), len(precision)) == (0, 0)
    assert curves.pr_auc(recall, precision) == 0
    assert curves.pr_auc_by_category(np.zeros((2, 3), int), np.ones((2, 3), int), np.array(["a", "b"])) == {}


def test_pr_auc_is_per_category_in_descending_order() -> None:
    relevant_at, total_at = np.array([[0, 1], [1, 0], [0, 0], [1, 1]]), np.array([[1, 1], [1, 1], [1, 1], [1, 2]])
    areas = curves.pr_auc_by_category(relevant_at, total_at, np.array(["worse", "better", "none", "worse"]))
    assert list(areas) == ["better", "worse"]
    assert areas["better"] == 1.0
    curve = curves.recall_precision(relevant_at[[0, 3]], total_at[[0, 3]])
    assert areas["worse"] == curves.pr_auc(*curve) < 1


def test_mean_distance_is_weighted_by_the_counts() -> None:
    assert curves.mean_distance(np.array([1, 0, 3])) == 1.5
    assert math.isnan(curves.mean_distance(np.zeros(3, int)))


def test_reliability_equals_direct_counts_and_calibration_error() -> None:
    rng = np.random.default_rng(3)
    logits, labels = torch.from_numpy(rng.normal(size=(300, 4)) * 2), torch.from_numpy(rng.integers(0, 4, 300))
    probabilities = logits.softmax(dim=1).numpy()
    confidences, is_correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels.numpy()
    reliability = curves.reliability(confidences, is_correct)
    for number in range(15):
        in_bin = (confidences >= number / 15) & (confidences < (number + 1) / 15)
        assert reliability.counts[number] == in_bin.sum()
        if in_bin.any():
            assert reliability.confidence[number] == pytest.approx(confidences[in_bin].mean())
            assert reliability.accuracy[number] == pytest.approx(is_correct[in_bin].mean())
        else:
            assert np.isnan([reliability.confidence[number], reliability.accuracy[number]]).all()
    assert reliability.error == pytest.approx(calibration_error(logits, labels), abs=1e-6)


def test_a_confidence_of_1_is_in_the_last_bin() -> None:
    reliability = curves.reliability(np.array([1.0, 0.0]), np.array([True, False]))
    assert reliability.counts.tolist() == [1, *[0] * 13, 1]
    assert reliability.error == 0


def select(
    names: str, category: list[float], item: list[float] | None = None, per_list: int = 2
) -> dict[str, list[int]]:
    item_ap: Any = None if item is None else np.array(item)
    chosen = curves.best_typical_worst(np.array(list(names)), np.array(category), item_ap, per_list)
    return {name: numbers.tolist() for name, numbers in chosen.items()}


def test_best_and_worst_are_by_category_ap_then_item_ap() -> None:
    category = [0.5, 1.0, 0.1, 1.0, 0.6, 0.1, 0.55, math.nan, 1.0]
    item = [0.5, 0.2, 0.3, 0.9, 0.5, 0.1, 0.5, 1.0, 0.8]
    chosen = select("abababcab", category, item)
    assert chosen == {"best": [3, 8], "typical": [4, 6], "worst": [5, 2]}
    assert list(chosen) == ["best", "typical", "worst"]


def test_among_equal_scores_categories_alternate() -> None:
    chosen = select("aaaabbbccaabbc", [1.0] * 7 + [0.0] * 7, per_list=4)
    names = [["aaaabbbccaabbc"[n] for n in chosen[name]] for name in ("best", "worst")]
    assert names == [["a", "b", "a", "b"], ["a", "b", "c", "a"]]
    assert chosen["best"] == [0, 4, 1, 5]


def test_each_query_is_in_at_most_one_list() -> None:
    for count in range(1, 12):
        chosen = select("a" * count, np.linspace(0, 1, count).tolist(), per_list=3)
        shown = [number for numbers in chosen.values() for number in numbers]
        assert len(shown) == len(set(shown)) == min(count, 9)
    assert select("ab", [math.nan, math.nan]) == {"best": [], "typical": [], "worst": []}


def test_the_most_confused_categories_are_those_in_most_errors() -> None:
    counts = np.array([[9, 0, 0, 1], [0, 9, 0, 0], [0, 0, 9, 2], [0, 0, 0, 9]])
    assert curves.most_confused(counts, 2).tolist() == [2, 3]
    assert curves.most_confused(counts, 3).tolist() == [0, 2, 3]


@given(st.integers(2, 6), st.data())
def test_grouped_counts_are_sums_over_the_other_categories(size: int, data: st.DataObject) -> None:
    counts = np.array(data.draw(st.lists(st.lists(st.integers(0, 5), min_size=size, max_size=size), min_size=size,
                                         max_size=size)))  # fmt: skip
    shown = np.array(sorted(data.draw(st.sets(st.integers(0, size - 1), min_size=1))))
    others = np.setdiff1d(np.arange(size), shown)
    grouped = curves.group_others(counts, shown)
    assert np.array_equal(grouped[:-1, :-1], counts[np.ix_(shown, shown)])
    assert np.array_equal(grouped[-1, :-1], counts[np.ix_(others, shown)].sum(axis=0))
    assert np.array_equal(grouped[:-1, -1], counts[np.ix_(shown, others)].sum(axis=1))
    assert grouped[-1, -1] == counts[np.ix_(others, others)].sum()


def test_confident_failures_are_ordered_by_confidence_and_missing_precision() -> None:
    confidence = np.array([0.9, 0.99, 0.5, 0.8, 0.0, 0.9])
    category_ap = np.array([0.1, 0.9, 0.0, 0.0, 0.0, np.nan])
    assert curves.confident_failures(confidence, category_ap).tolist() == [0, 3, 2]  # 0.81, 0.8, 0.5
    assert curves.confident_failures(confidence, category_ap, count=1).tolist() == [0]
    assert curves.confident_failures(confidence[:0], category_ap[:0]).tolist() == []
