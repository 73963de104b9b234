"""Base class of networks for crops: backbone and category head in one forward pass."""

import hashlib
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from itertools import chain
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Self

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from fashion_lsh.io.targets import Spec
from fashion_lsh.metrics.calibration import calibration_error
from fashion_lsh.models.backbones import create_backbone, load_weights
from fashion_lsh.models.calibration import MAX_TEMPERATURE, fit_temperature

if TYPE_CHECKING:  # importing a network must not import Lightning
    from fashion_lsh.data.datamodule import GarmentData

log = logging.getLogger(__name__)

MAX_ACCURACY_LOSS = 0.01  # of the hash head, compared with the classifier on val, without a warning


class ModelOutput(NamedTuple):
    """Output of a forward pass over B images.

    Attributes:
        logits: (B, C) float32 logits, before temperature and softmax.
        activations: (B, bits) float32 activations; a bit is 1 where its activation exceeds `threshold`; None without a
            hash layer.
        embedding: (B, D) float32 backbone features before the hash layer, L2-normalised; a CodeModel reduces the
            features by PCA.
    """

    logits: Tensor
    activations: Tensor | None
    embedding: Tensor


class CropModel(nn.Module, ABC):
    """Backbone with a category head.

    Args:
        backbone: see `create_backbone`.
        categories: names of the categories, in the order of the labels.
        image_size: side of the crops in pixels.
        margin: margin of the crops on each side, as a fraction of the box.
        frozen: do not train the backbone, and keep its batch norms and dropout in evaluation mode.
        frozen_blocks: number of first blocks of the backbone, with the stem as the first, that are frozen in the same
            way; see `Backbone.parameter_groups`.

    Attributes:
        name: `classifier` or `hash_head`; prefix of the metrics and name of the checkpoint.
        fit_metrics: metrics recorded while fitting, by stage and name: {"classifier": {"val/accuracy": 0.9}}.
        bits: code length; None without a hash layer.

    Raises:
        ValueError: the backbone does not accept images of `image_size`, or has fewer than `frozen_blocks` blocks.
    """

    name: str
    threshold = 0.5
    bits: int | None = None
    fit_metrics: Mapping[str, Mapping[str, float]] = MappingProxyType({})
    temperature: Tensor

    def __init__(
        self,
        backbone: Spec,
        categories: list[str],
        image_size: PositiveInt = 64,
        margin: NonNegativeFloat = 0.1,
        frozen: bool = False,
        frozen_blocks: NonNegativeInt = 0,
    ) -> None:
        super().__init__()
        self.frozen, self.frozen_blocks = frozen, frozen_blocks
        self.categories, self.image_size, self.margin = list(categories), image_size, margin
        self.backbone = create_backbone(backbone, image_size).requires_grad_(not frozen)
        if self.backbone.fixed_size not in (None, image_size):  # a user's own class
            raise ValueError(
                f"data.image_size={image_size}: {backbone} accepts only {self.backbone.fixed_size} pixels; set "
                f"data.image_size={self.backbone.fixed_size}"
            )
        if image_size < self.backbone.min_size:
            raise ValueError(
                f"data.image_size={image_size}: {backbone} needs at least {self.backbone.min_size} pixels; "
                "set a larger data.image_size or choose another backbone"
            )
        if frozen_blocks:
            self._freeze_blocks(frozen_blocks)
        self.register_buffer("temperature", torch.ones(()))
        self.train()  # new modules are in training mode: set a frozen backbone to evaluation mode

    @property
    def log_name(self) -> str:
        """Name of the model in log messages."""
        return self.name

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.temperature.device

    def train(self, mode: bool = True) -> Self:
        """Set training mode; a frozen backbone, and frozen blocks of it, stay in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        elif self.frozen_blocks:
            for module in self.backbone.modules():
                parameters = list(module.parameters())
                if parameters and not any(parameter.requires_grad for parameter in parameters):
                    module.eval()
        return self

    def _freeze_blocks(self, count: int) -> None:
        groups = self.backbone.parameter_groups()
        if count > len(groups):
            raise ValueError(
                f"backbone.frozen_blocks={count}: {self.backbone.name} has {len(groups)} blocks; set at most "
                f"{len(groups)}, or backbone.frozen=true"
            )
        for parameter in chain.from_iterable(groups[:count]):
            parameter.requires_grad_(False)

    @abstractmethod
    def head_parameters(self) -> list[nn.Parameter]:
        """Parameters of all layers after the backbone."""

    @abstractmethod
    def compute_heads(self, features: Tensor) -> tuple[Tensor, Tensor | None]:
        """Compute outputs of all heads.

        Features (B, feature_dim) -> logits (B, C); activations (B, bits), or None without a hash layer.
        """

    def features(self, images: Tensor) -> Tensor:
        """Crops (B, 3, H, W) uint8, or features (B, feature_dim) -> backbone features (B, feature_dim) float32."""
        if images.ndim == 2 and images.shape[1] == self.backbone.feature_dim:
            return images.float()
        features: Tensor = self.backbone(images)
        return features

    def forward(self, images: Tensor) -> ModelOutput:
        """Compute logits, activations and embedding.  Crops or features (see `features`) -> ModelOutput."""
        features = self.features(images)
        return ModelOutput(*self.compute_heads(features), self.embedding(features))

    def embedding(self, features: Tensor) -> Tensor:
        """L2-normalised embedding.  Features (B, feature_dim) -> embedding (B, D) float32."""
        return functional.normalize(features, dim=1)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Softmax probabilities with the fitted temperature.  Logits (B, C) -> probabilities (B, C)."""
        return (logits / self.temperature).softmax(dim=1)

    def load_weights(self, weights: str | None) -> str:
        """Load backbone weights as `backbones.load_weights` does, and return their source.

        Raises:
            ValueError: the backbone is frozen and `weights` is None, or the weights belong to another network.
            FileNotFoundError: the file is missing.
        """
        has_weights = weights is not None or self.backbone.loads_weights
        if self.frozen and not has_weights and any(True for _ in self.backbone.parameters()):
            raise ValueError("backbone.frozen=true freezes random weights; set backbone.weights to imagenet or a path")
        if self.frozen_blocks and not has_weights:
            raise ValueError(
                f"backbone.frozen_blocks={self.frozen_blocks} freezes random weights; set backbone.weights to imagenet "
                "or a path"
            )
        return f"{load_weights(self.backbone, weights)} ({self.backbone.name})"

    def start_from(self, other: "CropModel") -> Self:
        """Copy backbone weights and fit metrics from another model."""
        self.backbone.load_state_dict(other.backbone.state_dict())
        self.fit_metrics = dict(other.fit_metrics)
        return self

    def post_fit(self, data: "GarmentData") -> dict[str, float]:
        """Fit the temperature on `val`; return `val/accuracy`, and the calibration error before and after.

        A warning is logged if the accuracy is more than MAX_ACCURACY_LOSS below that of the classifier.
        """
        logits, labels = _val_logits(self, data)
        temperature = fit_temperature(logits, labels)
        before, after = (calibration_error(logits, labels, t) for t in (1.0, temperature))
        self.temperature.fill_(temperature)
        log.info(
            "%s: temperature %.3f; ECE on val %.4f before calibration, %.4f after",
            self.log_name,
            temperature,
            before,
            after,
        )
        accuracy = float((logits.argmax(dim=1) == labels).float().mean())
        classifier_accuracy = self.fit_metrics.get("classifier", {}).get("val/accuracy", 0.0)
        if self.name != "classifier" and accuracy < classifier_accuracy - MAX_ACCURACY_LOSS:
            log.warning(
                "%s: top-1 on val %.3f, that of the classifier %.3f; train for more epochs (hash.epochs), with another "
                "rate (trainer.lr_grid=[1,0.2,5]), or with more bits (hash.bits)",
                self.log_name, accuracy, classifier_accuracy,
            )  # fmt: skip
        if temperature > 0.99 * MAX_TEMPERATURE:
            log.warning(
                "%s: the logits say almost nothing about the category (temperature at its limit, top-1 on val %.3f); "
                "train for more epochs, or with another learning rate",
                self.log_name,
                accuracy,
            )
        return {"val/accuracy": accuracy, "val/ece_before": before, "val/ece_after": after}

    def fingerprint(self) -> str:
        """SHA-256 of all weights (names, shapes, dtypes and bytes), image size, margin and threshold.

        Codes are comparable only between models with the same fingerprint.
        """
        digest = hashlib.sha256(json.dumps([self.image_size, self.margin, self.threshold]).encode())
        for name, value in sorted(self.state_dict().items()):
            digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
            digest.update(value.detach().cpu().numpy().tobytes())
        return digest.hexdigest()


@torch.inference_mode()
def _val_logits(model: CropModel, data: "GarmentData") -> tuple[Tensor, Tensor]:
    model.eval()
    results = [(model(batch.images.to(model.device)).logits.cpu(), batch.labels) for batch in data.val_dataloader()]
    return torch.cat([logits for logits, _ in results]), torch.cat([labels for _, labels in results])
