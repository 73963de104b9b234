"""Bi-half layer and sign function."""

import torch
from torch import Tensor

from fashion_lsh.models.losses.gather import gather_rows, own_rows


def signs(outputs: Tensor) -> Tensor:
    """Sign with values in {-1, 1}; the sign of 0 is -1.  outputs (B, bits) -> (B, bits) float32."""
    return torch.where(outputs > 0, 1.0, -1.0)


class BiHalf(torch.autograd.Function):
    """Bi-half layer: set the upper half of a batch to 1 and the lower half to -1, per bit, to maximise bit entropy.

    Forward: b = half(h) with outputs h (B, bits). Backward: dL/dh = dL/db + GRADIENT_WEIGHT (h - b) / (B bits).
    Y. Li, J. van Gemert: Deep Unsupervised Image Hashing by Maximizing Bit Entropy, AAAI 2021, section 3.
    """

    GRADIENT_WEIGHT = 6.0

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, outputs: Tensor) -> Tensor:
        """Compute b.  outputs (B, bits) -> (B, bits) in {-1, 1}; in a batch of odd size the median becomes -1.

        Several processes halve their common batch.
        """
        batch = gather_rows(outputs)
        ranks = batch.argsort(dim=0, stable=True).argsort(dim=0)
        halves = own_rows(torch.where(ranks >= (len(batch) + 1) // 2, 1.0, -1.0), len(outputs))
        ctx.save_for_backward(outputs, halves)
        return halves

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        outputs, halves = ctx.saved_tensors  # type: ignore[attr-defined]
        return gradient + BiHalf.GRADIENT_WEIGHT * (outputs - halves) / outputs.numel()
