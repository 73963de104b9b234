"""Hash centres: target codes of the categories, far apart in Hamming distance (pure functions)."""

import logging

import torch
from torch import Tensor

from fashion_lsh.models.losses.hadamard import hadamard_matrix

log = logging.getLogger(__name__)

NUM_DRAWS = 32  # number of draws of rows and columns, of which the best is used
NUM_RANDOM_CODES = 4096  # number of random candidates if rows and their negatives are fewer than the centres


def hash_centres(num_centres: int, bits: int, seed: int = 0) -> Tensor:
    """Draw hash centres from the rows of a Hadamard matrix, which differ in half the bits.

    Rows, columns and the signs of rows and columns are drawn at random. Only columns in which the rows differ are
    drawn, so that no bit is constant, and first those that are distinct up to the sign, so that bits do not repeat each
    other. If the matrix has fewer rows than centres, the negatives of the rows are added. NUM_DRAWS draws are compared;
    the one with the most distinct columns is used, and among these the one with the largest minimum distance. Further
    centres are selected by farthest-point sampling from random codes (up to 12 bits from all codes).
    L. Yuan et al.: Central Similarity Quantization for Efficient Image and Video Retrieval, CVPR 2020, section 3.2.

    Args:
        num_centres: number of centres.
        bits: code length.
        seed: random seed; the result depends only on the arguments.

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
    generator = torch.Generator().manual_seed(seed)
    draws = [_draw_rows(num_centres, bits, generator) for _ in range(NUM_DRAWS)]
    centres = max(draws, key=lambda rows: (num_distinct_columns(rows), _min_distance(rows)))
    centres = _add_farthest(centres, num_centres, generator)
    min_distance = _min_distance(centres)
    if not min_distance:
        raise ValueError(f"hash.bits={bits}: fewer than {num_centres} distinct hash centres found; set more bits")
    if min_distance <= bits / 4:
        log.warning("hash.bits=%d: two of the %d hash centres differ in only %d bits", bits, num_centres, min_distance)
    return centres


def num_distinct_columns(codes: Tensor) -> int:
    """Count the columns of codes (N, bits) in {-1, 1} that are distinct up to the sign."""
    return len(set(map(tuple, (codes * codes[:1]).T.tolist())))


def _draw_rows(count: int, bits: int, generator: torch.Generator) -> Tensor:
    """Draw up to `count` rows of a Hadamard matrix and negatives of the rows, in `bits` columns: (n, bits)."""
    min_order = bits
    while True:
        matrix = hadamard_matrix(min_order)
        order = len(matrix)
        rows, columns = (torch.randperm(order, generator=generator) for _ in range(2))
        row_signs, column_signs = 2 * torch.randint(2, (2, order), generator=generator).float() - 1
        codes = (row_signs[:, None] * column_signs * matrix)[rows[:count]][:, columns]
        if len(codes) > 1:
            codes = codes[:, (codes != codes[:1]).any(dim=0)]  # without constant columns
        if codes.shape[1] >= bits and (len(codes) > 1 or count == 1):
            codes = codes[:, _distinct_first(codes)[:bits]]
            return torch.cat([codes, -codes])[:count]
        min_order = order + 1


def _distinct_first(codes: Tensor) -> Tensor:
    """Order of the columns by the number of columns before them that are equal up to the sign: (columns,) int64."""
    columns = (codes * codes[:1]).T
    is_equal = (columns[:, None] == columns).all(dim=2)
    return is_equal.tril(-1).sum(dim=1).argsort(stable=True)


def _add_farthest(centres: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Add codes to (n, bits) by farthest-point sampling; ties are broken by the balance of the bits: (count, bits)."""
    if len(centres) == count:
        return centres
    bits = centres.shape[1]
    if 2**bits <= NUM_RANDOM_CODES:
        codes = (torch.arange(2**bits)[:, None] >> torch.arange(bits)) % 2
    else:
        codes = torch.randint(2, (NUM_RANDOM_CODES, bits), generator=generator)
    candidates = 2 * codes.float() - 1
    distances = (bits - (candidates @ centres.T).max(dim=1).values) / 2  # of each candidate to its nearest centre
    while len(centres) < count:
        farthest = candidates[distances == distances.max()]
        code = farthest[(farthest + centres.sum(dim=0)).square().sum(dim=1).argmin()]
        centres = torch.cat([centres, code[None]])
        distances = torch.minimum(distances, (bits - candidates @ code) / 2)
    return centres


def _min_distance(codes: Tensor) -> int:
    """Smallest Hamming distance between two codes (N, bits) in {-1, 1}; `bits` for a single code."""
    return int(torch.pdist(codes, p=0).min()) if len(codes) > 1 else codes.shape[1]
