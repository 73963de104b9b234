"""Features made shorter with little loss."""

import torch
from torch import Tensor


def principal_axes(features: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The directions in which features differ most: principal component analysis, without whitening.

    Axes beyond the rank of the features are any that complete the others.

    Args:
        features: (N, D) float.
        count: how many axes, 1 to D.

    Returns:
        The mean, (D,) float32, and the axes as columns, (D, count) float32, orthonormal, the most important first.

    Raises:
        ValueError: no feature is given, one is not finite, or more axes are asked for than there are dimensions.
    """
    if not len(features) or not features.isfinite().all() or not 1 <= count <= features.shape[1]:
        raise ValueError(f"features are {tuple(features.shape)}, {count=}: give (N, D) finite ones, and 1 to D axes")
    exact = features.double()
    centre = exact.mean(dim=0)
    _, axes = torch.linalg.eigh((exact - centre).T @ (exact - centre))  # ascending
    return centre.float(), axes[:, -count:].flip(1).float()


def hyperplanes(dimensions: int, bits: int, seed: int) -> Tensor:
    """Random hyperplanes through 0: the signs of two vectors on them differ as their angle does.

    M. Charikar: Similarity Estimation Techniques from Rounding Algorithms, STOC 2002, section 3.

    Returns:
        (dimensions, bits) float32, standard normal, by the seed alone.
    """
    return torch.randn(dimensions, bits, generator=torch.Generator().manual_seed(seed))


def itq(features: Tensor, bits: int, seed: int = 0, rounds: int = 50) -> tuple[Tensor, Tensor]:
    """Principal axes turned so that the signs on them lose least: iterative quantisation.

    Y. Gong, S. Lazebnik: Iterative Quantization: A Procrustean Approach to Learning Binary Codes, CVPR 2011, section 3.

    Args:
        features: (N, D) float.
        bits: 1 to D.
        seed: of the turn that is begun with.
        rounds: of signs and turn in turn.

    Returns:
        The mean, (D,) float32, and the planes, (D, bits) float32, orthonormal.

    Raises:
        ValueError: there are more bits than dimensions, or see `principal_axes`.
    """
    if bits > features.shape[1]:
        raise ValueError(
            f"hash.bits={bits}: ITQ gives {features.shape[1]} bits at most, one for each number of the embedding; "
            "give fewer, or a longer embedding (hash.embedding_dim), or hash=lsh"
        )
    centre, axes = principal_axes(features, bits)
    projected = (features - centre) @ axes
    turn, _ = torch.linalg.qr(hyperplanes(bits, bits, seed))
    for _ in range(rounds):
        left, _, right = torch.linalg.svd(torch.where(projected @ turn > 0, 1.0, -1.0).T @ projected)
        turn = (left @ right).T
    return centre, axes @ turn
