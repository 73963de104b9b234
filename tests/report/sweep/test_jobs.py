"""Reading job files."""

from pathlib import Path

import pytest

from fashion_lsh.report.sweep.page import write_sweep_page
from tests.report.sweep.factories import change_job


def test_damaged_query_scores_raise_with_the_path_of_the_job_file(methods: Path) -> None:
    change_job(methods, "bbbb0001", queries={"ids": "0", "items": "none"})
    with pytest.raises(ValueError, match=r"bbbb0001\.json"):
        write_sweep_page(methods)
