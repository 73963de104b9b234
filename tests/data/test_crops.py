"""Crops show exactly the expanded, clipped box."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fashion_lsh.data.crops import clip_box, crop_image, expand_box, jitter, random_crop_box

HEIGHT, WIDTH = 40, 60
IMAGE = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)

margins = st.floats(0, 2)


@st.composite
def boxes(draw: st.DrawFn, low: float = -100, high: float = 200) -> np.ndarray:
    """Draw a box with an area; the box may be outside the image."""
    x, y = (draw(st.floats(low, high)) for _ in range(2))
    width, height = (draw(st.floats(0.5, 150)) for _ in range(2))
    return np.array([x, y, x + width, y + height], dtype=np.float32)


@st.composite
def integer_boxes(draw: st.DrawFn) -> np.ndarray:
    """Draw a box with integer corners inside the image."""
    x1, y1 = draw(st.integers(0, WIDTH - 2)), draw(st.integers(0, HEIGHT - 2))
    return np.array([x1, y1, draw(st.integers(x1 + 1, WIDTH)), draw(st.integers(y1 + 1, HEIGHT))], dtype=np.float32)


def resize_slowly(image: np.ndarray, region: np.ndarray, size: int) -> np.ndarray:
    """Resize with triangular weights around the centre of each output pixel (bilinear with antialiasing)."""
    rows = triangle_weights(float(region[1]), float(region[3]), image.shape[0], size)
    columns = triangle_weights(float(region[0]), float(region[2]), image.shape[1], size)
    return np.einsum("yh,hwc,xw->yxc", rows, image, columns)


def triangle_weights(start: float, stop: float, length: int, size: int) -> np.ndarray:
    """Weight of each input pixel of an axis in each output pixel, (size, length)."""
    step = (stop - start) / size
    radius = max(step, 1.0)
    weight_matrix = np.zeros((size, length))
    for index in range(size):
        centre = start + (index + 0.5) * step
        for pixel in range(length):
            weight_matrix[index, pixel] = max(0.0, 1 - abs(pixel + 0.5 - centre) / radius)
    return weight_matrix / weight_matrix.sum(axis=1, keepdims=True)


@given(boxes(), margins)
def test_expand_box_grows_each_side_by_the_margin(box: np.ndarray, margin: float) -> None:
    expanded = expand_box(box, margin)
    extent = np.tile(box[2:] - box[:2], 2)
    assert expanded.dtype == np.float32
    np.testing.assert_allclose(expanded, box + np.array([-1, -1, 1, 1]) * margin * extent, rtol=1e-5, atol=1e-3)


def test_expand_box_by_zero_changes_nothing() -> None:
    assert expand_box(np.array([1, 2, 5, 4]), 0.0).tolist() == [1, 2, 5, 4]
    assert expand_box(np.array([1, 2, 5, 4]), 0.5).tolist() == [-1, 1, 7, 5]


@given(boxes())
def test_clip_box_returns_the_intersection_with_the_image(box: np.ndarray) -> None:
    x1, y1, x2, y2 = max(0, box[0]), max(0, box[1]), min(WIDTH, box[2]), min(HEIGHT, box[3])
    if x2 - x1 < 1 or y2 - y1 < 1:
        with pytest.raises(ValueError, match=r"box=\[.*60 x 40 pixels"):
            clip_box(box, WIDTH, HEIGHT)
        return
    clipped = clip_box(box, WIDTH, HEIGHT)
    assert clipped.tolist() == [x1, y1, x2, y2]
    assert clip_box(clipped, WIDTH, HEIGHT).tolist() == clipped.tolist()


@given(integer_boxes())
def test_a_crop_at_native_size_is_a_slice(box: np.ndarray) -> None:
    size = int(min(box[2] - box[0], box[3] - box[1]))
    x, y = box[:2].astype(int)
    crop = crop_image(IMAGE, np.array([x, y, x + size, y + size]), 0.0, size)
    assert np.array_equal(crop, IMAGE[y : y + size, x : x + size])


def test_the_margin_includes_surrounding_pixels() -> None:
    crop = crop_image(IMAGE, np.array([20, 10, 40, 30]), 0.1, 24)
    assert np.array_equal(crop, IMAGE[8:32, 18:42])


def test_the_margin_is_clipped_to_the_image() -> None:
    crop = crop_image(IMAGE, np.array([0, 0, 20, 20]), 0.5, 30)
    assert np.array_equal(crop, IMAGE[:30, :30])


@given(boxes(-10, 50), margins, st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_crops_equal_an_independent_bilinear_resize(box: np.ndarray, margin: float, size: int) -> None:
    assume(WIDTH - box[0] >= 1.01 <= HEIGHT - box[1])
    assume(box[2] >= 1.01 <= box[3])
    assume((box[2:] - box[:2] >= 1.01).all())
    x1, y1, x2, y2 = expand_box(box, margin)
    region = np.array([max(0, x1), max(0, y1), min(WIDTH, x2), min(HEIGHT, y2)])
    crop = crop_image(IMAGE, box, margin, size)
    assert crop.shape == (size, size, 3)
    assert crop.dtype == np.uint8
    assert abs(crop - resize_slowly(IMAGE, region, size)).max() <= 2  # PIL rounds after each axis


@pytest.mark.parametrize("box", [None, np.full(4, np.nan), np.array([1, 2, 3, np.nan])])
def test_without_a_box_the_whole_image_is_cropped_without_margin(box: np.ndarray | None) -> None:
    whole = crop_image(IMAGE, np.array([0, 0, WIDTH, HEIGHT]), 0.0, 16)
    assert np.array_equal(crop_image(IMAGE, box, 0.3, 16), whole)


@pytest.mark.parametrize("box", [[-20, 5, -2, 20], [5, 40, 20, 60], [61, 5, 80, 20], [59.5, 5, 80, 20]])
def test_a_box_outside_the_image_raises_even_if_its_margin_is_inside(box: list[float]) -> None:
    with pytest.raises(ValueError, match=r"box=\[.*60 x 40 pixels"):
        crop_image(IMAGE, np.array(box), 1.0, 8)


@pytest.mark.parametrize("box", [[50, 20, 10, 5], [10, 20, 40, 20], [10, 5, 10, 20]])
def test_an_inverted_box_raises(box: list[float]) -> None:
    with pytest.raises(ValueError, match=r"box=\["):
        crop_image(IMAGE, np.array(box), 1.0, 8)


@pytest.mark.parametrize("image", [IMAGE[..., 0], IMAGE / 255, IMAGE[:0]])
def test_images_of_wrong_shape_or_dtype_raise(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"image: .*\(H, W, 3\) uint8"):
        crop_image(image, np.array([1, 2, 30, 20]), 0.1, 8)


def test_crop_image_does_not_change_its_inputs() -> None:
    image, box = IMAGE.copy(), np.array([-5.0, 3, 20, 30], dtype=np.float32)
    crop_image(image, box, 0.2, 8)
    assert np.array_equal(image, IMAGE)
    assert box.tolist() == [-5, 3, 20, 30]


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (3, 2)])
def test_crops_of_tiny_images_have_the_full_size(shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), 7, dtype=np.uint8)
    assert (crop_image(image, None, 0.1, 8) == np.full((8, 8, 3), 7)).all()


@given(boxes(), st.floats(0, 0.4), st.integers(0, 2**32 - 1))
def test_jitter_moves_each_side_by_at_most_the_amount(box: np.ndarray, amount: float, seed: int) -> None:
    assume((box[2:] - box[:2] >= 6).all())
    moved = jitter(box, amount, np.random.default_rng(seed))
    extent = np.tile(box[2:] - box[:2], 2)
    assert moved.dtype == np.float32
    assert (abs(moved - box) <= amount * extent + 1e-3).all()
    assert np.array_equal(moved, jitter(box, amount, np.random.default_rng(seed)))


def test_jitter_draws_each_side_independently() -> None:
    box = np.array([0, 0, 100, 50], dtype=np.float32)
    moved = np.stack([jitter(box, 0.1, np.random.default_rng(seed)) for seed in range(400)]) - box
    assert (abs(moved).max(axis=0) > [9, 4.5, 9, 4.5]).all()  # moves cover the whole range
    assert abs(np.corrcoef(moved.T) - np.eye(4)).max() < 0.2


@given(st.integers(1, 80), st.integers(1, 80), st.data(), st.integers(0, 2**32 - 1))
@settings(max_examples=200, deadline=None)
def test_jitter_keeps_the_box_on_the_image(width: int, height: int, data: st.DataObject, seed: int) -> None:
    low = [data.draw(st.floats(-100, side - 1)) for side in (width, height)]
    high = [
        data.draw(st.floats(max(0, side) + 1.01, 200)) for side in low
    ]  # so that at least one pixel of the box is inside the image
    box = np.array([*low, *high], dtype=np.float32)
    moved = jitter(clip_box(box, width, height), 0.4, np.random.default_rng(seed))
    assert math.prod(crop_image(np.zeros((height, width, 3), np.uint8), moved, 0.0, 4).shape) == 48


@given(boxes(), st.floats(0.01, 1), st.integers(0, 99))
def test_random_crop_box_stays_inside_and_keeps_the_minimum_area(box: np.ndarray, min_area: float, seed: int) -> None:
    crop = random_crop_box(box, min_area, np.random.default_rng(seed))
    assert (crop[:2] >= box[:2] - 0.01).all()
    assert (crop[2:] <= box[2:] + 0.01).all()
    size, extent = crop[2:] - crop[:2], box[2:] - box[:2]
    assert (size >= np.minimum(extent, 1) - 1e-3).all()
    assert min_area * extent.prod() - 0.1 <= size.prod() <= extent.prod() + 0.1
    assert (size / extent >= np.sqrt(min_area * 3 / 4) - 1e-3).all()  # minimum area at the extreme aspect ratio


@given(st.floats(0.01, 0.999), st.integers(0, 2**16))
def test_random_crop_box_has_the_drawn_area_and_a_limited_aspect_ratio(min_area: float, seed: int) -> None:
    box = np.array([1000, 2000, 5000, 8000], dtype=np.float32)
    drawn_area = np.random.default_rng(seed).uniform(min_area, 1)
    crop = random_crop_box(box, min_area, np.random.default_rng(seed))
    width, height = (crop[2:] - crop[:2]) / (box[2:] - box[:2])
    assert width * height == pytest.approx(drawn_area, abs=1e-5)
    assert 3 / 4 - 1e-5 <= width / height <= 4 / 3 + 1e-5


@pytest.mark.parametrize("min_area", [0.35, 0.75, 0.9])
def test_random_crop_box_draws_areas_uniformly_above_the_minimum(min_area: float) -> None:
    box = np.array([0, 0, 4000, 4000], dtype=np.float32)
    crops = np.stack([random_crop_box(box, min_area, np.random.default_rng(seed)) for seed in range(1000)])
    areas = np.sort((crops[:, 2:] - crops[:, :2]).prod(axis=1) / 4000**2)
    expected = min_area + (1 - min_area) * np.linspace(0, 1, 1000)
    assert areas[0] >= min_area - 1e-5
    assert np.abs(areas - expected).max() < 0.06 * (1 - min_area)


def test_random_crop_box_draws_areas_aspects_and_positions_uniformly() -> None:
    box = np.array([100, 200, 500, 400], dtype=np.float32)
    crops = np.stack([random_crop_box(box, 0.35, np.random.default_rng(seed)) for seed in range(2000)])
    ratios = (crops[:, 2:] - crops[:, :2]) / (box[2:] - box[:2])
    areas, aspects = ratios.prod(axis=1), np.log(ratios[:, 0] / ratios[:, 1])
    assert 0.34 < areas.min() < 0.37
    assert 0.9 < areas.max() <= 1 + 1e-6
    assert abs(aspects.mean()) < 0.02
    assert np.abs(aspects).max() <= np.log(4 / 3) + 1e-6
    centres = (crops[:, :2] + crops[:, 2:]) / 2
    assert np.allclose(centres.mean(axis=0), [300, 300], atol=4)
