"""Encode images to probabilities, packed codes and embeddings as arrays, in one forward pass."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from fashion_lsh.data.crops import to_batch
from fashion_lsh.index.codes import pack


class ForwardOutput(Protocol):
    """Output of a forward pass: logits (B, C), activations (B, bits) or None, L2-normalised embedding (B, D)."""

    @property
    def logits(self) -> Tensor: ...
    @property
    def activations(self) -> Tensor | None: ...
    @property
    def embedding(self) -> Tensor: ...


class Model(Protocol):
    """Interface of trained models, such as HashHeadModel and ClassifierModel.

    The input of `__call__` is (B, 3, H, W) uint8 crops. `probabilities` maps (B, C) logits to (B, C) probabilities.
    """

    categories: list[str]
    bits: int | None
    threshold: float
    image_size: int
    margin: float

    @property
    def device(self) -> torch.device: ...
    def __call__(self, images: Tensor) -> ForwardOutput: ...
    def eval(self) -> Any: ...
    def probabilities(self, logits: Tensor) -> Tensor: ...
    def fingerprint(self) -> str: ...


class Encoded(NamedTuple):
    """Encoded images of a gallery or of queries.

    Attributes:
        probabilities: (B, C) float32 softmax probabilities of the categories; all 0 for a query without detection.
        codes: (B, ceil(bits / 8)) uint8 packed codes; None without a hash layer.
        embeddings: (B, D) float32 L2-normalised embeddings.
        activations: (B, bits) float32 activations minus the threshold, for queries of the asymmetric distance; None
            without a hash layer, or if they were not stored.
    """

    probabilities: np.ndarray
    codes: np.ndarray | None
    embeddings: np.ndarray
    activations: np.ndarray | None = None

    @property
    def predicted(self) -> np.ndarray:
        """Most probable category, (B,) int64: the first of equally probable categories; -1 without a detection."""
        return np.where(self.probabilities.any(axis=1), self.probabilities.argmax(axis=1), -1)

    def without_detections(self, is_undetected: np.ndarray) -> "Encoded":
        """Copy with probabilities 0 for images without detection; `is_undetected`: (B,) bool."""
        return self._replace(probabilities=np.where(is_undetected[:, None], np.float32(0), self.probabilities))

    def at(self, row: int) -> "Encoded":
        """Encoding of a single image, with B = 1."""
        return self.take(slice(row, row + 1))

    def take(self, rows: np.ndarray | slice) -> "Encoded":
        """Encodings of selected images; `rows` is (n,) int, (B,) bool or a slice."""
        return Encoded(*(None if field is None else field[rows] for field in self))  # type: ignore[arg-type]

    @staticmethod
    def concatenate(parts: Sequence["Encoded"]) -> "Encoded":
        """Concatenate along the batch dimension; codes and activations are None if a part has none."""
        fields = zip(*parts, strict=True)
        arrays: Any = (None if any(part is None for part in field) else np.concatenate(field) for field in fields)
        return Encoded(*arrays)


@torch.inference_mode()
def encode(model: Model, images: Tensor) -> Encoded:
    """Encode crops, (B, 3, S, S) uint8, in one forward pass in evaluation mode."""
    model.eval()
    return as_arrays(model, model(images.to(model.device)))


def encode_crops(model: Model, crops: Sequence[np.ndarray]) -> Encoded:
    """Encode B crops of `crop_image`, (S, S, 3) uint8 each, in one forward pass."""
    return encode(model, torch.from_numpy(to_batch(crops)))


def as_arrays(model: Model, output: ForwardOutput) -> Encoded:
    """Convert the output of a forward pass over B images to arrays: temperature and softmax, packed codes."""
    probabilities = model.probabilities(output.logits.float()).cpu().numpy()
    embeddings = output.embedding.float().cpu().numpy()
    if output.activations is None:
        return Encoded(probabilities, None, embeddings)
    activations = output.activations.float().cpu().numpy()
    codes = pack(activations, model.threshold)
    return Encoded(probabilities, codes, embeddings, activations - np.float32(model.threshold))
