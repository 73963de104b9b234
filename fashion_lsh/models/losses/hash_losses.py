"""What a hash layer may learn from: one short class each, all with one face.

A layer's outputs become activations (`activate`), the category head reads these (`read`), and a code has a 1 where an
activation exceeds `threshold`. Adding a loss is a class in LOSSES, its name among Hasher's, a file in
conf/hash, and a row in the tests.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional

from fashion_lsh.models.losses.centres import centres


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

    def read(self, activations: Tensor) -> Tensor:
        """(B, bits) activations -> (B, bits) what the category head sees of them."""
        return activations

    @abstractmethod
    def forward(self, activations: Tensor, logits: Tensor, categories: Tensor) -> Tensor:
        """The loss, a scalar."""

    def classify(self, logits: Tensor, categories: Tensor) -> Tensor:
        """Cross-entropy of the category head, a scalar, of (B, C) logits and (B,) categories."""
        return functional.cross_entropy(logits, categories, label_smoothing=self.label_smoothing)


class Softmax(HashLoss):
    """The thesis: sigmoid activations that learn through the head's softmax loss alone.

    K. Lin, H.-F. Yang, J.-H. Hsiao, C.-S. Chen: Deep Learning of Binary Hash Codes for Fast Image Retrieval, CVPR
    Workshops 2015, section 3.
    """

    threshold = 0.5

    def activate(self, outputs: Tensor) -> Tensor:
        return outputs.sigmoid()

    def forward(self, activations: Tensor, logits: Tensor, categories: Tensor) -> Tensor:
        return self.classify(logits, categories)


class SSDH(Softmax):
    """The same, with activations driven to 0 and 1, and in each picture half of them to either.

    H.-F. Yang, K. Lin, C.-S. Chen: Supervised Learning of Semantics-Preserving Hash via Deep Convolutional Neural
    Networks, TPAMI 2018, equations 4 to 8, with equal weights.
    """

    def forward(self, activations: Tensor, logits: Tensor, categories: Tensor) -> Tensor:
        binary = -(activations - 0.5).square().mean()
        balanced = (activations.mean(dim=1) - 0.5).square().mean()
        return self.classify(logits, categories) + binary + balanced


class GreedyHash(HashLoss):
    """The head reads the signs themselves; gradients pass them as if they were not there.

    S. Su, C. Zhang, K. Han, Y. Tian: Greedy Hash: Towards Fast Optimization for Accurate Hash Coding in CNN, NeurIPS
    2018, section 3.3; the penalty |h - sgn(h)|³ is a mean over pictures and bits.
    """

    PENALTY = 0.1

    def read(self, activations: Tensor) -> Tensor:
        return activations + (signs(activations) - activations).detach()

    def forward(self, activations: Tensor, logits: Tensor, categories: Tensor) -> Tensor:
        penalty = (activations.abs() - 1).abs().pow(3).mean()
        return self.classify(logits, categories) + self.PENALTY * penalty


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

    def read(self, activations: Tensor) -> Tensor:
        return activations.tanh().detach()

    def forward(self, activations: Tensor, logits: Tensor, categories: Tensor) -> Tensor:
        wanted = (self.centres[categories] + 1) / 2
        central = functional.binary_cross_entropy_with_logits(2 * activations, wanted)
        quantisation = (activations.tanh().abs() - 1).cosh().log().mean()
        return self.classify(logits, categories) + central + self.QUANTISATION * quantisation


class OrthoHash(HashLoss):
    """One cosine loss: each picture's activations point to the code of its category, by a margin more than to others.

    J. T. Hoe et al.: One Loss for All: Deep Hashing with a Single Cosine Similarity based Learning Objective, NeurIPS
    2021, equations 4 and 5. Batch normalisation balances the bits; the scale is √bits, that of the paper at 64 bits.
    The head reads activations and teaches them nothing.
    """

    MARGIN = 0.3
    centres: Tensor

    def __init__(self, bits: int, categories: int, label_smoothing: float) -> None:
        super().__init__(bits, categories, label_smoothing)
        self.register_buffer("centres", centres(categories, bits))
        self.norm = nn.BatchNorm1d(bits)

    def activate(self, outputs: Tensor) -> Tensor:
        if len(outputs) == 1:  # one picture has no variance
            return functional.batch_norm(outputs, self.norm.running_mean, self.norm.running_var, self.norm.weight,
                                         self.norm.bias, training=False, eps=self.norm.eps)  # fmt: skip
        return self.norm(outputs)

    def read(self, activations: Tensor) -> Tensor:
        return activations.detach()

    def forward(self, activations: Tensor, logits: Tensor, categories: Tensor) -> Tensor:
        cosines = functional.normalize(activations, dim=1) @ functional.normalize(self.centres, dim=1).T  # (B, C)
        margins = self.MARGIN * functional.one_hot(categories, self.categories)
        aimed = functional.cross_entropy(self.bits**0.5 * (cosines - margins), categories)
        return self.classify(logits, categories) + aimed


LOSSES: dict[str, type[HashLoss]] = {
    "softmax": Softmax, "ssdh": SSDH, "greedyhash": GreedyHash, "csq": CSQ, "orthohash": OrthoHash,
}  # fmt: skip


def signs(outputs: Tensor) -> Tensor:
    """1 where an output is above 0, else -1: same shape."""
    return torch.where(outputs > 0, 1.0, -1.0)


class Halves(torch.autograd.Function):
    """Of each bit the upper half of a batch becomes 1, the lower half -1: all bits are as informative as can be.

    Backward the gradient passes, and outputs are drawn to their halves: PULL times their difference, a mean over batch
    and bits. Y. Li, J. van Gemert: Deep Unsupervised Image Hashing by Maximizing Bit Entropy, AAAI 2021, section 3.
    """

    PULL = 6.0

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, outputs: Tensor) -> Tensor:
        """(B, bits) -> (B, bits) of 1 and -1; of an odd batch the middle one is a -1."""
        ranks = outputs.argsort(dim=0, stable=True).argsort(dim=0)
        halves = torch.where(ranks >= (len(outputs) + 1) // 2, 1.0, -1.0)
        ctx.save_for_backward(outputs, halves)
        return halves

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        outputs, halves = ctx.saved_tensors  # type: ignore[attr-defined]
        return gradient + Halves.PULL * (outputs - halves) / outputs.numel()
