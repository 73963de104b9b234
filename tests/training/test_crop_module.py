"""LightningModules of classifier and hash head: loss, learning rates, seeds of dropout."""

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
from fashion_lsh.training.hash_head import Hasher
from tests.models.factories import arguments
from tests.models.test_crop_model import pictures

NOTHING = Batch(*[torch.empty(0)] * 4)
BOTH = pytest.mark.parametrize("kind", [Classifier, Hasher])


@functools.cache
def _first(kind: type[CropModule]) -> CropModule:
    torch.manual_seed(0)
    return kind(**arguments(kind)).eval()  # type: ignore[arg-type]


def stage_of(kind: type[CropModule]) -> CropModule:
    """Return a module with the same weights at every call, free to be changed."""
    return copy.deepcopy(_first(kind))


@BOTH
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7])
def test_the_loss_spreads_a_share_of_each_label_over_all_categories(kind: type[CropModule], smoothing: float) -> None:
    stage = kind(**arguments(kind, label_smoothing=smoothing)).eval()  # type: ignore[arg-type]
    stage.log = lambda *args, **kwargs: None  # type: ignore[method-assign]
    labels = torch.tensor([0, 2, 1, 2])
    with torch.no_grad():
        loss = stage.training_step(Batch(pictures(), labels, labels, labels))
        logs = stage(pictures()).logits.log_softmax(1)
    wanted = [-(1 - smoothing) * row[label] - smoothing * row.mean() for row, label in zip(logs, labels, strict=True)]
    torch.testing.assert_close(loss, torch.stack(wanted).mean())


@BOTH
def test_all_that_is_trained_after_the_backbone_learns_at_its_own_rate(kind: type[CropModule]) -> None:
    stage = stage_of(kind)
    stage.trainer = SimpleNamespace(estimated_stepping_batches=10)  # type: ignore[assignment]
    configured: Any = stage.configure_optimizers()
    groups = configured["optimizer"].param_groups
    rate = {id(p): group["initial_lr"] for group in groups for p in group["params"]}
    head = [p for name, p in stage.named_parameters() if not name.startswith("model.backbone.")]
    assert {rate.pop(id(p)) for p in head} == {0.1}
    assert {rate.pop(id(p)) for p in stage.model.backbone.parameters()} == {0.01}
    assert not rate
    assert configured["lr_scheduler"]["interval"] == "step"


def test_dropout_is_drawn_by_seed_and_epoch() -> None:
    stage, dropout, drawn = stage_of(Classifier), nn.Dropout(0.5), []
    for seed, epoch in [(0, 0), (0, 1), (1, 0), (0, 1)]:  # at the first batch of each
        stage.hparams["seed"] = seed
        stage.trainer = SimpleNamespace(current_epoch=epoch)  # type: ignore[assignment]
        stage.on_train_batch_start(NOTHING, 0)
        drawn.append(tuple(dropout(torch.ones(64)).tolist()))
    assert len(set(drawn)) == 3
    assert drawn[1] == drawn[3]
    stage.on_train_batch_start(NOTHING, 1)
    assert tuple(dropout(torch.ones(64)).tolist()) not in drawn  # each batch has its own
