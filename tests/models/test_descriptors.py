"""Colour histogram and raw pixels equal reference implementations in loops."""

import numpy as np
import pytest
import torch
from torch import Tensor

from fashion_lsh.models.descriptors import DESCRIPTORS, colour_histogram, raw_pixels


def random_crops(seed: int, side: int = 16) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (3, 3, side, side), dtype=np.uint8))


def test_colour_histogram_matches_a_loop() -> None:
    images = random_crops(0)
    actual = colour_histogram(images)
    assert (actual.shape, actual.dtype) == ((3, 64), torch.float32)
    for image, histogram in zip(images, actual, strict=True):
        fractions = np.zeros((4, 4, 4))
        for y, x in np.ndindex(16, 16):
            red, green, blue = (int(value) // 64 for value in image[:, y, x])
            fractions[red, green, blue] += 1 / 256
        np.testing.assert_allclose(histogram, np.sqrt(fractions).ravel(), atol=1e-6)


def test_euclidean_distance_of_histograms_is_proportional_to_the_hellinger_distance() -> None:
    one, other = colour_histogram(random_crops(1))[:2]
    hellinger = torch.sqrt(1 - (one * other).sum())
    assert torch.dist(one, other).item() == pytest.approx(2**0.5 * hellinger.item(), rel=1e-5)
    assert one.norm().item() == pytest.approx(1)


def test_colour_histogram_ignores_position_but_not_brightness() -> None:
    images = random_crops(2)
    assert torch.equal(colour_histogram(images.flip(2)), colour_histogram(images))
    assert not torch.allclose(colour_histogram(255 - images), colour_histogram(images))


@pytest.mark.parametrize("side", [8, 16, 24])
def test_raw_pixels_are_block_means(side: int) -> None:
    images, block_size = random_crops(3, side), side // 8
    actual = raw_pixels(images)
    assert (actual.shape, actual.dtype) == ((3, 192), torch.float32)
    for number, channel, y, x in np.ndindex(3, 3, 8, 8):
        block = images[number, channel, y * block_size : (y + 1) * block_size, x * block_size : (x + 1) * block_size]
        mean = sum(block.flatten().tolist()) / block_size**2 / 255
        assert actual[number, channel * 64 + y * 8 + x].item() == pytest.approx(mean, abs=1e-6)


@pytest.mark.parametrize("side", [5, 30])
def test_raw_pixels_are_between_0_and_1(side: int) -> None:
    constant = torch.full((1, 3, side, side), 51, dtype=torch.uint8)
    assert raw_pixels(constant)[0].tolist() == pytest.approx([0.2] * 192)
    assert raw_pixels(random_crops(4, side)).aminmax().max <= 1


def test_descriptors_do_not_depend_on_the_batch() -> None:
    images = random_crops(5)
    for describe in DESCRIPTORS.values():
        one_by_one = torch.cat([describe(image[None]) for image in images])
        assert torch.allclose(one_by_one, describe(images))
