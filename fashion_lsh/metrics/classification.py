"""Accuracy and F1 of predicted categories."""

import numpy as np
from torch import from_numpy
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_f1_score

from fashion_lsh.metrics.results import CLASSIFIER, Result
from fashion_lsh.metrics.statistics import item_interval, macro_mean


def classification_results(
    probabilities: np.ndarray, predicted: np.ndarray, labels: np.ndarray, items: np.ndarray
) -> list[Result]:
    """Accuracy with its 95 % interval, top-5 accuracy, macro accuracy and macro F1 of the predicted categories.

    Queries of unknown category (label -1) are ignored. The result is empty if all labels are -1.

    Args:
        probabilities: (Q, C) float32, softmax; all 0 for a query without a detection.
        predicted: (Q,) int64, -1 for a query without a detection, which counts as wrong.
        labels: (Q,) int64, -1 if the category is not in the training data.
        items: (Q,) str, "" for a query without an item.

    Returns:
        Results of the method `classifier`: `accuracy`, `accuracy` at 5, `macro_accuracy` and `macro_f1`.
    """
    is_labelled = labels >= 0
    if not is_labelled.any():
        return []
    probabilities, predicted, labels, items = (
        values[is_labelled] for values in (probabilities, predicted, labels, items)
    )
    num_classes = probabilities.shape[1]
    is_detected, query_accuracy = predicted >= 0, (predicted == labels).astype(float)
    detected_probabilities, target = from_numpy(probabilities[is_detected]), from_numpy(labels[is_detected])
    top5 = (
        multiclass_accuracy(detected_probabilities, target, num_classes, average="micro", top_k=min(5, num_classes))
        if is_detected.any()
        else 0.0
    )
    predictions = np.where(is_detected, predicted, num_classes)  # an extra class, never correct, if undetected
    f1 = multiclass_f1_score(from_numpy(predictions), from_numpy(labels), num_classes + 1, average="none").numpy()
    low, high = item_interval(query_accuracy, items)
    return [
        Result("accuracy", float(query_accuracy.mean()), low, high, method=CLASSIFIER, n=len(labels)),
        Result("accuracy", float(top5) * float(is_detected.mean()), k=5, method=CLASSIFIER, n=len(labels)),
        Result("macro_accuracy", macro_mean(query_accuracy, labels), method=CLASSIFIER, n=len(labels)),
        Result(
            "macro_f1", float(f1[np.union1d(labels, predicted[is_detected])].mean()), method=CLASSIFIER, n=len(labels)
        ),
    ]
