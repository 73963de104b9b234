"""Random logits with labels sampled from their softmax, and ranking metrics by their definitions."""

import math

import torch
from torch import Tensor

from fashion_lsh.metrics.ranking import ALL


def random_logits(seed: int, scale: float, count: int = 200, categories: int = 4) -> tuple[Tensor, Tensor]:
    """Sample labels from the softmax of random logits; return the logits times `scale` (calibrated if `scale` is 1)."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(count, categories, generator=generator)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    return scale * logits, labels


def reference_scores(order: list[bool], total: int, cutoffs: tuple[int, ...]) -> dict[tuple[str, int], float]:
    """All ranking metrics of one ranking by their definitions, rank by rank; NaN without relevant rows."""
    scores: dict[tuple[str, int], float] = {}
    relevant_ranks = [rank for rank, is_relevant in enumerate(order, start=1) if is_relevant]
    scores["mrr", ALL] = 1 / relevant_ranks[0] if relevant_ranks else 0.0
    scores["r_precision", ALL] = sum(order[:total]) / max(total, 1)
    for k in cutoffs:
        depth = k or max(len(order), total)
        found = [rank for rank in relevant_ranks if rank <= depth]
        precision_sum = sum(sum(order[:rank]) / rank for rank in found)
        ideal = sum(1 / math.log2(1 + rank) for rank in range(1, min(total, depth) + 1))
        scores["map", k] = precision_sum / max(min(total, depth), 1)
        scores["map_hits", k] = precision_sum / max(len(found), 1)
        scores["ndcg", k] = sum(1 / math.log2(1 + rank) for rank in found) / (ideal or 1)
        scores["recall", k] = float(bool(found))
        scores["recall_ratio", k] = len(found) / max(total, 1)
        if k:
            scores["map_r", k] = precision_sum / max(total, 1)
            scores["precision", k] = len(found) / k
    return scores if total else dict.fromkeys(scores, math.nan)
