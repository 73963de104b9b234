"""Histograms of Hamming distances, and statistics of the codes."""

import xml.etree.ElementTree as ET

from tests.report.factories import MakeRun
from tests.report.pages import read_page


def test_distance_histograms_by_relevance_and_code_statistics_are_shown(make_run: MakeRun) -> None:
    run = make_run()
    page = read_page(run)
    figure_text = "".join(ET.parse(run.path / "report" / "distances.svg").getroot().itertext())
    for name in ("same category", "other category", "same item", "other item"):
        assert name in figure_text
        assert f"{name} " in page.text
    cells, results = page.texts_in("td"), run.result_file.results
    assert cells[cells.index("entropy") + 1] == f"{results.value('code', 'entropy', split='gallery'):.3f}"
    assert cells[cells.index("distinct codes") + 1] == f"{results.value('code', 'distinct', split='gallery'):,.0f}"
    assert "quantisation error" not in cells  # not in results.parquet
