"""Colours and pixels against loops over both."""

import numpy as np
import pytest
import torch
from torch import Tensor

from fashion_lsh.evaluation.query_scores import PLAIN
from fashion_lsh.models.descriptors import REFERENCES, colour_histogram, raw_pixels


def crops(seed: int, side: int = 16) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (3, 3, side, side), dtype=np.uint8))


def test_colours_against_counting_pixel_by_pixel() -> None:
    images = crops(0)
    found = colour_histogram(images)
    assert (found.shape, found.dtype) == ((3, 64), torch.float32)
    for image, histogram in zip(images, found, strict=True):
        shares = np.zeros((4, 4, 4))
        for y, x in np.ndindex(16, 16):
            red, green, blue = (int(value) // 64 for value in image[:, y, x])
            shares[red, green, blue] += 1 / 256
        np.testing.assert_allclose(histogram, np.sqrt(shares).ravel(), atol=1e-6)


def test_between_colours_euclid_is_hellinger_times_root_2() -> None:
    one, other = colour_histogram(crops(1))[:2]
    hellinger = torch.sqrt(1 - (one * other).sum())
    assert torch.dist(one, other).item() == pytest.approx(2**0.5 * hellinger.item(), rel=1e-5)
    assert one.norm().item() == pytest.approx(1)


def test_where_the_colours_stand_does_not_matter_and_their_brightness_does() -> None:
    images = crops(2)
    assert torch.equal(colour_histogram(images.flip(2)), colour_histogram(images))
    assert not torch.allclose(colour_histogram(255 - images), colour_histogram(images))


@pytest.mark.parametrize("side", [8, 16, 24])
def test_pixels_against_means_of_blocks(side: int) -> None:
    images, each = crops(3, side), side // 8
    found = raw_pixels(images)
    assert (found.shape, found.dtype) == ((3, 192), torch.float32)
    for number, channel, y, x in np.ndindex(3, 3, 8, 8):
        block = images[number, channel, y * each : (y + 1) * each, x * each : (x + 1) * each]
        mean = sum(block.flatten().tolist()) / each**2 / 255
        assert found[number, channel * 64 + y * 8 + x].item() == pytest.approx(mean, abs=1e-6)


@pytest.mark.parametrize("side", [5, 30])
def test_pixels_of_any_size_lie_between_0_and_1(side: int) -> None:
    flat = torch.full((1, 3, side, side), 51, dtype=torch.uint8)
    assert raw_pixels(flat)[0].tolist() == pytest.approx([0.2] * 192)
    assert raw_pixels(crops(4, side)).aminmax().max <= 1


def test_a_picture_is_described_alone_as_in_a_batch() -> None:
    images = crops(5)
    for describe in REFERENCES.values():
        alone = torch.cat([describe(image[None]) for image in images])
        assert torch.allclose(alone, describe(images))


def test_they_count_as_rows_that_stand_for_no_model() -> None:
    assert set(REFERENCES) < set(PLAIN)
