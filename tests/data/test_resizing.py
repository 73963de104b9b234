"""Resized images and regions differ from those of PIL by at most one grey level, apart from rare values in noise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fashion_lsh.data.crops import to_batch
from fashion_lsh.data.images import resize
from fashion_lsh.data.resizing import resize_region

sides = st.integers(1, 90)


def resize_with_pil(image: np.ndarray, region: np.ndarray, width: int, height: int) -> np.ndarray:
    """Slow twin of `resize_region`."""
    box = tuple(region.tolist())
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR, box=box))


def resize_both(image: np.ndarray, region: np.ndarray, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    return resize_region(image, region, width, height), resize_with_pil(image, region, width, height)


def noise(width: int, height: int) -> np.ndarray:
    return np.random.default_rng([width, height]).integers(0, 256, (height, width, 3), dtype=np.uint8)


def differences(resized: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Absolute differences of grey levels."""
    assert resized.dtype == np.uint8
    assert resized.shape == expected.shape
    return abs(resized.astype(int) - expected)


@st.composite
def intervals(draw: st.DrawFn, length: int) -> tuple[float, float]:
    """Draw an interval inside an axis, at least one pixel long."""
    start = draw(st.floats(0, length - 1, width=32) | st.integers(0, length - 1))
    return start, draw(st.floats(float(np.float32(start + 1)), length, width=32) | st.just(float(length)))


@given(sides, sides, sides, sides, st.data())
@settings(max_examples=300, deadline=None)
def test_regions_equal_those_of_pil(
    image_width: int, image_height: int, width: int, height: int, data: st.DataObject
) -> None:
    x1, x2 = data.draw(intervals(image_width))
    y1, y2 = data.draw(intervals(image_height))
    image, region = noise(image_width, image_height), np.array([x1, y1, x2, y2], dtype=np.float32)
    assert differences(*resize_both(image, region, width, height)).max() <= 1


@given(sides, sides, sides, sides)
@settings(max_examples=100, deadline=None)
def test_whole_images_equal_those_of_pil(image_width: int, image_height: int, width: int, height: int) -> None:
    image, region = noise(image_width, image_height), np.array([0, 0, image_width, image_height])
    difference = differences(*resize_both(image, region, width, height))
    assert difference.max() <= 2
    assert (difference > 1).sum() <= 6  # in noise, about 1 of 10 million values


@pytest.mark.parametrize("side", [300, 1200])
@pytest.mark.parametrize("offset", [0, 0.3])
def test_photographs_equal_those_of_pil(side: int, offset: float) -> None:
    image, region = noise(side, side), np.array([offset, offset, side - offset, side - 2 * offset], dtype=np.float32)
    assert differences(*resize_both(image, region, 224, 224)).max() <= 1


@pytest.mark.parametrize("region", [[0, 0, 40, 30], [1.5, 2, 30, 29.5]])
@pytest.mark.filterwarnings("error")
def test_views_and_read_only_images_are_resized(region: list[float]) -> None:
    image = noise(40, 30)
    expected = resize_region(image[:, ::-1].copy(), np.array(region), 16, 12)
    assert np.array_equal(resize_region(image[:, ::-1], np.array(region), 16, 12), expected)
    frozen = image[:, ::-1].copy()
    frozen.flags.writeable = False
    assert np.array_equal(resize_region(frozen, np.array(region), 16, 12), expected)


@pytest.mark.parametrize("region", [[0, 0, 40, 30], [1.5, 2, 30, 29.5]])
def test_a_batch_is_contiguous(region: list[float]) -> None:
    crops = [resize_region(noise(40, 30), np.array(region), 16, 16), noise(16, 16)]
    batch = to_batch(crops)
    assert batch.flags.c_contiguous
    assert [np.array_equal(image.transpose(1, 2, 0), crop) for image, crop in zip(batch, crops, strict=True)] == [
        True,
        True,
    ]


@given(sides, sides, sides)
@settings(max_examples=50, deadline=None)
def test_the_longer_side_is_resized_to_the_size(width: int, height: int, size: int) -> None:
    resized, scale = resize(noise(width, height), size)
    assert max(resized.shape[:2]) == size
    assert scale.tolist() == pytest.approx([resized.shape[1] / width, resized.shape[0] / height] * 2)
