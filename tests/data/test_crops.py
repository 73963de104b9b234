"""A crop is what the box says, and nothing else."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fashion_lsh.data.crops import clamp, cut, jitter, random_part, widen

HEIGHT, WIDTH = 40, 60
PICTURE = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)

margins = st.floats(0, 2)


@st.composite
def boxes(draw: st.DrawFn, low: float = -100, high: float = 200) -> np.ndarray:
    """A box with an area, on the picture or off it."""
    x, y = (draw(st.floats(low, high)) for _ in range(2))
    width, height = (draw(st.floats(0.5, 150)) for _ in range(2))
    return np.array([x, y, x + width, y + height], dtype=np.float32)


@st.composite
def whole_boxes(draw: st.DrawFn) -> np.ndarray:
    """A box on the picture whose corners are whole pixels."""
    x1, y1 = draw(st.integers(0, WIDTH - 2)), draw(st.integers(0, HEIGHT - 2))
    return np.array([x1, y1, draw(st.integers(x1 + 1, WIDTH)), draw(st.integers(y1 + 1, HEIGHT))], dtype=np.float32)


def resized(picture: np.ndarray, region: np.ndarray, size: int) -> np.ndarray:
    """Slow twin of the resize: each output pixel a mean of pixels, weighted by a triangle around its middle."""
    rows = weights(float(region[1]), float(region[3]), picture.shape[0], size)
    columns = weights(float(region[0]), float(region[2]), picture.shape[1], size)
    return np.einsum("yh,hwc,xw->yxc", rows, picture, columns)


def weights(start: float, stop: float, length: int, size: int) -> np.ndarray:
    """(size, length): how much each output pixel takes of each pixel of an axis."""
    step = (stop - start) / size
    reach = max(step, 1.0)
    found = np.zeros((size, length))
    for place in range(size):
        middle = start + (place + 0.5) * step
        for pixel in range(length):
            found[place, pixel] = max(0.0, 1 - abs(pixel + 0.5 - middle) / reach)
    return found / found.sum(axis=1, keepdims=True)


@given(boxes(), margins)
def test_widened_box_grows_on_all_sides_alike(box: np.ndarray, margin: float) -> None:
    wide = widen(box, margin)
    extent = np.tile(box[2:] - box[:2], 2)
    assert wide.dtype == np.float32
    np.testing.assert_allclose(wide, box + np.array([-1, -1, 1, 1]) * margin * extent, rtol=1e-5, atol=1e-3)


def test_box_widened_by_nothing_stays() -> None:
    assert widen(np.array([1, 2, 5, 4]), 0.0).tolist() == [1, 2, 5, 4]
    assert widen(np.array([1, 2, 5, 4]), 0.5).tolist() == [-1, 1, 7, 5]


@given(boxes())
def test_clamped_box_is_the_part_on_the_picture(box: np.ndarray) -> None:
    x1, y1, x2, y2 = max(0, box[0]), max(0, box[1]), min(WIDTH, box[2]), min(HEIGHT, box[3])
    if x2 - x1 < 1 or y2 - y1 < 1:
        with pytest.raises(ValueError, match=r"box \[.*\] lies off the picture, 60 x 40 pixels: check it"):
            clamp(box, WIDTH, HEIGHT)
        return
    inside = clamp(box, WIDTH, HEIGHT)
    assert inside.tolist() == [x1, y1, x2, y2]
    assert clamp(inside, WIDTH, HEIGHT).tolist() == inside.tolist()


@given(whole_boxes())
def test_crop_of_its_own_size_is_a_slice(box: np.ndarray) -> None:
    size = int(min(box[2] - box[0], box[3] - box[1]))
    x, y = box[:2].astype(int)
    crop = cut(PICTURE, np.array([x, y, x + size, y + size]), 0.0, size)
    assert np.array_equal(crop, PICTURE[y : y + size, x : x + size])


def test_margin_takes_in_what_lies_around() -> None:
    crop = cut(PICTURE, np.array([20, 10, 40, 30]), 0.1, 24)
    assert np.array_equal(crop, PICTURE[8:32, 18:42])


def test_margin_ends_at_the_border_of_the_picture() -> None:
    crop = cut(PICTURE, np.array([0, 0, 20, 20]), 0.5, 30)
    assert np.array_equal(crop, PICTURE[:30, :30])


@given(boxes(-10, 50), margins, st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_crop_is_as_by_a_plain_resize(box: np.ndarray, margin: float, size: int) -> None:
    assume(WIDTH - box[0] >= 1.01 <= HEIGHT - box[1])
    assume(box[2] >= 1.01 <= box[3])
    assume((box[2:] - box[:2] >= 1.01).all())
    x1, y1, x2, y2 = widen(box, margin)
    region = np.array([max(0, x1), max(0, y1), min(WIDTH, x2), min(HEIGHT, y2)])
    crop = cut(PICTURE, box, margin, size)
    assert crop.shape == (size, size, 3)
    assert crop.dtype == np.uint8
    assert abs(crop - resized(PICTURE, region, size)).max() <= 2  # rounded after each axis


@pytest.mark.parametrize("box", [None, np.full(4, np.nan), np.array([1, 2, 3, np.nan])])
def test_no_box_is_the_whole_picture_without_margin(box: np.ndarray | None) -> None:
    whole = cut(PICTURE, np.array([0, 0, WIDTH, HEIGHT]), 0.0, 16)
    assert np.array_equal(cut(PICTURE, box, 0.3, 16), whole)


@pytest.mark.parametrize("box", [[-20, 5, -2, 20], [5, 40, 20, 60], [61, 5, 80, 20], [59.5, 5, 80, 20]])
def test_box_off_the_picture_is_refused_though_its_margin_is_on_it(box: list[float]) -> None:
    with pytest.raises(ValueError, match=r"box \[.*\] lies off the picture, 60 x 40 pixels"):
        cut(PICTURE, np.array(box), 1.0, 8)


@pytest.mark.parametrize("box", [[50, 20, 10, 5], [10, 20, 40, 20], [10, 5, 10, 20]])
def test_a_box_that_ends_before_it_begins_is_called_so(box: list[float]) -> None:
    with pytest.raises(ValueError, match=r"box \[.*\] has no area, or ends before it begins: give x1 y1 x2 y2"):
        cut(PICTURE, np.array(box), 1.0, 8)


@pytest.mark.parametrize("picture", [PICTURE[..., 0], PICTURE / 255, PICTURE[:0]])
def test_pixels_of_another_form_are_not_cut(picture: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"give \(H, W, 3\) uint8"):
        cut(picture, np.array([1, 2, 30, 20]), 0.1, 8)


def test_crop_leaves_picture_and_box_as_they_are() -> None:
    picture, box = PICTURE.copy(), np.array([-5.0, 3, 20, 30], dtype=np.float32)
    cut(picture, box, 0.2, 8)
    assert np.array_equal(picture, PICTURE)
    assert box.tolist() == [-5, 3, 20, 30]


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (3, 2)])
def test_smallest_pictures_give_whole_crops(shape: tuple[int, int]) -> None:
    picture = np.full((*shape, 3), 7, dtype=np.uint8)
    assert (cut(picture, None, 0.1, 8) == np.full((8, 8, 3), 7)).all()


@given(boxes(), st.floats(0, 0.4), st.integers(0, 2**32 - 1))
def test_moved_sides_stay_near_theirs(box: np.ndarray, amount: float, seed: int) -> None:
    assume((box[2:] - box[:2] >= 6).all())
    moved = jitter(box, amount, np.random.default_rng(seed))
    extent = np.tile(box[2:] - box[:2], 2)
    assert moved.dtype == np.float32
    assert (abs(moved - box) <= amount * extent + 1e-3).all()
    assert np.array_equal(moved, jitter(box, amount, np.random.default_rng(seed)))


def test_moved_sides_are_drawn_each_for_itself() -> None:
    box = np.array([0, 0, 100, 50], dtype=np.float32)
    moved = np.stack([jitter(box, 0.1, np.random.default_rng(seed)) for seed in range(400)]) - box
    assert (abs(moved).max(axis=0) > [9, 4.5, 9, 4.5]).all()  # all of the range is used
    assert abs(np.corrcoef(moved.T) - np.eye(4)).max() < 0.2


@given(st.integers(1, 80), st.integers(1, 80), st.data(), st.integers(0, 2**32 - 1))
@settings(max_examples=200, deadline=None)
def test_box_on_a_picture_is_not_moved_off_it(width: int, height: int, data: st.DataObject, seed: int) -> None:
    low = [data.draw(st.floats(-100, side - 1)) for side in (width, height)]
    high = [data.draw(st.floats(max(0, side) + 1.01, 200)) for side in low]  # a pixel of it lies on the picture
    box = np.array([*low, *high], dtype=np.float32)
    moved = jitter(clamp(box, width, height), 0.4, np.random.default_rng(seed))
    assert math.prod(cut(np.zeros((height, width, 3), np.uint8), moved, 0.0, 4).shape) == 48


@given(boxes(), st.floats(0.01, 1), st.integers(0, 99))
def test_random_part_stays_in_its_box_and_keeps_its_share(box: np.ndarray, least: float, seed: int) -> None:
    part = random_part(box, least, np.random.default_rng(seed))
    assert (part[:2] >= box[:2] - 0.01).all()
    assert (part[2:] <= box[2:] + 0.01).all()
    kept, extent = part[2:] - part[:2], box[2:] - box[:2]
    assert (kept >= np.minimum(extent, 1) - 1e-3).all()
    assert kept.prod() <= extent.prod() + 0.1
    assert (kept / extent >= np.sqrt(least * 3 / 4) - 1e-3).all()  # a thin part: least area, extreme aspect


def test_random_part_draws_areas_aspects_and_places_evenly() -> None:
    box = np.array([100, 200, 500, 400], dtype=np.float32)
    parts = np.stack([random_part(box, 0.35, np.random.default_rng(seed)) for seed in range(2000)])
    shares = (parts[:, 2:] - parts[:, :2]) / (box[2:] - box[:2])
    areas, aspects = shares.prod(axis=1), np.log(shares[:, 0] / shares[:, 1])
    assert 0.34 < areas.min() < 0.37
    assert 0.9 < areas.max() <= 1 + 1e-6
    assert abs(aspects.mean()) < 0.02
    assert np.abs(aspects).max() <= np.log(4 / 3) + 1e-6
    middles = (parts[:, :2] + parts[:, 2:]) / 2
    assert np.allclose(middles.mean(axis=0), [300, 300], atol=4)
