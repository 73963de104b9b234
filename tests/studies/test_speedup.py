"""The speedup study on a small gallery, and its page."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.report.page_file import write_page
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.studies import speedup as module
from fashion_lsh.studies import speedup_page
from fashion_lsh.studies.probing_methods import DISTANCES, METHODS
from fashion_lsh.studies.speedup import Speedup
from tests.evaluation.fake_model import FakeModel
from tests.studies.factories import read_results

SEARCH = SearchPolicy("rerank", 1, 20, 0.5, 0.0, None)
SIZES = [60, 120, 240]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("speedup")


@pytest.fixture(scope="module")
def rows(data: GarmentData, folder: Path) -> list[dict[str, Any]]:
    return Speedup(SIZES, composed=120, num_queries=5)(FakeModel(data.categories), data, SEARCH, folder)


def select(rows: list[dict[str, Any]], **values: Any) -> list[dict[str, Any]]:
    return [row for row in rows if all(row[name.replace("_", " ")] == value for name, value in values.items())]


def test_rows_are_combinations_of_size_lists_indexing_distance_and_method(rows: list[dict[str, Any]]) -> None:
    for size in SIZES:
        for indexed_by in ("predicted", "true"):
            matching = select(rows, gallery=size, inverted_lists="model categories", indexed_by=indexed_by)
            assert {(row["distance"], row["method"]) for row in matching} == {
                (distance, method) for distance in DISTANCES for method in METHODS
            }
        assert len(select(rows, gallery=size, inverted_lists="30 simulated categories")) == 3 * 4
    assert len(rows) == len(SIZES) * (2 * 27 + 12)


def test_probing_all_lists_has_full_recall_and_saves_no_time(rows: list[dict[str, Any]]) -> None:
    for row in select(rows, method="all lists"):
        assert row["scanned"] == pytest.approx(1)
        assert row["time saved"] == row["speed-up"] == row["predicted saving"] == 0
        assert row.get("recall@10 vs exhaustive", 1) == 1
        assert row.get("item in probed lists", 1) == 1


def test_scanned_fraction_and_recall_increase_with_the_number_of_lists(rows: list[dict[str, Any]]) -> None:
    for size in SIZES:
        for distance in DISTANCES:
            own_rows = select(
                rows, gallery=size, inverted_lists="model categories", indexed_by="predicted", distance=distance
            )
            row_by_method = {row["method"]: row for row in own_rows}
            for metric in ("scanned", "lists probed", "recall@10 vs exhaustive"):
                values = [row_by_method[method][metric] for method in ("top 1", "top 2", "top 3", "all lists")]
                assert values == sorted(values), metric
            assert row_by_method["top 1"]["lists probed"] == row_by_method["true category"]["lists probed"] == 1


def test_time_saved_agrees_with_the_times(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        assert row["time saved low"] <= row["time saved"] <= row["time saved high"]
        assert row["speed-up"] == pytest.approx(1 / (1 - row["time saved"]) - 1)
        assert row["predicted saving"] <= row["search fraction"] < 1
        assert row["end_to_end_ms"] > row["search_ms"]
        saving = row["time saved vs euclidean"]
        assert row["time saved vs euclidean low"] <= saving <= row["time saved vs euclidean high"]
        assert saving == 0 or row["distance"] != "euclidean"


def test_scores_exist_only_for_composed_garments(rows: list[dict[str, Any]]) -> None:
    scored = {row["gallery"] for row in rows if "item map@100" in row}
    assert scored == {60, 120}
    assert not [row for row in select(rows, inverted_lists="30 simulated categories") if "item map@100" in row]
    for row in select(rows, gallery=120, inverted_lists="model categories", indexed_by="true", method="true category"):
        assert row["item in probed lists"] == 1  # the item of the query is in the list of its true category
    for row in select(rows, gallery=120, inverted_lists="model categories", indexed_by="true", method="top 1"):
        assert row["item map@100, category wrong"] == 0  # the item is in another list
        assert row["item in probed lists"] == pytest.approx(row["top-1"])


def test_cached_sizes_are_not_measured_again(
    data: GarmentData, folder: Path, rows: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "time_methods", None)
    second = Speedup(SIZES, composed=120, num_queries=5)(FakeModel(data.categories), data, SEARCH, folder)
    assert second == json.loads(json.dumps(rows))
    with pytest.raises(TypeError):
        Speedup([70], composed=120, num_queries=5)(FakeModel(data.categories), data, SEARCH, folder)
    with pytest.raises(TypeError):  # a cache is used only for its own model
        Speedup(SIZES, composed=120, num_queries=5)(
            FakeModel(data.categories, fingerprint="another"), data, SEARCH, folder
        )
    file = next((folder / "speedup").glob("*.json"))
    content = file.read_text()
    file.write_text(content[:-5])
    with pytest.raises(TypeError):  # a damaged cache is measured again
        Speedup(SIZES, composed=120, num_queries=5)(FakeModel(data.categories), data, SEARCH, folder)
    file.write_text(content)


@pytest.mark.parametrize(("sizes", "composed"), [([10, 500], 500), ([500], 120)])
def test_sizes_that_cannot_be_scored_are_rejected(
    data: GarmentData, tmp_path: Path, sizes: list[int], composed: int
) -> None:
    with pytest.raises(ValueError, match=r"study\.sizes=\["):
        Speedup(sizes, composed, 5)(FakeModel(data.categories), data, SEARCH, tmp_path)


def test_data_sets_without_distractors_are_rejected(make_data: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="data=shop_street"):
        Speedup([10], 10, 1)(FakeModel(["a"]), make_data(), SEARCH, tmp_path)


def test_the_page_is_reproduced_from_the_csv(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    text, figures = Speedup(SIZES, composed=120, num_queries=5).page(rows)
    assert text.startswith("**17.16 %.**")
    assert "nan" not in text
    assert figures["saving.svg"].startswith(b"<?xml")
    write_page(tmp_path, rows, text, figures)
    assert {path.name for path in tmp_path.iterdir()} == {"README.md", "results.csv", "saving.svg"}
    csv_rows = read_results(tmp_path)
    assert csv_rows == [{name: value for name, value in row.items() if value is not None} for row in rows]
    assert speedup_page.page(csv_rows) == (text, figures)


@pytest.mark.parametrize(
    ("savings", "size"),
    [((0.2, 0.3, 0.4), 0), ((0.0, 0.1, 0.15), math.inf), ((0.0, 0.3432, 0.5), 5500), ((0.1, 0.1716, 0.5), 1e4)],
)
def test_time_saved_at_the_crossing_size_is_the_value_of_the_thesis(savings: tuple[float, ...], size: float) -> None:
    assert speedup_page.crossing_size([1000, 10_000, 100_000], savings, [2.0] * 3) == pytest.approx(size)


@given(st.floats(1, 100), st.floats(1e-6, 1e-3), st.floats(0.01, 0.8))
def test_crossing_size_is_exact_for_linear_search_times(other_ms: float, ms_per_row: float, ratio: float) -> None:
    sizes = [1, 1000, 100_000, 100_000_000]
    baseline_ms = [other_ms + ms_per_row * size for size in sizes]
    savings = [ms_per_row * size * (1 - ratio) / time for size, time in zip(sizes, baseline_ms, strict=True)]
    size_needed = speedup_page.THESIS_SAVING * other_ms / (ms_per_row * (1 - ratio - speedup_page.THESIS_SAVING))
    expected = size_needed if sizes[0] < size_needed <= sizes[-1] else 0.0 if 0 < size_needed <= sizes[0] else math.inf
    assert speedup_page.crossing_size(sizes, savings, baseline_ms) == pytest.approx(expected)
