"""Losses of pytorch-metric-learning train with the hash head, resume exactly, and are not part of the network."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.models.losses.item_contrast import supervised_contrastive_loss
from fashion_lsh.training.hash_head import HashHead
from tests.conftest import NUM_ITEMS
from tests.training.factories import fit_on_cpu, make_module, states_are_equal, stop_at_epoch_end, stop_in_epoch

pytestmark = [pytest.mark.train, pytest.mark.usefixtures("tiny_backbones")]
MakeData = Callable[..., GarmentData]


def make_head(name: str, **changes: Any) -> Any:
    network = {key: changes.pop(key) for key in ("epochs", "frozen", "item_weight") if key in changes}
    return make_module(HashHead, **{"item_weight": 1.0, **network}, item_loss={"name": name, **changes})


def make_trainer(folder: Path) -> pl.Trainer:
    options = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return pl.Trainer(default_root_dir=folder, max_epochs=1, accelerator="cpu", **options)


def without_items(data: GarmentData) -> GarmentData:
    items = np.full(len(data.catalogue), "", dtype=object)
    return data.replace(catalogue=data.catalogue.with_columns(item=items))


@pytest.mark.usefixtures("increasing_accuracy")
@pytest.mark.parametrize("stop", [stop_at_epoch_end, stop_in_epoch])
@pytest.mark.parametrize(("name", "settings"), [
    ("ArcFaceLoss", {}), ("ProxyAnchorLoss", {"vectors": "embedding"}),
    ("ContrastiveLoss", {"memory": 40, "miner": "MultiSimilarityMiner"}),
])  # fmt: skip
def test_resumed_training_equals_uninterrupted_training(
    name: str,
    settings: dict[str, Any],
    stop: Callable[..., None],
    make_data: MakeData,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    whole = make_head(name, **settings)
    uninterrupted = fit_on_cpu(whole, make_data(), tmp_path / "whole")
    with pytest.MonkeyPatch.context() as patch:
        stop(1, patch)
        with pytest.raises(RuntimeError, match="interrupted"):
            fit_on_cpu(make_head(name, **settings), make_data(), tmp_path / "stopped")
    assert "resumed" not in caplog.text
    other = make_head(name, **settings)
    resumed = fit_on_cpu(other, make_data(), tmp_path / "stopped")
    assert states_are_equal(resumed.state_dict(), uninterrupted.state_dict())
    assert states_are_equal(other.metric_loss.state_dict(), whole.metric_loss.state_dict())
    assert "hash_head: resumed from" in caplog.text


@pytest.mark.parametrize("labels", ["item", "category"])
def test_classes_are_those_of_the_training_data_and_are_trained(
    labels: str, make_data: MakeData, tmp_path: Path
) -> None:
    head, data = make_head("ArcFaceLoss", labels=labels, epochs=1), make_data()
    head.prepare(data)
    initial = head.metric_loss.loss.W.detach().clone()
    model = fit_on_cpu(head, data, tmp_path)
    num_train_items = len(np.unique(data.items[data.rows("train")]))
    assert initial.shape == (model.bits, {"item": num_train_items, "category": 3}[labels])
    assert 3 < num_train_items < 3 * NUM_ITEMS
    assert not torch.equal(head.metric_loss.loss.W, initial)


def test_the_network_has_no_weights_of_the_loss(make_data: MakeData, tmp_path: Path) -> None:
    model = fit_on_cpu(make_head("ArcFaceLoss", epochs=1), make_data(), tmp_path)
    state = torch.load(tmp_path / "hash_head.ckpt", weights_only=True)["state_dict"]
    assert not [name for name in (*state, *model.state_dict()) if "metric_loss" in name or name.endswith("W")]
    loaded = HashHead.load_from_checkpoint(tmp_path / "hash_head.ckpt", weights_only=True, map_location="cpu")
    assert loaded.item_loss == {"name": "ArcFaceLoss"}
    assert states_are_equal(loaded.model.state_dict(), model.state_dict())


def test_a_trainer_that_is_used_directly_creates_the_loss(make_data: MakeData, tmp_path: Path) -> None:
    head, data = make_head("ProxyAnchorLoss", epochs=1), make_data(item_pairs=True)
    trainer = make_trainer(tmp_path)
    trainer.fit(head, datamodule=data)
    trainer.save_checkpoint(tmp_path / "training.ckpt")
    assert len(head.metric_loss.classes) == len(np.unique(data.items[data.rows("train")]))
    opened = HashHead.load_from_checkpoint(tmp_path / "training.ckpt", weights_only=True, map_location="cpu")
    assert states_are_equal(opened.model.state_dict(), head.model.state_dict())
    with pytest.raises(ValueError, match="item_pairs=True"):
        trainer.fit(make_head("ProxyAnchorLoss"), datamodule=make_data())


def test_the_classes_of_a_plain_loader_are_unknown(make_data: MakeData, tmp_path: Path) -> None:
    loader = make_data(item_pairs=True).train_dataloader()
    with pytest.raises(ValueError, match=r"item_loss: .*GarmentData"):
        make_trainer(tmp_path).fit(make_head("ProxyAnchorLoss", epochs=1), loader)


@pytest.mark.parametrize(("changes", "expected"), [
    ({}, True), ({"labels": "category"}, False), ({"item_weight": 0.0}, False),
])  # fmt: skip
def test_batches_have_item_pairs_if_items_are_compared(
    changes: dict[str, Any], expected: bool, make_data: MakeData
) -> None:
    loader = make_head("MultiSimilarityLoss", **changes).train_batches(make_data(batch_size=4))
    items = next(iter(loader)).items.reshape(-1, 2)
    assert (items[:, 0] == items[:, 1]).all().item() is expected


@pytest.mark.parametrize(("vectors", "labels"), [("codes", "item"), ("embedding", "item"), ("codes", "category")])
def test_the_loss_is_added_with_its_weight(vectors: str, labels: str, make_data: MakeData) -> None:
    head, data = make_head("SupConLoss", vectors=vectors, labels=labels, item_weight=0.3), make_data()
    batch = next(iter(head.train_batches(data)))
    head.train()
    output = head(batch.images)
    head.model.loss.forward = lambda *_: torch.zeros(())
    compared = output.embedding if vectors == "embedding" else output.activations - head.model.threshold
    expected = supervised_contrastive_loss(compared, batch.items if labels == "item" else batch.labels, 0.1)
    torch.testing.assert_close(head.compute_loss(output, batch), 0.3 * expected)


def test_losses_with_classes_need_items(make_data: MakeData) -> None:
    data = without_items(make_data())
    with pytest.raises(ValueError, match=r"hash\.item_loss\.labels=item: ArcFaceLoss .*labels=category"):
        make_head("ArcFaceLoss").check_data(data)
    make_head("ArcFaceLoss", labels="category").check_data(data)
    make_head("NTXentLoss").check_data(data)  # compares two views of each image
    make_head("ArcFaceLoss", item_weight=0.0).check_data(data)


def test_a_memory_must_hold_a_batch(make_data: MakeData) -> None:
    with pytest.raises(ValueError, match=r"hash\.item_loss\.memory=15: .*data\.batch_size=16"):
        make_head("NTXentLoss", memory=15).check_data(make_data(batch_size=16))


def test_embeddings_of_a_frozen_backbone_cannot_be_trained() -> None:
    with pytest.raises(ValueError, match=r"hash\.item_loss\.vectors=embedding"):
        make_head("ArcFaceLoss", vectors="embedding", frozen=True)


def test_settings_are_checked_before_training() -> None:
    with pytest.raises(ValueError, match=r"hash\.item_loss\.name='ArcFaceLos'"):
        make_head("ArcFaceLos")
