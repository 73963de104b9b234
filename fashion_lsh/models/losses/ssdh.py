"""Supervised semantics-preserving deep hashing."""

from torch import Tensor

from fashion_lsh.models.losses.softmax import Softmax


class SSDH(Softmax):
    """The same, with activations driven to 0 and 1, and in each picture half of them to either.

    H.-F. Yang, K. Lin, C.-S. Chen: Supervised Learning of Semantics-Preserving Hash via Deep Convolutional Neural
    Networks, TPAMI 2018, equations 4 to 8, with equal weights.
    """

    def forward(self, activations: Tensor, logits: Tensor, categories: Tensor) -> Tensor:
        binary = -(activations - 0.5).square().mean()
        balanced = (activations.mean(dim=1) - 0.5).square().mean()
        return self.classification_loss(logits, categories) + binary + balanced
