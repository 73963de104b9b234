"""The table of what was asked."""

from tests.report.factories import MakeRun
from tests.report.pages import page_of


def test_setup_names_model_search_and_data(make_run: MakeRun) -> None:
    cells = page_of(make_run()).of("td")
    config = dict(zip(cells[0:20:2], cells[1:20:2], strict=True))
    assert config["backbone"] == "resnet18, from scratch"
    assert config["hash layer"] == "12 bits (softmax)"
    assert config["search"].startswith("the best 200 by Hamming distance")
    assert config["garments"] == "6 train, 3 val, 12 query, 15 gallery"
    assert config["categories"] == "3: bag, coat, hat"
    assert config["left out"] == "2 garments; skipped.csv says why"
    assert config["items"] == "12 among the queries"
