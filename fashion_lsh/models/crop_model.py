"""Base class of the networks that take crops: a backbone, a category head, one forward pass."""

import hashlib
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.metrics.calibration import calibration_error
from fashion_lsh.models.backbones import create_backbone, load_weights
from fashion_lsh.models.calibration import fit_temperature

log = logging.getLogger(__name__)


class ModelOutput(NamedTuple):
    """Output of one forward pass over B images.

    logits: (B, C) float32, before the softmax and without the temperature.
    activations: (B, bits) float32; a bit is 1 where it exceeds the model's `threshold`; None without a hash layer.
    embedding: (B, D) float32, L2-normalised backbone features, before the hash layer; that of a code may be shorter.
    """

    logits: Tensor
    activations: Tensor | None
    embedding: Tensor


class CropModel(nn.Module, ABC):
    """Backbone with a category head.

    Args:
        backbone: one of BACKBONES.
        categories: names of the categories, in the order of the labels.
        image_size: side in pixels of the crops it is trained on and expects.
        margin: ratio of the box added to those crops on each side.
        frozen: the backbone is not trained; its batch norms and dropout stay in evaluation mode.

    Attributes:
        name: `classifier` or `hash_head`: prefix of its metrics and name of its checkpoint.
        fit_metrics: metrics of its fit on `val`, by name.
        bits: code length; None without a hash layer.

    Raises:
        ValueError: `image_size` is below the smallest image of the backbone.
    """

    name: str
    threshold = 0.5
    bits: int | None = None
    fit_metrics: Mapping[str, float] = MappingProxyType({})
    temperature: Tensor

    def __init__(self, backbone: str, categories: list[str], image_size: int, margin: float, frozen: bool) -> None:
        super().__init__()
        self.frozen = frozen
        self.categories, self.image_size, self.margin = list(categories), image_size, margin
        self.backbone = create_backbone(backbone).requires_grad_(not frozen)
        if image_size < self.backbone.min_size:
            raise ValueError(
                f"data.image_size={image_size}: {backbone} needs at least {self.backbone.min_size} pixels; "
                "give larger crops or another backbone"
            )
        self.register_buffer("temperature", torch.ones(()))
        self.train()  # a new module is in training mode, the frozen backbone too

    @property
    def device(self) -> torch.device:
        """The device of its weights."""
        return self.temperature.device

    def train(self, mode: bool = True) -> Self:
        """Set training mode; a frozen backbone stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    @abstractmethod
    def head_parameters(self) -> list[nn.Parameter]:
        """Parameters after the backbone."""

    @abstractmethod
    def compute_heads(self, features: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, feature_dim) features -> logits (B, C), activations (B, bits) or None."""

    def forward(self, images: Tensor) -> ModelOutput:
        """(B, 3, H, W) uint8 crops -> logits, activations and embedding."""
        features = self.backbone(images)
        return ModelOutput(*self.compute_heads(features), self.embedding(features))

    def embedding(self, features: Tensor) -> Tensor:
        """(B, feature_dim) features -> (B, D) of length 1."""
        return functional.normalize(features, dim=1)

    def probabilities(self, logits: Tensor) -> Tensor:
        """(B, C) logits -> (B, C) softmax probabilities at the fitted temperature."""
        return (logits / self.temperature).softmax(dim=1)

    def load_weights(self, weights: str | None) -> str:
        """Load the backbone's weights (see `load_weights`) and name their source.

        Raises:
            ValueError: the backbone is frozen and has no weights to keep, or they are another network's.
            FileNotFoundError: there is no such file.
        """
        if self.frozen and weights is None:
            raise ValueError("backbone.frozen=true would keep random weights: give backbone.weights=imagenet or a path")
        return f"{load_weights(self.backbone, weights)} ({self.backbone.name})"

    def start_from(self, other: "CropModel") -> Self:
        """Copy another model's backbone weights and fit metrics."""
        self.backbone.load_state_dict(other.backbone.state_dict())
        self.fit_metrics = dict(other.fit_metrics)
        return self

    def post_fit(self, data: GarmentData) -> dict[str, float]:
        """Fit the temperature on `val`; return `<name>/val/ece_before`, the calibration error, and `…_after`."""
        logits, labels = _val_logits(self, data)
        temperature = fit_temperature(logits, labels)
        before, after = (calibration_error(logits, labels, t) for t in (1.0, temperature))
        self.temperature.fill_(temperature)
        log.info("%s: temperature %.3f, ECE on val %.4f before, %.4f after", self.name, temperature, before, after)
        return {f"{self.name}/val/ece_before": before, f"{self.name}/val/ece_after": after}

    def fingerprint(self) -> str:
        """SHA-256 of names, shapes and bytes of all weights, and of the preprocessing.

        Codes are comparable only between models with the same fingerprint.
        """
        digest = hashlib.sha256(json.dumps([self.image_size, self.margin, self.threshold]).encode())
        for name, value in sorted(self.state_dict().items()):
            digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
            digest.update(value.detach().cpu().numpy().tobytes())
        return digest.hexdigest()


def arguments(values: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a constructor, from its `locals()`."""
    return {name: value for name, value in values.items() if name not in ("self", "__class__")}


@torch.inference_mode()
def _val_logits(model: CropModel, data: GarmentData) -> tuple[Tensor, Tensor]:
    model.eval()
    outputs = [(model(batch.images.to(model.device)).logits.cpu(), batch.labels) for batch in data.val_dataloader()]
    return torch.cat([logits for logits, _ in outputs]), torch.cat([labels for _, labels in outputs])
