"""Softmax loss of the thesis (docs/thesis.md)."""

from torch import Tensor

from fashion_lsh.models.losses.base import HashLoss


class SoftmaxLoss(HashLoss):
    """Softmax loss of the thesis: cross-entropy of a category head on sigmoid activations.

    L(a, y) = CE(p, y),  a = sigmoid(h): (B, bits) activations, the input of the category head.
    K. Lin, H.-F. Yang, J.-H. Hsiao, C.-S. Chen: Deep Learning of Binary Hash Codes for Fast Image Retrieval, CVPR
    Workshops 2015, section 3.
    """

    threshold = 0.5

    def activate(self, outputs: Tensor) -> Tensor:
        return outputs.sigmoid()

    def forward(self, activations: Tensor, logits: Tensor, categories: Tensor) -> Tensor:
        return self.classification_loss(logits, categories)
