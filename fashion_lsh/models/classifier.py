"""Classifier network: backbone and linear category head."""

from typing import Any

from torch import Tensor, nn

from fashion_lsh.io.targets import Spec
from fashion_lsh.models.crop_model import CropModel


class ClassifierModel(CropModel):
    """Backbone and linear category head, without activations and codes; also the model of runs with `hash=none`.

    Args:
        backbone, categories, options: see CropModel.
    """

    name = "classifier"

    def __init__(self, backbone: Spec, categories: list[str], **options: Any) -> None:
        super().__init__(backbone, categories, **options)
        self.head = nn.Linear(self.backbone.feature_dim, len(categories))

    def head_parameters(self) -> list[nn.Parameter]:
        return list(self.head.parameters())

    def compute_heads(self, features: Tensor) -> tuple[Tensor, None]:
        return self.head(features), None
