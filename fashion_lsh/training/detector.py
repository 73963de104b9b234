"""LightningModule of the detector."""

from typing import Annotated, Any

import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from pytorch_lightning.callbacks import Callback, EMAWeightAveraging
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor

from fashion_lsh.data.detection_data import DetectionBatch, Level
from fashion_lsh.models.detector import DetectorModel
from fashion_lsh.training.module import TrainingModule
from fashion_lsh.training.optimizers import Optim


class Detector(TrainingModule):
    """Train a DetectorModel, and keep the last epoch, since scoring detections on `val` after each epoch is slow.

    Args:
        backbone, classes, weights: see DetectorModel. The arguments that are not listed here are documented there too.
        level: level of the classes: `garment` (a single class; the classifier predicts the category), `supercategory`
            or `category`.
        epochs: number of epochs.
        lr_factor: learning rate of the backbone, as a multiple of `optim.lr`.
        ema_decay: decay per step of the exponential moving average of the weights, which replaces the weights of the
            last step; 0 to disable averaging.
        optim: see Optim.
        seed: seed for sampling proposals.
    """

    model: DetectorModel

    def __init__(
        self,
        backbone: str,
        classes: list[str],
        weights: str | None,
        level: Level,
        frozen: NonNegativeInt,
        image_size: PositiveInt,
        channels: PositiveInt,
        head: PositiveInt,
        anchors: list[PositiveFloat],
        ratios: Annotated[list[PositiveFloat], Field(min_length=1)],
        proposals: Annotated[list[PositiveInt], Field(min_length=2, max_length=2)],
        roi_batch_size: PositiveInt,
        max_detections: PositiveInt,
        flip_tta: bool,
        epochs: PositiveInt,
        lr_factor: PositiveFloat,
        ema_decay: Annotated[float, Field(ge=0, lt=1)],
        optim: Optim,
        seed: NonNegativeInt,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.model = DetectorModel(
            backbone, classes, weights, frozen, image_size, channels, head, anchors, ratios, proposals, roi_batch_size,
            max_detections, flip_tta,
        )  # fmt: skip

    def callbacks(self) -> list[Callback]:
        """Callback for the exponential moving average of the weights; empty if averaging is disabled."""
        return [EMAWeightAveraging(decay=self.hparams["ema_decay"])] if self.hparams["ema_decay"] else []

    def training_step(self, batch: DetectionBatch) -> Tensor:
        targets = [
            {"boxes": boxes, "labels": labels + 1} for boxes, labels in zip(batch.boxes, batch.labels, strict=True)
        ]
        losses = self.model.losses([image.float() / 255 for image in batch.images], targets)
        total = torch.stack(list(losses.values())).sum()
        log_options: dict[str, Any] = {"batch_size": len(batch.images)}
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
