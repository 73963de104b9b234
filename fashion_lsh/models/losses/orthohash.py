"""OrthoHash loss."""

from pydantic import NonNegativeInt
from torch import Tensor, nn
from torch.nn import functional

from fashion_lsh.models.losses.base import HashLoss
from fashion_lsh.models.losses.centres import hash_centres


class OrthoHashLoss(HashLoss):
    """OrthoHash: softmax over cosine similarities to the hash centres, with a margin.

    L(a, y) = CE(p, y) - log softmax(√bits (cos(a, c) - MARGIN onehot(y)))_y,  a = batch_norm(h): (B, bits),
    c: (C, bits) centres in {-1, 1}, see `hash_centres`. Batch normalisation balances the bits. The scale √bits equals
    the scale of the paper at 64 bits. The category head receives detached activations, so the cross-entropy has
    no gradient in the hash layer.
    J. T. Hoe et al.: One Loss for All: Deep Hashing with a Single Cosine Similarity based Learning Objective, NeurIPS
    2021, equations 4 and 5.

    Args:
        bits, num_categories, label_smoothing: see HashLoss.
        centre_seed: random seed of the centres.
    """

    MARGIN = 0.3
    centres: Tensor

    def __init__(self, bits: int, num_categories: int, label_smoothing: float, centre_seed: NonNegativeInt = 0) -> None:
        super().__init__(bits, num_categories, label_smoothing)
        self.register_buffer("centres", hash_centres(num_categories, bits, centre_seed))
        self.norm = nn.BatchNorm1d(bits)

    def activate(self, outputs: Tensor) -> Tensor:
        if len(outputs) == 1:  # the variance of a single image is 0: use the running statistics
            return functional.batch_norm(outputs, self.norm.running_mean, self.norm.running_var, self.norm.weight,
                                         self.norm.bias, training=False, eps=self.norm.eps)  # fmt: skip
        return self.norm(outputs)

    def head_input(self, activations: Tensor) -> Tensor:
        return activations.detach()

    def forward(self, activations: Tensor, logits: Tensor, categories: Tensor) -> Tensor:
        cosines = functional.normalize(activations, dim=1) @ functional.normalize(self.centres, dim=1).T  # (B, C)
        margins = self.MARGIN * functional.one_hot(categories, self.num_categories)
        cosine_loss = functional.cross_entropy(self.bits**0.5 * (cosines - margins), categories)
        return self.classification_loss(logits, categories) + cosine_loss
