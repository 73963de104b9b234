"""Loss of central similarity quantisation (CSQ)."""

from pydantic import NonNegativeInt
from torch import Tensor
from torch.nn import functional

from fashion_lsh.models.losses.base import HashLoss
from fashion_lsh.models.losses.centres import hash_centres


class CSQLoss(HashLoss):
    """Central similarity quantisation: binary cross-entropy to the hash centre of the category.

    L(h, y) = CE(p, y) + BCE(sigmoid(2 h), (c_y + 1) / 2) + QUANTISATION mean(log cosh(|tanh h| - 1)),
    h: (B, bits) activations, c: (C, bits) centres in {-1, 1}, see `hash_centres`; sigmoid(2 h) = (tanh h + 1) / 2.
    The category head receives detached tanh h, so the cross-entropy has no gradient in the hash layer.
    L. Yuan et al.: Central Similarity Quantization for Efficient Image and Video Retrieval, CVPR 2020, equations 4
    to 6.

    Args:
        bits, num_categories, label_smoothing: see HashLoss.
        centre_seed: random seed of the centres.
    """

    QUANTISATION = 1e-4
    centres: Tensor

    def __init__(self, bits: int, num_categories: int, label_smoothing: float, centre_seed: NonNegativeInt = 0) -> None:
        super().__init__(bits, num_categories, label_smoothing)
        self.register_buffer("centres", hash_centres(num_categories, bits, centre_seed))

    def head_input(self, activations: Tensor) -> Tensor:
        return activations.tanh().detach()

    def forward(self, activations: Tensor, logits: Tensor, categories: Tensor) -> Tensor:
        target_bits = (self.centres[categories] + 1) / 2
        central = functional.binary_cross_entropy_with_logits(2 * activations, target_bits)
        quantisation = (activations.tanh().abs() - 1).cosh().log().mean()
        return self.classification_loss(logits, categories) + central + self.QUANTISATION * quantisation
