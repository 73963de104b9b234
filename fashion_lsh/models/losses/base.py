"""Interface of hash losses."""

from abc import ABC, abstractmethod

from torch import Tensor, nn
from torch.nn import functional


class HashLoss(nn.Module, ABC):
    """Base class of hash losses: `loss(activations, logits, categories)` returns a scalar.

    Symbols in the formulas of subclasses: h are the outputs of the hash layer (B, bits), p = softmax(logits) (B, C),
    y are the categories (B,), and CE(p, y) is the cross-entropy of the category head with label smoothing.

    Args:
        bits: code length.
        num_categories: number of categories C.
        label_smoothing: fraction of the target probability that is spread over all categories.

    Attributes:
        threshold: a bit is 1 where its activation exceeds this value.
        compares_rows: True if the loss of a row depends on other rows of the batch, as in pairwise losses. In training
            with several processes, such a loss is called with the rows of all processes.
    """

    threshold = 0.0
    compares_rows = False

    def __init__(self, bits: int, num_categories: int, label_smoothing: float) -> None:
        super().__init__()
        self.bits, self.num_categories, self.label_smoothing = bits, num_categories, label_smoothing

    def activate(self, outputs: Tensor) -> Tensor:
        """Compute activations.  Outputs of the hash layer (B, bits) -> activations (B, bits)."""
        return outputs

    def head_input(self, activations: Tensor) -> Tensor:
        """Compute the input of the category head.  Activations, or signs with bihalf, (B, bits) -> input (B, bits)."""
        return activations

    @abstractmethod
    def forward(self, activations: Tensor, logits: Tensor, categories: Tensor) -> Tensor:
        """Compute the loss.  activations (B, bits), logits (B, C), categories (B,) int64 in 0..C - 1 -> scalar."""

    def classification_loss(self, logits: Tensor, categories: Tensor) -> Tensor:
        """Cross-entropy with label smoothing.  logits (B, C), categories (B,) -> scalar."""
        return functional.cross_entropy(logits, categories, label_smoothing=self.label_smoothing)
