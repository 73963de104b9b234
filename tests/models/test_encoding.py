"""One forward as arrays: batches, thresholds, devices and types."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from fashion_lsh.models.encoding import Encoded, encode


class Answer(NamedTuple):
    logits: Tensor
    activations: Tensor | None
    embedding: Tensor


class Sums:
    """A model whose answers are whole-number sums of pixels, so that they are exact in batches of any size."""

    def __init__(self, bits: int | None = 12, threshold: float = 0.5, dtype: torch.dtype = torch.float32) -> None:
        self.bits, self.threshold, self.dtype = bits, threshold, dtype
        self.device, self.seen = torch.device("cpu"), ""

    def __call__(self, images: Tensor) -> Answer:
        self.seen = images.device.type
        pixels = torch.zeros(5, 3, 4, 4) if images.is_meta else images.float()
        activations = None if self.bits is None else (pixels.flatten(1)[:, : self.bits] / 256).to(self.dtype)
        return Answer(pixels.sum(3).sum(2).to(self.dtype), activations, pixels[:, 0, 0].to(self.dtype))

    def eval(self) -> "Sums":
        return self

    def masses(self, logits: Tensor) -> Tensor:
        assert logits.dtype == torch.float32
        return logits * 2


def crops(count: int = 5) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, 3, 4, 4), dtype=np.uint8))


def fields(encoded: Encoded) -> list[np.ndarray]:
    return [field for field in encoded if field is not None]


@pytest.mark.parametrize("bits", [12, None])
@pytest.mark.parametrize("size", [1, 2, 4])
def test_batches_joined_in_order_are_the_whole_encoded_at_once(bits: int | None, size: int) -> None:
    images, model = crops(), Sums(bits)
    whole = encode(model, images)
    joined = Encoded.joined([encode(model, part) for part in images.split(size)])
    assert [field.shape for field in fields(joined)] == [(5, 3), (5, 2), (5, 4)] if bits else [(5, 3), (5, 4)]
    for ours, wanted in zip(fields(joined), fields(whole), strict=True):
        assert np.array_equal(ours, wanted)


@pytest.mark.parametrize("bits", [12, None])
def test_one_row_is_that_picture_encoded_alone(bits: int | None) -> None:
    images, model = crops(), Sums(bits)
    whole = encode(model, images)
    for row in range(5):
        for ours, wanted in zip(fields(whole.one(row)), fields(encode(model, images[row : row + 1])), strict=True):
            assert np.array_equal(ours, wanted)


@pytest.mark.parametrize("threshold", [0.25, 0.5])
def test_a_bit_is_1_where_its_activation_exceeds_the_models_threshold(threshold: float) -> None:
    images = crops()
    images[0, 0, 0, 0] = int(256 * threshold)  # exactly at the threshold: 0
    codes = encode(Sums(threshold=threshold), images).codes
    assert codes is not None
    assert codes.dtype == np.uint8
    for row, bit in np.ndindex(5, 12):
        wanted = images[row].flatten()[bit].item() / 256 > threshold
        assert (codes[row, bit // 8] >> (bit % 8) & 1) == wanted
    assert not (codes[:, 1] >> 4).any()


def test_the_category_is_that_of_the_greatest_mass_and_of_equals_the_first() -> None:
    masses = np.array([[0.1, 0.5, 0.4], [0.2, 0.4, 0.4], [0.0, 0.0, 1.0]], dtype=np.float32)
    predicted = Encoded(masses, None, masses).predicted
    assert predicted.dtype == np.int64
    assert predicted.tolist() == [1, 1, 2]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_answers_of_any_precision_become_float32(dtype: torch.dtype) -> None:
    images = crops() // 16  # small enough that every sum is exact in 8 bits
    ours, wanted = encode(Sums(dtype=dtype), images), encode(Sums(), images)
    assert (ours.masses.dtype, ours.embeddings.dtype) == (np.float32, np.float32)
    for field, exact in zip(fields(ours), fields(wanted), strict=True):
        assert np.array_equal(field, exact)
    assert wanted.masses.tolist() == (2 * images.sum(dim=(2, 3))).tolist()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_exact_activations_of_any_precision_give_the_same_codes(dtype: torch.dtype) -> None:
    ours, wanted = encode(Sums(dtype=dtype), crops()).codes, encode(Sums(), crops()).codes
    assert wanted is not None
    assert wanted.any()
    assert np.array_equal(ours, wanted)


def test_crops_go_to_the_models_device() -> None:
    model = Sums()
    model.device = torch.device("meta")
    encode(model, crops())
    assert model.seen == "meta"


def test_nothing_is_kept_for_a_backward_pass() -> None:
    model = Sums()
    weight = torch.ones(1, requires_grad=True)
    model.masses = lambda logits: logits * weight  # type: ignore[method-assign]  # .numpy() refuses what needs a gradient
    assert encode(model, crops()).masses.shape == (5, 3)
