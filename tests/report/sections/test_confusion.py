"""The most frequent confusions agree with the query table."""

from tests.report.factories import MakeRun, read_queries
from tests.report.pages import read_page


def test_the_most_frequent_confusions_are_listed(make_run: MakeRun) -> None:
    run = make_run()
    page, table = read_page(run), read_queries(run).to_pydict()
    wrong = [pair for pair in zip(table["category"], table["predicted"], strict=True) if pair[0] != pair[1]]
    common = max(wrong.count(pair) for pair in wrong)
    rows = [tuple(page.texts_in("td")[at : at + 3]) for at in range(len(page.texts_in("td")) - 2)]
    assert any((*pair, str(common)) in rows for pair in wrong if wrong.count(pair) == common)
