"""How much the bits of packed codes say (pure)."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fashion_lsh.index.codes import check_codes, unpack
from fashion_lsh.metrics.ranking import blocks


class CodeStatistics(NamedTuple):
    """What the bits of N codes say.

    Good bits halve the garments and do not repeat each other (Y. Weiss, A. Torralba, R. Fergus: Spectral Hashing,
    NIPS 2008, section 2).
    """

    balance: float  # mean over bits of |share of ones - 1/2|: 0 each halves the garments, 1/2 each is constant
    entropy: float  # mean over bits of the binary entropy of that share, in bits: 0 each is constant, 1 each halves
    correlation: float  # mean |Pearson correlation| of two bits that vary; 0 where fewer than two do
    distinct: int  # different codes
    distinct_ratio: float  # of N
    constant_bits: int  # bits that are the same in all codes


def code_statistics(codes: np.ndarray, bits: int) -> CodeStatistics:
    """Measure packed codes.  (N, W) uint8 of `bits` bits, N at least 1.

    Raises:
        ValueError: there is no code, or they are not codes of `bits` bits (see `check_codes`).
    """
    check_codes(codes, bits)
    if not len(codes):
        raise ValueError(f"codes are {codes.shape}: give at least 1")
    joint = _joint_ones(codes, bits)
    ones = joint.diagonal() / len(codes)  # (bits,) share of ones
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
    """1 - cosine between activations about the threshold and their signs, mean over rows: 0 they are binary already.

    A row that lies at the threshold in all bits counts as 1. J. T. Hoe, K. W. Ng, T. Zhang, C. S. Chan, Y.-Z. Song,
    T. Xiang: One Loss for All: Deep Hashing with a Single Cosine Similarity based Learning Objective, NeurIPS 2021,
    section 3.

    Args:
        activations: (B, bits) float, B at least 1.
        threshold: a bit is 1 above it.
    """
    centred = activations.float() - threshold
    denominator = centred.norm(dim=1) * centred.shape[1] ** 0.5  # |apart| times the length of its signs
    cosine = centred.abs().sum(dim=1) / denominator.clamp(min=torch.finfo(torch.float32).tiny)
    return float((1 - cosine).mean().clamp(min=0))


def describe_collapse(statistics: CodeStatistics, bits: int, predicted: np.ndarray) -> str:
    """What is wrong with codes that tell less apart than the categories do, and the way out; "": nothing is.

    What codes tell is at most the sum of what their bits do (subadditivity of entropy).

    Args:
        statistics: of the gallery's codes.
        bits: their length.
        predicted: (N,) int, what the gallery's garments are seen as.
    """
    _, counts = np.unique(predicted, return_counts=True)
    ratios = counts / counts.sum()
    category_entropy = float(-(ratios * np.log2(ratios)).sum())
    problems = {
        f"{statistics.distinct:,} distinct codes for {len(counts):,} predicted categories": statistics.distinct
        < len(counts),
        f"entropies of the {bits} bits, of which {statistics.constant_bits} never change, add up to "
        f"{statistics.entropy * bits:.2f}, that of the categories is {category_entropy:.2f}": statistics.entropy * bits
        < category_entropy - 1e-6,
    }
    description = "; ".join(text for text, present in problems.items() if present)
    hint = "try another loss (hash=csq, hash.bihalf=true), more bits (hash.bits) or a lower learning rate (optim.lr)"
    return f"the gallery's codes have collapsed: {description}: {hint}" if description else ""


def _joint_ones(codes: np.ndarray, bits: int) -> np.ndarray:
    """(bits, bits) float64: codes in which both bits are 1."""
    joint = np.zeros((bits, bits))
    for block in blocks(len(codes), bits):
        unpacked = unpack(codes[block], bits).astype(np.float32)  # whole numbers up to 2^24 are exact
        joint += unpacked.T @ unpacked
    return joint


def _entropy(ones: np.ndarray) -> np.ndarray:
    """Binary entropy of shares, in bits: same shape."""
    terms = [ratio * np.log2(np.where(ratio > 0, ratio, 1)) for ratio in (ones, 1 - ones)]
    return np.abs(terms[0] + terms[1])


def _correlation(joint: np.ndarray, count: int) -> float:
    """Mean |Pearson correlation| of distinct bits that vary; see `_joint_ones`."""
    ones = joint.diagonal()
    varies = np.flatnonzero((ones > 0) & (ones < count))
    if len(varies) < 2:
        return 0.0
    ones, joint = ones[varies], joint[np.ix_(varies, varies)]
    deviations = np.sqrt(ones * (count - ones))
    pearson = np.abs(count * joint - np.outer(ones, ones)) / np.outer(deviations, deviations)
    return float(pearson[~np.eye(len(varies), dtype=bool)].mean())
