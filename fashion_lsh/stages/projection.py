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
