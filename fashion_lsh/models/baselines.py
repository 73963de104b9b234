"""Baseline codes computed from a trained classifier: LSH, PCA, ITQ and predicted category."""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from fashion_lsh.io.targets import Spec, with_defaults
from fashion_lsh.models.fixed_classifier import FixedClassifier
from fashion_lsh.models.projection import fit_itq, fit_pca_rotation, random_hyperplanes


class Baseline(FixedClassifier):
    """Base class of codes computed from a trained classifier; the codes are fitted without gradient training.

    Args:
        backbone, categories, bits, options: see CodeModel.

    Attributes:
        hyper_parameters: all arguments of the constructor, saved in the checkpoint.
    """

    fits_projection = True
    hyper_parameters: dict[str, Any]

    def __init__(self, backbone: Spec, categories: list[str], bits: int = 48, **options: Any) -> None:
        super().__init__(backbone, categories, bits, **options)
        arguments = {"backbone": backbone, "categories": list(categories), "bits": bits, **options}
        self.hyper_parameters = with_defaults(type(self), arguments)

    @property
    def log_name(self) -> str:
        return type(self).__name__

    def head_parameters(self) -> list[nn.Parameter]:
        return list(self.head.parameters())

    @abstractmethod
    def compute_heads(self, features: Tensor) -> tuple[Tensor, Tensor]: ...


class LSH(Baseline):
    """Locality-sensitive hashing with random hyperplanes.

    activations = (x - mean) @ planes, where x is the (B, D) embeddings, and the columns of `planes` are the normals of
    the hyperplanes, (D, bits) standard normal. A bit is 1 if its activation is above 0.
    M. Charikar, STOC 2002, section 3.

    Args:
        backbone, categories, bits, options: see CodeModel.
        seed: seed of the hyperplanes.
    """

    threshold = 0.0
    mean: Tensor
    planes: Tensor

    def __init__(
        self,
        backbone: Spec,
        categories: list[str],
        bits: int = 48,
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(backbone, categories, bits, **options)
        self.hyper_parameters["seed"] = self.seed = seed
        self.register_buffer("mean", torch.zeros(self.embedding_length))
        self.register_buffer("planes", torch.zeros(self.embedding_length, bits))

    def compute_heads(self, features: Tensor) -> tuple[Tensor, Tensor]:
        return self.logits(features), (self.embedding(features) - self.mean) @ self.planes

    def fit_projection(self, features: Tensor) -> None:
        super().fit_projection(features)
        embeddings = self.embedding(features.to(self.device)).cpu()
        for buffer, value in zip((self.mean, self.planes), self.fit_hyperplanes(embeddings), strict=True):
            buffer.copy_(value)

    def fit_hyperplanes(self, embeddings: Tensor) -> tuple[Tensor, Tensor]:
        """Fit hyperplanes.  Embeddings (N, D) of training images -> mean (D,) and normals (D, bits), float32."""
        return embeddings.mean(dim=0), random_hyperplanes(embeddings.shape[1], self.bits, self.seed)


class PCA(LSH):
    """Principal axes of the embedding in a random rotation, which spreads the variance over the bits.

    See `fit_pca_rotation`.

    Args:
        backbone, categories, bits, options: see CodeModel.
        seed: seed of the rotation.

    Raises:
        ValueError: more bits than embedding dimensions.
    """

    def __init__(
        self,
        backbone: Spec,
        categories: list[str],
        bits: int = 48,
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(backbone, categories, bits, seed, **options)
        if bits > self.embedding_length:
            raise ValueError(
                f"hash.bits={bits}: {type(self).__name__} has at most one bit per embedding dimension, here "
                f"{self.embedding_length}; set fewer bits, a larger hash.embedding_dim, or hash=lsh"
            )

    def fit_hyperplanes(self, embeddings: Tensor) -> tuple[Tensor, Tensor]:
        return fit_pca_rotation(embeddings, self.bits, self.seed)


class ITQ(PCA):
    """Iterative quantisation: principal axes of the embedding, rotated to minimise the quantisation error.

    Y. Gong, S. Lazebnik: Iterative Quantization: A Procrustean Approach to Learning Binary Codes, CVPR 2011,
    section 2.2; see `fit_itq`. Arguments and errors are those of PCA.
    """

    def fit_hyperplanes(self, embeddings: Tensor) -> tuple[Tensor, Tensor]:
        return fit_itq(embeddings, self.bits, self.seed)


class PredictedCategory(Baseline):
    """One-hot code of the predicted category, with one bit per category: retrieval by the classifier only.

    Args:
        backbone, categories, options: see CodeModel; the number of bits is the number of categories.
    """

    fixed_arguments = ("frozen", "bits")

    def __init__(self, backbone: Spec, categories: list[str], **options: Any) -> None:
        super().__init__(backbone, categories, len(categories), **options)

    def compute_heads(self, features: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.logits(features)
        return logits, functional.one_hot(logits.argmax(dim=1), self.bits).float()
