"""Base class of networks that add codes to a trained classifier without changing it."""

from abc import ABC
from typing import Any, Self

from torch import Tensor, nn

from fashion_lsh.io.targets import Spec
from fashion_lsh.models.code_model import CodeModel
from fashion_lsh.models.crop_model import CropModel


class FixedClassifier(CodeModel, ABC):
    """CodeModel with the backbone and the category head of a trained classifier; neither is trained.

    The predicted categories, and so the inverted lists, are those of the classifier.

    Args:
        backbone, categories, bits, options: see CodeModel.
    """

    fixed_arguments: tuple[str, ...] = ("frozen",)

    def __init__(self, backbone: Spec, categories: list[str], bits: int = 48, **options: Any) -> None:
        super().__init__(backbone, categories, bits, **options | {"frozen": True})
        self.head = nn.Linear(self.base_dim, len(categories)).requires_grad_(False)

    def logits(self, features: Tensor) -> Tensor:
        """Logits of the classifier.  Features (B, feature_dim) -> (B, C)."""
        logits: Tensor = self.head(features[:, : self.base_dim])
        return logits

    def start_from(self, other: CropModel) -> Self:
        """Copy the weights of backbone and head from a classifier."""
        self.head.load_state_dict(other.get_submodule("head").state_dict())
        return super().start_from(other)
