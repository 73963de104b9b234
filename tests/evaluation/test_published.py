"""Published protocols: required settings, complete data, official scores, and published scores."""

import csv
import io
import itertools
import logging
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.datasets.image_files import PublishedCounts
from fashion_lsh.evaluation.protocol import EncodedSplit, evaluate
from fashion_lsh.evaluation.published import PROTOCOLS, SCORES_FILE, find_protocol, missing_files, published_scores
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.metrics.ranking import cutoff_ranks
from fashion_lsh.metrics.results import ResultTable
from fashion_lsh.models.encoding import Encoded
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.search.searcher import Searcher
from tests.evaluation.fake_model import FakeModel
from tests.evaluation.layouts import SETTINGS, write_consumer2shop, write_deepfashion2, write_inshop
from tests.test_conf import CONF, compose_config

INSHOP = PROTOCOLS["inshop"]
LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "inshop": write_inshop, "consumer2shop": write_consumer2shop, "consumer2shop_val": write_consumer2shop,
    "deepfashion2": write_deepfashion2,
}  # fmt: skip


def open_layout(root: Path, name: str, **settings: Any) -> GarmentData:
    return GarmentData(PROTOCOLS[name].source, str(root), **SETTINGS | settings)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_each_protocol_has_a_config_with_its_settings(name: str) -> None:
    protocol = find_protocol(compose_config(f"protocol={name}"))
    assert protocol is PROTOCOLS[name]
    assert {file.stem for file in (CONF / "protocol").glob("*.yaml")} == {"none", *PROTOCOLS}


def test_no_protocol_is_the_default() -> None:
    assert find_protocol(compose_config()) is None
    assert compose_config()["evaluation"] == {"k": [1, 10, 100, "all"]}


@pytest.mark.parametrize(("overrides", "parts"), [
    (["protocol=inshop", "data=deepfashion2"], ["data.source='deepfashion2'", "protocol=inshop", "deepfashion_inshop"]),
    (["protocol=inshop", "split=disjoint"], ["split.leaks='refuse'", "split=official"]),
    (["protocol=inshop", "split.gallery=train"], ["split.gallery='train'", "split=official"]),
    (["protocol=inshop", "split=unseen_categories"], ["split.leaks="]),
    (["protocol=inshop", "data.corrections=review.csv"], ["data.corrections='review.csv'", "protocol=inshop"]),
    (["protocol=inshop", "data.categories=[a]"], ["data.categories=['a']", "protocol=inshop"]),
    (["protocol=inshop", "evaluation.k=[1,10,all]"], ["evaluation.k=[1, 10, 'all']", "[20, 30, 40, 50]"]),
    (["protocol=deepfashion2_detected", "crop=annotated"], ["crop.mode='annotated'", "crop=detected"]),
    (["protocol=inshop", "evaluation.protocol=shop"], ["evaluation.protocol='shop'", "consumer2shop"]),
])  # fmt: skip
def test_settings_that_change_a_protocol_are_errors(overrides: list[str], parts: list[str]) -> None:
    config = compose_config(*overrides)
    with pytest.raises(ValueError, match="protocol") as error:
        find_protocol(config)
    assert all(part in str(error.value) for part in parts)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_complete_copy_is_accepted(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = open_layout(LAYOUTS[name](tmp_path), name)
    sizes = {
        split: len(set(data.catalogue.column("image")[data.catalogue.rows(split)])) for split in ("query", "gallery")
    }
    unit = PROTOCOLS[name].source == "deepfashion_inshop"
    data.source.published = PublishedCounts(sizes, "garments" if unit else "images")  # type: ignore[attr-defined]
    caplog.clear()
    PROTOCOLS[name].check_data(data)
    assert "incomplete" not in caplog.text


@pytest.mark.parametrize(("name", "counts"), [
    ("inshop", ["query has 2 of 14,218 garments", "gallery has 5 of 12,612 garments"]),
    ("consumer2shop", ["all has 44 of 239,557 images"]),
    ("deepfashion2", ["query has 3 of 10,844 images", "gallery has 4 of 21,309 images"]),
])  # fmt: skip
def test_incomplete_data_are_an_error_with_counts_or_a_warning(
    name: str, counts: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = open_layout(LAYOUTS[name](tmp_path), name)
    with pytest.raises(ValueError, match=r"evaluation\.partial=true") as error:
        PROTOCOLS[name].check_data(data)
    assert all(count in str(error.value) for count in counts)
    with caplog.at_level(logging.WARNING):
        PROTOCOLS[name].check_data(data, partial=True)
    assert all(count in caplog.text for count in counts)


@pytest.mark.parametrize(("name", "removed"), [
    ("inshop", ["Eval/list_eval_partition.txt", "Anno/list_bbox_inshop.txt"]),
    ("consumer2shop", ["Eval/list_eval_partition.txt", "Anno/list_bbox_consumer2shop.txt"]),
    ("deepfashion2", [f"train/annos/{2 * n + k:06}.json" for n in range(1, 11) for k in (0, 1)]),
])  # fmt: skip
def test_all_missing_files_are_named_before_reading(name: str, removed: list[str], tmp_path: Path) -> None:
    LAYOUTS[name](tmp_path)
    for file in removed:
        (tmp_path / file).unlink()
    data = open_layout(tmp_path, name)
    missing = [each for each in data.source.expected if each.required and not list(tmp_path.glob(each.pattern))]  # type: ignore[attr-defined]
    assert 0 < len(missing) == len(missing_files(data.source))  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError, match=str(tmp_path)) as error:
        PROTOCOLS[name].check_data(data, partial=True)
    assert all(each.pattern in str(error.value) for each in missing)


def test_queries_without_a_relevant_garment_are_an_error_or_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = open_layout(write_inshop(tmp_path), "inshop")
    items, splits = (data.catalogue.column(name).copy() for name in ("item", "split"))
    items[(splits == "gallery") & (items == "id_00000102")] = "another"
    one_scored = data.replace(catalogue=data.catalogue.with_columns(item=items))
    INSHOP.check_data(one_scored, partial=True)
    assert "1 of 2 queries" in caplog.text
    items[splits == "gallery"] = ""
    with pytest.raises(ValueError, match="none of 2 queries has a garment of the same item among the 5"):
        INSHOP.check_data(data.replace(catalogue=data.catalogue.with_columns(item=items)), partial=True)


def test_official_scores_of_the_inshop_layout_by_hand(tmp_path: Path) -> None:
    """Gallery of 60 images. The first image of the item of each query is at rank 1, 11 and 41."""
    data = open_layout(write_inshop(tmp_path, gallery_sizes=(20, 20, 20)), "inshop")
    query, gallery = data.garments("query"), data.garments("gallery")
    items = gallery.column("item")
    assert query.column("item").tolist() == ["id_00000101", "id_00000102", "id_00000103"]
    query_embeddings, gallery_embeddings = np.eye(3, 64, dtype=np.float32), np.zeros((60, 64), np.float32)
    for number, num_before in enumerate((0, 10, 40)):
        own = items == f"id_{101 + number:08}"
        order = np.concatenate(
            [np.flatnonzero(~own)[:num_before], np.flatnonzero(own), np.flatnonzero(~own)[num_before:]]
        )
        gallery_embeddings[order, number] = np.linspace(0.5, 0, 60)
    gallery_embeddings[:, 3:] = np.sqrt((1 - (gallery_embeddings[:, :3] ** 2).sum(axis=1, keepdims=True)) / 61)
    model = FakeModel(data.categories, bits=None)
    uniform = [np.full((count, len(data.categories)), 1 / len(data.categories), np.float32) for count in (3, 60)]
    encoded = Encoded(uniform[1], None, gallery_embeddings)
    searcher = Searcher(model, Gallery.build(model, encoded, gallery), SearchPolicy("euclidean", "all"))
    split = EncodedSplit(query, Encoded(uniform[0], None, query_embeddings), {})
    results = evaluate(searcher, split, cutoffs=cutoff_ranks(INSHOP.cutoffs)).results
    table = ResultTable(results, (searcher.policy.method, searcher.policy.scope))
    values = [table.find(column) for column in INSHOP.columns(*table.search)]
    assert [row and row.value for row in values] == pytest.approx([1 / 3, 1 / 3, 2 / 3, 2 / 3, 2 / 3, 1])
    assert [row and row.n for row in values] == [3] * 6


def test_published_scores_belong_to_a_protocol_and_one_of_its_official_scores() -> None:
    path = Path(str(CONF.parent / "fashion_lsh/evaluation" / SCORES_FILE))
    rows = [score for name in PROTOCOLS for score in published_scores(name)]
    assert len(rows) == len(path.read_text().splitlines()) - 1  # no row of an unknown protocol
    assert len({row[:5] for row in rows}) == len(rows)
    for row in rows:
        assert (row.relevance, row.metric, row.k) in PROTOCOLS[row.protocol].scores
        assert 0 < row.value < 1
        assert row.source


@pytest.mark.parametrize(("name", "method", "value"), [
    ("inshop", "FashionNet", 0.764), ("consumer2shop", "FashionNet", 0.188),
    ("deepfashion2", "Match R-CNN (class)", 0.470), ("deepfashion2_detected", "Match R-CNN (class)", 0.415),
])  # fmt: skip
def test_published_top_20_scores(name: str, method: str, value: float) -> None:
    [score] = [row for row in published_scores(name) if row.method == method and row.k == 20]
    assert score.value == value


def test_the_condition_selects_the_results_of_the_official_scores() -> None:
    columns = PROTOCOLS["deepfashion2_detected"].columns("hamming", "1 list")
    assert {column.condition for column in columns} == {"boxes=all_detected"}
    assert replace(INSHOP, condition="").columns("a", "b")[2][:4] == ("a", "recall", 20, "item")


@pytest.mark.parametrize("name", ["{split}-00000-of-00001.parquet", "{split}/0000.parquet"])
def test_documented_script_exports_a_subset_of_lookbench(name: str, tmp_path: Path) -> None:
    page = (CONF.parent / "docs/protocols.md").read_text()
    [code] = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    (tmp_path / "export.py").write_text(code)
    shades = iter(range(0, 250, 40))
    for part, splits in {"aigen_studio": {"query": 1, "gallery": 2}, "noise": {"gallery": 1}}.items():
        for split, count in splits.items():
            path = tmp_path / "look-bench" / part / name.format(split=split)
            path.parent.mkdir(parents=True, exist_ok=True)
            rows = [{"image": {"bytes": jpeg(next(shades)), "path": "1.jpg"}, "category": "dress",
                     "main_attribute": f"colour {row}", "item_ID": row} for row in range(count)]  # fmt: skip
            pq.write_table(pa.Table.from_pylist(rows), path)
    command = [sys.executable, str(tmp_path / "export.py"), str(tmp_path / "look-bench"), "aigen_studio"]
    subprocess.run([*command, str(tmp_path / "out")], check=True)
    with (tmp_path / "out/manifest.csv").open("a", newline="") as file:  # training images
        for category, split, shade in itertools.product(("dress", "bag"), ("train", "val"), (200, 240)):
            image = tmp_path / f"{category}-{split}-{shade}.jpg"
            image.write_bytes(jpeg(shade))
            csv.writer(file).writerow([image, split, category, ""])
    data = GarmentData("folder", str(tmp_path / "out/manifest.csv"), leaks="report")
    garments = [(split, item) for split in ("query", "gallery") for item in data.garments(split).column("item")]
    assert garments == [("query", "dress/colour 0"), ("gallery", "dress/colour 0"), ("gallery", "dress/colour 1"),
                        ("gallery", "")]  # fmt: skip
    assert [round(float(data.source.image(key).mean())) for key in data.garments("gallery").column("image")] == [
        40, 80, 120]  # fmt: skip
    result = subprocess.run([*command[:3], "studio", str(tmp_path / "other")], capture_output=True, text=True)
    assert result.returncode == 1
    assert str(tmp_path / "look-bench/studio") in result.stderr


def jpeg(shade: int) -> bytes:
    """Encode a plain grey image."""
    file = io.BytesIO()
    Image.new("RGB", (16, 16), (shade,) * 3).save(file, "JPEG")
    return file.getvalue()
