"""Item recall of a system by distance and number of lists, with a fake model, and its page."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.evaluation.protocol import encode_split
from fashion_lsh.report.page_file import Row, write_page
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.studies import item_search
from fashion_lsh.studies.item_search import ItemSearchStudy
from fashion_lsh.studies.item_search_page import FIGURE, HISTOGRAM, OTHER_RUN
from tests.evaluation.fake_model import BITS, EMBEDDING_DIM, FakeModel
from tests.report.factories import SETTINGS
from tests.studies.factories import read_results


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Run folder that stores embeddings."""
    return write_config(tmp_path, stores_embeddings=True)


def write_config(folder: Path, stores_embeddings: bool) -> Path:
    config = SETTINGS | {"hash": {"bits": 10}, "gallery": {"embeddings": stores_embeddings}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config, allow_unicode=True))
    return folder


def plain_recall(data: GarmentData, split: str, nprobe: int, vectors: str) -> float:
    """Item recall@10 with one relevant row per query, by sorting the distances of each query."""
    model, found = FakeModel(data.categories), []
    parts = [encode_split(model, data, name) for name in (("query", "gallery") if split == "query" else ("val", "val"))]
    views = [part.catalogue.column("view") for part in parts]
    query_rows, rows = np.flatnonzero(views[0] == "street"), np.flatnonzero(views[1] == "shop")
    values = [part.descriptors[HISTOGRAM] if vectors == HISTOGRAM else part.encoded.embeddings for part in parts]
    items = [part.catalogue.column("item") for part in parts]
    lists = parts[1].encoded.probabilities[rows].argmax(axis=1)
    for row in query_rows:
        probed = np.argsort(-parts[0].encoded.probabilities[row], kind="stable")[:nprobe]
        distances = ((values[0][row] - values[1][rows]) ** 2).sum(axis=1)
        distances[~np.isin(lists, probed)] = np.inf
        order = np.argsort(distances, kind="stable")[:10]
        order = order[np.isfinite(distances[order])]
        found.append(items[0][row] in items[1][rows][order])
    return float(np.mean(found))


def test_lists_and_distance_are_chosen_on_val(data: GarmentData, folder: Path) -> None:
    study, model = ItemSearchStudy(), FakeModel(data.categories)
    rows = study(model, data, SearchPolicy("asymmetric", 1), folder)
    methods = {"hamming", "asymmetric", "euclidean", HISTOGRAM}
    found = {(row["split"], row["method"], row["nprobe"]): row for row in rows}
    assert len(rows) == len(found) == 2 * len(methods) * len(data.categories)
    for row in rows:
        assert 0 <= row["recall@10 low"] <= row["recall@10"] <= row["recall@10 high"] <= 1
        assert row["gain over all lists"] == pytest.approx(
            row["recall@10"] - found[row["split"], row["method"], "all"]["recall@10"]
        )
    for method in methods:
        scanned = [found["query", method, nprobe]["scanned"] for nprobe in (1, 2, 3, "all")]
        assert scanned == sorted(scanned)
        assert scanned[-1] == 1
    chosen = {(row["method"], row["nprobe"]) for row in rows if row["chosen"]}
    [(method, nprobe)] = chosen
    best = max(row["recall@10"] for row in rows if row["split"] == "val" and row["method"] in ("hamming", "asymmetric"))
    assert found["val", method, nprobe]["recall@10"] == best
    assert found["query", "asymmetric", 1]["bytes"] == 4 + 8
    assert found["query", "asymmetric", 1]["bits"] == BITS
    assert found["query", "euclidean", 1]["bytes"] == 8 + 4 * EMBEDDING_DIM
    text, figures = study.page(rows)
    assert figures[FIGURE].startswith(b"<?xml")
    assert "nan" not in text
    write_page(folder, rows, text)
    assert study.page(read_results(folder))[0] == text


@pytest.mark.parametrize("split", ["val", "query"])
@pytest.mark.parametrize("nprobe", [1, 3])
def test_recall_equals_that_of_sorted_distances(split: str, nprobe: int, data: GarmentData, folder: Path) -> None:
    rows = ItemSearchStudy()(FakeModel(data.categories), data, SearchPolicy("asymmetric", 1), folder)
    for method in (HISTOGRAM, "euclidean"):
        [row] = [row for row in rows if (row["split"], row["method"], row["nprobe"]) == (split, method, nprobe)]
        assert row["recall@10"] == pytest.approx(plain_recall(data, split, nprobe, method), abs=0.02)


def test_distances_of_embeddings_need_stored_embeddings(data: GarmentData, folder: Path) -> None:
    write_config(folder, stores_embeddings=False)
    rows = ItemSearchStudy()(FakeModel(data.categories), data, SearchPolicy("hamming", 1), folder)
    assert {row["method"] for row in rows} == {"hamming", "asymmetric", HISTOGRAM}


def test_another_run_is_scored_by_its_own_policy(
    data: GarmentData, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = SearchPolicy("rerank", 2, 20)
    other: Any = SimpleNamespace(
        check_finished=lambda: None, model=lambda: FakeModel(data.categories), config={"data": {}}, box_selector=None,
        instantiate=lambda *_, **__: data, with_detections=lambda same: same, calibrate=lambda same, _: same,
        policy=policy,
    )  # fmt: skip
    run = item_search.Run
    monkeypatch.setattr(item_search, "Run", lambda path: other if path == "other" else run(path))
    study = ItemSearchStudy("other")
    rows = study(FakeModel(data.categories), data, SearchPolicy("asymmetric", 1), folder)
    added: list[Row] = [row for row in rows if row["method"] == OTHER_RUN]
    assert [row["split"] for row in added] == ["val", "query"]
    assert {(row["search"], row["bytes"]) for row in added} == {("rerank 20, 2 lists", 4 + 8 + 2 * EMBEDDING_DIM)}
    assert "other run: rerank 20, 2 lists" in study.page(rows)[0]
    other.instantiate = lambda *_, **__: SimpleNamespace(checksum="other")
    with pytest.raises(ValueError, match=r"study\.other_run=other"):
        study(FakeModel(data.categories), data, SearchPolicy("asymmetric", 1), folder)


def test_codes_and_items_are_needed(data: GarmentData, make_data: Any, folder: Path) -> None:
    with pytest.raises(ValueError, match="hash layer"):
        ItemSearchStudy()(FakeModel(data.categories, bits=None), data, SearchPolicy("euclidean", 1), folder)
    shapes = make_data()
    shapes.catalogue = shapes.catalogue.with_columns(item=[""] * len(shapes.catalogue))
    with pytest.raises(ValueError, match="no item of val"):
        ItemSearchStudy()(FakeModel(shapes.categories), shapes, SearchPolicy("hamming", 1), folder)
