"""Features made shorter, or into bits, by fixed directions."""

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
    double = features.double()
    centre = double.mean(dim=0)
    _, axes = torch.linalg.eigh((double - centre).T @ (double - centre))  # ascending
    return centre.float(), axes[:, -count:].flip(1).float()


def hyperplanes(dimensions: int, bits: int, seed: int) -> Tensor:
    """Normals of random hyperplanes: two features lie on one side of one with a chance of 1 - angle/π.

    M. Charikar: Similarity Estimation Techniques from Rounding Algorithms, STOC 2002, section 3.

    Args:
        dimensions: D, the length of a feature.
        bits: hyperplanes; a bit is 1 on the side that the normal points to.
        seed: of the draw.

    Returns:
        (D, bits) float32, standard normal.

    Raises:
        ValueError: `dimensions` or `bits` is below 1.
    """
    if min(dimensions, bits) < 1:
        raise ValueError(f"{dimensions=}, {bits=}: give at least 1 of each")
    return torch.randn(dimensions, bits, generator=torch.Generator().manual_seed(seed))


def itq(features: Tensor, bits: int, seed: int = 0, iterations: int = 50) -> tuple[Tensor, Tensor]:
    """Iterative quantisation: the principal axes, turned so that features lie as near to their signs as they can.

    From a random rotation R on, each round takes the signs B of the turned features VR, and then the R that brings VR
    nearest to B (orthogonal Procrustes). Y. Gong, S. Lazebnik: Iterative Quantization: A Procrustean Approach to
    Learning Binary Codes, CVPR 2011, section 2.2; with A. Gordo, F. Perronnin, TPAMI 2013.

    Args:
        features: (N, D) float.
        bits: length of a code, 1 to D.
        seed: of the first rotation.
        iterations: how often.

    Returns:
        The centre, (D,) float32, and the planes as columns, (D, bits) float32, orthonormal: a bit is 1 where
        (features - centre) @ planes is above 0.

    Raises:
        ValueError: more bits than dimensions, or features that have no axes (see `principal_axes`).
    """
    if bits > features.shape[1]:
        raise ValueError(
            f"{bits=} of features of length {features.shape[1]}: iterative quantisation has one bit an axis at most, "
            f"give up to {features.shape[1]} bits, longer features, or take random hyperplanes"
        )
    centre, axes = principal_axes(features, bits)
    projected = (features.float() - centre) @ axes  # (N, bits)
    rotation, _ = torch.linalg.qr(hyperplanes(bits, bits, seed))
    for _ in range(iterations):
        signs = torch.where(projected @ rotation > 0, 1.0, -1.0)
        left, _, right = torch.linalg.svd(projected.T @ signs)
        rotation = left @ right
    return centre, axes @ rotation
