"""Official scores of a published protocol, beside published scores."""

import yaml

from fashion_lsh.evaluation.published import PROTOCOLS, published_scores
from fashion_lsh.metrics.results import SEARCH, Column, Result
from fashion_lsh.report.sections.protocol import PARTIAL_NOTE
from fashion_lsh.report.tables import describe_run, protocol_rows
from fashion_lsh.runs.result_file import RESULTS_FILE, write_results_file
from fashion_lsh.runs.run import Run
from tests.report.factories import MakeRun, change_results
from tests.report.pages import read_page

EVALUATION = {"k": [1, 10, 20, 50, 100, "all"], "protocol": "consumer2shop", "partial": False}


def set_evaluation(run: Run, **changes: object) -> Run:
    """Return the run with a protocol and with its results at the cutoff rank 20."""
    path = run.path / "config.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"evaluation": EVALUATION | changes}))
    search = run.result_file.results.search
    added = [Result("recall", 0.6875, k=20, method=search[0], scope=search[1], relevance="item", n=12)]
    change_results(run, lambda rows: [*rows, *added])
    fields = {name: value for name, value in (EVALUATION | changes).items() if name != "k"}
    write_results_file(run.path / RESULTS_FILE, run.result_file._replace(**fields))
    return Run(run.path)


def test_own_and_published_scores_are_shown_side_by_side(make_run: MakeRun) -> None:
    run = set_evaluation(make_run())
    page = read_page(run)
    cells = page.texts_in("td")
    assert {"0.688", "FashionNet", "0.188"} <= set(cells)
    assert any(cell.startswith("not run here, ") and "CVPR 2016" in cell for cell in cells)
    assert "Official scores of protocol=consumer2shop, means over 12 queries" in page.text
    assert PARTIAL_NOTE not in page.text


def test_a_run_without_protocol_has_no_such_section(make_run: MakeRun) -> None:
    page = read_page(make_run())
    assert "not run here" not in page.text
    assert "Published protocol" not in page.text


def test_a_partial_copy_of_the_data_is_stated(make_run: MakeRun) -> None:
    assert PARTIAL_NOTE in read_page(set_evaluation(make_run(), partial=True)).text


def test_rows_are_searches_and_published_methods(make_run: MakeRun) -> None:
    results = set_evaluation(make_run()).result_file.results
    columns, rows = protocol_rows(results, PROTOCOLS["consumer2shop"])
    assert columns == ["method", *(f"item recall@{k}" for k in (1, 10, 20, 50)), "origin"]
    methods = [(row[0], row[-1].partition(",")[0]) for row in rows]
    published = dict.fromkeys(score.method for score in published_scores("consumer2shop"))
    own = ["rerank 1000", "code", "hamming"]  # not the baseline `random`
    assert methods == [*((name, "this run") for name in own), *((name, "not run here") for name in published)]
    by_method = {row[0]: row for row in rows}
    assert by_method["rerank 1000"][3] == "0.688"
    assert by_method["code"][3] == by_method["rerank 1000"][4] == "–"  # missing, not 0
    assert by_method["GRNet"][1:5] == ["0.260", "–", "0.640", "0.750"]


def test_scores_under_another_condition_are_not_mixed_up(make_run: MakeRun) -> None:
    results = set_evaluation(make_run()).result_file.results
    detected = PROTOCOLS["deepfashion2_detected"]
    assert results.find(Column(SEARCH, "recall", 20, "item")) is not None
    _, rows = protocol_rows(results, detected)
    assert rows[0][1:-1] == ["–"] * len(detected.scores)
    assert [row[0] for row in rows[1:]] == ["Match R-CNN (class)", "Match R-CNN (pose and class)"]


def test_the_terminal_shows_the_protocol(make_run: MakeRun) -> None:
    run = set_evaluation(make_run())
    text = describe_run(run.result_file.results, run.config | {"backbone": {"name": "resnet18", "weights": None}})
    assert "not run here" in text
    assert "0.688" in text
