"""Precision and recall within each Hamming radius."""

import re

import numpy as np

from fashion_lsh.metrics.results import WHOLE_GALLERY, Result
from fashion_lsh.report.hamming_pairs import NO_CODES, PairCounts
from fashion_lsh.report.run_data import read_run_data
from fashion_lsh.report.sections.retrieval import precision_at_ranks, retrieval
from tests.report.factories import MakeRun, change_results


def pairs(relevant: list[list[int]]) -> PairCounts:
    """One query of each category `a` and `b`, two gallery rows at each distance."""
    counts = np.array(relevant)
    return PairCounts({"category": counts}, {"category": np.full_like(counts, 2)}, np.array(["a", "b"], object), 2)


def test_the_caption_states_the_best_and_worst_category() -> None:
    [figure] = retrieval(pairs([[2, 0, 0], [0, 0, 1]]))
    assert figure.name == "precision-recall.svg"
    assert re.search(r"\ba \(1\.000\).*\bb \(0\.167\)", figure.caption)


def test_without_codes_or_relevant_rows_there_is_a_note() -> None:
    assert retrieval(None) == [NO_CODES]
    [note] = retrieval(pairs([[0, 0, 0], [0, 0, 0]]))
    assert note.note


def test_precision_is_drawn_for_methods_with_a_curve(make_run: MakeRun) -> None:
    run = make_run()
    assert precision_at_ranks(read_run_data(run)) == []
    points = [
        Result("precision", 1 / k, k=k, method="lsh", scope=WHOLE_GALLERY, relevance="category")
        for k in (1, 2, 5, 10, 20)
    ]
    change_results(run, lambda rows: [*rows, *points])
    [figure] = precision_at_ranks(read_run_data(run))
    assert b"lsh" in figure.content
    assert b"random" not in figure.content
