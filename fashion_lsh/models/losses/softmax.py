"""Softmax loss of the thesis."""

from torch import Tensor

from fashion_lsh.models.losses.base import HashLoss


class Softmax(HashLoss):
    """The thesis: sigmoid activations that learn through the head's softmax loss alone.

    K. Lin, H.-F. Yang, J.-H. Hsiao, C.-S. Chen: Deep Learning of Binary Hash Codes for Fast Image Retrieval, CVPR
    Workshops 2015, section 3.
    """

    threshold = 0.5

    def activate(self, outputs: Tensor) -> Tensor:
        return outputs.sigmoid()

    def forward(self, activations: Tensor, logits: Tensor, categories: Tensor) -> Tensor:
        return self.classification_loss(logits, categories)
