"""Base class of the LightningModules that train on crops: classifier and hash head."""

from abc import ABC, abstractmethod
from typing import Annotated, Any, Self

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.dataset import Batch
from fashion_lsh.io.targets import Spec
from fashion_lsh.models.crop_model import CropModel, ModelOutput
from fashion_lsh.training.module import TrainingModule


class CropModule(TrainingModule, ABC):
    """Train a CropModel with `compute_loss`, and keep the epoch with the highest `val` accuracy.

    Args:
        backbone: see `create_backbone`.
        categories: names of the categories, in the order of the labels.
        head_factor: learning rate of all layers after the backbone, as a multiple of the backbone's learning rate.
        layer_decay: factor of the learning rate from each block of the backbone to the block before it, so that the
            stem has the lowest rate (see `Backbone.parameter_groups`); 1: one rate.
        mixup: parameter of the Beta distribution from which the ratio of two mixed images is drawn (H. Zhang et al.,
            ICLR 2018, section 2); 0: images are not mixed.
        options: see TrainingModule and the network.

    Raises:
        ValueError: `categories` are not at least two different names.
    """

    model: CropModel

    def __init__(
        self,
        backbone: Spec,
        categories: list[str],
        head_factor: PositiveFloat = 1.0,
        layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0,
        mixup: NonNegativeFloat = 0.0,
        **options: Any,
    ) -> None:
        if isinstance(categories, str) or not 2 <= len(categories) == len(set(categories)):
            raise ValueError(f"categories={categories!r}: pass a list of at least two different names")
        super().__init__(backbone=backbone, categories=list(categories), **options)
        self.save_hyperparameters({"head_factor": head_factor, "layer_decay": layer_decay, "mixup": mixup})
        self.monitor = f"{self.model.name}/val/accuracy"
        self.accuracy = MulticlassAccuracy(len(categories), average="micro")
        self.f1 = MulticlassF1Score(len(categories), average="macro")

    @abstractmethod
    def compute_loss(self, output: ModelOutput, batch: Batch) -> Tensor:
        """Compute the loss of a batch, a scalar."""

    def start_from(self, other: CropModel) -> Self:
        """Copy backbone weights and fit metrics from another model."""
        self.model.start_from(other)
        return self

    def post_fit(self, data: GarmentData) -> dict[str, float]:
        return self.model.post_fit(data)

    def check_data(self, data: GarmentData) -> None:
        """Check the training data before training.

        Raises:
            ValueError: the network does not accept training crops of this size.
        """
        side = data.train_image_size
        if side is None or not data.has_images:
            return
        try:
            self.model.backbone.check_shape((1, 3, side, side))
        except ValueError as error:
            raise ValueError(f"data.train_image_size={side}: {error}") from error

    def on_fit_start(self) -> None:
        """Check that model and data fit together, if a GarmentData is passed to Lightning's Trainer.

        Raises:
            ValueError: categories, image size or margin of the model and the data differ.
        """
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, GarmentData):
            return
        for name in ("categories", "image_size", "margin"):
            expected, value = getattr(self.model, name), getattr(data, name)
            if expected != value:
                raise ValueError(f"{name}={value!r} of the data, {expected!r} of the model; pass the same to both")

    def training_step(self, batch: Batch) -> Tensor:
        loss = self._mixed_loss(batch) if self.hparams["mixup"] else self.compute_loss(self(batch.images), batch)
        self.log(f"{self.name}/train/loss", loss, prog_bar=True, batch_size=len(batch.labels), sync_dist=True)
        return loss

    def _mixed_loss(self, batch: Batch) -> Tensor:
        """Loss of images that are mixed in pairs: the mean of the losses with both labels, weighted by the ratio."""
        ratio = float(torch.distributions.Beta(self.hparams["mixup"], self.hparams["mixup"]).sample())
        order = torch.randperm(len(batch.labels)).to(batch.labels.device)
        images = batch.images.float()
        output = self(ratio * images + (1 - ratio) * images[order])
        losses = [self.compute_loss(output, each) for each in (batch, batch._replace(labels=batch.labels[order]))]
        return ratio * losses[0] + (1 - ratio) * losses[1]

    def validation_step(self, batch: Batch) -> None:
        output = self(batch.images)
        self.accuracy(output.logits, batch.labels)
        self.f1(output.logits, batch.labels)
        log_options: dict[str, Any] = {"on_step": False, "on_epoch": True, "batch_size": len(batch.labels)}
        self.log(f"{self.name}/val/loss", self.compute_loss(output, batch), sync_dist=True, **log_options)
        self.log(f"{self.name}/val/accuracy", self.accuracy, prog_bar=True, **log_options)
        self.log(f"{self.name}/val/macro_f1", self.f1, **log_options)
        self.collect_validation(output, batch)

    def collect_validation(self, output: ModelOutput, batch: Batch) -> None:
        """Collect outputs of a validation batch; a subclass computes its metrics of the epoch from these."""

    def head_parameters(self) -> list[nn.Parameter]:
        """Parameters that are trained with the learning rate of the head."""
        return self.model.head_parameters()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        lr = self.hparams["optim"]["lr"] * self.hparams["lr_factor"]
        backbone, decay = self.model.backbone, self.hparams["layer_decay"]
        groups = [list(backbone.parameters())] if decay == 1 else backbone.parameter_groups()
        rates = [lr * decay ** (len(groups) - 1 - depth) for depth in range(len(groups))]
        head = (self.head_parameters(), lr * self.hparams["head_factor"])
        return self.build_optimizer([*zip(groups, rates, strict=True), head])
