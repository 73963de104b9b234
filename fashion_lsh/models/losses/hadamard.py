"""Hadamard matrices by the constructions of Sylvester and Paley (pure functions)."""

import torch
from torch import Tensor


def hadamard_matrix(min_order: int) -> Tensor:
    """Hadamard matrix of the smallest order n >= `min_order` that is a power of two, or 2^a (q + 1), a >= 0.

    Here q is a prime with q mod 4 = 3. Sylvester's construction doubles the order, Paley's has order q + 1
    (R. E. A. C. Paley: On Orthogonal Matrices, Journal of Mathematics and Physics 1933).

    Returns:
        (n, n) float32 in {-1, 1} with orthogonal rows: two rows differ in half the columns.
    """
    order = min_order
    while (matrix := _of_order(order)) is None:
        order += 1
    return matrix


def _of_order(order: int) -> Tensor | None:
    if order == 1:
        return torch.ones(1, 1)
    if order % 4 == 0 and _is_prime(order - 1):
        return _paley(order - 1)
    half = _of_order(order // 2) if order % 2 == 0 else None
    return None if half is None else torch.cat([torch.cat([half, half], dim=1), torch.cat([half, -half], dim=1)])


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))


def _paley(q: int) -> Tensor:
    """Paley's first construction from the quadratic residues modulo a prime q with q mod 4 = 3."""
    is_square = torch.zeros(q, dtype=torch.bool)
    is_square[torch.arange(1, q).square() % q] = True
    numbers = torch.arange(q)
    matrix = torch.ones(q + 1, q + 1)
    matrix[1:, 1:] = torch.where(is_square[(numbers[:, None] - numbers) % q], 1.0, -1.0)  # -1 on the diagonal
    return matrix
