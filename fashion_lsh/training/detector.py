"""LightningModule of the detector."""

from collections.abc import Sequence
from typing import Annotated, Any

import torch
from pydantic import Field, PositiveInt
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor

from fashion_lsh.data.detection_data import DetectionBatch, Level
from fashion_lsh.io.targets import Spec
from fashion_lsh.models.detector import DetectorModel
from fashion_lsh.training.module import TrainingModule
from fashion_lsh.training.optimizers import ADAMW, Optim


class Detector(TrainingModule):
    """Train a DetectorModel, and keep the last epoch, since scoring detections on `val` after each epoch is slow.

    Args:
        backbone: see DetectorModel.
        classes: names of the classes, in the order of the labels.
        level: level of the classes: `garment` (a single class; the classifier predicts the category), `supercategory`
            or `category`.
        epochs: number of epochs.
        ema_decay, optim: see TrainingModule.
        options: lr_factor, seed (see TrainingModule), and those of DetectorModel.
    """

    network_class = DetectorModel
    validates = False
    model: DetectorModel

    def __init__(
        self,
        backbone: Spec = "resnet18",
        classes: Sequence[str] = ("garment",),
        level: Level = "garment",
        epochs: PositiveInt = 8,
        ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.998,
        optim: Optim = ADAMW | {"lr": 0.0003},
        **options: Any,
    ) -> None:
        options |= {"backbone": backbone, "classes": list(classes)}
        super().__init__(epochs=epochs, ema_decay=ema_decay, optim=optim, **options)
        self.save_hyperparameters({"level": level})

    def training_step(self, batch: DetectionBatch) -> Tensor:
        targets = [
            {"boxes": boxes, "labels": labels + 1} for boxes, labels in zip(batch.boxes, batch.labels, strict=True)
        ]
        losses = self.model.losses([image.float() / 255 for image in batch.images], targets)
        total = torch.stack(list(losses.values())).sum()
        log_options: dict[str, Any] = {"batch_size": len(batch.images), "sync_dist": True}
        self.log(f"{self.name}/train/loss", total, prog_bar=True, **log_options)
        self.log_dict({f"{self.name}/train/{name}": value for name, value in losses.items()}, **log_options)
        return total

    def configure_optimizers(self) -> OptimizerLRScheduler:
        lr = self.hparams["optim"]["lr"]
        backbone = self.model.pyramid.body.parameters()
        other_parameters = [
            p for name, p in self.model.network.named_parameters() if not name.startswith("backbone.body.")
        ]
        return self.build_optimizer([(backbone, lr * self.hparams["lr_factor"]), (other_parameters, lr)])
