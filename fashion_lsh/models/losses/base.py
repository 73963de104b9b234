"""Interface of hash losses."""

from abc import ABC, abstractmethod

from torch import Tensor, nn
from torch.nn import functional


class HashLoss(nn.Module, ABC):
    """`loss(activations, logits, categories)` -> what is to be made small, a scalar.

    activations: (B, bits) float; logits: (B, C) float, of the category head; categories: (B,) int64, 0..C - 1.

    Args:
        bits: length of a code.
        categories: C.
        label_smoothing: mass of each label that is spread over all categories.
    """

    threshold = 0.0

    def __init__(self, bits: int, categories: int, label_smoothing: float) -> None:
        super().__init__()
        self.bits, self.categories, self.label_smoothing = bits, categories, label_smoothing

    def activate(self, outputs: Tensor) -> Tensor:
        """(B, bits) outputs of the linear layer -> (B, bits) activations."""
        return outputs

    def head_input(self, activations: Tensor) -> Tensor:
        """(B, bits) activations -> (B, bits) what the category head sees of them."""
        return activations

    @abstractmethod
    def forward(self, activations: Tensor, logits: Tensor, categories: Tensor) -> Tensor:
        """(B, bits) activations, (B, C) logits, (B,) categories -> the loss, a scalar."""

    def classification_loss(self, logits: Tensor, categories: Tensor) -> Tensor:
        """Cross-entropy of the category head, a scalar, of (B, C) logits and (B,) categories."""
        return functional.cross_entropy(logits, categories, label_smoothing=self.label_smoothing)
