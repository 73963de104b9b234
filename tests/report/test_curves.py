"""The numbers behind the figures, against plain counting."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from fashion_lsh.metrics.calibration import calibration_error
from fashion_lsh.report import curves


def row(step: int, epoch: int, **values: float) -> dict[str, float]:
    return {"step": step, "epoch": epoch, **{name.replace("__", "/"): value for name, value in values.items()}}


def test_a_stage_has_its_own_curves() -> None:
    rows = [
        row(9, 0, classifier__train__loss=3.0),
        row(11, 0, classifier__val__loss=2.5, classifier__val__accuracy=0.25),
        row(9, 0, hasher__train__loss=1.0),
    ]
    found = curves.learning_curves([rows], "classifier")
    assert {name: points.tolist() for name, points in found.items()} == {
        "train/loss": [[9, 0, 3.0]], "val/loss": [[11, 0, 2.5]], "val/accuracy": [[11, 0, 0.25]],
    }  # fmt: skip
    assert list(curves.learning_curves([rows], "hash_head")) == ["train/loss"]
    assert curves.learning_curves([rows], "detector") == curves.learning_curves([], "classifier") == {}


def test_of_a_fit_in_two_sittings_what_was_done_again_counts_once() -> None:
    first = [row(step, step // 20, classifier__train__loss=step) for step in (9, 19, 29, 39)]
    first.insert(2, row(19, 0, classifier__val__loss=0.5))
    second = [row(step, step // 20, classifier__train__loss=-step) for step in (29, 39, 49)]
    other = [row(5, 0, hasher__train__loss=7.0)]
    found = curves.learning_curves([first, second, other], "classifier")
    assert found["train/loss"].tolist() == [[9, 0, 9], [19, 0, 19], [29, 1, -29], [39, 1, -39], [49, 2, -49]]
    assert found["val/loss"].tolist() == [[19, 0, 0.5]]


def test_a_fit_that_was_begun_anew_has_the_new_curve_alone() -> None:
    sittings = [[row(step, 0, hasher__train__loss=loss) for step in (9, 19)] for loss in (1.0, 2.0)]
    sittings[0].append(row(19, 0, hasher__val__loss=3.0))
    found = curves.learning_curves(sittings, "hash_head")
    assert {name: points[:, 2].tolist() for name, points in found.items()} == {"train/loss": [2.0, 2.0]}


def test_confusion_counts_by_true_and_by_seen() -> None:
    true, seen = np.array(["b", "a", "b", "b"]), np.array(["a", "a", "b", "a"])
    counts = curves.confusion(true, seen, ["a", "b", "c"])
    assert counts.tolist() == [[1, 0, 0], [2, 1, 0], [0, 0, 0]]
    assert curves.shares(counts).tolist() == [[1, 0, 0], [2 / 3, 1 / 3, 0], [0, 0, 0]]


@pytest.mark.parametrize("seed", range(4))
def test_precision_and_recall_against_counting_pair_by_pair(seed: int) -> None:
    rng = np.random.default_rng(seed)
    apart, relevant = rng.integers(2, 7, (6, 9)), rng.random((6, 9)) < 0.3
    relevant[0], relevant[1, 0] = False, True  # a query with nothing to find
    relevant_at = np.array([[(relevant[q] & (apart[q] == d)).sum() for d in range(8)] for q in range(6)])
    total_at = np.array([[(apart[q] == d).sum() for d in range(8)] for q in range(6)])
    wanted = []
    asked = [q for q in range(6) if relevant[q].any()]
    for radius in range(8):
        within = [apart[q] <= radius for q in range(6)]
        found = [q for q in asked if within[q].any()]
        if found:
            recall = np.mean([(relevant[q] & within[q]).sum() / relevant[q].sum() for q in asked])
            wanted.append((recall, np.mean([relevant[q][within[q]].mean() for q in found])))
    recall, precision = curves.recall_precision(relevant_at, total_at)
    np.testing.assert_allclose(np.stack([recall, precision], axis=1), wanted)
    steps = [after[0] - before[0] for before, after in zip([(0, 0), *wanted], wanted, strict=False)]
    assert curves.area(recall, precision) == pytest.approx(sum(s * p for s, (_, p) in zip(steps, wanted, strict=True)))


def test_nothing_to_find_gives_no_curve() -> None:
    recall, precision = curves.recall_precision(np.zeros((2, 3), int), np.ones((2, 3), int))
    assert (len(recall), len(precision)) == (0, 0)
    assert curves.area(recall, precision) == 0
    assert curves.areas(np.zeros((2, 3), int), np.ones((2, 3), int), np.array(["a", "b"])) == {}


def test_areas_are_of_each_category_best_first() -> None:
    relevant_at, total_at = np.array([[0, 1], [1, 0], [0, 0], [1, 1]]), np.array([[1, 1], [1, 1], [1, 1], [1, 2]])
    found = curves.areas(relevant_at, total_at, np.array(["worse", "better", "none", "worse"]))
    assert list(found) == ["better", "worse"]
    assert found["better"] == 1.0
    both = curves.recall_precision(relevant_at[[0, 3]], total_at[[0, 3]])
    assert found["worse"] == curves.area(*both) < 1


def test_mean_distance() -> None:
    assert curves.mean_distance(np.array([1, 0, 3])) == 1.5
    assert math.isnan(curves.mean_distance(np.zeros(3, int)))


def test_reliability_against_counting_and_the_error_as_while_fitting() -> None:
    rng = np.random.default_rng(3)
    logits, labels = torch.from_numpy(rng.normal(size=(300, 4)) * 2), torch.from_numpy(rng.integers(0, 4, 300))
    probabilities = logits.softmax(dim=1).numpy()
    sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels.numpy()
    found = curves.reliability(sure, right)
    for number in range(15):
        inside = (sure >= number / 15) & (sure < (number + 1) / 15)
        assert found.counts[number] == inside.sum()
        if inside.any():
            assert found.confidence[number] == pytest.approx(sure[inside].mean())
            assert found.accuracy[number] == pytest.approx(right[inside].mean())
        else:
            assert np.isnan([found.confidence[number], found.accuracy[number]]).all()
    assert found.error == pytest.approx(calibration_error(logits, labels), abs=1e-6)


def test_a_mass_of_one_is_in_the_last_bin() -> None:
    found = curves.reliability(np.array([1.0, 0.0]), np.array([True, False]))
    assert found.counts.tolist() == [1, *[0] * 13, 1]
    assert found.error == 0


def judged(names: str, category: list[float], item: list[float] | None = None, each: int = 2) -> dict[str, list[int]]:
    second: Any = None if item is None else np.array(item)
    found = curves.best_typical_worst(np.array(list(names)), np.array(category), second, each)
    return {name: numbers.tolist() for name, numbers in found.items()}


def test_best_and_worst_are_by_category_then_by_item_and_typical_is_the_median() -> None:
    category = [0.5, 1.0, 0.1, 1.0, 0.6, 0.1, 0.55, math.nan, 1.0]
    item = [0.5, 0.2, 0.3, 0.9, 0.5, 0.1, 0.5, 1.0, 0.8]
    found = judged("abababcab", category, item)
    assert found == {"best": [3, 8], "typical": [4, 6], "worst": [5, 2]}
    assert list(found) == ["best", "typical", "worst"]


def test_among_equals_the_categories_take_turns() -> None:
    found = judged("aaaabbbccaabbc", [1.0] * 7 + [0.0] * 7, each=4)
    names = [["aaaabbbccaabbc"[n] for n in found[name]] for name in ("best", "worst")]
    assert names == [["a", "b", "a", "b"], ["a", "b", "c", "a"]]
    assert found["best"] == [0, 4, 1, 5]


def test_few_queries_are_shared_among_the_sheets_and_none_is_shown_twice() -> None:
    for count in range(1, 12):
        found = judged("a" * count, np.linspace(0, 1, count).tolist(), each=3)
        shown = [number for numbers in found.values() for number in numbers]
        assert len(shown) == len(set(shown)) == min(count, 9)
    assert judged("ab", [math.nan, math.nan]) == {"best": [], "typical": [], "worst": []}
