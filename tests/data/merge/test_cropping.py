"""Garments are cut out into files of their own, once, and their boxes go with them."""

from pathlib import Path

import numpy as np
import pytest

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.image_scan import Seen, state_of
from fashion_lsh.data.images import PictureError, open_picture
from fashion_lsh.data.merge.cropping import LONGEST, MARGIN, crop_all

NAN = float("nan")


def gradient(width: int, height: int) -> np.ndarray:
    """Pixels that tell where they were: red along x, green along y."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return np.stack([x * 255 // width, y * 255 // height, 0 * x], axis=2).astype(np.uint8)


PICTURES = {"wide": gradient(200, 100), "large": gradient(1000, 800)}
BOXES = [(50, 20, 90, 60), (NAN,) * 4, (100, 100, 900, 700), (0, 0, 30, 30)]
ROWS = Catalogue.of({
    "id": ["a", "b/ü?", "c", "d"], "picture": ["wide", "wide", "large", "wide"], "category": ["hat"] * 4,
    "main": [True, True, True, False], **dict(zip(("x1", "y1", "x2", "y2"), zip(*BOXES, strict=True), strict=True)),
})  # fmt: skip
SEEN = {"wide": Seen(200, 100, "7", ""), "large": Seen(1000, 800, "8", "")}


def test_each_main_garment_is_cut_out_with_a_margin_and_its_box_goes_with_it(tmp_path: Path) -> None:
    rows, seen, lost = crop_all(ROWS, SEEN, PICTURES.__getitem__, tmp_path)
    assert (rows.column("id").tolist(), lost) == (["a", "b/ü?", "c"], {})
    first, whole, large = (open_picture(tmp_path / name) for name in rows.column("picture"))
    for name in rows.column("picture"):
        assert seen[name].state == state_of(tmp_path / name)
        assert seen[name][1::-1] == open_picture(tmp_path / name).shape[:2]
    assert [seen[name].digest for name in rows.column("picture")] == ["7", "7", "8"]
    assert first.shape == (60, 60, 3)  # 40 pixels, and a quarter of it on each side
    assert rows.boxes[0].tolist() == [10, 10, 50, 50]
    assert np.abs(first[10, 10].astype(int) - PICTURES["wide"][20, 50]).max() <= 12  # JPEG
    assert whole.shape == (100, 200, 3)
    assert np.isnan(rows.boxes[1]).all()
    assert large.shape == (256, LONGEST, 3)  # all of it, since the margin ends with the picture
    assert rows.boxes[2] == pytest.approx(np.array(BOXES[2]) * LONGEST / 1000)


def test_a_crop_that_is_there_is_not_cut_again(tmp_path: Path) -> None:
    first, *_ = crop_all(ROWS, SEEN, PICTURES.__getitem__, tmp_path)
    (tmp_path / first.column("picture")[2]).unlink()
    asked: list[str] = []
    again, *_ = crop_all(ROWS, SEEN, lambda key: (asked.append(key), PICTURES[key])[1], tmp_path)
    assert asked == ["large"]
    assert again.checksum == first.checksum
    changed, *_ = crop_all(ROWS, SEEN | {"wide": Seen(200, 100, "9", "")}, PICTURES.__getitem__, tmp_path)
    same = changed.column("picture") == first.column("picture")
    assert same.tolist() == [False, False, True]


def test_a_picture_that_is_gone_is_named_and_the_others_are_cut(tmp_path: Path) -> None:
    def picture(key: str) -> np.ndarray:
        if key == "large":
            raise PictureError("large.jpg: no such file")
        return PICTURES[key]

    rows, _, lost = crop_all(ROWS, SEEN, picture, tmp_path)
    assert rows.column("id").tolist() == ["a", "b/ü?"]
    assert lost == {"c": "large.jpg: no such file"}
    with pytest.raises(ValueError, match=r"none of 1 garments could be cut; the first: large\.jpg: no such file"):
        crop_all(ROWS.take(np.array([2])), SEEN, picture, tmp_path)


def test_the_crop_of_a_crop_shows_the_same(tmp_path: Path) -> None:
    """What training cuts out of a crop is what it would cut out of the picture."""
    from fashion_lsh.data.crops import cut

    rows, *_ = crop_all(ROWS, SEEN, PICTURES.__getitem__, tmp_path)
    crop = cut(open_picture(tmp_path / rows.column("picture")[0]), rows.boxes[0], 0.1, 32)
    assert MARGIN > 0.1
    plain = cut(PICTURES["wide"], np.array(BOXES[0], np.float32), 0.1, 32)
    assert np.abs(crop.astype(int) - plain).mean() < 3
