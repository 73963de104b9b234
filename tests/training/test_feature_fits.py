"""Hash stages fitted on cached features equal those of the whole network."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.loaders import build_row_loader
from fashion_lsh.evaluation import advice_sample
from fashion_lsh.evaluation.advice_fits import LENGTHS, lengths_within, measure_searches
from fashion_lsh.evaluation.advice_sample import draw_sample
from fashion_lsh.evaluation.batch_encoding import encode_all
from fashion_lsh.models.classifier import ClassifierModel
from fashion_lsh.models.feature_cache import cache_features
from fashion_lsh.models.item_codes import ItemCodeModel, ItemLDA
from fashion_lsh.training.feature_fits import feature_classifier, fit_classifier, fit_code

pytestmark = pytest.mark.train
SETTINGS = {"_target_": "fashion_lsh.models.item_codes.ItemLDA", "levels": True, "embedding": "item_lda",
            "embedding_dim": 8}  # fmt: skip


@pytest.fixture
def encoded(make_data: Callable[..., GarmentData], tmp_path: Path) -> tuple[GarmentData, ClassifierModel]:
    """Data with features and levels of a network with random weights."""
    data = make_data(ratios={"train": 0.4, "val": 0.4, "query": 0.1, "gallery": 0.1})
    torch.manual_seed(0)
    options: dict[str, Any] = {"backbone": "resnet18", "categories": data.categories, "image_size": 32}
    classifier = ClassifierModel(**options).eval()
    wide = ItemCodeModel(bits=8, levels=True, **options).start_from(classifier)
    return cache_features(wide, data, tmp_path / "features"), classifier


def test_codes_are_those_of_the_whole_network(encoded: tuple[GarmentData, ClassifierModel]) -> None:
    data, classifier = encoded
    assert data.features is not None
    fitted = fit_code(feature_classifier(classifier, data.features.matrix.shape[1]), data, SETTINGS, 16, 0)
    options: dict[str, Any] = {"backbone": "resnet18", "categories": data.categories, "image_size": 32}
    whole = ItemLDA(bits=16, levels=True, embedding="item_lda", embedding_dim=8, **options).start_from(classifier)
    whole.post_fit(data)
    rows = data.rows("gallery")
    one, other = (encode_all(model, build_row_loader(data, rows))[0] for model in (fitted, whole.eval()))
    np.testing.assert_array_equal(one.codes, other.codes)
    np.testing.assert_array_equal(one.predicted, other.predicted)
    np.testing.assert_allclose(one.embeddings, other.embeddings, atol=1e-5)


def test_classifier_is_trained_on_features(encoded: tuple[GarmentData, ClassifierModel]) -> None:
    data, network = encoded
    settings = {"_target_": "fashion_lsh.training.classifier.Classifier", "backbone": "resnet18", "image_size": 32,
                "frozen": True, "epochs": 3, "seed": 0, "optim": {"name": "adamw", "lr": 0.01, "momentum": 0.9,
                "weight_decay": 0.0, "warmup": 0.1}}  # fmt: skip
    trained = fit_classifier(data, settings, network.backbone.feature_dim)
    assert trained.model.fit_metrics["classifier"]["val/accuracy"] > 0
    code = fit_code(trained, data, SETTINGS, 16, 0)
    features = next(iter(build_row_loader(data, data.rows("gallery")))).images
    logits = trained.model(features[:, : network.backbone.feature_dim]).logits
    torch.testing.assert_close(code(features).logits, logits)


def test_only_searches_within_the_bytes_are_measured(
    encoded: tuple[GarmentData, ClassifierModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, classifier = encoded
    assert data.features is not None
    monkeypatch.setattr(advice_sample, "MIN_QUERIES", 2)
    sample = draw_sample(data, 1000)
    model = fit_code(feature_classifier(classifier, data.features.matrix.shape[1]), data, SETTINGS, 48, 0)
    small = measure_searches(model, data, sample, 1, 300, ("resnet18", "item_lda"))
    assert {each.num_bytes for each in small} == {16}  # the fewest bytes, although the budget is smaller
    large = measure_searches(model, data, sample, 40, len(sample.gallery), ("resnet18", "item_lda"))
    assert {each.num_bytes for each in large} == {16, 32, 40}
    assert [each.score for each in small] == [each.score for each in large if each.num_bytes == 16]
    assert all(0 <= each.score <= 1 and each.milliseconds > 0 for each in large)


def test_lengths_fit_the_budget() -> None:
    assert lengths_within(32, is_full=False) == [32, 64, 128, 160]
    assert lengths_within(1, is_full=False) == [24]
    assert lengths_within(32, is_full=True) == [length for length in LENGTHS if length <= 160]
    assert lengths_within(1000, is_full=True) == list(LENGTHS)
