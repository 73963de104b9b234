"""Codes far from each other: one for each category to aim at (pure)."""

import logging

import torch
from torch import Tensor

log = logging.getLogger(__name__)

RANDOM_CODES = 4096  # random codes that are looked at, beside the rows of a Hadamard matrix


def centres(count: int, bits: int) -> Tensor:
    """Codes of 1 and -1 that lie far apart, each chosen as far from the ones before as there is one.

    The rows of a Hadamard matrix and their negatives lie half the bits apart (L. Yuan et al.: Central Similarity
    Quantization for Efficient Image and Video Retrieval, CVPR 2020, section 3.2); they are cut to `bits` where these
    are no power of two, and random codes, or all there are, stand beside them. Of codes equally far the one that keeps
    each bit a 1 as often as a -1 is taken. The same numbers give the same codes.

    Args:
        count: how many.
        bits: their length.

    Returns:
        (count, bits) float32, no two alike.

    Raises:
        ValueError: there are not so many codes of so few bits, or no more are found.
    """
    if count > 2**bits:
        min_bits = (count - 1).bit_length()
        raise ValueError(f"hash.bits={bits}: {2**bits} codes for {count} categories; give at least {min_bits} bits")
    candidates = _candidate_codes(bits)
    chosen, bit_sums = torch.empty(count, bits), torch.zeros(bits)
    min_distances = torch.full((len(candidates),), float(bits + 1))  # of each code, to those chosen
    for index in range(count):
        farthest = (min_distances == min_distances.max()).nonzero()[:, 0]
        imbalance = (candidates[farthest] + bit_sums).square().sum(dim=1)
        code = candidates[farthest[imbalance.argmin()]]
        chosen[index], bit_sums = code, bit_sums + code
        min_distances = torch.minimum(min_distances, (bits - candidates @ code) / 2)
    distances = torch.pdist(chosen, p=0)
    if count > 1 and not distances.min():
        raise ValueError(f"hash.bits={bits}: too few to keep {count} categories apart; give more bits")
    if count > 1 and distances.min() <= bits / 4:
        log.warning("hash.bits=%d: of %d categories two aim at codes only %d apart", bits, count, distances.min())
    return chosen


def _candidate_codes(bits: int) -> Tensor:
    """Codes to choose from, (N, bits) of 1 and -1, the best ones first."""
    if 2**bits <= RANDOM_CODES:
        numbers = torch.arange(2**bits)[:, None] >> torch.arange(bits)
        return (numbers % 2).float() * 2 - 1
    rows = torch.ones(1, 1)
    while len(rows) < bits:  # Sylvester's construction
        rows = torch.cat([torch.cat([rows, rows], dim=1), torch.cat([rows, -rows], dim=1)])
    rows = rows[:, -bits:]
    random_codes = torch.randint(0, 2, (RANDOM_CODES, bits), generator=torch.Generator().manual_seed(0)).float() * 2 - 1
    return torch.cat([rows, -rows, random_codes])
