"""Base class of networks with codes: activations, and an embedding reduced by PCA."""

import logging
from abc import ABC
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import PositiveInt
from torch import Tensor
from torch.nn import functional

from fashion_lsh.io.targets import Spec
from fashion_lsh.models.crop_model import CropModel
from fashion_lsh.models.item_lda import ItemPairs, fit_item_lda
from fashion_lsh.models.projection import principal_axes

if TYPE_CHECKING:  # importing a network must not import Lightning
    from fashion_lsh.data.datamodule import GarmentData

MAX_PAIRS = 20_000  # number of pairs of images that are enough for the scatters of item-LDA
log = logging.getLogger(__name__)

SAMPLES_PER_AXIS = 8  # number of training images per embedding dimension, enough for stable principal axes


class CodeModel(CropModel, ABC):
    """CropModel with codes, and with an embedding reduced to the first principal components of the features.

    Args:
        backbone: see `create_backbone`.
        categories: names of the categories, in the order of the labels.
        bits: code length.
        levels: append the means of the feature maps of earlier blocks to the features (see `Backbone.add_levels`), for
            code and embedding.
        embedding: axes of the embedding: `pca`, the principal axes, or `item_lda`, the axes along which the items of a
            category differ most (see `fit_item_lda`).
        embedding_dim: length D of the embedding. None, or not below `feature_dim`: all features, without a projection.
        options: image_size, margin, frozen, see CropModel.

    Raises:
        ValueError: `bits` is below 1, or `embedding` is `item_lda` without a projection.
    """

    name = "hash_head"
    fits_projection = False  # True in subclasses that fit hyperplanes to features of training images
    compares_items = False  # True in subclasses that fit hyperplanes to pairs of images
    bits: int
    centre: Tensor
    axes: Tensor

    def __init__(
        self,
        backbone: Spec,
        categories: list[str],
        bits: int = 48,
        levels: bool = False,
        embedding: Literal["pca", "item_lda"] = "pca",
        embedding_dim: PositiveInt | None = 256,
        **options: Any,
    ) -> None:
        if bits < 1:
            raise ValueError(f"hash.bits={bits}: must be at least 1; set more bits, or hash=none for no hash layer")
        if 2**bits < len(categories):
            log.warning("hash.bits=%d: only %d codes for %d categories; set more bits", bits, 2**bits, len(categories))
        super().__init__(backbone, categories, **options)
        self.bits = bits
        self.base_dim = self.backbone.feature_dim  # length of the features without levels
        if levels:
            self.backbone.add_levels(self.image_size)
        feature_dim = self.backbone.feature_dim
        self.is_reduced = embedding_dim is not None and embedding_dim < feature_dim
        self.uses_item_lda = embedding == "item_lda"
        if self.uses_item_lda and not self.is_reduced:
            raise ValueError(
                f"hash.embedding=item_lda, hash.embedding_dim={embedding_dim}: needs fewer dimensions than the "
                f"{feature_dim} features; set hash.embedding_dim={max(1, feature_dim // 2)}, or hash.embedding=pca"
            )
        length = embedding_dim if embedding_dim is not None and self.is_reduced else 0
        self.embedding_length = length or feature_dim
        self.register_buffer("centre", torch.zeros(feature_dim if length else 0))
        self.register_buffer("axes", torch.eye(feature_dim, length))  # (feature_dim, D), with pca orthonormal columns

    @property
    def needs_item_pairs(self) -> bool:
        """True if embedding or codes are fitted to pairs of images of one item."""
        return self.uses_item_lda or self.compares_items

    def embedding(self, features: Tensor) -> Tensor:
        """L2-normalised embedding.  Features (B, feature_dim) -> (B, D) float32; in training mode D = feature_dim."""
        full = super().embedding(features)
        if self.training or not self.is_reduced:
            return full
        return functional.normalize((full - self.centre) @ self.axes, dim=1)

    def post_fit(self, data: "GarmentData") -> dict[str, float]:
        fit_metrics = super().post_fit(data)
        if self.is_reduced or self.fits_projection:
            self.fit_projection(self.sample_features(data))
        if self.needs_item_pairs:
            self.fit_items(self.sample_pairs(data))
        return fit_metrics

    def fit_projection(self, features: Tensor) -> None:
        """Fit the PCA to features of training images, (N, feature_dim); subclasses also fit hyperplanes."""
        self.fit_pca(functional.normalize(features, dim=1))

    def fit_pca(self, features: Tensor) -> None:
        """Fit the principal axes to L2-normalised features, (N, feature_dim)."""
        if self.is_reduced and not self.uses_item_lda:
            centre, axes = principal_axes(features, self.axes.shape[1])
            self.centre.copy_(centre)
            self.axes.copy_(axes)

    def fit_items(self, pairs: ItemPairs) -> None:
        """Fit the axes of the embedding to pairs of normalised features; subclasses also fit hyperplanes."""
        if self.uses_item_lda:
            _, axes = fit_item_lda(pairs, self.axes.shape[1], len(self.categories))
            self.centre.copy_(torch.cat([pairs.first, pairs.second]).mean(dim=0))
            self.axes.copy_(axes)

    @torch.inference_mode()
    def sample_features(self, data: "GarmentData") -> Tensor:
        """Features of evenly spaced training images without augmentation, (N, feature_dim) float32 on the CPU."""
        self.eval()
        batches = data.loader("train", SAMPLES_PER_AXIS * self.embedding_length)
        return torch.cat([self.features(batch.images.to(self.device)).cpu() for batch in batches])

    @torch.inference_mode()
    def sample_pairs(self, data: "GarmentData") -> ItemPairs:
        """Normalised features of pairs of augmented training images: two images of an item, or two views of one image.

        At most MAX_PAIRS pairs of one epoch of the training loader.
        """
        self.eval()
        batches = islice(data.replace(item_pairs=True).train_dataloader(), -(-2 * MAX_PAIRS // data.batch_size))
        parts = [(functional.normalize(self.features(batch.images.to(self.device)), dim=1).cpu(), batch.labels)
                 for batch in batches]  # fmt: skip
        features, categories = (torch.cat(values) for values in zip(*parts, strict=True))
        return ItemPairs(features[::2], features[1::2], categories[::2])
