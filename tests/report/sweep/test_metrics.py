"""Metrics of sweep tables, by title and by flat name."""

from pathlib import Path

import pytest

from fashion_lsh.metrics.results import CLASSIFIER, SEARCH, WHOLE_GALLERY, Column, Result
from fashion_lsh.report.sweep.jobs import read_jobs
from fashion_lsh.report.sweep.metrics import METRICS, OPTIONAL_METRICS, find_column
from tests.report.sweep.factories import write_job

FURTHER = [
    Result("map", 0.3, k=100, relevance="category", method="lsh", scope=WHOLE_GALLERY),
    Result("map", 0.4, k=100, relevance="category", method="rerank 1000", scope="2 lists"),
    Result("entropy", 0.5, method="code", split="gallery"),
    Result("accuracy", 0.6, method=CLASSIFIER, condition="corruption=blur"),
]


def test_every_title_names_another_column() -> None:
    assert len(set(METRICS.values())) == len(METRICS)
    assert set(OPTIONAL_METRICS) < METRICS.keys()


@pytest.mark.parametrize(("name", "column"), [
    ("top-1", Column(CLASSIFIER, "accuracy")),
    ("search/category/map@100", Column(SEARCH, "map", 100, "category")),
    ("lsh/category/map@100", Column("lsh", "map", 100, "category", scope=WHOLE_GALLERY)),
    ("rerank 1000/2 lists/category/map@100", Column("rerank 1000", "map", 100, "category", scope="2 lists")),
    ("code/gallery/entropy", Column("code", "entropy", split="gallery", scope="")),
    ("corruption=blur/classifier/accuracy", Column(CLASSIFIER, "accuracy", condition="corruption=blur", scope="")),
])  # fmt: skip
def test_a_metric_is_found_by_its_title_or_flat_name(folder: Path, name: str, column: Column) -> None:
    write_job(folder, "cccc0000", "resnet18", 0.5, *FURTHER)
    jobs, _ = read_jobs(folder)
    assert find_column(name, jobs) == column
    assert jobs["cccc0000"].results.find(column) is not None


def test_the_search_of_each_job_is_found_by_one_flat_name(folder: Path) -> None:
    jobs, _ = read_jobs(folder)
    column = find_column("search/category/map@100", jobs)
    jobs["bbbb0000"].results.search = ("rerank 1000", "2 lists")  # another policy
    rows = [job.results.find(column) for job in jobs.values()]
    assert [row and row.value for row in rows] == [0.25, None]


@pytest.mark.parametrize("name", ["beauty", "", "category/map@100", "rerank 1000/category/map@100"])
def test_an_unknown_metric_is_rejected_with_titles_and_flat_names(folder: Path, name: str) -> None:
    with pytest.raises(ValueError, match=rf"'{name}'.*top-1, .*classifier/accuracy, search/category/map@100"):
        find_column(name, read_jobs(folder)[0])
