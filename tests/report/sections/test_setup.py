"""The table of the run's setup."""

from fashion_lsh.report.phrases import describe_search
from tests.report.factories import MakeRun
from tests.report.pages import read_page


def test_setup_describes_model_search_and_data(make_run: MakeRun) -> None:
    run = make_run()
    cells = read_page(run).texts_in("td")
    config = dict(zip(cells[0:20:2], cells[1:20:2], strict=True))
    assert config["backbone"] == "resnet18, from scratch"
    assert config["hash layer"] == "12 bits (softmax)"
    assert config["search"] == describe_search(run.policy)
    assert config["garments"] == "6 train, 3 val, 12 query, 15 gallery"
    assert config["categories"] == "3: bag, coat, hat"
    assert any("2 garments" in text and "skipped.csv" in text for text in config.values())
    assert config["items"].startswith("12 ")
