"""Image files of every kind open as upright RGB, or raise an error that names the file and the reason."""

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
from fashion_lsh.data.images import ImageError, open_image, to_pil_image

COLOURS = np.array([[[200, 30, 30], [30, 200, 30]], [[30, 30, 200], [200, 200, 40]]], dtype=np.uint8)
UPRIGHT = COLOURS.repeat(16, axis=0).repeat(24, axis=1)  # (32, 48, 3): four blocks of different colours
STORED_AS = {  # EXIF orientation -> the stored pixels of an upright image
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.transpose(1, 0, 2),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: upright[::-1, ::-1].transpose(1, 0, 2),
    8: lambda upright: np.rot90(upright, -1),
}


def save_image(path: Path, pixels: np.ndarray | Image.Image, **options: Any) -> Path:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.ascontiguousarray(pixels))
    image.save(path, **options)
    return path


def assert_near(opened: np.ndarray, expected: np.ndarray, tolerance: int = 0) -> None:
    assert opened.dtype == np.uint8
    assert opened.shape == expected.shape
    assert abs(opened.astype(int) - expected).max() <= tolerance


@pytest.mark.parametrize("orientation", STORED_AS)
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
def test_exif_orientation_is_applied(tmp_path: Path, name: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"a.jpg": {"quality": 95}, "a.webp": {"lossless": True}}.get(name, {})
    path = save_image(tmp_path / name, STORED_AS[orientation](UPRIGHT), exif=exif, **options)
    middles = open_image(path)[8::16, 12::24]  # centres of the blocks: JPEG blurs their borders
    assert_near(middles, COLOURS, 12)
    assert open_image(path).shape == UPRIGHT.shape


def test_an_rgb_image_is_returned_unchanged(tmp_path: Path) -> None:
    assert_near(open_image(save_image(tmp_path / "a.png", UPRIGHT)), UPRIGHT)
    assert_near(open_image(str(tmp_path / "a.png")), UPRIGHT)


def test_open_files_are_read_like_paths(tmp_path: Path) -> None:
    path = save_image(tmp_path / "a.png", UPRIGHT)
    assert_near(open_image(io.BytesIO(path.read_bytes())), UPRIGHT)
    with path.open("rb") as file:
        assert_near(open_image(file), UPRIGHT)
    with pytest.raises(ImageError, match="not a readable image"):
        open_image(io.BytesIO(path.read_bytes()[:60]))


INVALID: list[tuple[Any, str]] = [
    (Image.fromarray(UPRIGHT), "not an array (Image)"), (None, "not an array (NoneType)"),
    ([[[0] * 3]], "not an array (list)"),
    (UPRIGHT[..., 0], "(32, 48) uint8"), (UPRIGHT[..., :1], "(32, 48, 1) uint8"),
    (np.zeros((32, 48, 4), np.uint8), "(32, 48, 4) uint8"), (UPRIGHT.transpose(2, 0, 1), "(3, 32, 48) uint8"),
    (UPRIGHT[None], "(1, 32, 48, 3) uint8"), (UPRIGHT / 255, "(32, 48, 3) float64"),
    (UPRIGHT > 99, "(32, 48, 3) bool"), (UPRIGHT[:0, :0], "(0, 0, 3) uint8"), (UPRIGHT[:, :0], "(32, 0, 3) uint8"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "description"), INVALID)
def test_arrays_of_another_shape_or_dtype_raise(given: Any, description: str) -> None:
    assert np.array_equal(to_pil_image(UPRIGHT[:, ::-1]), UPRIGHT[:, ::-1])
    with pytest.raises(ValueError, match=re.escape(f"image: {description};")):
        to_pil_image(given)


def test_an_unknown_orientation_is_ignored(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 77
    assert_near(open_image(save_image(tmp_path / "a.png", UPRIGHT, exif=exif)), UPRIGHT)


def test_cmyk_is_converted_to_rgb(tmp_path: Path) -> None:
    path = save_image(tmp_path / "a.jpg", Image.fromarray(UPRIGHT).convert("CMYK"), quality=98)
    assert_near(open_image(path)[8::16, 12::24], COLOURS, 12)


@pytest.mark.parametrize("mode", ["L", "1", "P"])
def test_grey_and_palette_modes_are_converted_to_rgb(tmp_path: Path, mode: str) -> None:
    grey = np.where(np.arange(32 * 48).reshape(32, 48) % 5 == 0, 255, 0).astype(np.uint8)
    path = save_image(tmp_path / "a.png", Image.fromarray(grey).convert(mode))
    assert_near(open_image(path), np.stack([grey] * 3, axis=2))


def test_a_transparent_palette_colour_becomes_white(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1], [2, 0]], dtype=np.uint8), mode="P")
    image.putpalette([10, 20, 30, 200, 0, 0, 0, 0, 200])
    path = save_image(tmp_path / "a.png", image, transparency=0)
    assert open_image(path).tolist() == [[[255] * 3, [200, 0, 0]], [[0, 0, 200], [255] * 3]]


def test_a_transparent_rgb_colour_becomes_white(tmp_path: Path) -> None:
    pixels = np.array([[[1, 2, 3], [4, 5, 6]]], dtype=np.uint8)
    path = save_image(tmp_path / "a.png", pixels, transparency=(1, 2, 3))
    assert open_image(path).tolist() == [[[255] * 3, [4, 5, 6]]]


@pytest.mark.parametrize(("pixel", "expected"), [
    ((200, 0, 0, 255), (200, 0, 0)),
    ((200, 0, 0, 0), (255, 255, 255)),
    ((200, 0, 0, 51), (244, 204, 204)),  # a fifth of red over four fifths of white
    ((0, 255), (0, 0, 0)),
    ((0, 0), (255, 255, 255)),
    ((100, 102), (193, 193, 193)),
])  # fmt: skip
def test_transparency_is_composited_on_white(tmp_path: Path, pixel: tuple[int, ...], expected: tuple[int, ...]) -> None:
    path = save_image(tmp_path / "a.png", np.full((3, 2, len(pixel)), pixel, dtype=np.uint8))
    assert_near(open_image(path), np.full((3, 2, 3), expected, dtype=np.uint8), 1)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_16_bit_grey_is_scaled_not_clipped(tmp_path: Path, name: str) -> None:
    values = np.array([[0, 255, 256], [32768, 40000, 65535]], dtype=np.uint16)
    opened = open_image(save_image(tmp_path / name, values))
    assert_near(opened, np.stack([values >> 8] * 3, axis=2))


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp"])
def test_animations_give_their_first_frame(tmp_path: Path, name: str) -> None:
    frames = [Image.new("RGB", (8, 6), colour) for colour in ((250, 0, 0), (0, 250, 0), (0, 0, 250))]
    path = save_image(
        tmp_path / name,
        frames[0],
        save_all=True,
        append_images=frames[1:],
        **({"lossless": True} if name == "a.webp" else {}),
    )
    assert_near(open_image(path), np.full((6, 8, 3), (250, 0, 0), dtype=np.uint8))


def test_the_file_name_does_not_decide_the_format(tmp_path: Path) -> None:
    save_image(tmp_path / "a.png", UPRIGHT).rename(tmp_path / "ä 图 [1].jpg")
    assert_near(open_image(tmp_path / "ä 图 [1].jpg"), UPRIGHT)


@pytest.mark.parametrize("size", [10, 200, 0.5, 0.9])
def test_a_truncated_image_raises(tmp_path: Path, size: float) -> None:
    path = save_image(tmp_path / "a.jpg", UPRIGHT, quality=95)
    content = path.read_bytes()
    path.write_bytes(content[: int(size if size > 1 else size * len(content))])
    with pytest.raises(ImageError, match=rf"^{path}: "):
        open_image(path)


@pytest.mark.parametrize("content", [b"", b"this is a text about images\n" * 9, b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"])
def test_a_file_that_is_not_an_image_raises(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=rf"^{path}: "):
        open_image(path)


@pytest.mark.parametrize("name", ["nothing.jpg", "folder/nothing.jpg"])
def test_a_missing_file_raises(tmp_path: Path, name: str) -> None:
    with pytest.raises(ImageError, match=rf"^{tmp_path / name}: no such file$"):
        open_image(tmp_path / name)


@pytest.mark.parametrize("name", ["", "a\0b.jpg"])
def test_an_invalid_path_raises(tmp_path: Path, name: str) -> None:
    with pytest.raises(ImageError, match="not a readable image"):
        open_image(tmp_path / name)


def test_a_too_large_image_raises_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_image(tmp_path / "a.bmp", UPRIGHT)
    path.write_bytes(path.read_bytes()[:-300])  # decoding would raise "truncated"
    with pytest.raises(ImageError, match="truncated"):
        open_image(path)
    monkeypatch.setattr(images, "MAX_PIXELS", UPRIGHT.size // 3 - 1)
    with pytest.raises(ImageError, match=rf"^{path}: 48 x 32 .*1,535"):
        open_image(path)


def test_a_decompression_bomb_raises(tmp_path: Path) -> None:
    path = save_image(tmp_path / "huge.png", Image.new("1", (20_000, 20_000)))
    with pytest.raises(ImageError, match=rf"^{path}: .*400000000 pixels"):
        open_image(path)


@pytest.mark.parametrize("limit", [2 * 48 * 32 // 3, 48 * 32 // 3])
@pytest.mark.filterwarnings("error::PIL.Image.DecompressionBombWarning")
def test_the_pil_pixel_limit_is_respected(limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_image(tmp_path / "a.png", UPRIGHT)
    assert Image.MAX_IMAGE_PIXELS
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(ImageError, match=rf"^{path}: .*1536 pixels"):
        open_image(path)


def test_floating_point_pixels_raise(tmp_path: Path) -> None:
    path = save_image(tmp_path / "a.tif", np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4))
    with pytest.raises(ImageError, match=rf"^{path}: .*floating-point"):
        open_image(path)


def test_16_bit_rgba_is_scaled(tmp_path: Path) -> None:
    rows = [
        struct.pack(">B4H4H", 0, 51200, 0, 0, 65535, 51200, 0, 0, 0)
    ]  # one scanline without filter: opaque red, transparent red
    parts = [(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 16, 6, 0, 0, 0)), (b"IDAT", zlib.compress(b"".join(rows)))]
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*part) for part in [*parts, (b"IEND", b"")]))
    assert_near(open_image(path), np.array([[[200, 0, 0], [255, 255, 255]]], dtype=np.uint8), 1)


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def test_a_damaged_exif_block_is_ignored(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save_image(tmp_path / "a.jpg", UPRIGHT, exif=exif, quality=95)
    content = path.read_bytes()
    offset = content.index(b"Exif\0\0") + 6
    path.write_bytes(content[:offset] + b"\xff" * 20 + content[offset + 20 :])  # no byte order, no table
    assert_near(open_image(path)[8::16, 12::24], COLOURS, 12)


def test_an_image_of_the_maximum_size_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", UPRIGHT.size // 3)
    assert_near(open_image(save_image(tmp_path / "a.png", UPRIGHT)), UPRIGHT)


@pytest.mark.filterwarnings("ignore")  # Pillow warns of damaged metadata
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP", "AVIF", "MPO"])
def test_damaged_images_open_or_raise_image_error(tmp_path: Path, kind: str) -> None:
    Image.init()
    buffer, path, rng = io.BytesIO(), tmp_path / "a", np.random.default_rng(0)
    frames = {"save_all": True, "append_images": [Image.fromarray(255 - UPRIGHT)]} if kind in ("GIF", "MPO") else {}
    Image.fromarray(UPRIGHT).save(buffer, kind if kind in Image.SAVE else "PNG", **frames)
    refused = 0
    for _ in range(60):
        content = np.frombuffer(buffer.getvalue(), np.uint8).copy()
        content[rng.integers(0, min(len(content), 400), 4)] = rng.integers(0, 256, 4)
        path.write_bytes(content[: rng.integers(1, len(content)) if rng.random() < 0.4 else None].tobytes())
        try:
            opened = open_image(path)
        except ImageError:
            refused += 1
            continue
        assert opened.dtype == np.uint8
        assert opened.shape[2] == 3
        assert opened.size
    assert refused > 10
