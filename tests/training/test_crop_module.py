"""LightningModules of classifier and hash head: loss, learning rates and seeding of dropout."""

import copy
import functools
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

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


def test_dropout_is_seeded_by_seed_and_epoch() -> None:
    module, dropout, masks = make_module(Classifier), nn.Dropout(0.5), []
    for seed, epoch in [(0, 0), (0, 1), (1, 0), (0, 1)]:  # dropout mask of the first batch of each epoch
        module.hparams["seed"] = seed
        module.trainer = SimpleNamespace(current_epoch=epoch)  # type: ignore[assignment]
        module.on_train_batch_start(EMPTY_BATCH, 0)
        masks.append(tuple(dropout(torch.ones(64)).tolist()))
    assert len(set(masks)) == 3
    assert masks[1] == masks[3]
    module.on_train_batch_start(EMPTY_BATCH, 1)
    assert tuple(dropout(torch.ones(64)).tolist()) not in masks  # later batches are not re-seeded
