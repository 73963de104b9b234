"""The score table."""

from tests.report.factories import MakeRun
from tests.report.pages import page_of


def test_scores_have_intervals_and_methods_are_described(make_run: MakeRun) -> None:
    run = make_run()
    page, metrics = page_of(run), run.metrics
    cells = page.of("td")
    low, high = (metrics[f"query/category/map@100_{end}"] for end in ("low", "high"))
    assert f"{metrics['query/category/map@100']:.3f} [{low:.3f}, {high:.3f}]" in cells
    assert f"{metrics['query/accuracy']:.3f}" in cells
    for row in (
        "rerank200_1: The run's own search",
        "random: The gallery in any order",
        "hamming_all: Asked for later",
    ):
        assert row in page.text
