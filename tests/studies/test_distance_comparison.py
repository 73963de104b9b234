"""Comparison of distances on a small gallery, and its page."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.report.page_file import write_page
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.studies.distance_comparison import DistanceComparison
from tests.evaluation.fake_model import FakeModel
from tests.studies.factories import read_results

SEARCH = SearchPolicy("rerank", 1, 20, 0.5, 0.0, None)


def test_all_distances_are_compared_on_one_gallery(data: GarmentData, tmp_path: Path) -> None:
    experiment = DistanceComparison(gallery_size=100, num_queries=4, rerank_ks=[5, 100, 0.5], alphas=[0.0, 0.5, 1.0])
    rows = experiment(FakeModel(data.categories), data, SEARCH, tmp_path)
    row_by_search = {(row["scope"], row["search"]): row for row in rows}
    assert len(row_by_search) == len(rows) == 2 * 8
    assert {row["gallery"] for row in rows} == {100}
    assert (
        row_by_search["all", "euclidean"]["neighbour recall"]
        == row_by_search["all", "rerank 100"]["neighbour recall"]
        == 1
    )
    assert row_by_search["all", "rerank 100"]["item map@100"] == pytest.approx(
        row_by_search["all", "euclidean"]["item map@100"], abs=0.02
    )
    for row in rows:
        assert 0 < row["val item map@100"] <= 1
        assert row["gain over hamming low"] <= row["gain over hamming"] <= row["gain over hamming high"]
        assert 0 <= row["neighbour recall"] <= 1
    assert (
        row_by_search["all", "hamming"]["gain over hamming"]
        == row_by_search["predicted category", "hamming"]["gain over hamming"]
        == 0
    )
    assert (
        row_by_search["all", "euclidean"]["gain over euclidean"]
        == row_by_search["predicted category", "euclidean"]["gain over euclidean"]
        == 0
    )
    text, figures = experiment.page(rows)
    assert not figures
    assert all(f"| {name} " in text for _, name in row_by_search)
    assert "nan" not in text
    assert np.isfinite([row["search_ms"] for row in rows]).all()
    write_page(tmp_path, rows, text)
    assert experiment.page(read_results(tmp_path)) == (text, {})


def test_data_sets_without_distractors_are_rejected(make_data: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="data=shop_street"):
        DistanceComparison(10, 1, [5], [0.5])(FakeModel(["a"]), make_data(), SEARCH, tmp_path)
