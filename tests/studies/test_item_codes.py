"""Comparison of item codes on the features of a small classifier, and its page."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.features import with_first_features
from fashion_lsh.io.targets import instantiate
from fashion_lsh.metrics.results import ONE_LIST
from fashion_lsh.models.checkpoints import save_model
from fashion_lsh.models.classifier import ClassifierModel
from fashion_lsh.models.code_model import CodeModel
from fashion_lsh.models.feature_cache import cache_features
from fashion_lsh.models.item_codes import ItemCodeModel
from fashion_lsh.report.page_file import write_page
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.studies import item_codes
from fashion_lsh.studies.item_code_methods import ITEM_LDA_EMBEDDING, MAIN
from fashion_lsh.studies.item_code_methods import METHODS as ALL_METHODS
from fashion_lsh.studies.item_code_scores import code_searches, outputs
from fashion_lsh.studies.item_codes import SCORES_FOLDER, ItemCodes
from fashion_lsh.studies.item_views import encode_item_search
from fashion_lsh.training.feature_fits import feature_classifier, fit_code
from fashion_lsh.training.fitting import fit
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
    study = ItemCodes(bits=[8, 12], seeds=[0, 1], methods=["softmax"], further_methods=["itq, levels"],
                      further_bits=[8], further_seeds=[0], own=METHODS)  # fmt: skip
    rows = study(model, data, SearchPolicy(), tmp_path)
    assert {row["method"] for row in rows} == {
        *METHODS, "softmax", "itq, levels", "raw_pixels", "colour_histogram", "features", "features and levels",
        "item_lda, 64 axes",
    }  # fmt: skip
    found = {(row["method"], row["bits"], row["search"], row["relevance"], row["scope"], row["metric"], row["k"]): row
             for row in rows}  # fmt: skip
    assert len(found) == len(rows)
    for row in rows:
        assert row["low"] <= row["value"] <= row["high"]
        assert 0 <= row["value"] <= 1
        assert row["seeds"] == (1 if row["method"] == "itq, levels" or not row["bits"] else 2)
        assert ("gain" in row) == (row["bits"] > 0 and row["method"] != "softmax")
    accuracies = {found[name, 8, "hamming", "category", ONE_LIST, "accuracy", 1]["value"] for name in METHODS}
    assert len(accuracies) == 1  # the classifier is not changed
    sizes = {(row["method"], row["bits"], row["search"]): row["bytes"] for row in rows}
    assert sizes["lsh", 12, "hamming"] == sizes["lsh", 12, "asymmetric"] == 2
    assert (sizes["lsh", 12, "activations"], sizes["lsh", 12, "rabitq"]) == (24, 10)
    assert (sizes["item_lda, 64 axes", 0, "float"], sizes["item_lda, 64 axes", 0, "int8"]) == (128, 64)
    for name, lengths in (("nested", {8, 12}), ("itq, levels", {8})):
        assert {row["bits"] for row in rows if row["method"] == name} == lengths
    gain = found["lsh", 8, "hamming", "item", ONE_LIST, "recall", 10]
    base = found["softmax", 8, "hamming", "item", ONE_LIST, "recall", 10]
    assert gain["gain"] == pytest.approx(gain["value"] - base["value"])
    text, figures = study.page(rows)
    assert not figures
    assert "| item_contrast " in text
    assert "no claim" not in text
    write_page(tmp_path, rows, text)
    assert study.page(read_results(tmp_path)) == (text, {})


def test_an_interrupted_comparison_continues(
    data: GarmentData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, fit, trained = make_classifier(data, tmp_path), item_codes.fit_code, []
    methods = {name: METHODS[name] for name in ("lsh", "item_lda")}

    def count(*arguments: Any) -> CodeModel:
        trained.append(arguments[2])
        return fit(*arguments)

    monkeypatch.setattr(item_codes, "fit_code", count)

    def compare(seeds: list[int]) -> list[Any]:
        trained.clear()
        study = ItemCodes(bits=[8], seeds=seeds, methods=[], further_methods=[], own=methods)
        return study(model, data, SearchPolicy(), tmp_path)

    first = compare([0, 1])
    files = sorted((tmp_path / SCORES_FOLDER).iterdir())
    assert len(files) == 4
    assert compare([0, 1]) == first
    assert trained == [ITEM_LDA_EMBEDDING]  # only the embedding, whose scores are not kept
    files[0].unlink()
    files[1].write_bytes(b"damaged")
    assert compare([0, 1]) == first
    assert len(trained) == 1 + 2
    compare([0, 1, 2])
    assert [settings for settings in trained if settings != ITEM_LDA_EMBEDDING] == list(methods.values())
    assert not list(tmp_path.glob(".fit-*"))


def test_fits_on_features_equal_fits_on_the_network_of_the_classifier(data: GarmentData, tmp_path: Path) -> None:
    classifier = make_classifier(data, tmp_path)
    options: dict[str, Any] = {"backbone": "resnet18", "categories": data.categories, "image_size": 32}
    wide = ItemCodeModel(bits=8, levels=True, **options).start_from(classifier).eval()
    cached = cache_features(wide, data, tmp_path / "features", views=2)
    features = feature_classifier(classifier, wide.backbone.feature_dim)
    search = encode_item_search(wide, cached)
    for settings in (METHODS["lsh"], METHODS["item_lda"]):
        fitted = fit_code(features, cached, settings, 8, 0, tmp_path)
        stage: Any = instantiate(settings, torch.nn.Module, **options, bits=8, seed=0)
        network = fit(stage.start_from(classifier), with_first_features(cached, stage.backbone.feature_dim),
                      tmp_path / settings["_target_"], accelerator="cpu")  # fmt: skip
        for slow, fast in zip(outputs(network, search.query.features), outputs(fitted, search.query.features),
                              strict=True):  # fmt: skip
            np.testing.assert_allclose(fast, slow, atol=1e-5)


def test_prefixes_are_scored_as_codes(data: GarmentData, tmp_path: Path) -> None:
    classifier = make_classifier(data, tmp_path)
    options: dict[str, Any] = {"backbone": "resnet18", "categories": data.categories, "image_size": 32}
    wide = ItemCodeModel(bits=8, **options).start_from(classifier).eval()
    data = cache_features(wide, data, tmp_path / "features")
    search = encode_item_search(wide, data)
    features = feature_classifier(classifier, classifier.backbone.feature_dim)
    model = fit_code(features, data, METHODS["lsh"], 16, 0, tmp_path)
    scores = code_searches(model, search, [5, 16])
    (predicted, query, _), (lists, gallery, _) = (
        outputs(model, each.features) for each in (search.query, search.gallery)
    )
    distances = (query[:, None, :5] > 0) != (gallery[None, :, :5] > 0)
    distances = np.where(predicted[:, None] == lists, distances.sum(axis=2), 99)
    for row, is_item in enumerate(search.query.items[:, None] == search.gallery.items):
        is_probed = distances[row] < 99
        places = np.array([10.0])  # expected number of relevant rows in the first ten, for one relevant row
        near = is_item & is_probed
        closer = (distances[row][is_probed] < distances[row][near].min(initial=98)).sum()
        tied = (distances[row][is_probed] == distances[row][near].min(initial=98)).sum()
        expected = np.clip((places - closer) / max(1, tied), 0, 1)[0] * near.sum() / is_item.sum()
        assert scores[5]["hamming"].scores["item", ONE_LIST, "recall", 10][row] == pytest.approx(expected)


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


@pytest.mark.parametrize("key", ["methods", "further_methods"])
def test_an_unknown_method_is_refused(key: str, data: GarmentData, tmp_path: Path) -> None:
    study = ItemCodes(bits=[8], seeds=[0], **{key: ["item_contrats"]})
    with pytest.raises(ValueError, match=rf"study\.{key}=\['item_contrats'\].*item_contrast"):
        study(make_classifier(data, tmp_path), data, SearchPolicy(), tmp_path)


def test_all_methods_are_compared_by_default() -> None:
    fits = list(ItemCodes(bits=[24, 256], seeds=[0, 1], further_bits=[24], further_seeds=[1, 2]).fits())
    assert {fit.method for fit in fits} == set(ALL_METHODS)
    assert {fit.seed for fit in fits if fit.method in MAIN} == {0, 1}
    assert {(fit.seed, fit.bits) for fit in fits if fit.method not in MAIN} == {(1, 24), (2, 24)}
    nested = [fit for fit in fits if fit.method == "item_contrast, nested"]
    assert [(fit.bits, fit.lengths, fit.settings["prefixes"]) for fit in nested] == 2 * [(256, (24, 256), [24])]
    assert [fit.seed for fit in fits] == sorted(fit.seed for fit in fits)
