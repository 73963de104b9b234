"""Garments are cropped to files once, with boxes relative to the crops."""

from pathlib import Path

import numpy as np
import pytest

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.image_scan import ImageInfo, file_state
from fashion_lsh.data.images import ImageError, open_image
from fashion_lsh.data.merge.cropping import MARGIN, MAX_SIDE, crop_all

NAN = float("nan")


def gradient(width: int, height: int) -> np.ndarray:
    """Image whose colours encode position: red along x, green along y, (height, width, 3) uint8."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return np.stack([x * 255 // width, y * 255 // height, 0 * x], axis=2).astype(np.uint8)


IMAGES = {"wide": gradient(200, 100), "large": gradient(1000, 800)}
BOXES = [(50, 20, 90, 60), (NAN,) * 4, (100, 100, 900, 700), (0, 0, 30, 30)]
ROWS = Catalogue.from_columns({
    "id": ["a", "b/ü?", "c", "d"], "image": ["wide", "wide", "large", "wide"], "category": ["hat"] * 4,
    "main": [True, True, True, False], **dict(zip(("x1", "y1", "x2", "y2"), zip(*BOXES, strict=True), strict=True)),
})  # fmt: skip
SCANNED = {"wide": ImageInfo(200, 100, "7", ""), "large": ImageInfo(1000, 800, "8", "")}


def test_each_main_garment_is_cropped_with_a_margin(tmp_path: Path) -> None:
    rows, scanned, failed = crop_all(ROWS, SCANNED, IMAGES.__getitem__, tmp_path)
    assert (rows.column("id").tolist(), failed) == (["a", "b/ü?", "c"], {})
    first, uncropped, large = (open_image(tmp_path / name) for name in rows.column("image"))
    for name in rows.column("image"):
        assert scanned[name].state == file_state(tmp_path / name)
        assert scanned[name][1::-1] == open_image(tmp_path / name).shape[:2]
    assert [scanned[name].digest for name in rows.column("image")] == ["7", "7", "8"]
    assert first.shape == (60, 60, 3)  # 40 pixels, and a quarter on each side
    assert rows.boxes[0].tolist() == [10, 10, 50, 50]
    assert np.abs(first[10, 10].astype(int) - IMAGES["wide"][20, 50]).max() <= 12  # JPEG
    assert uncropped.shape == (100, 200, 3)
    assert np.isnan(rows.boxes[1]).all()
    assert large.shape == (256, MAX_SIDE, 3)  # the margin is clipped to the whole image
    assert rows.boxes[2] == pytest.approx(np.array(BOXES[2]) * MAX_SIDE / 1000)


def test_existing_crops_are_reused(tmp_path: Path) -> None:
    first, *_ = crop_all(ROWS, SCANNED, IMAGES.__getitem__, tmp_path)
    (tmp_path / first.column("image")[2]).unlink()
    loaded_keys: list[str] = []
    repeated, *_ = crop_all(ROWS, SCANNED, lambda key: (loaded_keys.append(key), IMAGES[key])[1], tmp_path)
    assert loaded_keys == ["large"]
    assert repeated.checksum == first.checksum
    changed, *_ = crop_all(ROWS, SCANNED | {"wide": ImageInfo(200, 100, "9", "")}, IMAGES.__getitem__, tmp_path)
    same = changed.column("image") == first.column("image")
    assert same.tolist() == [False, False, True]


def test_a_missing_image_is_reported_and_the_others_are_cropped(tmp_path: Path) -> None:
    def load_image(key: str) -> np.ndarray:
        if key == "large":
            raise ImageError("large.jpg: no such file")
        return IMAGES[key]

    rows, _, failed = crop_all(ROWS, SCANNED, load_image, tmp_path)
    assert rows.column("id").tolist() == ["a", "b/ü?"]
    assert failed == {"c": "large.jpg: no such file"}
    with pytest.raises(ValueError, match=r"none of 1 garments .*large\.jpg: no such file"):
        crop_all(ROWS.take(np.array([2])), SCANNED, load_image, tmp_path)


def test_the_crop_of_an_exported_crop_is_equal(tmp_path: Path) -> None:
    """Training crops taken from an exported crop match those taken from the original image."""
    from fashion_lsh.data.crops import crop_image

    rows, *_ = crop_all(ROWS, SCANNED, IMAGES.__getitem__, tmp_path)
    crop = crop_image(open_image(tmp_path / rows.column("image")[0]), rows.boxes[0], 0.1, 32)
    assert MARGIN > 0.1
    expected = crop_image(IMAGES["wide"], np.array(BOXES[0], np.float32), 0.1, 32)
    assert np.abs(crop.astype(int) - expected).mean() < 3
