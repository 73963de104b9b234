"""Pictures to what an index can hold: one forward, then masses, codes and embeddings as arrays."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from fashion_lsh.data.crops import to_batch
from fashion_lsh.index.codes import pack


class ForwardOutput(Protocol):
    """Output of a forward: logits (B, C), activations (B, bits) or None, embedding (B, D) of length 1."""

    @property
    def logits(self) -> Tensor: ...
    @property
    def activations(self) -> Tensor | None: ...
    @property
    def embedding(self) -> Tensor: ...


class Model(Protocol):
    """A fitted HashHeadModel, ClassifierModel, or anything with their interface.

    Called with (B, 3, H, W) uint8 crops; `probabilities` maps (B, C) logits to (B, C) probabilities.
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
    """B pictures, ready to be filed or asked with.

    probabilities (B, C) float32; codes (B, ceil(bits / 8)) uint8, None without a hash layer; embeddings (B, D) float32.
    """

    probabilities: np.ndarray
    codes: np.ndarray | None
    embeddings: np.ndarray

    @property
    def predicted(self) -> np.ndarray:
        """(B,) int64: the category of the greatest mass; of equals, the first; -1: nothing was seen."""
        return np.where(self.probabilities.any(axis=1), self.probabilities.argmax(axis=1), -1)

    def without_detections(self, mask: np.ndarray) -> "Encoded":
        """The same, but that in some, (B,) bool, nothing was seen: all their masses are 0."""
        return self._replace(probabilities=np.where(mask[:, None], np.float32(0), self.probabilities))

    def at(self, row: int) -> "Encoded":
        """Row `row` alone, B = 1."""
        return self.take(slice(row, row + 1))

    def take(self, rows: np.ndarray | slice) -> "Encoded":
        """Some rows, (n,) numbers, or (B,) bool, or a slice, in the order given."""
        codes = None if self.codes is None else self.codes[rows]
        return Encoded(self.probabilities[rows], codes, self.embeddings[rows])

    @staticmethod
    def concatenate(parts: Sequence["Encoded"]) -> "Encoded":
        """Several, one after the other."""
        codes = [part.codes for part in parts if part.codes is not None]
        probabilities, embeddings = (np.concatenate([part[field] for part in parts]) for field in (0, 2))
        return Encoded(probabilities, np.concatenate(codes) if codes else None, embeddings)


@torch.inference_mode()
def encode(model: Model, images: Tensor) -> Encoded:
    """(B, 3, S, S) uint8 crops -> Encoded, in one forward of the model in evaluation mode."""
    model.eval()
    return as_arrays(model, model(images.to(model.device)))


def encode_crops(model: Model, crops: Sequence[np.ndarray]) -> Encoded:
    """B crops, (S, S, 3) uint8 each, as `crop_image` gives them -> Encoded, in one forward."""
    return encode(model, torch.from_numpy(to_batch(crops)))


def as_arrays(model: Model, output: ForwardOutput) -> Encoded:
    """What the model's forward gave for B pictures -> Encoded."""
    codes = None if output.activations is None else pack(output.activations.float().cpu().numpy(), model.threshold)
    probabilities = model.probabilities(output.logits.float())
    return Encoded(probabilities.cpu().numpy(), codes, output.embedding.float().cpu().numpy())
