"""Classifier network: backbone and linear category head."""

from torch import Tensor, nn

from fashion_lsh.models.crop_model import CropModel


class ClassifierModel(CropModel):
    """Backbone and linear category head, without activations and codes; also the model of runs with `hash=none`.

    Args:
        backbone, categories, image_size, margin, frozen: see CropModel.
    """

    name = "classifier"

    def __init__(self, backbone: str, categories: list[str], image_size: int, margin: float, frozen: bool) -> None:
        super().__init__(backbone, categories, image_size, margin, frozen)
        self.head = nn.Linear(self.backbone.feature_dim, len(categories))

    def head_parameters(self) -> list[nn.Parameter]:
        return list(self.head.parameters())

    def compute_heads(self, features: Tensor) -> tuple[Tensor, None]:
        return self.head(features), None
