"""How much the bits of packed codes say (pure)."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fashion_lsh.index.codes import check_codes, unpack
from fashion_lsh.metrics.ranking import blocks


class Quality(NamedTuple):
    """What the bits of N codes say.

    Good bits halve the garments and do not repeat each other (Y. Weiss, A. Torralba, R. Fergus: Spectral Hashing,
    NIPS 2008, section 2).
    """

    balance: float  # mean over bits of |share of ones - 1/2|: 0 each halves the garments, 1/2 each is constant
    entropy: float  # mean over bits of the binary entropy of that share, in bits: 0 each is constant, 1 each halves
    correlation: float  # mean |Pearson correlation| of two bits that vary; 0 where fewer than two do
    distinct: int  # different codes
    distinct_share: float  # of N
    constant_bits: int  # bits that are the same in all codes


def quality(codes: np.ndarray, bits: int) -> Quality:
    """Measure packed codes.  (N, W) uint8 of `bits` bits, N at least 1.

    Raises:
        ValueError: there is no code, or they are not codes of `bits` bits (see `check_codes`).
    """
    check_codes(codes, bits)
    if not len(codes):
        raise ValueError(f"codes are {codes.shape}: give at least 1")
    both = _both_one(codes, bits)
    ones = both.diagonal() / len(codes)  # (bits,) share of ones
    different = len(np.unique(np.ascontiguousarray(codes).view(f"V{codes.shape[1]}")))
    return Quality(
        float(np.abs(ones - 0.5).mean()),
        float(_entropy(ones).mean()),
        _correlation(both, len(codes)),
        different,
        different / len(codes),
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
    apart = activations.float() - threshold
    longest = apart.norm(dim=1) * apart.shape[1] ** 0.5  # |apart| times the length of its signs
    cosine = apart.abs().sum(dim=1) / longest.clamp(min=torch.finfo(torch.float32).tiny)
    return float((1 - cosine).mean().clamp(min=0))


def collapse(found: Quality, bits: int, predicted: np.ndarray) -> str:
    """What is wrong with codes that tell less apart than the categories do, and the way out; "": nothing is.

    What codes tell is at most the sum of what their bits do (subadditivity of entropy).

    Args:
        found: of the gallery's codes.
        bits: their length.
        predicted: (N,) int, what the gallery's garments are seen as.
    """
    _, counts = np.unique(predicted, return_counts=True)
    shares = counts / counts.sum()
    needed = float(-(shares * np.log2(shares)).sum())
    signs = {
        f"{found.distinct:,} distinct codes for {len(counts):,} predicted categories": found.distinct < len(counts),
        f"entropies of the {bits} bits, of which {found.constant_bits} never change, add up to "
        f"{found.entropy * bits:.2f}, that of the categories is {needed:.2f}": found.entropy * bits < needed - 1e-6,
    }
    named = "; ".join(text for text, there in signs.items() if there)
    way_out = "try another loss (hash=csq, hash.bihalf=true), more bits (hash.bits) or a lower learning rate (optim.lr)"
    return f"the gallery's codes have collapsed: {named}: {way_out}" if named else ""


def _both_one(codes: np.ndarray, bits: int) -> np.ndarray:
    """(bits, bits) float64: codes in which both bits are 1."""
    both = np.zeros((bits, bits))
    for block in blocks(len(codes), bits):
        some = unpack(codes[block], bits).astype(np.float32)  # whole numbers up to 2^24 are exact
        both += some.T @ some
    return both


def _entropy(ones: np.ndarray) -> np.ndarray:
    """Binary entropy of shares, in bits: same shape."""
    logs = [share * np.log2(np.where(share > 0, share, 1)) for share in (ones, 1 - ones)]
    return np.abs(logs[0] + logs[1])


def _correlation(both: np.ndarray, count: int) -> float:
    """Mean |Pearson correlation| of distinct bits that vary; see `_both_one`."""
    ones = both.diagonal()
    varies = np.flatnonzero((ones > 0) & (ones < count))
    if len(varies) < 2:
        return 0.0
    ones, both = ones[varies], both[np.ix_(varies, varies)]
    spread = np.sqrt(ones * (count - ones))
    pearson = np.abs(count * both - np.outer(ones, ones)) / np.outer(spread, spread)
    return float(pearson[~np.eye(len(varies), dtype=bool)].mean())
