"""Comparison of item codes on the features of a small classifier, and its page."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.metrics.results import ONE_LIST
from fashion_lsh.models.checkpoints import save_model
from fashion_lsh.models.classifier import ClassifierModel
from fashion_lsh.report.page_file import write_page
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.studies.item_codes import ItemCodes
from fashion_lsh.studies.item_views import encode_item_search
from tests.studies.factories import read_results

pytestmark = pytest.mark.train
METHODS = {
    "lsh": {"_target_": "fashion_lsh.models.baselines.LSH", "embedding_dim": None},
    "item_lda": {"_target_": "fashion_lsh.models.item_codes.ItemLDA", "levels": True, "embedding_dim": None},
    "nested": {"_target_": "fashion_lsh.training.item_contrast.ItemContrast", "epochs": 1, "prefixes": "shorter",
               "embedding_dim": None},
    "item_contrast": {"_target_": "fashion_lsh.training.item_contrast.ItemContrast", "levels": True, "epochs": 2,
                      "embedding": "item_lda", "embedding_dim": 8, "projection": "linear"},
}  # fmt: skip


def make_classifier(data: GarmentData, folder: Path) -> ClassifierModel:
    torch.manual_seed(0)
    options: dict[str, Any] = {"backbone": "resnet18", "categories": data.categories, "image_size": 32}
    model = ClassifierModel(**options)
    save_model(model, folder / "classifier.ckpt", options)
    return model.eval()


def test_codes_are_compared_on_the_features_of_the_classifier(data: GarmentData, tmp_path: Path) -> None:
    model = make_classifier(data, tmp_path)
    study = ItemCodes(bits=[8, 12], seeds=[0, 1], methods=[], own=METHODS)
    rows = study(model, data, SearchPolicy(), tmp_path)
    assert {row["method"] for row in rows} == {
        *METHODS, "raw_pixels", "colour_histogram", "features", "features and levels",
    }  # fmt: skip
    found = {(row["method"], row["bits"], row["search"], row["relevance"], row["scope"], row["metric"], row["k"]): row
             for row in rows}  # fmt: skip
    assert len(found) == len(rows)
    for row in rows:
        assert row["low"] <= row["value"] <= row["high"]
        assert 0 <= row["value"] <= 1
        assert row["seeds"] == (2 if row["bits"] else 1)
    accuracies = {found[name, 8, "hamming", "category", ONE_LIST, "accuracy", 1]["value"] for name in METHODS}
    assert len(accuracies) == 1  # the classifier is not changed
    sizes = {(row["method"], row["bits"], row["search"]): row["bytes"] for row in rows}
    assert sizes["lsh", 12, "hamming"] == sizes["lsh", 12, "asymmetric"] == 2
    assert sizes["lsh", 12, "activations"] == 24
    assert (sizes["item_contrast", 8, "embedding"], sizes["item_contrast", 8, "embedding_int8"]) == (16, 8)
    assert {(row["method"], row["bits"]) for row in rows if row["method"] == "nested"} == {
        ("nested", 8),
        ("nested", 12),
    }
    text, figures = study.page(rows)
    assert not figures
    assert "| item_contrast " in text
    assert "no claim" not in text
    write_page(tmp_path, rows, text)
    assert study.page(read_results(tmp_path)) == (text, {})
    assert not (tmp_path / "item_codes").exists()


def test_without_items_two_views_of_each_query_are_an_item(make_data: Any, tmp_path: Path) -> None:
    data = make_data()
    data = data.replace(items=np.arange(len(data.catalogue)))
    search = encode_item_search(make_classifier(data, tmp_path), data)
    num_queries = len(data.rows("query"))
    assert search.are_views
    assert np.array_equal(search.gallery.items[:num_queries], search.query.items)
    assert len(search.gallery.items) == num_queries + len(data.rows("gallery"))
    assert not torch.equal(search.gallery.features[:num_queries], search.query.features)
    assert (search.relevance()["item"].totals == 1).all()


def test_vectors_need_items(data: GarmentData, tmp_path: Path) -> None:
    vectors = data.replace(items=np.arange(len(data.catalogue)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GarmentData, "has_images", False)
        with pytest.raises(ValueError, match="vectors have no views"):
            encode_item_search(make_classifier(data, tmp_path), vectors)


def test_an_unknown_method_is_refused(data: GarmentData, tmp_path: Path) -> None:
    study = ItemCodes(bits=[8], seeds=[0], methods=["item_contrats"])
    with pytest.raises(ValueError, match=r"study\.methods=\['item_contrats'\].*item_contrast"):
        study(make_classifier(data, tmp_path), data, SearchPolicy(), tmp_path)
