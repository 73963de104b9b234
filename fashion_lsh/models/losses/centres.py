"""Hash centres: target codes of the categories, far apart in Hamming distance (pure functions)."""

import logging

import torch
from torch import Tensor

log = logging.getLogger(__name__)

NUM_RANDOM_CODES = 4096  # number of random candidates, in addition to the rows of a Hadamard matrix


def hash_centres(num_centres: int, bits: int) -> Tensor:
    """Select hash centres by farthest-point sampling in Hamming distance.

    Up to 12 bits, all codes are candidates. Otherwise, candidates are random codes, and the rows of a Hadamard matrix
    and their negatives, truncated if `bits` is not a power of two. Rows of a Hadamard matrix differ in half the bits
    (L. Yuan et al.: Central Similarity Quantization for Efficient Image and Video Retrieval, CVPR 2020, section 3.2).
    Ties are broken by the balance of 1 and -1 per bit. The result is deterministic.

    Args:
        num_centres: number of centres.
        bits: code length.

    Returns:
        (num_centres, bits) float32 distinct codes in {-1, 1}.

    Raises:
        ValueError: `num_centres` exceeds 2**bits or the number of distinct candidates.
    """
    if num_centres > 2**bits:
        min_bits = (num_centres - 1).bit_length()
        raise ValueError(
            f"hash.bits={bits}: only {2**bits} codes for {num_centres} categories; set at least {min_bits} bits"
        )
    candidates = _candidate_codes(bits)
    centres, bit_sums = torch.empty(num_centres, bits), torch.zeros(bits)
    min_distances = torch.full((len(candidates),), float(bits + 1))  # distance of each candidate to its nearest centre
    for index in range(num_centres):
        farthest = (min_distances == min_distances.max()).nonzero()[:, 0]
        imbalance = (candidates[farthest] + bit_sums).square().sum(dim=1)
        code = candidates[farthest[imbalance.argmin()]]
        centres[index], bit_sums = code, bit_sums + code
        min_distances = torch.minimum(min_distances, (bits - candidates @ code) / 2)
    distances = torch.pdist(centres, p=0)
    if num_centres > 1 and not distances.min():
        raise ValueError(f"hash.bits={bits}: fewer than {num_centres} distinct hash centres found; set more bits")
    if num_centres > 1 and distances.min() <= bits / 4:
        log.warning(
            "hash.bits=%d: two of the %d hash centres differ in only %d bits", bits, num_centres, distances.min()
        )
    return centres


def _candidate_codes(bits: int) -> Tensor:
    """Candidates for centres, (N, bits) float32 in {-1, 1}; Hadamard rows first."""
    if 2**bits <= NUM_RANDOM_CODES:
        numbers = torch.arange(2**bits)[:, None] >> torch.arange(bits)
        return (numbers % 2).float() * 2 - 1
    rows = torch.ones(1, 1)
    while len(rows) < bits:  # Sylvester's construction
        rows = torch.cat([torch.cat([rows, rows], dim=1), torch.cat([rows, -rows], dim=1)])
    rows = rows[:, -bits:]
    random_codes = (
        torch.randint(0, 2, (NUM_RANDOM_CODES, bits), generator=torch.Generator().manual_seed(0)).float() * 2 - 1
    )
    return torch.cat([rows, -rows, random_codes])
