"""Each garment is cropped to a file once, with a box relative to the crop."""

from pathlib import Path

import numpy as np
import pytest

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.image_scan import ImageInfo, file_state
from fashion_lsh.data.images import ImageError, open_image
from fashion_lsh.data.merge.cropping import MARGIN, MAX_SIDE, crop_all

NAN = float("nan")


def make_gradient(width: int, height: int) -> np.ndarray:
    """Draw an image whose red value increases along x and green value along y, (height, width, 3) uint8."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return np.stack([x * 255 // width, y * 255 // height, 0 * x], axis=2).astype(np.uint8)


IMAGES = {"wide": make_gradient(200, 100), "large": make_gradient(1000, 800)}
BOXES = [(50, 20, 90, 60), (NAN,) * 4, (100, 100, 900, 700), (0, 0, 30, 30)]
ROWS = Catalogue.from_columns({
    "id": ["a", "b/ü?", "c", "d"], "image": ["wide", "wide", "large", "wide"], "category": ["hat"] * 4,
    "main": [True, True, True, False], **dict(zip(("x1", "y1", "x2", "y2"), zip(*BOXES, strict=True), strict=True)),
})  # fmt: skip
IMAGE_INFOS = {"wide": ImageInfo(200, 100, "7", ""), "large": ImageInfo(1000, 800, "8", "")}


def test_each_main_garment_is_cropped_with_a_margin(tmp_path: Path) -> None:
    rows, image_infos, skipped = crop_all(ROWS, IMAGE_INFOS, IMAGES.__getitem__, tmp_path)
    assert (rows.column("id").tolist(), skipped) == (["a", "b/ü?", "c"], {})
    wide_crop, whole_image, large_crop = (open_image(tmp_path / name) for name in rows.column("image"))
    for name in rows.column("image"):
        assert image_infos[name].state == file_state(tmp_path / name)
        assert image_infos[name][1::-1] == open_image(tmp_path / name).shape[:2]
    assert [image_infos[name].digest for name in rows.column("image")] == ["7", "7", "8"]
    assert wide_crop.shape == (60, 60, 3)  # a box of 40 pixels with a margin of a quarter on each side
    assert rows.boxes[0].tolist() == [10, 10, 50, 50]
    assert np.abs(wide_crop[10, 10].astype(int) - IMAGES["wide"][20, 50]).max() <= 12  # JPEG is lossy
    assert whole_image.shape == (100, 200, 3)
    assert np.isnan(rows.boxes[1]).all()
    assert large_crop.shape == (256, MAX_SIDE, 3)  # the margin is clipped to the whole image
    assert rows.boxes[2] == pytest.approx(np.array(BOXES[2]) * MAX_SIDE / 1000)


def test_existing_crops_are_reused(tmp_path: Path) -> None:
    first, *_ = crop_all(ROWS, IMAGE_INFOS, IMAGES.__getitem__, tmp_path)
    (tmp_path / first.column("image")[2]).unlink()
    loaded_keys: list[str] = []
    repeated, *_ = crop_all(ROWS, IMAGE_INFOS, lambda key: (loaded_keys.append(key), IMAGES[key])[1], tmp_path)
    assert loaded_keys == ["large"]
    assert repeated.checksum == first.checksum
    changed, *_ = crop_all(ROWS, IMAGE_INFOS | {"wide": ImageInfo(200, 100, "9", "")}, IMAGES.__getitem__, tmp_path)
    is_equal = changed.column("image") == first.column("image")
    assert is_equal.tolist() == [False, False, True]


def test_a_missing_image_is_reported_and_the_other_images_are_cropped(tmp_path: Path) -> None:
    def load_image(key: str) -> np.ndarray:
        if key == "large":
            raise ImageError("large.jpg: no such file")
        return IMAGES[key]

    rows, _, skipped = crop_all(ROWS, IMAGE_INFOS, load_image, tmp_path)
    assert rows.column("id").tolist() == ["a", "b/ü?"]
    assert skipped == {"c": "large.jpg: no such file"}
    with pytest.raises(ValueError, match=r"none of 1 garments .*large\.jpg: no such file"):
        crop_all(ROWS.take(np.array([2])), IMAGE_INFOS, load_image, tmp_path)


def test_training_crops_of_an_exported_crop_and_of_its_original_match(tmp_path: Path) -> None:
    from fashion_lsh.data.crops import crop_image

    rows, *_ = crop_all(ROWS, IMAGE_INFOS, IMAGES.__getitem__, tmp_path)
    crop = crop_image(open_image(tmp_path / rows.column("image")[0]), rows.boxes[0], 0.1, 32)
    assert MARGIN > 0.1
    expected = crop_image(IMAGES["wide"], np.array(BOXES[0], np.float32), 0.1, 32)
    assert np.abs(crop.astype(int) - expected).mean() < 3
