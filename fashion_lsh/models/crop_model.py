"""What classifier, hasher and baselines share, all that answers for a crop: a backbone, one forward, a fit."""

import hashlib
import json
import logging
from abc import ABC, abstractmethod
from typing import Any, NamedTuple, Self

import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.dataset import Batch
from fashion_lsh.models.backbones import backbone as make_backbone
from fashion_lsh.models.backbones import load_weights
from fashion_lsh.models.calibration import calibration_error, fit_temperature
from fashion_lsh.training.module import Stage

log = logging.getLogger(__name__)


class Answer(NamedTuple):
    """What one forward says of B pictures.

    logits: (B, C) float32, before the softmax and without the temperature.
    activations: (B, bits) float32; a bit is 1 where it exceeds the stage's `threshold`; None without a hash layer.
    embedding: (B, D) float32, L2-normalised backbone features, before the hash layer; a Hasher's may be shorter.
    """

    logits: Tensor
    activations: Tensor | None
    embedding: Tensor


class CropStage(Stage, ABC):
    """A backbone with a category head, fitted by `loss_of`.  Subclasses save their own hyper-parameters.

    Args:
        name: `classifier` or `hasher`: the prefix of its metrics and the name of its checkpoint.
        backbone: one of BACKBONES.
        categories: names of the categories, in the order of the labels.
        image_size: side in pixels of the crops it is trained on and wants.
        margin: share of the box that those crops add on each side.
        frozen: train the head alone; the backbone stays as it starts, batch norms and dropout in evaluation mode.
    """

    threshold = 0.5
    bits: int | None = None
    temperature: Tensor

    def __init__(
        self, name: str, backbone: str, categories: list[str], image_size: int, margin: float, frozen: bool
    ) -> None:
        super().__init__()
        self.frozen = frozen
        self.name, self.categories, self.image_size, self.margin = name, list(categories), image_size, margin
        self.monitor = f"{name}/val/accuracy"
        self.backbone = make_backbone(backbone).requires_grad_(not frozen)
        if image_size < self.backbone.smallest:
            raise ValueError(
                f"data.image_size={image_size}: {backbone} needs at least {self.backbone.smallest} pixels; "
                "give larger crops or another backbone"
            )
        self.register_buffer("temperature", torch.ones(()))
        self.accuracy = MulticlassAccuracy(len(categories), average="micro")
        self.f1 = MulticlassF1Score(len(categories), average="macro")
        self.train()  # a new module is in training mode, the frozen backbone too

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    @abstractmethod
    def head_parameters(self) -> list[nn.Parameter]:
        """All that is trained after the backbone."""

    @abstractmethod
    def answer(self, features: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, feature_dim) features -> logits (B, C), activations (B, bits) or None."""

    def forward(self, images: Tensor) -> Answer:
        """(B, 3, H, W) uint8 crops -> all there is to know of them, from one pass."""
        features = self.backbone(images)
        return Answer(*self.answer(features), self.embedding(features))

    def embedding(self, features: Tensor) -> Tensor:
        """(B, feature_dim) features -> (B, D) of length 1."""
        return functional.normalize(features, dim=1)

    def masses(self, logits: Tensor) -> Tensor:
        """(B, C) logits -> (B, C) softmax masses at the fitted temperature."""
        return (logits / self.temperature).softmax(dim=1)

    def start(self, weights: str | None) -> str:
        """Fill the backbone's weights (see `load_weights`); tell where they come from.

        Raises:
            ValueError: the backbone is frozen and has no weights to keep, or they are another network's.
            FileNotFoundError: there is no such file.
        """
        if self.frozen and weights is None:
            raise ValueError("backbone.frozen=true would keep random weights: give backbone.weights=imagenet or a path")
        return f"{load_weights(self.backbone, weights)} ({self.backbone.name})"

    def settle(self, data: GarmentData) -> dict[str, float]:
        """Fit the temperature on `val`; give `<stage>/val/ece_before`, the calibration error, and `…_after`."""
        logits, labels = _val_logits(self, data)
        temperature = fit_temperature(logits, labels)
        before, after = (calibration_error(logits, labels, t) for t in (1.0, temperature))
        self.temperature.fill_(temperature)
        log.info("%s: temperature %.3f, ECE on val %.4f before, %.4f after", self.name, temperature, before, after)
        return {f"{self.name}/val/ece_before": before, f"{self.name}/val/ece_after": after}

    def training_step(self, batch: Batch) -> Tensor:
        loss = self.loss_of(self(batch.images), batch)
        self.log(f"{self.name}/train/loss", loss, prog_bar=True, batch_size=len(batch.labels))
        return loss

    def validation_step(self, batch: Batch) -> None:
        answer = self(batch.images)
        self.accuracy(answer.logits, batch.labels)
        self.f1(answer.logits, batch.labels)
        log: dict[str, Any] = {"on_step": False, "on_epoch": True, "batch_size": len(batch.labels)}
        self.log(f"{self.name}/val/loss", self.loss_of(answer, batch), **log)
        self.log(f"{self.name}/val/accuracy", self.accuracy, prog_bar=True, **log)
        self.log(f"{self.name}/val/macro_f1", self.f1, **log)

    @abstractmethod
    def loss_of(self, answer: Answer, batch: Batch) -> Tensor:
        """What is to be made small, a scalar."""

    def configure_optimizers(self) -> OptimizerLRScheduler:
        lr = self.hparams["optim"]["lr"] * self.hparams["lr_factor"]
        groups = [(self.backbone.parameters(), lr), (self.head_parameters(), lr * self.hparams["head_factor"])]
        return self.optimizing(groups)

    def start_from(self, other: "CropStage") -> Self:
        """Copy another stage's backbone weights."""
        self.backbone.load_state_dict(other.backbone.state_dict())
        return self

    def fingerprint(self) -> str:
        """SHA-256 over names, shapes and bytes of all weights, and the preprocessing: codes are comparable only
        between models for which it is the same."""
        digest = hashlib.sha256(json.dumps([self.image_size, self.margin, self.threshold]).encode())
        for name, value in sorted(self.state_dict().items()):
            digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
            digest.update(value.detach().cpu().numpy().tobytes())
        return digest.hexdigest()


@torch.inference_mode()
def _val_logits(stage: CropStage, data: GarmentData) -> tuple[Tensor, Tensor]:
    stage.eval()
    answers = [(stage(batch.images.to(stage.device)).logits.cpu(), batch.labels) for batch in data.val_dataloader()]
    return torch.cat([logits for logits, _ in answers]), torch.cat([labels for _, labels in answers])
