"""Classifier: logits without activations, encoding, and checkpoint."""

import functools
from pathlib import Path
from typing import Any

import pytest
import torch

from fashion_lsh.models.checkpoints import load_model
from fashion_lsh.models.classifier import ClassifierModel
from fashion_lsh.models.encoding import encode
from fashion_lsh.training.classifier import Classifier
from tests.models.factories import save

ARGUMENTS: dict[str, Any] = {
    "backbone": "resnet18", "categories": ["dress", "shirt", "skirt", "shoe"], "image_size": 32, "margin": 0.1,
    "frozen": False,
    "epochs": 1, "lr_factor": 1.0, "head_factor": 1.0, "label_smoothing": 0.1, "seed": 0,
    "optim": {"name": "sgd", "lr": 0.01, "momentum": 0.9, "weight_decay": 0.0005, "warmup": 0.1},
}  # fmt: skip
IMAGES = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@functools.cache
def cached_module() -> Classifier:
    torch.manual_seed(0)
    return Classifier(**ARGUMENTS).eval()


def cached_classifier() -> ClassifierModel:
    return cached_module().model


@torch.inference_mode()
def test_classifier_gives_logits_and_no_activations() -> None:
    output = cached_classifier()(IMAGES)
    assert output.logits.shape == (3, 4)
    assert output.activations is None
    assert cached_classifier().bits is None


@torch.inference_mode()
def test_logits_are_linear_in_features() -> None:
    model = cached_classifier()
    features = model.backbone(IMAGES)
    torch.testing.assert_close(model(IMAGES).logits, features @ model.head.weight.T + model.head.bias)


def test_classifier_is_encoded_without_codes() -> None:
    model = cached_classifier()
    encoded = encode(model, IMAGES)
    with torch.no_grad():
        most_probable = model(IMAGES).logits.argmax(1)
    assert encoded.codes is None
    assert encoded.predicted.tolist() == most_probable.tolist()
    assert encoded.probabilities.sum(1) == pytest.approx(1.0)


def test_classifier_checkpoint_restores_hyperparameters(tmp_path: Path) -> None:
    save(cached_module(), tmp_path / "classifier.ckpt")
    opened = load_model(tmp_path / "classifier.ckpt")
    hparams = dict(Classifier.load_from_checkpoint(tmp_path / "classifier.ckpt", weights_only=True).hparams)
    assert hparams == ARGUMENTS | {"frozen_blocks": 0, "layer_decay": 1.0, "mixup": 0.0, "ema_decay": 0.0}
    assert opened.categories == ARGUMENTS["categories"]
    assert (opened.image_size, opened.margin, opened.name) == (32, 0.1, "classifier")


def test_unknown_backbone_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"backbone\.name='resnet19'"):
        Classifier(**ARGUMENTS | {"backbone": "resnet19"})
