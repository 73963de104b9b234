"""Network with a hash layer: backbone, hash layer and category head."""

from torch import Tensor, nn

from fashion_lsh.models.code_model import CodeModel
from fashion_lsh.models.losses import LOSSES
from fashion_lsh.models.losses.bihalf import BiHalf, signs


class HashHeadModel(CodeModel):
    """Backbone, hash layer and category head (linear -> activations -> linear), with one of LOSSES.

    Args:
        backbone, categories, bits, embedding_dim, image_size, margin, frozen: see CodeModel.
        loss: one of LOSSES; `softmax` is the loss of the thesis (docs/thesis.md).
        bihalf: apply BiHalf in training and the sign function in evaluation, before the activation of the loss.
        label_smoothing: fraction of the target probability that is spread over all categories.

    Raises:
        ValueError: `bits` is below 1, or too small for the distinct hash centres of a loss.
    """

    def __init__(
        self,
        backbone: str,
        categories: list[str],
        bits: int,
        embedding_dim: int | None,
        image_size: int,
        margin: float,
        frozen: bool,
        loss: str,
        bihalf: bool,
        label_smoothing: float,
    ) -> None:
        super().__init__(backbone, categories, bits, embedding_dim, image_size, margin, frozen)
        self.bihalf = bihalf
        self.hash_layer = nn.Linear(self.backbone.feature_dim, bits)
        self.head = nn.Linear(bits, len(categories))
        self.loss = LOSSES[loss](bits, len(categories), label_smoothing)
        self.threshold = self.loss.threshold

    def head_parameters(self) -> list[nn.Parameter]:
        return [*self.hash_layer.parameters(), *self.head.parameters(), *self.loss.parameters()]

    def compute_heads(self, features: Tensor) -> tuple[Tensor, Tensor]:
        outputs = self.hash_layer(features)
        if self.bihalf:
            outputs = BiHalf.apply(outputs) if self.training else signs(outputs)
        activations = self.loss.activate(outputs)
        return self.head(self.loss.head_input(activations)), activations
