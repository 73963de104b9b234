"""Every kind of picture file comes out upright RGB, or is named with what is wrong with it."""

import io
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fashion_lsh.data import images
from fashion_lsh.data.images import PictureError, as_image, open_picture

COLOURS = np.array([[[200, 30, 30], [30, 200, 30]], [[30, 30, 200], [200, 200, 40]]], dtype=np.uint8)
UPRIGHT = COLOURS.repeat(16, axis=0).repeat(24, axis=1)  # (32, 48, 3): four blocks, none like another
STORED = {  # EXIF orientation: how a camera that was held so stores the picture
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.transpose(1, 0, 2),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: upright[::-1, ::-1].transpose(1, 0, 2),
    8: lambda upright: np.rot90(upright, -1),
}


def saved(path: Path, pixels: np.ndarray | Image.Image, **options: Any) -> Path:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.ascontiguousarray(pixels))
    image.save(path, **options)
    return path


def assert_near(found: np.ndarray, expected: np.ndarray, tolerance: int = 0) -> None:
    assert found.dtype == np.uint8
    assert found.shape == expected.shape
    assert abs(found.astype(int) - expected).max() <= tolerance


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
def test_turned_picture_comes_out_upright(tmp_path: Path, name: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"a.jpg": {"quality": 95}, "a.webp": {"lossless": True}}.get(name, {})
    path = saved(tmp_path / name, STORED[orientation](UPRIGHT), exif=exif, **options)
    middles = open_picture(path)[8::16, 12::24]  # of the blocks: JPEG blurs their borders
    assert_near(middles, COLOURS, 12)
    assert open_picture(path).shape == UPRIGHT.shape


def test_plain_picture_comes_out_as_it_is(tmp_path: Path) -> None:
    assert_near(open_picture(saved(tmp_path / "a.png", UPRIGHT)), UPRIGHT)
    assert_near(open_picture(str(tmp_path / "a.png")), UPRIGHT)


def test_an_open_file_is_read_as_its_path_is(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", UPRIGHT)
    assert_near(open_picture(io.BytesIO(path.read_bytes())), UPRIGHT)
    with path.open("rb") as file:
        assert_near(open_picture(file), UPRIGHT)
    with pytest.raises(PictureError, match="no readable picture"):
        open_picture(io.BytesIO(path.read_bytes()[:60]))


OTHERS: list[tuple[Any, str]] = [
    (Image.fromarray(UPRIGHT), "no array (Image)"), (None, "no array (NoneType)"), ([[[0] * 3]], "no array (list)"),
    (UPRIGHT[..., 0], "(32, 48) uint8"), (UPRIGHT[..., :1], "(32, 48, 1) uint8"),
    (np.zeros((32, 48, 4), np.uint8), "(32, 48, 4) uint8"), (UPRIGHT.transpose(2, 0, 1), "(3, 32, 48) uint8"),
    (UPRIGHT[None], "(1, 32, 48, 3) uint8"), (UPRIGHT / 255, "(32, 48, 3) float64"),
    (UPRIGHT > 99, "(32, 48, 3) bool"), (UPRIGHT[:0, :0], "(0, 0, 3) uint8"), (UPRIGHT[:, :0], "(32, 0, 3) uint8"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "named"), OTHERS)
def test_pixels_of_another_form_are_refused_by_what_they_are(given: Any, named: str) -> None:
    assert np.array_equal(as_image(UPRIGHT[:, ::-1]), UPRIGHT[:, ::-1])
    said = re.escape(f"the picture is {named}: give (H, W, 3) uint8, as open_picture does")
    with pytest.raises(ValueError, match=f"^{said}$"):
        as_image(given)


def test_unknown_orientation_is_left_alone(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 77
    assert_near(open_picture(saved(tmp_path / "a.png", UPRIGHT, exif=exif)), UPRIGHT)


def test_printers_colours_become_screen_colours(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", Image.fromarray(UPRIGHT).convert("CMYK"), quality=98)
    assert_near(open_picture(path)[8::16, 12::24], COLOURS, 12)


@pytest.mark.parametrize("mode", ["L", "1", "P"])
def test_modes_of_few_colours_become_rgb(tmp_path: Path, mode: str) -> None:
    grey = np.where(np.arange(32 * 48).reshape(32, 48) % 5 == 0, 255, 0).astype(np.uint8)
    path = saved(tmp_path / "a.png", Image.fromarray(grey).convert(mode))
    assert_near(open_picture(path), np.stack([grey] * 3, axis=2))


def test_transparent_colour_of_a_palette_becomes_white(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1], [2, 0]], dtype=np.uint8), mode="P")
    image.putpalette([10, 20, 30, 200, 0, 0, 0, 0, 200])
    path = saved(tmp_path / "a.png", image, transparency=0)
    assert open_picture(path).tolist() == [[[255] * 3, [200, 0, 0]], [[0, 0, 200], [255] * 3]]


def test_transparent_colour_without_palette_becomes_white(tmp_path: Path) -> None:
    pixels = np.array([[[1, 2, 3], [4, 5, 6]]], dtype=np.uint8)
    path = saved(tmp_path / "a.png", pixels, transparency=(1, 2, 3))
    assert open_picture(path).tolist() == [[[255] * 3, [4, 5, 6]]]


@pytest.mark.parametrize(("pixel", "expected"), [
    ((200, 0, 0, 255), (200, 0, 0)),
    ((200, 0, 0, 0), (255, 255, 255)),
    ((200, 0, 0, 51), (244, 204, 204)),  # a fifth of red over four fifths of white
    ((0, 255), (0, 0, 0)),
    ((0, 0), (255, 255, 255)),
    ((100, 102), (193, 193, 193)),
])  # fmt: skip
def test_transparency_is_laid_on_white(tmp_path: Path, pixel: tuple[int, ...], expected: tuple[int, ...]) -> None:
    path = saved(tmp_path / "a.png", np.full((3, 2, len(pixel)), pixel, dtype=np.uint8))
    assert_near(open_picture(path), np.full((3, 2, 3), expected, dtype=np.uint8), 1)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_grey_of_16_bits_is_scaled_not_clipped(tmp_path: Path, name: str) -> None:
    values = np.array([[0, 255, 256], [32768, 40000, 65535]], dtype=np.uint16)
    found = open_picture(saved(tmp_path / name, values))
    assert_near(found, np.stack([values >> 8] * 3, axis=2))


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp"])
def test_of_an_animation_the_first_frame_is_taken(tmp_path: Path, name: str) -> None:
    frames = [Image.new("RGB", (8, 6), colour) for colour in ((250, 0, 0), (0, 250, 0), (0, 0, 250))]
    path = saved(
        tmp_path / name,
        frames[0],
        save_all=True,
        append_images=frames[1:],
        **({"lossless": True} if name == "a.webp" else {}),
    )
    assert_near(open_picture(path), np.full((6, 8, 3), (250, 0, 0), dtype=np.uint8))


def test_name_says_nothing_about_the_kind(tmp_path: Path) -> None:
    saved(tmp_path / "a.png", UPRIGHT).rename(tmp_path / "ä 图 [1].jpg")
    assert_near(open_picture(tmp_path / "ä 图 [1].jpg"), UPRIGHT)


@pytest.mark.parametrize("kept", [10, 200, 0.5, 0.9])
def test_truncated_picture_is_named(tmp_path: Path, kept: float) -> None:
    path = saved(tmp_path / "a.jpg", UPRIGHT, quality=95)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept if kept > 1 else kept * len(content))])
    with pytest.raises(PictureError, match=rf"^{path}: no readable picture \("):
        open_picture(path)


@pytest.mark.parametrize(
    "content", [b"", b"this is a text about pictures\n" * 9, b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"]
)
def test_file_that_is_no_picture_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(PictureError, match=rf"^{path}: no readable picture \("):
        open_picture(path)


@pytest.mark.parametrize("name", ["nothing.jpg", "folder/nothing.jpg"])
def test_missing_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(PictureError, match=rf"^{tmp_path / name}: no such file$"):
        open_picture(tmp_path / name)


@pytest.mark.parametrize("name", ["", "a\0b.jpg"])
def test_path_that_cannot_be_a_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(PictureError, match="no readable picture"):
        open_picture(tmp_path / name)


def test_too_large_picture_is_named_before_it_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "a.bmp", UPRIGHT)
    path.write_bytes(path.read_bytes()[:-300])  # decoded, it would be a truncated one
    with pytest.raises(PictureError, match="truncated"):
        open_picture(path)
    monkeypatch.setattr(images, "LARGEST", UPRIGHT.size // 3 - 1)
    with pytest.raises(PictureError, match=rf"^{path}: 48 x 32 is over 1,535 pixels: shrink it$"):
        open_picture(path)


def test_picture_of_20_000_by_20_000_is_named_and_not_decoded(tmp_path: Path) -> None:
    path = saved(tmp_path / "huge.png", Image.new("1", (20_000, 20_000)))
    said = r"more pixels than PIL opens \(.*400000000 pixels.*\): shrink it"
    with pytest.raises(PictureError, match=rf"^{path}: {said}$"):
        open_picture(path)


@pytest.mark.parametrize("limit", [2 * 48 * 32 // 3, 48 * 32 // 3])
@pytest.mark.filterwarnings("error::PIL.Image.DecompressionBombWarning")
def test_the_limit_of_the_process_stays_and_holds(limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "a.png", UPRIGHT)
    assert Image.MAX_IMAGE_PIXELS
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(PictureError, match=rf"^{path}: more pixels than PIL opens \(.*1536 pixels.*\): shrink it$"):
        open_picture(path)


def test_pixels_of_floating_point_are_named(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.tif", np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4))
    with pytest.raises(PictureError, match=rf"^{path}: no readable picture \(pixels of floating point"):
        open_picture(path)


def test_colours_of_16_bits_and_alpha_are_scaled(tmp_path: Path) -> None:
    rows = [struct.pack(">B4H4H", 0, 51200, 0, 0, 65535, 51200, 0, 0, 0)]  # one line: no filter, red, and none of it
    parts = [(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 16, 6, 0, 0, 0)), (b"IDAT", zlib.compress(b"".join(rows)))]
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in [*parts, (b"IEND", b"")]))
    assert_near(open_picture(path), np.array([[[200, 0, 0], [255, 255, 255]]], dtype=np.uint8), 1)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def test_a_damaged_exif_block_leaves_the_pixels(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path / "a.jpg", UPRIGHT, exif=exif, quality=95)
    content = path.read_bytes()
    at = content.index(b"Exif\0\0") + 6
    path.write_bytes(content[:at] + b"\xff" * 20 + content[at + 20 :])  # no byte order, no table
    assert_near(open_picture(path)[8::16, 12::24], COLOURS, 12)


def test_picture_of_the_largest_size_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "LARGEST", UPRIGHT.size // 3)
    assert_near(open_picture(saved(tmp_path / "a.png", UPRIGHT)), UPRIGHT)


@pytest.mark.filterwarnings("ignore")  # Pillow's, of damaged metadata
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP", "AVIF", "MPO"])
def test_damaged_picture_opens_or_is_named_and_raises_nothing_else(tmp_path: Path, kind: str) -> None:
    Image.init()
    whole, path, rng = io.BytesIO(), tmp_path / "a", np.random.default_rng(0)
    frames = {"save_all": True, "append_images": [Image.fromarray(255 - UPRIGHT)]} if kind in ("GIF", "MPO") else {}
    Image.fromarray(UPRIGHT).save(whole, kind if kind in Image.SAVE else "PNG", **frames)
    refused = 0
    for _ in range(60):
        content = np.frombuffer(whole.getvalue(), np.uint8).copy()
        content[rng.integers(0, min(len(content), 400), 4)] = rng.integers(0, 256, 4)
        path.write_bytes(content[: rng.integers(1, len(content)) if rng.random() < 0.4 else None].tobytes())
        try:
            found = open_picture(path)
        except PictureError:
            refused += 1
            continue
        assert found.dtype == np.uint8
        assert found.shape[2] == 3
        assert found.size
    assert refused > 10
