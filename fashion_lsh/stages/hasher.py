"""Stage three: a crop as a binary code."""

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from fashion_lsh.catalogue.datamodule import GarmentData
from fashion_lsh.stages.optim import Optim, Share
from fashion_lsh.stages.projection import principal_axes
from fashion_lsh.stages.stage import Stage

PER_AXIS = 8  # pictures for each axis of a shortened embedding: the axes have settled then


class Hasher(Stage):
    """Backbone, hash layer and category head: linear -> sigmoid -> linear -> softmax loss.

    The hash layer learns through the softmax loss alone; a bit is 1 where its activation exceeds 0.5
    (K. Lin, H.-F. Yang, J.-H. Hsiao, C.-S. Chen: Deep Learning of Binary Hash Codes for Fast Image Retrieval,
    CVPR Workshops 2015, section 3).

    Args:
        backbone: one of BACKBONES.
        categories: names of the categories, in the order of the labels.
        bits: length of a code.
        embedding_dim: length of the embedding: the features' first principal components (see `shorten`); None, or
            where the features are no longer: the features.
        image_size, margin: the crops it sees (see Stage).
        frozen: the backbone stays as it starts (see Stage).
        epochs: passes over the training pictures.
        lr_factor: learning rate of the backbone, as a multiple of `optim.lr`.
        head_factor: learning rate of hash layer and head, as a multiple of the backbone's.
        label_smoothing: mass of each label that is spread over all categories.
        optim: see Optim.
        seed: what dropout is drawn by.

    Raises:
        ValueError: fewer than one bit.
    """

    centre: Tensor
    axes: Tensor

    def __init__(
        self,
        backbone: str,
        categories: list[str],
        bits: int,
        embedding_dim: PositiveInt | None,
        image_size: PositiveInt,
        margin: NonNegativeFloat,
        frozen: bool,
        epochs: PositiveInt,
        lr_factor: PositiveFloat,
        head_factor: PositiveFloat,
        label_smoothing: Share,
        optim: Optim,
        seed: int,
    ) -> None:
        if bits < 1:
            raise ValueError(f"hash.bits={bits}: give at least 1, or hash=none for no hash layer")
        super().__init__("hasher", backbone, categories, image_size, margin, frozen)
        self.save_hyperparameters()
        self.bits = bits
        self.hash_layer = nn.Linear(self.backbone.feature_dim, bits)
        self.head = nn.Linear(bits, len(categories))
        features = self.backbone.feature_dim
        self.shortens = embedding_dim is not None and embedding_dim < features
        length = embedding_dim if embedding_dim is not None and self.shortens else 0
        self.register_buffer("centre", torch.zeros(features if length else 0))
        self.register_buffer("axes", torch.eye(features, length))  # (feature_dim, D), orthonormal

    def head_parameters(self) -> list[nn.Parameter]:
        return [*self.hash_layer.parameters(), *self.head.parameters()]

    def answer(self, features: Tensor) -> tuple[Tensor, Tensor]:
        activations = self.hash_layer(features).sigmoid()
        return self.head(activations), activations

    def embedding(self, features: Tensor) -> Tensor:
        full = super().embedding(features)
        return functional.normalize((full - self.centre) @ self.axes, dim=1) if self.shortens else full

    def settle(self, data: GarmentData) -> dict[str, float]:
        facts = super().settle(data)
        if self.shortens:
            self.shorten(_features(self, data))
        return facts

    def shorten(self, features: Tensor) -> None:
        """Fit the embedding to the first principal components of (N, feature_dim) features of length 1."""
        if self.shortens:
            centre, axes = principal_axes(features, self.axes.shape[1])
            self.centre.copy_(centre)
            self.axes.copy_(axes)


@torch.inference_mode()
def _features(stage: Hasher, data: GarmentData) -> Tensor:
    """(N, feature_dim) features of length 1 of training pictures as they are searched, evenly chosen."""
    stage.eval()
    wanted = data.sample("train", PER_AXIS * stage.axes.shape[1])
    found = [stage.backbone(batch.images.to(stage.device)).cpu() for batch in wanted]
    return functional.normalize(torch.cat(found), dim=1)
