"""Loss of supervised semantics-preserving deep hashing (SSDH)."""

from torch import Tensor

from fashion_lsh.models.losses.softmax import SoftmaxLoss


class SSDHLoss(SoftmaxLoss):
    """Supervised semantics-preserving deep hashing: SoftmaxLoss with binary and balanced activations.

    L(a, y) = CE(p, y) - mean((a - 0.5)²) + mean((mean_bits(a) - 0.5)²),  a: (B, bits) sigmoid activations.
    H.-F. Yang, K. Lin, C.-S. Chen: Supervised Learning of Semantics-Preserving Hash via Deep Convolutional Neural
    Networks, TPAMI 2018, equations 4 to 8, with equal weights.
    """

    def forward(self, activations: Tensor, logits: Tensor, categories: Tensor) -> Tensor:
        binary = -(activations - 0.5).square().mean()
        balanced = (activations.mean(dim=1) - 0.5).square().mean()
        return self.classification_loss(logits, categories) + binary + balanced
