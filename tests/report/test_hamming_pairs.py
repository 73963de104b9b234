"""Counts of pairs by Hamming distance."""

import re

import pytest

from fashion_lsh.report import hamming_pairs
from tests.report.factories import MakeRun
from tests.report.pages import read_page


def test_pairs_are_sampled_above_the_limit_with_a_note(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run()
    sampled = re.compile(r"\b5 of (?:the )?12 queries")
    assert not sampled.search(read_page(run).text)
    monkeypatch.setattr(hamming_pairs, "MAX_PAIRS", 5 * 15)
    assert len(sampled.findall(read_page(run).text)) == 2
