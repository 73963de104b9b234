"""JPEG files decode to the pixels of PIL, and are damaged where PIL says so."""

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fashion_lsh.data import images
from fashion_lsh.data.images import EXIF_ORIENTATION, ImageError, open_image

TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
sides = st.integers(1, 70)
options = st.fixed_dictionaries({
    "quality": st.integers(1, 100), "subsampling": st.sampled_from(["4:4:4", "4:2:2", "4:2:0"]),
    "progressive": st.booleans(), "restart_marker_blocks": st.integers(0, 2),
})  # fmt: skip


def open_with_pil(content: bytes) -> np.ndarray:
    """Slow twin of `open_image` for JPEG files."""
    with Image.open(io.BytesIO(content)) as image:
        orientation = image.getexif().get(EXIF_ORIENTATION, 1)
        rgb = image.convert("RGB")
    return np.asarray(rgb.transpose(TRANSPOSES[orientation]) if orientation in TRANSPOSES else rgb)


def encode(seed: int, width: int, height: int, mode: str, **options: Any) -> bytes:
    """Encode an image of blurred noise as JPEG."""
    noise = np.random.default_rng(seed).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC).convert(mode).save(file, "JPEG", **options)
    return file.getvalue()


def result(opened: Any, content: bytes) -> tuple[tuple[int, ...], bytes] | None:
    """Shape and pixels of an opened file; None if it does not open."""
    try:
        pixels = opened(content)
    except (ImageError, OSError, SyntaxError, ValueError):
        return None
    return pixels.shape, pixels.tobytes()


def open_bytes(content: bytes) -> np.ndarray:
    return open_image(io.BytesIO(content))


@given(st.integers(0, 99), sides, sides, st.sampled_from(["RGB", "L", "CMYK"]), options, st.integers(0, 9))
@settings(max_examples=150, deadline=None)
def test_pixels_equal_those_of_pil(
    seed: int, width: int, height: int, mode: str, options: dict[str, Any], orientation: int
) -> None:
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    content = encode(seed, width, height, mode, exif=exif, **options)
    opened = open_bytes(content)
    assert opened.dtype == np.uint8
    assert opened.flags.c_contiguous
    np.testing.assert_array_equal(opened, open_with_pil(content))


@given(st.data(), st.sampled_from(["RGB", "L", "CMYK"]), st.booleans())
@settings(max_examples=150, deadline=None)
@pytest.mark.filterwarnings("ignore")  # PIL warns about damaged metadata
def test_damaged_files_open_where_pil_opens_them(data: st.DataObject, mode: str, progressive: bool) -> None:
    content = bytearray(encode(data.draw(st.integers(0, 9)), 40, 30, mode, progressive=progressive))
    for position in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=3)):
        content[position] = data.draw(st.integers(0, 255))
    damaged = bytes(content[: data.draw(st.none() | st.integers(1, len(content)))])
    assert result(open_bytes, damaged) == result(open_with_pil, damaged)


@pytest.mark.parametrize(("mode", "num_calls"), [("RGB", 0), ("L", 0), ("CMYK", 1)])
def test_pil_decodes_only_cmyk(mode: str, num_calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    convert = images._to_rgb
    monkeypatch.setattr(images, "_to_rgb", lambda image: calls.append(image.mode) or convert(image))
    assert open_bytes(encode(0, 40, 30, mode)).shape == (30, 40, 3)
    assert calls == ["CMYK"] * num_calls


def test_rgb_coded_files_equal_those_of_pil() -> None:
    content = encode(1, 40, 30, "RGB", keep_rgb=True, quality=90)
    np.testing.assert_array_equal(open_bytes(content), open_with_pil(content))


def test_the_reason_why_a_truncated_file_is_unreadable_is_that_of_pil() -> None:
    content = encode(0, 60, 60, "RGB")[:-40]
    with pytest.raises(ImageError, match=r"image: not a readable image \(image file is truncated"):
        open_bytes(content)


def test_a_file_over_the_pixel_limit_raises_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 40 * 30 - 1)
    with pytest.raises(ImageError, match="40 x 30"):
        open_bytes(encode(0, 40, 30, "RGB")[:-200])  # decoding this file would raise "truncated"
