"""Linear projections without gradient training: PCA, random hyperplanes (LSH), iterative quantisation (ITQ)."""

import torch
from torch import Tensor


def principal_axes(features: Tensor, num_axes: int) -> tuple[Tensor, Tensor]:
    """Principal component analysis without whitening.

    Axes beyond the rank of the features are an arbitrary orthonormal completion.

    Args:
        features: (N, D) float.
        num_axes: number of axes, 1..D.

    Returns:
        Mean (D,) float32, and orthonormal axes (D, num_axes) float32 as columns in order of decreasing variance.

    Raises:
        ValueError: N is 0, a feature is not finite, or `num_axes` is outside 1..D.
    """
    if not len(features) or not features.isfinite().all() or not 1 <= num_axes <= features.shape[1]:
        raise ValueError(
            f"features of shape {tuple(features.shape)}, {num_axes=}: pass finite (N, D) features and num_axes in 1..D"
        )
    double = features.double()
    centre = double.mean(dim=0)
    _, axes = torch.linalg.eigh((double - centre).T @ (double - centre))  # ascending eigenvalues
    return centre.float(), axes[:, -num_axes:].flip(1).float()


def random_hyperplanes(dimensions: int, bits: int, seed: int) -> Tensor:
    """Draw normals of random hyperplanes.

    Two vectors are on the same side of a random hyperplane with probability 1 - angle/π.

    M. Charikar: Similarity Estimation Techniques from Rounding Algorithms, STOC 2002, section 3.

    Args:
        dimensions: feature dimension D.
        bits: number of hyperplanes; a bit is 1 on the side to which the normal points.
        seed: random seed.

    Returns:
        Normals (D, bits) float32 as columns, drawn from the standard normal distribution.

    Raises:
        ValueError: `dimensions` or `bits` is below 1.
    """
    if min(dimensions, bits) < 1:
        raise ValueError(f"{dimensions=}, {bits=}: must be at least 1; pass larger values")
    return torch.randn(dimensions, bits, generator=torch.Generator().manual_seed(seed))


def fit_pca_rotation(features: Tensor, bits: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Fit principal axes in a random rotation, which spreads the variance evenly over the bits.

    H. Jégou, M. Douze, C. Schmid, P. Pérez: Aggregating local descriptors into a compact image representation, CVPR
    2010, section 4; the rotation is the initial rotation of ITQ (see `fit_itq`), whose arguments and result it shares.
    """
    centre, axes = principal_axes(features, bits)
    return centre, axes @ _random_rotation(bits, seed)


def fit_itq(features: Tensor, bits: int, seed: int = 0, num_iterations: int = 50) -> tuple[Tensor, Tensor]:
    """Fit iterative quantisation: a PCA projection, rotated to minimise the quantisation error ||B - VR||².

    V is the (N, bits) matrix of PCA projections, R a rotation, initially random, and B = sign(VR). Each iteration
    updates B, then R (orthogonal Procrustes).

    Y. Gong, S. Lazebnik: Iterative Quantization: A Procrustean Approach to Learning Binary Codes, CVPR
    2011, section 2.2; with A. Gordo, F. Perronnin, TPAMI 2013.

    Args:
        features: (N, D) float.
        bits: code length, 1..D.
        seed: seed of the initial rotation.
        num_iterations: number of iterations.

    Returns:
        Mean (D,) float32, and orthonormal projection directions (D, bits) float32 as columns. A bit is 1 where
        (features - mean) @ directions is above 0.

    Raises:
        ValueError: `bits` exceeds D, or the features are invalid (see `principal_axes`).
    """
    if bits > features.shape[1]:
        raise ValueError(
            f"{bits=}: iterative quantisation yields at most one bit per feature dimension; "
            f"pass at most {features.shape[1]} bits, features of higher dimension, or use random hyperplanes"
        )
    centre, axes = principal_axes(features, bits)
    projected = (features.float() - centre) @ axes  # (N, bits)
    rotation = _random_rotation(bits, seed)
    for _ in range(num_iterations):
        signs = torch.where(projected @ rotation > 0, 1.0, -1.0)
        left, _, right = torch.linalg.svd(projected.T @ signs)
        rotation = left @ right
    return centre, axes @ rotation


def _random_rotation(bits: int, seed: int) -> Tensor:
    """Random orthogonal matrix, (bits, bits) float32."""
    rotation, _ = torch.linalg.qr(random_hyperplanes(bits, bits, seed))
    return rotation
