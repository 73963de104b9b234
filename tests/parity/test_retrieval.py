"""Ranking metrics against the evaluators of other projects, on the same rankings."""

import numpy as np
import pytest
import pytrec_eval
import torch
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from sklearn.metrics import average_precision_score, ndcg_score
from torchmetrics.functional import retrieval as torchmetrics_retrieval

from fashion_lsh.metrics.ranking import ALL, CUTOFFS, RelevantRanks, Scores, score_ranks
from fashion_lsh.metrics.retrieval import Relevance, score_embeddings

QUERIES, ROWS = 40, 300
TREC_NAMES = {  # pytrec_eval measure -> metric and cutoff rank
    "map": ("map_r", ROWS), "recip_rank": ("mrr", ALL), "Rprec": ("r_precision", ALL), "ndcg": ("ndcg", ALL),
    **{f"P_{k}": ("precision", k) for k in (10, 100)}, **{f"recall_{k}": ("recall_ratio", k) for k in (10, 100)},
    **{f"success_{k}": ("recall", k) for k in (1, 10)}, **{f"map_cut_{k}": ("map_r", k) for k in (10, 100)},
    **{f"ndcg_cut_{k}": ("ndcg", k) for k in (10, 100)},
}  # fmt: skip


@pytest.fixture(scope="module")
def is_relevant() -> np.ndarray:
    """Relevance by rank, (Q, N) bool, with one relevant row at least."""
    rng = np.random.default_rng(0)
    relevance = rng.random((QUERIES, ROWS)) < rng.random((QUERIES, 1)) ** 3
    relevance[:, rng.integers(ROWS)] = True
    return relevance


@pytest.fixture(scope="module")
def scores(is_relevant: np.ndarray) -> Scores:
    return score_ranks(RelevantRanks.from_ranking(is_relevant, is_relevant.sum(axis=1)), (*CUTOFFS, ROWS))


def test_pytrec_eval(is_relevant: np.ndarray, scores: Scores) -> None:
    relevant = {f"q{query}": {f"d{row}": int(value) for row, value in enumerate(row_values)}
                for query, row_values in enumerate(is_relevant)}  # fmt: skip
    ranking = {name: {f"d{row}": float(ROWS - row) for row in range(ROWS)} for name in relevant}
    evaluated = pytrec_eval.RelevanceEvaluator(relevant, pytrec_eval.supported_measures).evaluate(ranking)
    for name, column in TREC_NAMES.items():
        expected = [evaluated[f"q{query}"][name] for query in range(QUERIES)]
        np.testing.assert_allclose(scores[column], expected, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("k", [1, 10, 100])
def test_torchmetrics(is_relevant: np.ndarray, scores: Scores, k: int) -> None:
    similarities = torch.arange(ROWS, 0, -1, dtype=torch.float64)  # positive: others are counted as not relevant
    functions = {
        "map_hits": torchmetrics_retrieval.retrieval_average_precision,
        "ndcg": torchmetrics_retrieval.retrieval_normalized_dcg,
        "precision": torchmetrics_retrieval.retrieval_precision,
        "recall_ratio": torchmetrics_retrieval.retrieval_recall,
        "recall": torchmetrics_retrieval.retrieval_hit_rate,
    }
    for name, function in functions.items():
        expected = [float(function(similarities, torch.from_numpy(row), top_k=k)) for row in is_relevant]
        np.testing.assert_allclose(scores[name, k], expected, atol=1e-6, err_msg=name)  # torchmetrics uses float32


def test_torchmetrics_without_cutoff_rank(is_relevant: np.ndarray, scores: Scores) -> None:
    similarities = torch.arange(ROWS, 0, -1, dtype=torch.float64)
    for column, function in {
        ("mrr", ALL): torchmetrics_retrieval.retrieval_reciprocal_rank,
        ("r_precision", ALL): torchmetrics_retrieval.retrieval_r_precision,
        ("map", ALL): torchmetrics_retrieval.retrieval_average_precision,
    }.items():
        expected = [float(function(similarities, torch.from_numpy(row))) for row in is_relevant]
        np.testing.assert_allclose(scores[column], expected, atol=1e-6, err_msg=str(column))


def test_torchmetrics_gives_0_for_negative_distances_as_scores() -> None:
    distances = torch.tensor([1.0, 2.0, 3.0])
    is_relevant = torch.tensor([True, False, True])
    assert float(torchmetrics_retrieval.retrieval_average_precision(-distances, is_relevant)) == 0
    scores = score_ranks(RelevantRanks.from_ranking(is_relevant.numpy()[None], np.array([2])))
    assert scores["map", ALL] == pytest.approx(5 / 6)


def test_scikit_learn(is_relevant: np.ndarray, scores: Scores) -> None:
    similarities = np.arange(ROWS, 0, -1)
    expected = [average_precision_score(row, similarities) for row in is_relevant]
    np.testing.assert_allclose(scores["map", ALL], expected, atol=1e-9)
    for k in (10, 100):
        expected = [ndcg_score([row], [similarities], k=k) for row in is_relevant]
        np.testing.assert_allclose(scores["ndcg", k], expected, atol=1e-9)


@pytest.mark.parametrize("macro", [False, True])
def test_pytorch_metric_learning(macro: bool) -> None:
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(7, 16))
    labels, query_labels = rng.integers(7, size=ROWS), rng.integers(7, size=QUERIES)
    gallery, queries = (
        (centres[part] + 2 * rng.normal(size=(len(part), 16))).astype(np.float32) for part in (labels, query_labels)
    )
    names = {"mean_average_precision": ("map", ALL), "mean_reciprocal_rank": ("mrr", ALL),
             "r_precision": ("r_precision", ALL), "precision_at_1": ("precision", 1)}  # fmt: skip
    calculator = AccuracyCalculator(include=tuple(names), avg_of_avgs=macro, k=ROWS, device=torch.device("cpu"))
    tensors = (torch.from_numpy(array) for array in (queries, query_labels, gallery, labels))
    expected = calculator.get_accuracy(*tensors)
    scores = score_embeddings(queries, gallery, Relevance(query_labels, labels), None)
    for name, column in names.items():
        means = [scores[column][query_labels == label].mean() for label in np.unique(query_labels)]
        ours = np.mean(means) if macro else scores[column].mean()
        assert ours == pytest.approx(expected[name], abs=1e-6), name  # mean_reciprocal_rank is a float32 value
