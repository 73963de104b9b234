"""Backbone of models that are trained on vectors instead of images."""

from pydantic import PositiveInt
from torch import Tensor, nn

from fashion_lsh.models.backbones import Backbone


class VectorBackbone(Backbone):
    """Identity on vectors, (B, feature_dim) -> (B, feature_dim); images are an error.

    Args:
        feature_dim: length of a vector.
        model: fingerprint of the model that computed the vectors; "" if it is unknown.
    """

    def __init__(self, feature_dim: PositiveInt, model: str = "") -> None:
        super().__init__("vectors", nn.Identity(), feature_dim, min_size=1)
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Return vectors, (B, feature_dim), as float32.

        Raises:
            ValueError: the shape differs.
        """
        if images.ndim != 2 or images.shape[1] != self.feature_dim:
            origin = f" of model {self.model[:12]}" if self.model else ""
            raise ValueError(
                f"input of shape {tuple(images.shape)}: the model was trained on vectors of length "
                f"{self.feature_dim}{origin}; pass such vectors (Searcher.search_vectors), not images"
            )
        return images.float()
