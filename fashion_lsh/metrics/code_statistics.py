"""Balance, entropy and correlation of the bits of packed codes."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fashion_lsh.index.codes import check_codes, unpack
from fashion_lsh.metrics.ranking import block_slices


class CodeStatistics(NamedTuple):
    """Statistics of the bits of N codes.

    Good bits are balanced and uncorrelated (Y. Weiss, A. Torralba, R. Fergus: Spectral Hashing, NIPS 2008, section 2).

    Attributes:
        balance: mean over bits of the distance of the ratio of ones from one half (0: balanced, 1/2: constant).
        entropy: mean over bits of the binary entropy of the ratio of ones, in bits (0: constant, 1: balanced).
        correlation: mean |Pearson correlation| of pairs of non-constant bits; 0 with fewer than two non-constant bits.
        distinct: number of distinct codes.
        distinct_ratio: number of distinct codes / N.
        constant_bits: number of bits with the same value in all codes.
    """

    balance: float
    entropy: float
    correlation: float
    distinct: int
    distinct_ratio: float
    constant_bits: int


def code_statistics(codes: np.ndarray, bits: int) -> CodeStatistics:
    """Compute statistics of packed codes: (N, W) uint8 of `bits` bits, N at least 1.

    Raises:
        ValueError: N is 0, or `codes` are not valid codes of `bits` bits (see `check_codes`).
    """
    check_codes(codes, bits)
    if not len(codes):
        raise ValueError(f"codes has shape {codes.shape}; pass at least 1 code")
    cooccurrence = _cooccurrence(codes, bits)
    ratios = cooccurrence.diagonal() / len(codes)  # (bits,) ratio of ones
    num_distinct = len(np.unique(np.ascontiguousarray(codes).view(f"V{codes.shape[1]}")))
    return CodeStatistics(
        float(np.abs(ratios - 0.5).mean()),
        float(_binary_entropy(ratios).mean()),
        _correlation(cooccurrence, len(codes)),
        num_distinct,
        num_distinct / len(codes),
        int(((ratios == 0) | (ratios == 1)).sum()),
    )


def quantisation_error(activations: Tensor, threshold: float) -> float:
    """Mean over rows of 1 - cos(a, sign(a)) with a = activations - threshold; 0 if all |a| of a row are equal.

    A row with all activations at the threshold has error 1. J. T. Hoe, K. W. Ng, T. Zhang, C. S. Chan, Y.-Z. Song,
    T. Xiang: One Loss for All: Deep Hashing with a Single Cosine Similarity based Learning Objective, NeurIPS 2021,
    section 3.

    Args:
        activations: (B, bits) float, B at least 1.
        threshold: a bit is 1 where the activation is above the threshold.
    """
    centred = activations.float() - threshold
    denominator = centred.norm(dim=1) * centred.shape[1] ** 0.5  # |a| |sign(a)|
    cosine = centred.abs().sum(dim=1) / denominator.clamp(min=torch.finfo(torch.float32).tiny)
    return float((1 - cosine).mean().clamp(min=0))


def describe_collapse(
    statistics: CodeStatistics, bits: int, categories: np.ndarray, within_category: bool = False
) -> str:
    """Describe the collapse of codes; return an empty string if the codes have not collapsed.

    Codes have collapsed if several garments have a single code, or if the codes have fewer distinct values, or less
    entropy, than the categories. The entropy of a code is at most the sum of the entropies of its bits
    (subadditivity).

    Args:
        statistics: statistics of the gallery codes.
        bits: code length.
        categories: (N,) labelled category of each garment of the gallery. Predicted categories would hide a collapse
            of codes and classifier together.
        within_category: whether the codes are trained to distinguish garments of one category, not categories.
    """
    _, counts = np.unique(categories, return_counts=True)
    ratios = counts / counts.sum()
    category_entropy, code_entropy = float(-(ratios * np.log2(ratios)).sum()), statistics.entropy * bits
    problems = []
    if statistics.distinct == 1 < len(categories):
        problems.append(f"all {len(categories):,} garments have the same code")
    elif statistics.distinct < len(counts):
        problems.append(
            f"the number of distinct codes, {statistics.distinct:,}, is less than "
            f"the number of categories, {len(counts):,}"
        )
    if code_entropy < category_entropy - 1e-6:
        problems.append(
            f"the {bits} code bits ({statistics.constant_bits} constant) have a total entropy of {code_entropy:.2f} "
            f"bits, less than the {category_entropy:.2f} bits of the categories"
        )
    loss = "another loss (hash.item_loss)" if within_category else "another loss (hash=csq, hash.bihalf=true)"
    hint = f"try {loss}, more bits (hash.bits) or a lower learning rate (optim.lr)"
    return f"the gallery codes have collapsed: {'; '.join(problems)}; {hint}" if problems else ""


def _cooccurrence(codes: np.ndarray, bits: int) -> np.ndarray:
    """Number of codes in which both bits of a pair are 1: (bits, bits) float64."""
    counts = np.zeros((bits, bits))
    for block in block_slices(len(codes), bits):
        unpacked = unpack(codes[block], bits).astype(np.float32)  # float32 is exact for integers up to 2^24
        counts += unpacked.T @ unpacked
    return counts


def _binary_entropy(ratios: np.ndarray) -> np.ndarray:
    """Binary entropy of each ratio, in bits: (bits,) float64."""
    terms = [p * np.log2(np.where(p > 0, p, 1)) for p in (ratios, 1 - ratios)]
    return np.abs(terms[0] + terms[1])


def _correlation(cooccurrence: np.ndarray, num_codes: int) -> float:
    """Mean |Pearson correlation| of pairs of non-constant bits, from the counts of `_cooccurrence`."""
    ones = cooccurrence.diagonal()
    varying_bits = np.flatnonzero((ones > 0) & (ones < num_codes))
    if len(varying_bits) < 2:
        return 0.0
    ones, cooccurrence = ones[varying_bits], cooccurrence[np.ix_(varying_bits, varying_bits)]
    deviations = np.sqrt(ones * (num_codes - ones))
    pearson = np.abs(num_codes * cooccurrence - np.outer(ones, ones)) / np.outer(deviations, deviations)
    return float(pearson[~np.eye(len(varying_bits), dtype=bool)].mean())
