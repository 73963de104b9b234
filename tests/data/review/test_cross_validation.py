"""Cross-validation: folds keep groups together, and made-up label noise is found on out-of-sample probabilities."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fashion_lsh.data.review import cross_validation
from fashion_lsh.data.review.confident_learning import find_label_issues
from fashion_lsh.data.review.cross_validation import assign_folds, out_of_sample_probabilities
from tests.data.review.factories import noisy_embeddings


@given(st.integers(1, 60), st.integers(2, 6), st.integers(0, 10**6))
def test_folds_keep_groups_together_and_are_balanced(count: int, num_folds: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups, labels = rng.integers(0, max(1, count // 2), count), rng.integers(0, 3, count)
    folds = assign_folds(labels, groups, num_folds, seed)
    assert ((folds >= 0) & (folds < num_folds)).all()
    assert all(len(set(folds[groups == group])) == 1 for group in set(groups.tolist()))
    group_counts = [len(set(groups[folds == fold].tolist())) for fold in range(num_folds)]
    assert max(group_counts) - min(group_counts) <= 1


def test_each_label_is_spread_over_the_folds() -> None:
    labels = np.repeat([0, 1, 2], [5, 7, 2])
    folds = assign_folds(labels, np.arange(len(labels)), 5)
    assert [len(set(folds[labels == label])) for label in range(3)] == [5, 5, 2]
    with pytest.raises(ValueError, match="num_folds=1"):
        assign_folds(labels, labels, 1)


@pytest.mark.parametrize("seed", range(3))
def test_made_up_label_noise_is_found(seed: int) -> None:
    embeddings, labels, is_wrong = noisy_embeddings(seed=seed)
    folds = assign_folds(labels, np.arange(len(labels)), 5)
    probabilities = out_of_sample_probabilities(embeddings, labels, folds, 5)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(len(labels)), abs=1e-5)
    issues = find_label_issues(probabilities, labels)
    first = issues.rows[: is_wrong.sum()]
    assert is_wrong[first].mean() > 0.7  # chance: 0.1


def test_held_out_rows_do_not_affect_their_own_prediction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross_validation, "WEIGHT_DECAYS", (0.1,))  # which decay is best depends on all labels
    embeddings, labels, _ = noisy_embeddings(count=12)
    folds = assign_folds(labels, np.arange(len(labels)), 4)
    before = out_of_sample_probabilities(embeddings, labels, folds, 5)
    changed = np.where(folds == 0, (labels + 1) % 5, labels)
    after = out_of_sample_probabilities(embeddings, changed, folds, 5)
    assert after[folds == 0] == pytest.approx(before[folds == 0], abs=1e-4)
    assert np.abs(after[folds != 0] - before[folds != 0]).max() > 0.01
