"""Fake fitted model, with fixed random layers on images pooled to 2 x 2."""

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

BITS, EMBEDDING_DIM = 10, 5


class FakeModel:
    """Fake model with the interface of HashHeadModel."""

    threshold, image_size, margin = 0.5, 32, 0.1
    device = torch.device("cpu")

    def __init__(self, categories: list[str], fingerprint: str = "fake", bits: int | None = BITS) -> None:
        self.categories, self._fingerprint, self.bits = categories, fingerprint, bits

    def __call__(self, images: Tensor) -> Any:
        pooled = torch.nn.functional.adaptive_avg_pool2d(images.float() / 255 - 0.5, 2).flatten(1)  # (B, 12)
        count = len(self.categories)
        layer = torch.randn(12, count + BITS + EMBEDDING_DIM, generator=torch.Generator().manual_seed(0))
        logits, activations, embedding = (pooled @ layer).split([count, BITS, EMBEDDING_DIM], dim=1)
        embedding = torch.nn.functional.normalize(embedding, dim=1)
        used_activations = None if self.bits is None else activations.sigmoid()
        return SimpleNamespace(logits=logits, activations=used_activations, embedding=embedding)

    def eval(self) -> "FakeModel":
        return self

    def probabilities(self, logits: Tensor) -> Tensor:
        return logits.softmax(dim=1)

    def fingerprint(self) -> str:
        return self._fingerprint
