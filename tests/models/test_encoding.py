"""Encoding: batches, threshold, device and dtypes."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from fashion_lsh.models.encoding import Encoded, encode


class ModelOutput(NamedTuple):
    logits: Tensor
    activations: Tensor | None
    embedding: Tensor


class PixelSumModel:
    """Model with integer sums of pixels as outputs, which are exact in batches of any size."""

    def __init__(self, bits: int | None = 12, threshold: float = 0.5, dtype: torch.dtype = torch.float32) -> None:
        self.bits, self.threshold, self.dtype = bits, threshold, dtype
        self.device, self.input_device = torch.device("cpu"), ""

    def __call__(self, images: Tensor) -> ModelOutput:
        self.input_device = images.device.type
        pixels = torch.zeros(5, 3, 4, 4) if images.is_meta else images.float()
        activations = None if self.bits is None else (pixels.flatten(1)[:, : self.bits] / 256).to(self.dtype)
        return ModelOutput(pixels.sum(3).sum(2).to(self.dtype), activations, pixels[:, 0, 0].to(self.dtype))

    def eval(self) -> "PixelSumModel":
        return self

    def probabilities(self, logits: Tensor) -> Tensor:
        assert logits.dtype == torch.float32
        return logits * 2


def random_crops(count: int = 5) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, 3, 4, 4), dtype=np.uint8))


def fields(encoded: Encoded) -> list[np.ndarray]:
    return [field for field in encoded if field is not None]


@pytest.mark.parametrize("bits", [12, None])
@pytest.mark.parametrize("size", [1, 2, 4])
def test_concatenated_batches_equal_one_batch(bits: int | None, size: int) -> None:
    images, model = random_crops(), PixelSumModel(bits)
    whole = encode(model, images)
    concatenated = Encoded.concatenate([encode(model, part) for part in images.split(size)])
    shapes = [(5, 3), (5, 2), (5, 4), (5, 12)] if bits else [(5, 3), (5, 4)]
    assert [field.shape for field in fields(concatenated)] == shapes
    for actual, expected in zip(fields(concatenated), fields(whole), strict=True):
        assert np.array_equal(actual, expected)


@pytest.mark.parametrize("bits", [12, None])
def test_row_of_a_batch_equals_single_encoding(bits: int | None) -> None:
    images, model = random_crops(), PixelSumModel(bits)
    whole = encode(model, images)
    for row in range(5):
        for actual, expected in zip(fields(whole.at(row)), fields(encode(model, images[row : row + 1])), strict=True):
            assert np.array_equal(actual, expected)


@pytest.mark.parametrize("threshold", [0.25, 0.5])
def test_bit_is_1_above_the_threshold(threshold: float) -> None:
    images = random_crops()
    images[0, 0, 0, 0] = int(256 * threshold)  # an activation equal to the threshold gives bit 0
    _, codes, _, activations = encode(PixelSumModel(threshold=threshold), images)
    assert codes is not None
    assert activations is not None
    assert activations.dtype == np.float32
    assert codes.dtype == np.uint8
    for row, bit in np.ndindex(5, 12):
        expected = images[row].flatten()[bit].item() / 256
        assert (codes[row, bit // 8] >> (bit % 8) & 1) == (expected > threshold)
        assert activations[row, bit] == expected - threshold
    assert not (codes[:, 1] >> 4).any()


def test_predicted_category_has_the_highest_probability() -> None:
    probabilities = np.array([[0.1, 0.5, 0.4], [0.2, 0.4, 0.4], [0.0, 0.0, 1.0]], dtype=np.float32)
    predicted = Encoded(probabilities, None, probabilities).predicted
    assert predicted.dtype == np.int64
    assert predicted.tolist() == [1, 1, 2]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_outputs_of_any_precision_become_float32(dtype: torch.dtype) -> None:
    images = random_crops() // 16  # sums fit into the 8 significant bits of bfloat16
    actual, expected = encode(PixelSumModel(dtype=dtype), images), encode(PixelSumModel(), images)
    assert (actual.probabilities.dtype, actual.embeddings.dtype) == (np.float32, np.float32)
    for field, exact in zip(fields(actual), fields(expected), strict=True):
        assert np.array_equal(field, exact)
    assert expected.probabilities.tolist() == (2 * images.sum(dim=(2, 3))).tolist()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_codes_do_not_depend_on_precision(dtype: torch.dtype) -> None:
    actual, expected = (
        encode(PixelSumModel(dtype=dtype), random_crops()).codes,
        encode(PixelSumModel(), random_crops()).codes,
    )
    assert expected is not None
    assert expected.any()
    assert np.array_equal(actual, expected)


def test_crops_are_moved_to_the_device_of_the_model() -> None:
    model = PixelSumModel()
    model.device = torch.device("meta")
    encode(model, random_crops())
    assert model.input_device == "meta"


def test_encode_runs_without_gradient() -> None:
    model = PixelSumModel()
    weight = torch.ones(1, requires_grad=True)
    model.probabilities = lambda logits: logits * weight  # type: ignore[method-assign]  # .numpy() raises for tensors that require grad
    assert encode(model, random_crops()).probabilities.shape == (5, 3)


def test_parts_without_activations_are_concatenated_without() -> None:
    encoded = encode(PixelSumModel(), random_crops())
    parts = Encoded.concatenate([encoded, encoded._replace(activations=None)])
    assert parts.activations is None
    assert parts.codes is not None
    assert len(parts.codes) == 10
