"""Precision and recall within each Hamming radius."""

import re

import numpy as np

from fashion_lsh.report.hamming_pairs import NO_CODES, PairCounts
from fashion_lsh.report.sections.retrieval import retrieval


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
