"""Arguments and checkpoints of LightningModules."""

from pathlib import Path
from typing import Any

from fashion_lsh.models.checkpoints import save_model
from fashion_lsh.training.crop_module import CropModule
from fashion_lsh.training.hash_head import HashHead
from fashion_lsh.training.module import TrainingModule

CATEGORIES = ["circle", "cross", "square"]


def make_arguments(module_class: type[CropModule], **changes: Any) -> dict[str, Any]:
    """Return the constructor arguments of a Classifier or HashHead, with `changes`."""
    defaults: dict[str, Any] = {
        "backbone": "resnet18", "categories": CATEGORIES, "image_size": 32, "margin": 0.1,
        "frozen": False, "epochs": 1, "lr_factor": 1.0,
        "head_factor": 10.0, "label_smoothing": 0.1, "seed": 0,
        "optim": {"name": "sgd", "lr": 0.01, "momentum": 0.9, "weight_decay": 0.01, "warmup": 0.1},
    }  # fmt: skip
    hash_arguments = {"bits": 7, "embedding_dim": None, "loss": "softmax", "bihalf": False, "item_weight": 0.0}
    return defaults | (hash_arguments if module_class is HashHead else {}) | changes


def save(module: TrainingModule, path: Path) -> None:
    """Save the checkpoint of a module as `fit` does."""
    save_model(module.model, path, module.hparams)
