"""ItemContrast trains codes of the items within a category, and leaves the classifier unchanged."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.features import Features
from fashion_lsh.models.checkpoints import load_model
from fashion_lsh.models.item_codes import ItemCodeModel, ItemLDA, LinearProjection
from fashion_lsh.models.losses.item_contrast import supervised_contrastive_loss
from fashion_lsh.training.classifier import Classifier
from fashion_lsh.training.item_contrast import ItemContrast
from tests.models.factories import CATEGORIES
from tests.training.factories import fit_on_cpu, make_module, states_are_equal

pytestmark = [pytest.mark.train, pytest.mark.usefixtures("tiny_backbones")]
MakeData = Callable[..., GarmentData]


class NotANumber(LinearProjection):
    """Projection whose outputs are NaN."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return super().forward(features) * torch.nan


def make_head(**changes: Any) -> ItemContrast:
    options: dict[str, Any] = {
        "bits": 16, "image_size": 32, "embedding_dim": None, "epochs": 3, "batch_size": 64, "projection": "linear",
    } | changes  # fmt: skip
    torch.manual_seed(0)
    return ItemContrast("tiny", CATEGORIES, **options)


def test_only_the_projection_is_trained(make_data: MakeData, tmp_path: Path) -> None:
    data = make_data()
    classifier = fit_on_cpu(make_module(Classifier), data, tmp_path)
    head = make_head().start_from(classifier)
    initial = {name: value.clone() for name, value in head.model.projection.state_dict().items()}
    model = fit_on_cpu(head, data, tmp_path)
    images = next(iter(data.loader("query"))).images
    with torch.inference_mode():
        output, before = model(images), classifier(images)
    assert torch.equal(output.logits, before.logits)
    assert torch.equal(model.temperature, classifier.temperature)
    assert not states_are_equal(model.projection.state_dict(), initial)
    loaded = load_model(tmp_path / "hash_head.ckpt", "cpu")
    assert isinstance(loaded, ItemCodeModel)
    with torch.inference_mode():
        assert torch.equal(loaded(images).activations, output.activations)
    assert loaded.fingerprint() == model.fingerprint()


def test_the_loss_compares_images_of_a_category(make_data: MakeData) -> None:
    heads = {name: make_head(negatives=name) for name in ("category", "all")}
    batch = next(iter(heads["all"].train_batches(make_data())))
    losses = {}
    for name, head in heads.items():
        head.train()
        output = head(batch.images)
        losses[name] = head.compute_loss(output, batch)
        categories = batch.labels if name == "category" else None
        expected = supervised_contrastive_loss(output.activations, batch.items, 0.1, categories)
        torch.testing.assert_close(losses[name], expected)
    assert losses["category"] < losses["all"]


def test_prefixes_add_their_losses(make_data: MakeData) -> None:
    head = make_head(prefixes=[4, 8])
    batch = next(iter(head.train_batches(make_data())))
    head.train()
    output = head(batch.images)
    losses = [
        supervised_contrastive_loss(output.activations[:, :length], batch.items, 0.1, batch.labels)
        for length in (4, 8, 16)
    ]
    torch.testing.assert_close(head.compute_loss(output, batch), torch.stack(losses).mean())


def test_lightning_loads_the_checkpoint(make_data: MakeData, tmp_path: Path) -> None:
    model = fit_on_cpu(make_head(epochs=1, prefixes=[4]), make_data(), tmp_path)
    loaded = ItemContrast.load_from_checkpoint(tmp_path / "hash_head.ckpt", weights_only=True, map_location="cpu")
    assert loaded.lengths == [4, 16]
    assert states_are_equal(loaded.model.state_dict(), model.state_dict())


def test_a_monitor_of_the_user_does_not_apply(make_data: MakeData, caplog: pytest.LogCaptureFixture) -> None:
    head = make_head()
    head.monitor, head.monitor_mode = "hash_head/val/loss", "min"
    with caplog.at_level(logging.INFO):
        head.prepare(make_data())
    assert "trainer.monitor" in caplog.text
    assert head.monitor in (None, "hash_head/val/code_map")
    assert head.monitor_mode == "max"


def test_vectors_without_items_are_refused_before_training(make_data: MakeData) -> None:
    data = make_data()
    num_rows = len(data.catalogue)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GarmentData, "has_images", False)
        with pytest.raises(ValueError, match=r"data=embeddings.*column item.*embedding=pca"):
            make_head().check_data(data.replace(items=np.arange(num_rows)))
        make_head().check_data(data)  # items have two vectors


@pytest.mark.parametrize("size", [33, 2])
def test_batches_contain_pairs(size: int, make_data: MakeData) -> None:
    with pytest.raises(ValueError, match=rf"hash\.batch_size={size}"):
        make_head(batch_size=size).check_data(make_data())


def test_a_memory_must_hold_a_batch_of_features(make_data: MakeData) -> None:
    head = make_head(item_loss={"name": "NTXentLoss", "memory": 40}, negatives="all", batch_size=64)
    with pytest.raises(ValueError, match=r"hash\.item_loss\.memory=40: .*hash\.batch_size=64"):
        head.check_data(make_data())


@pytest.mark.parametrize("prefixes", [[16], [4, 20]])
def test_a_prefix_is_shorter_than_the_code(prefixes: list[int]) -> None:
    with pytest.raises(ValueError, match=r"hash\.prefixes=.*hash\.bits=16"):
        make_head(prefixes=prefixes)


def test_batches_of_features_have_their_own_size(make_data: MakeData) -> None:
    data = make_data(batch_size=8)
    num_rows = len(data.catalogue)
    matrix = np.random.default_rng(0).standard_normal((num_rows, 32)).astype(np.float32)
    with_features = data.replace(features=Features(matrix, np.arange(num_rows)[None]))
    assert len(next(iter(make_head(batch_size=20).train_batches(with_features))).labels) == 20
    assert len(next(iter(make_head(batch_size=20).train_batches(data))).labels) == 8


def test_without_items_in_val_the_last_epoch_is_kept(make_data: MakeData) -> None:
    ratios = {"train": 0.2, "val": 0.6, "query": 0.1, "gallery": 0.1}
    data, head = make_data(ratios=ratios), make_head()
    items = np.array([f"item {row}" for row in range(len(data.catalogue))], dtype=object)
    head.prepare(data.replace(catalogue=data.catalogue.with_columns(item=items), items=np.arange(len(items))))
    assert head.monitor is None
    head.prepare(data)
    assert head.monitor == "hash_head/val/code_map"


@pytest.mark.parametrize(("settings", "named"), [
    ({"item_loss": {"name": "ArcFaceLoss"}}, r"hash\.negatives=category.*ArcFaceLoss.*negatives=all"),
    ({"item_loss": {"name": "NTXentLoss", "memory": 64}}, r"hash\.item_loss\.memory=64.*negatives=all"),
    ({"item_loss": {"name": "NTXentLoss", "vectors": "embedding"}}, r"hash\.item_loss\.vectors=embedding"),
    ({"item_loss": {"name": "SupConLoss", "labels": "category"}}, r"hash\.item_loss\.labels=category.*negatives=all"),
    ({"item_loss": {"name": "ArcFaceLoss"}, "negatives": "all", "prefixes": [4]}, r"hash\.prefixes=\[4\].*ArcFaceLoss"),
    ({"projection": "linea"}, r"hash\.projection='linea'.*linear, mlp"),
    ({"projection": "torch.nn.Module"}, r"hash\.projection"),
    ({"projection": "torch.nn.Identity"}, r"hash\.projection: Identity computes \(2, 32\).*\(2, 16\)"),
    ({"projection": "torch.nn.Identity", "bits": 32}, r"hash\.projection: Identity has no weights"),
    ({"projection": {"_target_": "torch.nn.Linear", "in_features": 3, "out_features": 16}},
     r"hash\.projection: Linear raised RuntimeError.*\(B, 32\)"),
    ({"projection": f"{__name__}.NotANumber"}, r"hash\.projection: NotANumber computes NaN"),
    ({"prefixes": [4, 4]}, r"hash\.prefixes=\[4, 4\].*different"),
    ({"embedding": "item_lda"}, r"hash\.embedding=item_lda.*embedding_dim"),
])  # fmt: skip
def test_invalid_settings_are_refused(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        make_head(**settings)


def test_losses_of_pairs_compare_images_of_a_category(make_data: MakeData) -> None:
    head = make_head(item_loss={"name": "SupConLoss"})
    batch = next(iter(head.train_batches(make_data())))
    head.train()
    output = head(batch.images)
    parts = [output.activations[batch.labels == label] for label in batch.labels.unique()]
    items = [batch.items[batch.labels == label] for label in batch.labels.unique()]
    expected = sum(len(part) / len(batch.labels) * supervised_contrastive_loss(part, item, 0.1)
                   for part, item in zip(parts, items, strict=True))  # fmt: skip
    torch.testing.assert_close(head.compute_loss(output, batch), expected)


def test_item_lda_has_the_logits_of_the_classifier(make_data: MakeData, tmp_path: Path) -> None:
    data = make_data()
    classifier = fit_on_cpu(make_module(Classifier), data, tmp_path)
    options: dict[str, Any] = {"image_size": 32, "embedding": "item_lda", "embedding_dim": 8, "seed": 0}
    model = fit_on_cpu(ItemLDA("tiny", CATEGORIES, bits=12, **options).start_from(classifier), data, tmp_path)
    images = next(iter(data.loader("query"))).images
    with torch.inference_mode():
        output = model(images)
        torch.testing.assert_close(output.logits, classifier(images).logits)
        assert torch.equal(load_model(tmp_path / "hash_head.ckpt", "cpu")(images).activations, output.activations)
    assert output.activations.shape == (len(images), 12)
    assert output.embedding.shape == (len(images), 8)
    with pytest.raises(ValueError, match=r"hash\.bits=33.*32"):
        ItemLDA("tiny", CATEGORIES, bits=33, **options)
