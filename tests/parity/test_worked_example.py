"""The worked example of docs/metrics.md: each convention on one ranking with ties."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from fashion_lsh.metrics.ranking import ALL, RelevantRanks, score_ranks
from fashion_lsh.metrics.ties import Levels, score_levels

RELEVANT, TOTAL, NUM_RELEVANT = [1, 2, 0, 1], [2, 3, 2, 3], 5  # by Hamming distance 0 to 3; one relevant row not probed
CONVENTIONS = [  # metric, cutoff rank, name, users
    ("map", 4, "AP@4, divided by min(R, 4)", "LookBench; `map@k` here"),
    ("map_r", 4, "AP@4, divided by R", "TREC (`map_cut`), pytorch-metric-learning; `map_r@k`"),
    ("map_hits", 4, "AP@4, divided by the relevant rows found",
     "DeepHash-pytorch, cisip-FIRe, torchmetrics; `map_hits@k`"),
    ("map", ALL, "AP over all rows, divided by R", "scikit-learn; `map`"),
    ("ndcg", 4, "nDCG@4", "TREC, torchmetrics, scikit-learn; `ndcg@k`"),
    ("mrr", ALL, "reciprocal rank of the first relevant row", "TREC; `mrr`"),
    ("r_precision", ALL, "precision at rank R", "TREC, torchmetrics; `r_precision`"),
    ("recall", 1, "1 if the first row is relevant", "DeepFashion In-shop, SOP (Recall@1); `recall@k`"),
    ("recall", 4, "1 if a row among the first 4 is relevant", "DeepFashion In-shop, SOP (Recall@4); `recall@k`"),
    ("recall_ratio", 4, "relevant rows among the first 4, divided by R", "TREC, torchmetrics; `recall_ratio@k`"),
    ("precision", 4, "relevant rows among the first 4, divided by 4", "all; `precision@k`"),
]  # fmt: skip


def all_scores(cutoffs: tuple[int, ...]) -> dict[tuple[str, int], np.ndarray]:
    """Scores of all orders of tied rows, by metric and cutoff rank."""
    levels = [
        list(itertools.combinations(range(total), relevant)) for relevant, total in zip(RELEVANT, TOTAL, strict=True)
    ]
    orders = [
        [rank in ranks for ranks, total in zip(choice, TOTAL, strict=True) for rank in range(total)]
        for choice in itertools.product(*levels)
    ]
    return score_ranks(RelevantRanks.from_ranking(np.array(orders), np.full(len(orders), NUM_RELEVANT)), cutoffs)


def worked_example() -> str:
    """Markdown table of all conventions."""
    levels = Levels(np.array([RELEVANT]), np.array([TOTAL]), np.array([NUM_RELEVANT]))
    expected, by_order = score_levels(levels, (1, 4, ALL)), all_scores((1, 4, ALL))
    rows = [
        f"| {name} | {users} | {expected[metric, k][0]:.3f} | {by_order[metric, k].min():.3f} to "
        f"{by_order[metric, k].max():.3f} |"
        for metric, k, name, users in CONVENTIONS
    ]
    return "\n".join(
        ["| convention | who uses it | expectation | worst to best order of ties |", "|---|---|---|---|", *rows]
    )


def test_the_table_of_the_documentation_is_computed() -> None:
    assert worked_example() in (Path(__file__).parents[2] / "docs/metrics.md").read_text()


def test_expectations_are_means_over_all_orders() -> None:
    levels = Levels(np.array([RELEVANT]), np.array([TOTAL]), np.array([NUM_RELEVANT]))
    by_order = all_scores((1, 4, ALL))
    for column, values in score_levels(levels, (1, 4, ALL)).items():
        if column in by_order:
            assert values[0] == pytest.approx(by_order[column].mean(), abs=1e-12)
