"""Train, interrupt and resume small networks."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.dataset import Batch
from fashion_lsh.models.backbones import Backbone
from fashion_lsh.training import callbacks
from fashion_lsh.training.callbacks import EpochLogger
from fashion_lsh.training.classifier import Classifier
from fashion_lsh.training.crop_module import CropModule
from fashion_lsh.training.fitting import fit
from tests.models.factories import make_arguments


def tiny_backbone(name: str, image_size: int = 32) -> Backbone:
    """Return a small, fast network with batch statistics and dropout."""
    layers = [nn.Conv2d(3, 8, 5, stride=4), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()]
    return Backbone(name, nn.Sequential(*layers, nn.Dropout(0.3)), 32, 32)


def make_module(module_class: type[CropModule] = Classifier, **changes: Any) -> Any:
    optim = {"name": "sgd", "lr": 0.02, "momentum": 0.9, "weight_decay": 0.0005, "warmup": 0.1}
    torch.manual_seed(0)
    return module_class(**make_arguments(module_class, **{"epochs": 3, "head_factor": 1.0, "optim": optim} | changes))  # type: ignore[arg-type]


class ScriptedClassifier(Classifier):
    """Classifier with predefined `val` accuracies that records the weights at each validation."""

    accuracies = (0.1,)

    def validation_step(self, batch: Batch) -> None:
        self.log("classifier/val/accuracy", self.accuracies[self.current_epoch], batch_size=len(batch.labels))

    def on_validation_epoch_end(self) -> None:
        self.states = [*getattr(self, "states", []), copy.deepcopy(self.model.state_dict())]


def make_scripted_module(*accuracies: float) -> Any:
    module = make_module(ScriptedClassifier, epochs=len(accuracies))
    module.accuracies = accuracies
    return module


def fit_on_cpu(module: Any, data: GarmentData, folder: Path, **changes: Any) -> Any:
    return fit(module, data, folder, accelerator="cpu", **changes)


def states_are_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def file_names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def stop_at_epoch_end(epoch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupt training at the end of an epoch; epochs are counted from 0."""
    original = EpochLogger.on_train_epoch_end

    def stop(self: Any, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == epoch:
            raise RuntimeError("interrupted")
        original(self, trainer, pl_module)

    monkeypatch.setattr(EpochLogger, "on_train_epoch_end", stop)


def stop_in_epoch(epoch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupt training within an epoch; epochs are counted from 0."""
    original = CropModule.training_step

    def stop(self: Any, batch: Batch) -> Tensor:
        if self.current_epoch == epoch and self.global_step % 2:
            raise RuntimeError("interrupted")
        return original(self, batch)

    monkeypatch.setattr(CropModule, "training_step", stop)


def logged_epochs(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the epochs in the log: `1/3`, `2/3`, …"""
    texts = [record.getMessage() for record in caplog.records if record.name == callbacks.__name__]
    matches = [re.search(r": epoch (\d+/\d+): ", text) for text in texts]
    return [match[1] for match in matches if match]
