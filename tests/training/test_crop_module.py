"""LightningModules of classifier and hash head: loss, learning rates and seeding of dropout."""

import copy
import functools
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from PIL import Image
from torch import nn

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.dataset import Batch
from fashion_lsh.training.classifier import Classifier
from fashion_lsh.training.crop_module import CropModule
from fashion_lsh.training.hash_head import HashHead
from tests.models.factories import make_arguments
from tests.models.test_crop_model import random_images

EMPTY_BATCH = Batch(*[torch.empty(0)] * 4)
both_modules = pytest.mark.parametrize("module_class", [Classifier, HashHead])


@functools.cache
def _cached_module(module_class: type[CropModule]) -> CropModule:
    torch.manual_seed(0)
    return module_class(**make_arguments(module_class)).eval()  # type: ignore[arg-type]


def make_module(module_class: type[CropModule]) -> CropModule:
    """Return a new copy of a module with the same weights at every call."""
    return copy.deepcopy(_cached_module(module_class))


@both_modules
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7])
def test_label_smoothing_matches_the_definition(module_class: type[CropModule], smoothing: float) -> None:
    module = module_class(**make_arguments(module_class, label_smoothing=smoothing)).eval()  # type: ignore[arg-type]
    module.log = lambda *args, **kwargs: None  # type: ignore[method-assign]
    labels = torch.tensor([0, 2, 1, 2])
    with torch.no_grad():
        loss = module.training_step(Batch(random_images(), labels, labels, labels))
        logs = module(random_images()).logits.log_softmax(1)
    expected = [-(1 - smoothing) * row[label] - smoothing * row.mean() for row, label in zip(logs, labels, strict=True)]
    torch.testing.assert_close(loss, torch.stack(expected).mean())


@both_modules
def test_a_size_of_training_crops_that_the_network_cannot_take_is_named(
    module_class: type[CropModule], make_data: Callable[..., GarmentData]
) -> None:
    module = make_module(module_class)
    module.model.backbone.min_size = 40
    module.check_data(make_data(train_image_size=40))
    with pytest.raises(ValueError, match=r"^data\.train_image_size=32: .*40"):
        module.check_data(make_data(train_image_size=32))


@both_modules
def test_head_has_its_own_learning_rate(module_class: type[CropModule]) -> None:
    module = make_module(module_class)
    module.trainer = SimpleNamespace(estimated_stepping_batches=10)  # type: ignore[assignment]
    configured: Any = module.configure_optimizers()
    groups = configured["optimizer"].param_groups
    rate = {id(p): group["initial_lr"] for group in groups for p in group["params"]}
    head = [p for name, p in module.named_parameters() if not name.startswith("model.backbone.")]
    assert {rate.pop(id(p)) for p in head} == {0.1}
    assert {rate.pop(id(p)) for p in module.model.backbone.parameters()} == {0.01}
    assert not rate
    assert configured["lr_scheduler"]["interval"] == "step"


def test_dropout_is_seeded_by_seed_epoch_and_rank() -> None:
    module, dropout, masks = make_module(Classifier), nn.Dropout(0.5), []
    # dropout mask of the first batch of each epoch
    for seed, epoch, rank in [(0, 0, 0), (0, 1, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]:
        module.hparams["seed"] = seed
        module.trainer = SimpleNamespace(current_epoch=epoch, global_rank=rank)  # type: ignore[assignment]
        module.on_train_batch_start(EMPTY_BATCH, 0)
        masks.append(tuple(dropout(torch.ones(64)).tolist()))
    assert len(set(masks)) == 4
    assert masks[1] == masks[3]
    module.on_train_batch_start(EMPTY_BATCH, 1)
    assert tuple(dropout(torch.ones(64)).tolist()) not in masks  # later batches are not re-seeded


@both_modules
@pytest.mark.parametrize("categories", [[], ["coat"], ["coat", "coat"], "coat"])
def test_categories_must_be_two_different_names(module_class: type[CropModule], categories: Any) -> None:
    with pytest.raises(ValueError, match=re.escape(f"categories={categories!r}")):
        module_class("resnet18", categories)  # type: ignore[call-arg]


@both_modules
@pytest.mark.parametrize("change", [{"categories": ["circle", "star"]}, {"image_size": 48}, {"margin": 0.3}])
def test_trainer_rejects_data_that_differ_from_the_model(
    module_class: type[CropModule], change: dict[str, Any], make_data: Callable[..., GarmentData]
) -> None:
    data = make_data()
    arguments = {"categories": data.categories, "image_size": data.image_size, "margin": data.margin}
    module = module_class("resnet18", **arguments | change)
    options: dict[str, Any] = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False}
    trainer = pl.Trainer(max_epochs=1, enable_progress_bar=False, enable_model_summary=False, **options)
    [(name, value)] = change.items()
    with pytest.raises(ValueError, match=f"^{name}=.*{re.escape(repr(value))} of the model"):
        trainer.fit(module, data)


def test_trainer_fits_a_folder_of_images_of_one_pixel(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for category in ("coat", "dress"):
        (tmp_path / category).mkdir()
        for number in range(10):
            pixel = rng.integers(0, 256, (1, 1, 3), dtype=np.uint8)
            Image.fromarray(pixel).save(tmp_path / category / f"{number}.png")
    data = GarmentData.from_folder(tmp_path, image_size=32, workers=0, gallery="train")
    module = HashHead("resnet18", data.categories, bits=8, image_size=32)
    options: dict[str, Any] = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False}
    trainer = pl.Trainer(max_epochs=1, enable_progress_bar=False, enable_model_summary=False, **options)
    trainer.fit(module, data)
    assert "hash_head/val/accuracy" in trainer.callback_metrics
