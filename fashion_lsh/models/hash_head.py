"""Network with a hash layer: backbone, hash layer and category head."""

from typing import Annotated, Any

from pydantic import Field
from torch import Tensor, nn

from fashion_lsh.io.targets import Spec
from fashion_lsh.models.code_model import CodeModel
from fashion_lsh.models.losses import create_loss
from fashion_lsh.models.losses.bihalf import BiHalf, signs

Probability = Annotated[float, Field(ge=0, le=1)]


class HashHeadModel(CodeModel):
    """Backbone, hash layer and category head (linear -> activations -> linear), with a hash loss.

    Args:
        backbone, categories, bits: see CodeModel.
        loss: see `create_loss`; `softmax` is the loss of the thesis (docs/thesis.md).
        bihalf: apply BiHalf in training and the sign function in evaluation, before the activation of the loss; the
            head input is computed from these values of -1 and 1, without the activation.
        label_smoothing: fraction of the target probability that is spread over all categories.
        options: embedding_dim, image_size, margin, frozen, see CodeModel.

    Raises:
        ValueError: `bits` is below 1, or too small for the distinct hash centres of a loss.
    """

    def __init__(
        self,
        backbone: Spec,
        categories: list[str],
        bits: int = 48,
        loss: Spec = "softmax",
        bihalf: bool = False,
        label_smoothing: Probability = 0.1,
        **options: Any,
    ) -> None:
        super().__init__(backbone, categories, bits, **options)
        self.bihalf = bihalf
        self.hash_layer = nn.Linear(self.backbone.feature_dim, bits)
        self.head = nn.Linear(bits, len(categories))
        self.loss = create_loss(loss, bits, len(categories), label_smoothing)
        self.threshold = self.loss.threshold

    def head_parameters(self) -> list[nn.Parameter]:
        return [*self.hash_layer.parameters(), *self.head.parameters(), *self.loss.parameters()]

    def compute_heads(self, features: Tensor) -> tuple[Tensor, Tensor]:
        outputs = self.hash_layer(features)
        if self.bihalf:
            outputs = BiHalf.apply(outputs) if self.training else signs(outputs)
        activations = self.loss.activate(outputs)
        return self.head(self.loss.head_input(outputs if self.bihalf else activations)), activations
