"""The score table."""

from fashion_lsh.metrics.results import CLASSIFIER, Result
from fashion_lsh.report.phrases import METHODS, describe_search
from tests.report.factories import MakeRun, change_results
from tests.report.pages import read_page


def test_scores_have_intervals_and_methods_are_described(make_run: MakeRun) -> None:
    run = make_run()
    page, results = read_page(run), run.result_file.results
    cells = page.texts_in("td")
    [score] = results.select(method="rerank 1000", metric="map", k=100, relevance="category")
    assert f"{score.value:.3f} [{score.low:.3f}, {score.high:.3f}]" in cells
    [accuracy] = results.select(method=CLASSIFIER, metric="accuracy", k=0)
    assert f"{accuracy.value:.3f} [{accuracy.low:.3f}, {accuracy.high:.3f}]" in cells
    assert f"rerank 1000: {describe_search(run.policy)}" in page.text
    for method in ("random", "code"):
        assert f"{method}: {METHODS[method]}" in page.text
    assert "lsh: " not in page.text  # not a method of this run


def test_a_run_without_codes_has_no_baseline_of_codes(make_run: MakeRun) -> None:
    page = read_page(make_run(bits=None))
    assert f"code: {METHODS['code']}" not in page.text
    assert f"random: {METHODS['random']}" in page.text


def test_the_effect_of_ties_is_stated_if_there_are_ties(make_run: MakeRun) -> None:
    run = make_run()
    assert "ties" not in read_page(run).texts_in("td")
    method, scope = run.result_file.results.search
    bounds = [
        Result(name, value, k=100, method=method, scope=scope, relevance="category")
        for name, value in (("map_best", 0.9875), ("map_worst", 0.25))
    ]
    change_results(run, lambda rows: [*rows, *bounds])
    cells = read_page(run).texts_in("td")
    assert cells[cells.index("ties") + 1] == "0.250 to 0.988"
