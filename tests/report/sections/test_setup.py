"""The table of what was asked."""

from tests.report.factories import MakeRun
from tests.report.pages import page_of


def test_setup_names_model_search_and_data(make_run: MakeRun) -> None:
    cells = page_of(make_run()).of("td")
    asked = dict(zip(cells[0:20:2], cells[1:20:2], strict=True))
    assert asked["backbone"] == "resnet18, from scratch"
    assert asked["hash layer"] == "12 bits (softmax)"
    assert asked["search"].startswith("the best 200 by Hamming distance")
    assert asked["garments"] == "6 train, 3 val, 12 query, 15 gallery"
    assert asked["categories"] == "3: bag, coat, hat"
    assert asked["left out"] == "2 garments; skipped.csv says why"
    assert asked["items"] == "12 among the queries"
