"""The score table."""

from fashion_lsh.report.phrases import describe_method
from tests.report.factories import MakeRun
from tests.report.pages import read_page


def test_scores_have_intervals_and_methods_are_described(make_run: MakeRun) -> None:
    run = make_run()
    page, metrics = read_page(run), run.metrics
    cells = page.texts_in("td")
    low, high = (metrics[f"query/category/map@100_{end}"] for end in ("low", "high"))
    assert f"{metrics['query/category/map@100']:.3f} [{low:.3f}, {high:.3f}]" in cells
    assert f"{metrics['query/accuracy']:.3f}" in cells
    for method in ("rerank200_1", "random", "hamming_all"):
        assert f"{method}: {describe_method(method, 'rerank200_1')}" in page.text
