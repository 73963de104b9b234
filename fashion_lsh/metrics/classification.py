"""Accuracy and F1 of predicted categories."""

import numpy as np
from torch import from_numpy
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_f1_score

from fashion_lsh.metrics.statistics import ends_of, macro_mean


def classification(
    probabilities: np.ndarray, predicted: np.ndarray, labels: np.ndarray, items: np.ndarray
) -> dict[str, float]:
    """`query/accuracy` with its interval, `…/top5_accuracy`, `…/macro_accuracy`, `…/macro_f1` of the category head.

    Of the queries whose category the head knows; nothing where there is none.

    Args:
        probabilities: (Q, C) float32, softmax; all 0 where nothing was detected.
        predicted: (Q,) int64, -1 where nothing was detected: such a query counts as wrong.
        labels: (Q,) int64, -1 where the head does not know the category.
        items: (Q,) str, "" of a query without one.
    """
    known = labels >= 0
    if not known.any():
        return {}
    probabilities, predicted, labels, items = (values[known] for values in (probabilities, predicted, labels, items))
    count = probabilities.shape[1]
    seen, right = predicted >= 0, (predicted == labels).astype(float)
    detected_probabilities, truth = from_numpy(probabilities[seen]), from_numpy(labels[seen])
    top5 = (
        multiclass_accuracy(detected_probabilities, truth, count, average="micro", top_k=min(5, count))
        if seen.any()
        else 0.0
    )
    named = np.where(seen, predicted, count)  # not seen: a category that nothing is of
    f1 = multiclass_f1_score(from_numpy(named), from_numpy(labels), count + 1, average="none").numpy()
    return ends_of("query/accuracy", right, items) | {
        "query/accuracy": float(right.mean()),
        "query/top5_accuracy": float(top5) * float(seen.mean()),
        "query/macro_accuracy": macro_mean(right, labels),
        "query/macro_f1": float(f1[np.union1d(labels, predicted[seen])].mean()),
    }
