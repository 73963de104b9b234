"""The reliability diagram, against the query table."""

import numpy as np
import pyarrow.parquet as pq

from tests.report.factories import MakeRun
from tests.report.pages import page_of


def test_the_calibration_error_is_of_the_query_table(make_run: MakeRun) -> None:
    run = make_run()
    page, table = page_of(run), pq.read_table(run.path / "queries.parquet").to_pydict()
    sure, right = np.array(table["confidence"]), np.equal(table["category"], table["predicted"])
    bins = np.minimum((sure * 15).astype(int), 14)
    error = sum(abs(sure[bins == b].mean() - right[bins == b].mean()) * (bins == b).mean() for b in set(bins.tolist()))
    assert f"(ECE) on the queries {error:.3f}" in page.text
