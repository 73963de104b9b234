"""Bi-half layer and sign function."""

import torch
from torch import Tensor


def signs(outputs: Tensor) -> Tensor:
    """1 where an output is above 0, else -1.  (B, bits) -> (B, bits)."""
    return torch.where(outputs > 0, 1.0, -1.0)


class BiHalf(torch.autograd.Function):
    """Of each bit the upper half of a batch becomes 1, the lower half -1: all bits are as informative as can be.

    Backward the gradient passes, and outputs are drawn to their halves: GRADIENT_WEIGHT times their difference, a
    mean over batch and bits. Y. Li, J. van Gemert: Deep Unsupervised Image Hashing by Maximizing Bit Entropy,
    AAAI 2021, section 3.
    """

    GRADIENT_WEIGHT = 6.0

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
        return gradient + BiHalf.GRADIENT_WEIGHT * (outputs - halves) / outputs.numel()
