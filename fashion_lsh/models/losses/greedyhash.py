"""GreedyHash loss."""

from torch import Tensor

from fashion_lsh.models.losses.base import HashLoss
from fashion_lsh.models.losses.bihalf import signs


class GreedyHashLoss(HashLoss):
    """GreedyHash: classification of sign codes with a straight-through gradient.

    L(h, y) = CE(p, y) + PENALTY mean(|h - sign(h)|³),  h: (B, bits) activations.
    The category head receives sign(h). CE uses label smoothing like the other losses; the authors use none:
    set `hash.label_smoothing=0` to train as they do.
    S. Su, C. Zhang, K. Han, Y. Tian: Greedy Hash: Towards Fast Optimization for Accurate Hash Coding in CNN, NeurIPS
    2018, section 3.3.
    """

    PENALTY = 0.1

    def head_input(self, activations: Tensor) -> Tensor:
        return activations + (signs(activations) - activations).detach()

    def forward(self, activations: Tensor, logits: Tensor, categories: Tensor) -> Tensor:
        penalty = (activations.abs() - 1).abs().pow(3).mean()
        return self.classification_loss(logits, categories) + self.PENALTY * penalty
