"""Central similarity quantisation."""

from torch import Tensor
from torch.nn import functional

from fashion_lsh.models.losses.base import HashLoss
from fashion_lsh.models.losses.centres import centres


class CSQ(HashLoss):
    """Each picture's code is drawn to the centre of its category; the head reads codes and teaches them nothing.

    L. Yuan et al.: Central Similarity Quantization for Efficient Image and Video Retrieval, CVPR 2020, equations 4
    to 6. Codes are tanh of the activations, and (tanh(h) + 1) / 2 = sigmoid(2h) meets the centre bit by bit.
    """

    QUANTISATION = 1e-4
    centres: Tensor

    def __init__(self, bits: int, categories: int, label_smoothing: float) -> None:
        super().__init__(bits, categories, label_smoothing)
        self.register_buffer("centres", centres(categories, bits))

    def head_input(self, activations: Tensor) -> Tensor:
        return activations.tanh().detach()

    def forward(self, activations: Tensor, logits: Tensor, categories: Tensor) -> Tensor:
        target_bits = (self.centres[categories] + 1) / 2
        central = functional.binary_cross_entropy_with_logits(2 * activations, target_bits)
        quantisation = (activations.tanh().abs() - 1).cosh().log().mean()
        return self.classification_loss(logits, categories) + central + self.QUANTISATION * quantisation
