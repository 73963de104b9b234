"""Promised and measured coverage of a small run, and the page."""

from pathlib import Path

import numpy as np
import pytest

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.report.page_file import write_page
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.studies.coverage import CoverageStudy
from fashion_lsh.studies.coverage_page import BY_CUMULATIVE, BY_NUMBER, CALIBRATED, ONE_LIST, PLAIN, SHIFTED
from tests.evaluation.fake_model import FakeModel
from tests.studies.factories import read_results

POLICY = SearchPolicy("hamming", 1, 20, 0.5, 0.0, None)
RULES = {CALIBRATED, SHIFTED, BY_CUMULATIVE, BY_NUMBER, PLAIN, ONE_LIST}


@pytest.mark.parametrize("calibration", [0.0, 0.5])
def test_promises_hold_for_both_relevances(data: GarmentData, tmp_path: Path, calibration: float) -> None:
    split = data.catalogue.column("split")
    catalogue = data.catalogue.with_columns(split=np.where(split == "train", "val", split))  # val alone is too small
    divided = GarmentData(calibration=calibration, image_size=32, workers=0)
    divided = divided.replace(source=data.source, catalogue=catalogue)
    study = CoverageStudy(levels=[0.5, 0.8], draws=6, num_queries=3)
    rows = study(FakeModel(data.categories), divided, POLICY, tmp_path)
    by_key = {(row["relevance"], row["promised"], row["rule"], row["category"]): row for row in rows}
    assert len(by_key) == len(rows) == 2 * 2 * (len(RULES) + len(data.categories))
    num_queries = len(data.rows("query")) + len(divided.rows("calibration")) // 2
    for row in rows:
        assert row["queries"] == num_queries
        assert row["held"] == (row["coverage"] >= row["promised"] - 2 * row["standard error"])
    for relevance in ("item", "category"):
        calibrated = [by_key[relevance, level, CALIBRATED, ""] for level in study.levels]
        assert all(row["held"] for row in calibrated)
        assert calibrated[0]["lists probed"] <= calibrated[1]["lists probed"] <= len(data.categories)
        assert 0 < calibrated[0]["scanned"] <= calibrated[1]["scanned"] <= 1
        floor = by_key[relevance, 0.5, ONE_LIST, ""]
        assert floor["lists probed"] == 1
        assert floor["coverage"] <= min(row["coverage"] for row in calibrated)
        plain = SearchPolicy(min_probability=0.8)
        assert by_key[relevance, 0.8, PLAIN, ""]["lists probed"] > 1
        assert plain.scope.endswith("probability 0.8")
        categories = [by_key[relevance, 0.8, CALIBRATED, name]["coverage"] for name in data.categories]
        assert np.mean(categories) == pytest.approx(calibrated[1]["coverage"], abs=0.05)
    text, figures = study.page(rows)
    assert not figures
    assert "nan" not in text
    write_page(tmp_path, rows, text)
    assert study.page(read_results(tmp_path)) == (text, {})


def test_without_times_and_views_the_page_has_neither(data: GarmentData, tmp_path: Path) -> None:
    plain = data.replace(catalogue=data.catalogue.with_columns(view=[""] * len(data.catalogue)))
    study = CoverageStudy(levels=[0.5], draws=2, num_queries=0)
    rows = study(FakeModel(data.categories), plain, POLICY, tmp_path)
    assert {row["rule"] for row in rows} == RULES - {SHIFTED}
    assert not any("search_ms" in row for row in rows)
    assert "search ms" not in study.page(rows)[0]
