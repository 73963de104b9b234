"""Training on cached features gives the weights of training on images, and a normal checkpoint."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fashion_lsh.data.crops import crop_image
from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.dataset import CropDataset
from fashion_lsh.models.checkpoints import load_model
from fashion_lsh.models.feature_cache import cache_features
from fashion_lsh.training.classifier import Classifier
from fashion_lsh.training.crop_module import CropModule
from fashion_lsh.training.hash_head import HashHead
from tests.training.factories import fit_on_cpu, make_module

MakeData = Callable[..., GarmentData]
pytestmark = pytest.mark.usefixtures("tiny_backbones")


@pytest.fixture
def no_augmentation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train on crops without augmentation."""

    def crop(self: CropDataset, image: np.ndarray, box: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return crop_image(image, box, self.margin, self.size)

    monkeypatch.setattr(CropDataset, "_augment", crop)


def train_on_both(module_class: type[CropModule], data: GarmentData, folder: Path, views: int, **changes: Any) -> Any:
    """Train two networks of equal initial weights, on images and on cached features."""
    modules = [make_module(module_class, frozen=True, **changes) for _ in range(2)]
    cached = cache_features(modules[1].model, data, folder / "features", views)
    pairs = zip(modules, (data, cached), ("images", "cached"), strict=True)
    return [fit_on_cpu(module, each, folder / name) for module, each, name in pairs]


def assert_weights_are_equal(one: Any, other: Any) -> None:
    expected = one.state_dict()
    for name, value in other.state_dict().items():
        assert torch.allclose(value, expected[name], atol=1e-5), name


@pytest.mark.usefixtures("no_augmentation")
@pytest.mark.parametrize(
    ("module_class", "changes"),
    [(Classifier, {}), (HashHead, {}), (HashHead, {"embedding_dim": 8}), (HashHead, {"loss": "csq", "bits": 8})],
)
def test_training_on_the_cache_equals_training_on_images(
    module_class: type[CropModule], changes: dict[str, Any], make_data: MakeData, tmp_path: Path
) -> None:
    on_images, on_cache = train_on_both(module_class, make_data(), tmp_path, 1, **changes)
    assert_weights_are_equal(on_images, on_cache)
    metrics, expected = (each.fit_metrics[each.name] for each in (on_cache, on_images))
    assert metrics == pytest.approx(expected, abs=1e-4)


def test_as_many_views_as_epochs_equal_training_on_augmented_images(make_data: MakeData, tmp_path: Path) -> None:
    on_images, on_cache = train_on_both(Classifier, make_data(), tmp_path, 3)
    assert_weights_are_equal(on_images, on_cache)


def test_item_pairs_train_on_two_cached_views(make_data: MakeData, tmp_path: Path) -> None:
    data = make_data(item_pairs=True, batch_size=8)
    module = make_module(HashHead, frozen=True, item_weight=0.5, epochs=1)
    initial = {name: value.clone() for name, value in module.model.state_dict().items()}
    model = fit_on_cpu(module, cache_features(module.model, data, tmp_path / "features", 2), tmp_path / "run")
    assert not torch.equal(model.hash_layer.weight, initial["hash_layer.weight"])
    assert all(torch.equal(value, initial[name]) for name, value in model.state_dict().items() if "backbone" in name)


def test_the_checkpoint_encodes_images(make_data: MakeData, tmp_path: Path) -> None:
    data = make_data()
    module = make_module(HashHead, frozen=True)
    cached = cache_features(module.model, data, tmp_path / "features")
    model = fit_on_cpu(module, cached, tmp_path)
    loaded = load_model(tmp_path / "hash_head.ckpt", "cpu")
    assert HashHead.load_from_checkpoint(tmp_path / "hash_head.ckpt", map_location="cpu").model.bits == model.bits
    for images, features in zip(data.loader("query"), cached.loader("query"), strict=True):
        expected, output = model(features.images), loaded(images.images)
        assert torch.allclose(output.logits, expected.logits, atol=1e-5)
        assert torch.allclose(output.activations, expected.activations, atol=1e-5)
        assert torch.allclose(output.embedding, expected.embedding, atol=1e-5)
