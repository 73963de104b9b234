"""Base class of networks with codes: activations, and an embedding reduced by PCA."""

import logging
from abc import ABC
from typing import TYPE_CHECKING, Any

import torch
from pydantic import PositiveInt
from torch import Tensor
from torch.nn import functional

from fashion_lsh.io.targets import Spec
from fashion_lsh.models.crop_model import CropModel
from fashion_lsh.models.projection import principal_axes

if TYPE_CHECKING:  # importing a network must not import Lightning
    from fashion_lsh.data.datamodule import GarmentData

log = logging.getLogger(__name__)

SAMPLES_PER_AXIS = 8  # number of training images per embedding dimension, enough for stable principal axes


class CodeModel(CropModel, ABC):
    """CropModel with codes, and with an embedding reduced to the first principal components of the features.

    Args:
        backbone: see `create_backbone`.
        categories: names of the categories, in the order of the labels.
        bits: code length.
        embedding_dim: length D of the embedding (see `fit_pca`). No PCA if None, or if not below `feature_dim`.
        options: image_size, margin, frozen, see CropModel.

    Raises:
        ValueError: `bits` is below 1.
    """

    name = "hash_head"
    fits_projection = False  # True in subclasses that fit hyperplanes to features of training images
    bits: int
    centre: Tensor
    axes: Tensor

    def __init__(
        self,
        backbone: Spec,
        categories: list[str],
        bits: int = 48,
        embedding_dim: PositiveInt | None = 256,
        **options: Any,
    ) -> None:
        if bits < 1:
            raise ValueError(f"hash.bits={bits}: must be at least 1; set more bits, or hash=none for no hash layer")
        if 2**bits < len(categories):
            log.warning("hash.bits=%d: only %d codes for %d categories; set more bits", bits, 2**bits, len(categories))
        super().__init__(backbone, categories, **options)
        self.bits = bits
        feature_dim = self.backbone.feature_dim
        self.has_pca = embedding_dim is not None and embedding_dim < feature_dim
        length = embedding_dim if embedding_dim is not None and self.has_pca else 0
        self.embedding_length = length or feature_dim
        self.register_buffer("centre", torch.zeros(feature_dim if length else 0))
        self.register_buffer("axes", torch.eye(feature_dim, length))  # (feature_dim, D) orthonormal columns

    def embedding(self, features: Tensor) -> Tensor:
        """L2-normalised embedding.  Features (B, feature_dim) -> (B, D) float32; in training mode D = feature_dim."""
        full = super().embedding(features)
        if self.training or not self.has_pca:
            return full
        return functional.normalize((full - self.centre) @ self.axes, dim=1)

    def post_fit(self, data: "GarmentData") -> dict[str, float]:
        fit_metrics = super().post_fit(data)
        if self.has_pca or self.fits_projection:
            self.fit_projection(self.sample_features(data))
        return fit_metrics

    def fit_projection(self, features: Tensor) -> None:
        """Fit the PCA to features of training images, (N, feature_dim); subclasses also fit hyperplanes."""
        self.fit_pca(functional.normalize(features, dim=1))

    def fit_pca(self, features: Tensor) -> None:
        """Fit the principal axes to L2-normalised features, (N, feature_dim)."""
        if self.has_pca:
            centre, axes = principal_axes(features, self.axes.shape[1])
            self.centre.copy_(centre)
            self.axes.copy_(axes)

    @torch.inference_mode()
    def sample_features(self, data: "GarmentData") -> Tensor:
        """Features of evenly spaced training images without augmentation, (N, feature_dim) float32 on the CPU."""
        self.eval()
        batches = data.loader("train", SAMPLES_PER_AXIS * self.embedding_length)
        return torch.cat([self.features(batch.images.to(self.device)).cpu() for batch in batches])
