"""Balance, entropy and correlation of the bits of packed codes."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fashion_lsh.index.codes import check_codes, unpack
from fashion_lsh.metrics.ranking import blocks


class CodeStatistics(NamedTuple):
    """Statistics of the bits of N codes.

    Good bits are balanced and uncorrelated (Y. Weiss, A. Torralba, R. Fergus: Spectral Hashing, NIPS 2008, section 2).
    """

    balance: float  # mean over bits of |ratio of ones - 1/2|; 0: all bits balanced, 1/2: all bits constant
    entropy: float  # mean over bits of the binary entropy of that ratio, in bits; 0: all constant, 1: all balanced
    correlation: float  # mean |Pearson correlation| of pairs of non-constant bits; 0 if fewer than two bits vary
    distinct: int  # number of distinct codes
    distinct_ratio: float  # distinct / N
    constant_bits: int  # number of bits with the same value in all codes


def code_statistics(codes: np.ndarray, bits: int) -> CodeStatistics:
    """Compute statistics of packed codes: (N, W) uint8 of `bits` bits, N at least 1.

    Raises:
        ValueError: N is 0, or `codes` are not valid codes of `bits` bits (see `check_codes`).
    """
    check_codes(codes, bits)
    if not len(codes):
        raise ValueError(f"codes has shape {codes.shape}; pass at least 1 code")
    joint = _joint_ones(codes, bits)
    ones = joint.diagonal() / len(codes)  # (bits,) ratio of ones
    distinct = len(np.unique(np.ascontiguousarray(codes).view(f"V{codes.shape[1]}")))
    return CodeStatistics(
        float(np.abs(ones - 0.5).mean()),
        float(_entropy(ones).mean()),
        _correlation(joint, len(codes)),
        distinct,
        distinct / len(codes),
        int(((ones == 0) | (ones == 1)).sum()),
    )


def quantisation_error(activations: Tensor, threshold: float) -> float:
    """Mean over rows of 1 - cosine(activations - threshold, their signs); 0: the activations are binary.

    A row with all activations at the threshold counts as 1. J. T. Hoe, K. W. Ng, T. Zhang, C. S. Chan, Y.-Z. Song,
    T. Xiang: One Loss for All: Deep Hashing with a Single Cosine Similarity based Learning Objective, NeurIPS 2021,
    section 3.

    Args:
        activations: (B, bits) float, B at least 1.
        threshold: a bit is 1 above it.
    """
    centred = activations.float() - threshold
    denominator = centred.norm(dim=1) * centred.shape[1] ** 0.5  # |centred| times the norm of its signs
    cosine = centred.abs().sum(dim=1) / denominator.clamp(min=torch.finfo(torch.float32).tiny)
    return float((1 - cosine).mean().clamp(min=0))


def describe_collapse(statistics: CodeStatistics, bits: int, predicted: np.ndarray) -> str:
    """Describe collapsed codes (fewer distinct codes, or less entropy, than the predicted categories); else return "".

    The entropy of a code is at most the sum of the entropies of its bits (subadditivity).

    Args:
        statistics: statistics of the gallery codes.
        bits: code length.
        predicted: (N,) int, predicted categories of the gallery.
    """
    _, counts = np.unique(predicted, return_counts=True)
    ratios = counts / counts.sum()
    category_entropy = float(-(ratios * np.log2(ratios)).sum())
    problems = {
        f"{statistics.distinct:,} distinct codes for {len(counts):,} predicted categories": statistics.distinct
        < len(counts),
        f"{bits} bits ({statistics.constant_bits} constant) with a total entropy of {statistics.entropy * bits:.2f} "
        f"for predicted categories with {category_entropy:.2f}": statistics.entropy * bits < category_entropy - 1e-6,
    }
    description = "; ".join(text for text, present in problems.items() if present)
    hint = "try another loss (hash=csq, hash.bihalf=true), more bits (hash.bits) or a lower learning rate (optim.lr)"
    return f"the gallery codes have collapsed: {description}; {hint}" if description else ""


def _joint_ones(codes: np.ndarray, bits: int) -> np.ndarray:
    """Number of codes in which two bits are both 1: (bits, bits) float64."""
    joint = np.zeros((bits, bits))
    for block in blocks(len(codes), bits):
        unpacked = unpack(codes[block], bits).astype(np.float32)  # integers up to 2^24 are exact
        joint += unpacked.T @ unpacked
    return joint


def _entropy(ones: np.ndarray) -> np.ndarray:
    """Binary entropy of ratios, in bits: same shape."""
    terms = [ratio * np.log2(np.where(ratio > 0, ratio, 1)) for ratio in (ones, 1 - ones)]
    return np.abs(terms[0] + terms[1])


def _correlation(joint: np.ndarray, count: int) -> float:
    """Mean |Pearson correlation| of pairs of non-constant bits; `joint` from `_joint_ones`."""
    ones = joint.diagonal()
    varies = np.flatnonzero((ones > 0) & (ones < count))
    if len(varies) < 2:
        return 0.0
    ones, joint = ones[varies], joint[np.ix_(varies, varies)]
    deviations = np.sqrt(ones * (count - ones))
    pearson = np.abs(count * joint - np.outer(ones, ones)) / np.outer(deviations, deviations)
    return float(pearson[~np.eye(len(varies), dtype=bool)].mean())
