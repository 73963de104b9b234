"""Loss of supervised semantics-preserving deep hashing (SSDH)."""

from torch import Tensor

from fashion_lsh.models.losses.softmax import SoftmaxLoss


class SSDHLoss(SoftmaxLoss):
    """Supervised semantics-preserving deep hashing: SoftmaxLoss with binary and balanced activations.

    L(a, y) = CE(p, y) - mean((a - 0.5)²) / 2 + mean((mean_bits(a) - 0.5)²) / 2,  a: (B, bits) sigmoid activations.
    The three terms have equal weights. The paper states sums of squares; the factor 1/2 is that of the authors' Caffe
    layers, which divide by 2 as the Euclidean loss of Caffe does.
    H.-F. Yang, K. Lin, C.-S. Chen: Supervised Learning of Semantics-Preserving Hash via Deep Convolutional Neural
    Networks, TPAMI 2018, equations 4 to 8.
    """

    def forward(self, activations: Tensor, logits: Tensor, categories: Tensor) -> Tensor:
        binary = -(activations - 0.5).square().mean() / 2
        balanced = (activations.mean(dim=1) - 0.5).square().mean() / 2
        return self.classification_loss(logits, categories) + binary + balanced
