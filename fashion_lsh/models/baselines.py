"""Codes without training, from the classifier's embedding or category: LSH, ITQ, predicted category."""

from abc import abstractmethod
from typing import Any, Self

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from fashion_lsh.models.code_model import CodeModel
from fashion_lsh.models.crop_model import CropModel, arguments
from fashion_lsh.models.projection import hyperplanes, itq


class Baseline(CodeModel):
    """The classifier's backbone and head, and codes of its outputs; fitted in closed form, not trained.

    Attributes:
        hyper_parameters: the constructor's arguments, kept in its checkpoint.
    """

    fits_projection = True
    hyper_parameters: dict[str, Any]

    def __init__(
        self,
        backbone: str,
        categories: list[str],
        bits: int,
        embedding_dim: int | None,
        image_size: int,
        margin: float,
    ) -> None:
        super().__init__(backbone, categories, bits, embedding_dim, image_size, margin, frozen=True)
        self.head = nn.Linear(self.backbone.feature_dim, len(categories)).requires_grad_(False)

    def start_from(self, other: CropModel) -> Self:
        """Copy a Classifier's backbone and head."""
        self.head.load_state_dict(other.get_submodule("head").state_dict())
        return super().start_from(other)

    def head_parameters(self) -> list[nn.Parameter]:
        return list(self.head.parameters())

    @abstractmethod
    def compute_heads(self, features: Tensor) -> tuple[Tensor, Tensor]: ...


class LSH(Baseline):
    """Signs of the embedding on random hyperplanes through its mean (M. Charikar, STOC 2002, section 3).

    Args:
        backbone, categories, bits, embedding_dim, image_size, margin: see CodeModel.
        seed: of the hyperplanes.
    """

    threshold = 0.0
    mean: Tensor
    planes: Tensor

    def __init__(
        self,
        backbone: str,
        categories: list[str],
        bits: int,
        embedding_dim: PositiveInt | None,
        image_size: PositiveInt,
        margin: NonNegativeFloat,
        seed: int,
    ) -> None:
        super().__init__(backbone, categories, bits, embedding_dim, image_size, margin)
        self.hyper_parameters, self.seed = arguments(locals()), seed
        self.register_buffer("mean", torch.zeros(self.embedding_length))
        self.register_buffer("planes", torch.zeros(self.embedding_length, bits))

    def compute_heads(self, features: Tensor) -> tuple[Tensor, Tensor]:
        return self.head(features), (self.embedding(features) - self.mean) @ self.planes

    def fit_projection(self, features: Tensor) -> None:
        super().fit_projection(features)
        embeddings = self.embedding(features.to(self.device)).cpu()
        for buffer, value in zip((self.mean, self.planes), self.fit_hyperplanes(embeddings), strict=True):
            buffer.copy_(value)

    def fit_hyperplanes(self, embeddings: Tensor) -> tuple[Tensor, Tensor]:
        """(N, D) embeddings of training pictures -> their mean, (D,), and the hyperplanes, (D, bits)."""
        return embeddings.mean(dim=0), hyperplanes(embeddings.shape[1], self.bits, self.seed)


class ITQ(LSH):
    """The same with hyperplanes turned so that signs lose least (Y. Gong, S. Lazebnik: Iterative Quantization: A
    Procrustean Approach to Learning Binary Codes, CVPR 2011, section 2.2).

    Raises:
        ValueError: there are more bits than the embedding has numbers.
    """

    def __init__(
        self,
        backbone: str,
        categories: list[str],
        bits: int,
        embedding_dim: PositiveInt | None,
        image_size: PositiveInt,
        margin: NonNegativeFloat,
        seed: int,
    ) -> None:
        super().__init__(backbone, categories, bits, embedding_dim, image_size, margin, seed)
        if bits > self.embedding_length:
            raise ValueError(
                f"hash.bits={bits}: ITQ gives {self.embedding_length} bits at most, one for each number of the "
                "embedding; give fewer, a longer embedding (hash.embedding_dim), or hash=lsh"
            )

    def fit_hyperplanes(self, embeddings: Tensor) -> tuple[Tensor, Tensor]:
        return itq(embeddings, self.bits, self.seed)


class PredictedCategory(Baseline):
    """A bit a category: a 1 for the one that is predicted.  Tells what the classifier alone is worth.

    Args:
        backbone, categories, embedding_dim, image_size, margin: see CodeModel.
    """

    def __init__(
        self,
        backbone: str,
        categories: list[str],
        embedding_dim: PositiveInt | None,
        image_size: PositiveInt,
        margin: NonNegativeFloat,
    ) -> None:
        super().__init__(backbone, categories, len(categories), embedding_dim, image_size, margin)
        self.hyper_parameters = arguments(locals())

    def compute_heads(self, features: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.head(features)
        return logits, functional.one_hot(logits.argmax(dim=1), self.bits).float()
