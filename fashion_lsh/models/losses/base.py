"""Interface of hash losses."""

from abc import ABC, abstractmethod

from torch import Tensor, nn
from torch.nn import functional


class HashLoss(nn.Module, ABC):
    """Base class of hash losses: `loss(activations, logits, categories)` returns a scalar.

    In the formulas of subclasses h is (B, bits), the output of the hash layer, p = softmax(logits) is (B, C), y is
    (B,), the categories, and CE(p, y) is the cross-entropy of the category head with label smoothing.

    Args:
        bits: code length.
        categories: number of categories, C.
        label_smoothing: probability of each label that is spread over all categories.
    """

    threshold = 0.0

    def __init__(self, bits: int, categories: int, label_smoothing: float) -> None:
        super().__init__()
        self.bits, self.categories, self.label_smoothing = bits, categories, label_smoothing

    def activate(self, outputs: Tensor) -> Tensor:
        """Compute activations.  (B, bits) outputs of the hash layer -> (B, bits)."""
        return outputs

    def head_input(self, activations: Tensor) -> Tensor:
        """Compute the input of the category head.  (B, bits) activations -> (B, bits)."""
        return activations

    @abstractmethod
    def forward(self, activations: Tensor, logits: Tensor, categories: Tensor) -> Tensor:
        """Compute the loss.  (B, bits) activations, (B, C) logits, (B,) int64 categories in 0..C - 1 -> scalar."""

    def classification_loss(self, logits: Tensor, categories: Tensor) -> Tensor:
        """Cross-entropy with label smoothing.  (B, C) logits, (B,) categories -> scalar."""
        return functional.cross_entropy(logits, categories, label_smoothing=self.label_smoothing)
