"""Networks with codes of the items of a category: a projection of the features of a fixed classifier."""

from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from fashion_lsh.io.targets import ComponentError, Spec, create
from fashion_lsh.models.baselines import Baseline
from fashion_lsh.models.fixed_classifier import FixedClassifier
from fashion_lsh.models.item_lda import ItemPairs, fit_item_lda
from fashion_lsh.models.projection import fit_itq


class LinearProjection(nn.Sequential):
    """Batch norm -> linear -> batch norm.  Features (B, feature_dim) -> outputs (B, bits).

    The second batch norm gives each bit the mean 0 over the training data, so that its values are balanced.

    Args:
        feature_dim: length of the features.
        bits: number of outputs.
    """

    def __init__(self, feature_dim: int, bits: int) -> None:
        super().__init__(
            nn.BatchNorm1d(feature_dim, affine=False),
            nn.Linear(feature_dim, bits),
            nn.BatchNorm1d(bits, affine=False),
        )


class MLPProjection(nn.Sequential):
    """Batch norm -> linear -> batch norm -> ReLU -> linear -> batch norm.  Features (B, feature_dim) -> (B, bits).

    Args:
        feature_dim, bits: see LinearProjection.
        hidden: number of hidden units.
    """

    def __init__(self, feature_dim: int, bits: int, hidden: PositiveInt = 512) -> None:
        super().__init__(
            nn.BatchNorm1d(feature_dim, affine=False),
            nn.Linear(feature_dim, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Linear(hidden, bits),
            nn.BatchNorm1d(bits, affine=False),
        )


PROJECTIONS: dict[str, type[nn.Module]] = {"linear": LinearProjection, "mlp": MLPProjection}


class ItemCodeModel(FixedClassifier):
    """Codes of a projection of the features, which is trained apart from the category head.

    activations = tanh(projection(features)); a bit is 1 where its activation is above 0.

    Args:
        backbone, categories, bits, options: see CodeModel.
        projection: one of PROJECTIONS, `module.Class` of a network with the arguments feature_dim and bits that maps
            features (B, feature_dim) to outputs (B, bits), or a mapping of `_target_` and further arguments.

    Raises:
        ComponentError: the projection is unknown, or is not a network with these arguments.
    """

    threshold = 0.0

    def __init__(
        self,
        backbone: Spec,
        categories: list[str],
        bits: int = 48,
        projection: Spec = "mlp",
        **options: Any,
    ) -> None:
        super().__init__(backbone, categories, bits, **options)
        self.projection = create(
            projection, nn.Module, PROJECTIONS, "hash.projection", feature_dim=self.backbone.feature_dim, bits=bits
        )
        _check_projection(self.projection, self.backbone.feature_dim, bits)

    def head_parameters(self) -> list[nn.Parameter]:
        return list(self.projection.parameters())

    def compute_heads(self, features: Tensor) -> tuple[Tensor, Tensor]:
        return self.logits(features), torch.tanh(self.projection(features))


def _check_projection(projection: nn.Module, feature_dim: int, bits: int) -> None:
    """Compute the outputs of two feature vectors once, so that a wrong class is refused before training.

    Raises:
        ComponentError: the outputs have another shape, are not finite or cannot be computed, or there are no weights
            to train.
    """
    name = f"hash.projection: {type(projection).__name__}"
    try:
        with torch.no_grad():
            outputs = projection.eval()(torch.linspace(0.1, 1, 2 * feature_dim).reshape(2, feature_dim))
    except Exception as error:  # a user's class may raise any exception
        raise ComponentError(
            f"{name} raised {type(error).__name__}: {error}; it must map features (B, {feature_dim}) to (B, {bits}); "
            "use its arguments feature_dim and bits"
        ) from error
    projection.train()
    if not isinstance(outputs, Tensor) or outputs.shape != (2, bits):
        shape = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise ComponentError(f"{name} computes {shape} for two images; it must compute (2, {bits})")
    if not outputs.isfinite().all():
        raise ComponentError(f"{name} computes NaN or inf for finite features; it must compute finite numbers")
    if not any(each.requires_grad for each in projection.parameters()):
        raise ComponentError(f"{name} has no weights to train; use a network with parameters, or hash=item_lda")


class ItemLDA(Baseline):
    """Signs of the axes of item-LDA in the rotation of ITQ, in closed form.

    activations = (x - mean of the predicted category) @ axes @ rotation, x: normalised features. See `fit_item_lda` and
    `fit_itq`.

    Args:
        backbone, categories, bits, options: see CodeModel.
        seed: seed of the initial rotation.

    Raises:
        ValueError: more bits than features.
    """

    compares_items = True
    threshold = 0.0
    means: Tensor
    directions: Tensor

    def __init__(
        self,
        backbone: Spec,
        categories: list[str],
        bits: int = 48,
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(backbone, categories, bits, **options)
        feature_dim = self.backbone.feature_dim
        if bits > feature_dim:
            raise ValueError(
                f"hash.bits={bits}: item_lda has at most one bit per feature, here {feature_dim}; set fewer bits"
            )
        self.hyper_parameters["seed"] = self.seed = seed
        self.register_buffer("means", torch.zeros(len(categories), feature_dim))
        self.register_buffer("directions", torch.zeros(feature_dim, bits))

    def compute_heads(self, features: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.logits(features)
        residuals = functional.normalize(features, dim=1) - self.means[logits.argmax(dim=1)]
        return logits, residuals @ self.directions

    def fit_items(self, pairs: ItemPairs) -> None:
        super().fit_items(pairs)
        means, axes = fit_item_lda(pairs, self.bits, len(self.categories))
        residuals = torch.cat([pairs.first, pairs.second]) - means[pairs.categories.repeat(2)]
        _, rotated = fit_itq(residuals @ axes, self.bits, self.seed)  # axes of a PCA in the space of the LDA, rotated
        self.means.copy_(means)
        self.directions.copy_(axes @ rotated)
