"""Out-of-sample probabilities: logistic regression on embeddings, by cross-validation over groups of rows."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

WEIGHT_DECAYS = (1.0, 0.1, 0.01, 0.001)  # descending, so that each fit starts at the stronger regularised one
MAX_ITERATIONS = 100  # of L-BFGS for each weight decay


def assign_folds(labels: np.ndarray, groups: np.ndarray, num_folds: int, seed: int = 0) -> np.ndarray:
    """Assign rows to folds; rows of a group share a fold, and each label is spread over the folds.

    The groups are shuffled, sorted by the label of their first row, and assigned to the folds in turn.

    Args:
        labels: (N,) int64.
        groups: (N,) int64 group of each row.
        num_folds: number of folds, at least 2.
        seed: random seed.

    Returns:
        (N,) int64 folds, 0..num_folds - 1.

    Raises:
        ValueError: `num_folds` is below 2.
    """
    if num_folds < 2:
        raise ValueError(f"{num_folds=}: cross-validation needs at least 2 folds")
    _, first_rows, group_of_row = np.unique(groups, return_index=True, return_inverse=True)
    shuffled = np.random.default_rng(seed).permutation(len(first_rows))
    order = shuffled[np.argsort(labels[first_rows][shuffled], kind="stable")]
    fold_of_group = np.empty(len(order), dtype=np.int64)
    fold_of_group[order] = np.arange(len(order)) % num_folds
    return fold_of_group[group_of_row]


def out_of_sample_probabilities(
    embeddings: np.ndarray, labels: np.ndarray, folds: np.ndarray, num_labels: int
) -> np.ndarray:
    """Predict each row by logistic regressions that were fitted to the other folds.

    Of WEIGHT_DECAYS, the one with the lowest log loss over all held-out rows is used.

    Args:
        embeddings: (N, D) float.
        labels: (N,) int64, 0..num_labels - 1.
        folds: (N,) int64, see `assign_folds`.
        num_labels: C.

    Returns:
        (N, C) float32 probabilities.
    """
    features, targets = torch.from_numpy(embeddings.astype(np.float32)), torch.from_numpy(labels)
    logits = torch.zeros(len(WEIGHT_DECAYS), len(labels), num_labels)
    for fold in np.unique(folds):
        held_out = torch.from_numpy(folds == fold)
        logits[:, held_out] = _fit_and_predict(features[~held_out], targets[~held_out], features[held_out], num_labels)
    losses = [float(functional.cross_entropy(candidate, targets)) for candidate in logits]
    return logits[int(np.argmin(losses))].softmax(dim=1).numpy()


def _fit_and_predict(features: Tensor, targets: Tensor, held_out: Tensor, num_labels: int) -> Tensor:
    """Fit with each weight decay.  (n, D), (n,), held-out (m, D) -> logits (len(WEIGHT_DECAYS), m, C)."""
    centre = features.mean(dim=0)
    scale = (features - centre).std().clamp_min(1e-12)  # one number, which keeps the geometry of the embeddings
    features, held_out = (features - centre) / scale, (held_out - centre) / scale
    weight = torch.zeros(features.shape[1], num_labels, requires_grad=True)
    bias = torch.zeros(num_labels, requires_grad=True)
    predictions = []
    for weight_decay in WEIGHT_DECAYS:
        _minimise(features, targets, weight, bias, weight_decay)
        predictions.append((held_out @ weight + bias).detach())
    return torch.stack(predictions)


def _minimise(features: Tensor, targets: Tensor, weight: Tensor, bias: Tensor, weight_decay: float) -> None:
    """Minimise the mean log loss plus weight_decay / 2 times the squared weights, in place."""
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=MAX_ITERATIONS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = functional.cross_entropy(features @ weight + bias, targets) + weight_decay / 2 * weight.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
