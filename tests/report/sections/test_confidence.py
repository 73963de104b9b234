"""The reliability diagram agrees with the query table."""

import re

import numpy as np

from tests.report.factories import MakeRun, read_queries
from tests.report.pages import read_page


def test_the_calibration_error_is_computed_from_the_query_table(make_run: MakeRun) -> None:
    run = make_run()
    page, table = read_page(run), read_queries(run).to_pydict()
    confidence, correct = np.array(table["confidence"]), np.equal(table["category"], table["predicted"])
    bins = np.minimum((confidence * 15).astype(int), 14)
    gaps = {b: abs(confidence[bins == b].mean() - correct[bins == b].mean()) for b in set(bins.tolist())}
    error = sum(gap * (bins == b).mean() for b, gap in gaps.items())
    assert re.search(rf"ECE.*\b{error:.3f}\b", page.text)
