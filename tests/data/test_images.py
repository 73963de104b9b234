"""Image files of all formats open as RGB, or raise an error that names the file and the reason."""

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
from fashion_lsh.data.images import ImageError, open_image, orient_boxes, read_orientation, to_pil_image

COLOURS = np.array([[[200, 30, 30], [30, 200, 30]], [[30, 30, 200], [200, 200, 40]]], dtype=np.uint8)
PIXELS = COLOURS.repeat(16, axis=0).repeat(24, axis=1)  # (32, 48, 3), four blocks of different colours
STORED_PIXELS = {  # EXIF orientation -> function from displayed pixels to stored pixels
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: np.rot90(pixels, 1),
    7: lambda pixels: pixels[::-1, ::-1].transpose(1, 0, 2),
    8: lambda pixels: np.rot90(pixels, -1),
}


def save_image(path: Path, pixels: np.ndarray | Image.Image, **options: Any) -> Path:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.ascontiguousarray(pixels))
    image.save(path, **options)
    return path


def assert_close(opened: np.ndarray, expected: np.ndarray, tolerance: int = 0) -> None:
    assert opened.dtype == np.uint8
    assert opened.shape == expected.shape
    assert abs(opened.astype(int) - expected).max() <= tolerance


@pytest.mark.parametrize("orientation", STORED_PIXELS)
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
def test_exif_orientation_is_applied(tmp_path: Path, name: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"a.jpg": {"quality": 95}, "a.webp": {"lossless": True}}.get(name, {})
    path = save_image(tmp_path / name, STORED_PIXELS[orientation](PIXELS), exif=exif, **options)
    centres = open_image(path)[8::16, 12::24]  # centre pixels of the blocks, since JPEG blurs the block borders
    assert_close(centres, COLOURS, 12)
    assert open_image(path).shape == PIXELS.shape


@pytest.mark.parametrize("orientation", range(10))  # 0 and 9 are invalid
@pytest.mark.parametrize("box", [(3, 5, 17, 11), (0, 0, 1, 30), (40, 2, 48, 32)])
def test_boxes_are_oriented_like_the_pixels(tmp_path: Path, orientation: int, box: tuple[int, int, int, int]) -> None:
    stored, exif = np.zeros((32, 48, 3), np.uint8), Image.Exif()
    stored[box[1] : box[3], box[0] : box[2]] = 255
    exif[0x0112] = orientation
    path = save_image(tmp_path / "a.png", stored, exif=exif)
    boxes = np.array([box, box], np.float32)
    oriented = orient_boxes(boxes, read_orientation(path), width=48, height=32)
    assert oriented.dtype == np.float32
    rows, columns = np.nonzero(open_image(path)[..., 0])
    expected = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert oriented.tolist() == [expected, expected]


def test_the_orientation_of_an_unreadable_file_is_1(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("text")
    assert [read_orientation(tmp_path / name) for name in ("a.jpg", "missing.jpg")] == [1, 1]


def test_an_rgb_image_is_returned_unchanged(tmp_path: Path) -> None:
    assert_close(open_image(save_image(tmp_path / "a.png", PIXELS)), PIXELS)
    assert_close(open_image(str(tmp_path / "a.png")), PIXELS)


def test_file_objects_are_read_like_paths(tmp_path: Path) -> None:
    path = save_image(tmp_path / "a.png", PIXELS)
    assert_close(open_image(io.BytesIO(path.read_bytes())), PIXELS)
    with path.open("rb") as file:
        assert_close(open_image(file), PIXELS)
    with pytest.raises(ImageError, match=r"^image: not a readable image"):
        open_image(io.BytesIO(path.read_bytes()[:60]))
    (text := tmp_path / "text.jpg").write_text("not an image")
    with text.open("rb") as file, pytest.raises(ImageError, match=f"^{text}: not a readable image"):
        open_image(file)


INVALID_IMAGES: list[tuple[Any, str]] = [  # (argument, description in the message)
    (Image.fromarray(PIXELS), "not an array (Image)"), (None, "not an array (NoneType)"),
    ([[[0] * 3]], "not an array (list)"),
    (PIXELS[..., 0], "(32, 48) uint8"), (PIXELS[..., :1], "(32, 48, 1) uint8"),
    (np.zeros((32, 48, 4), np.uint8), "(32, 48, 4) uint8"), (PIXELS.transpose(2, 0, 1), "(3, 32, 48) uint8"),
    (PIXELS[None], "(1, 32, 48, 3) uint8"), (PIXELS / 255, "(32, 48, 3) float64"),
    (PIXELS > 99, "(32, 48, 3) bool"), (PIXELS[:0, :0], "(0, 0, 3) uint8"), (PIXELS[:, :0], "(32, 0, 3) uint8"),
]  # fmt: skip


@pytest.mark.parametrize(("image", "description"), INVALID_IMAGES)
def test_to_pil_image_rejects_all_but_rgb_uint8_arrays(image: Any, description: str) -> None:
    assert np.array_equal(to_pil_image(PIXELS[:, ::-1]), PIXELS[:, ::-1])
    with pytest.raises(ValueError, match=re.escape(f"image: {description};")):
        to_pil_image(image)


def test_an_unknown_orientation_is_ignored(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 77
    assert_close(open_image(save_image(tmp_path / "a.png", PIXELS, exif=exif)), PIXELS)


def test_cmyk_is_converted_to_rgb(tmp_path: Path) -> None:
    path = save_image(tmp_path / "a.jpg", Image.fromarray(PIXELS).convert("CMYK"), quality=98)
    assert_close(open_image(path)[8::16, 12::24], COLOURS, 12)


@pytest.mark.parametrize("mode", ["L", "1", "P"])
def test_grey_and_palette_modes_are_converted_to_rgb(tmp_path: Path, mode: str) -> None:
    grey = np.where(np.arange(32 * 48).reshape(32, 48) % 5 == 0, 255, 0).astype(np.uint8)
    path = save_image(tmp_path / "a.png", Image.fromarray(grey).convert(mode))
    assert_close(open_image(path), np.stack([grey] * 3, axis=2))


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
    assert_close(open_image(path), np.full((3, 2, 3), expected, dtype=np.uint8), 1)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_16_bit_grey_is_scaled_not_clipped(tmp_path: Path, name: str) -> None:
    values = np.array([[0, 255, 256], [32768, 40000, 65535]], dtype=np.uint16)
    opened = open_image(save_image(tmp_path / name, values))
    assert_close(opened, np.stack([values >> 8] * 3, axis=2))


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp"])
def test_the_first_frame_of_an_animation_is_read(tmp_path: Path, name: str) -> None:
    frames = [Image.new("RGB", (8, 6), colour) for colour in ((250, 0, 0), (0, 250, 0), (0, 0, 250))]
    path = save_image(
        tmp_path / name,
        frames[0],
        save_all=True,
        append_images=frames[1:],
        **({"lossless": True} if name == "a.webp" else {}),
    )
    assert_close(open_image(path), np.full((6, 8, 3), (250, 0, 0), dtype=np.uint8))


def test_the_format_is_detected_from_the_content(tmp_path: Path) -> None:
    save_image(tmp_path / "a.png", PIXELS).rename(tmp_path / "ä 图 [1].jpg")
    assert_close(open_image(tmp_path / "ä 图 [1].jpg"), PIXELS)


@pytest.mark.parametrize(("num_bytes", "fraction"), [(10, 0), (200, 0), (0, 0.5), (0, 0.9)])
def test_a_truncated_image_raises(tmp_path: Path, num_bytes: int, fraction: float) -> None:
    path = save_image(tmp_path / "a.jpg", PIXELS, quality=95)
    content = path.read_bytes()
    path.write_bytes(content[: num_bytes or int(fraction * len(content))])
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


def test_an_oversized_image_raises_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_image(tmp_path / "a.bmp", PIXELS)
    path.write_bytes(path.read_bytes()[:-300])  # decoding this file would raise "truncated"
    with pytest.raises(ImageError, match="truncated"):
        open_image(path)
    monkeypatch.setattr(images, "MAX_PIXELS", PIXELS.size // 3 - 1)
    with pytest.raises(ImageError, match=rf"^{path}: 48 x 32 .*1,535"):
        open_image(path)


def test_a_decompression_bomb_raises(tmp_path: Path) -> None:
    path = save_image(tmp_path / "huge.png", Image.new("1", (20_000, 20_000)))
    with pytest.raises(ImageError, match=rf"^{path}: .*400000000 pixels"):
        open_image(path)


@pytest.mark.parametrize("limit", [2 * 48 * 32 // 3, 48 * 32 // 3])
@pytest.mark.filterwarnings("error::PIL.Image.DecompressionBombWarning")
def test_an_image_over_the_pixel_limit_of_pil_raises(
    limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_image(tmp_path / "a.png", PIXELS)
    assert Image.MAX_IMAGE_PIXELS
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(ImageError, match=rf"^{path}: .*1536 pixels"):
        open_image(path)


def test_floating_point_pixels_raise(tmp_path: Path) -> None:
    path = save_image(tmp_path / "a.tif", np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4))
    with pytest.raises(ImageError, match=rf"^{path}: .*floating-point"):
        open_image(path)


def test_16_bit_rgba_is_scaled(tmp_path: Path) -> None:
    # one scanline without a filter, with an opaque and a transparent red pixel
    scanline = struct.pack(">B4H4H", 0, 51200, 0, 0, 65535, 51200, 0, 0, 0)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 16, 6, 0, 0, 0)), (b"IDAT", zlib.compress(scanline))]
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in [*chunks, (b"IEND", b"")]))
    assert_close(open_image(path), np.array([[[200, 0, 0], [255, 255, 255]]], dtype=np.uint8), 1)


def png_chunk(chunk_type: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(chunk_type + content))
    return struct.pack(">I", len(content)) + chunk_type + content + checksum


def test_a_damaged_exif_block_is_ignored(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save_image(tmp_path / "a.jpg", PIXELS, exif=exif, quality=95)
    content = path.read_bytes()
    offset = content.index(b"Exif\0\0") + 6
    # overwrites the TIFF header: no byte order, no IFD
    path.write_bytes(content[:offset] + b"\xff" * 20 + content[offset + 20 :])
    assert_close(open_image(path)[8::16, 12::24], COLOURS, 12)


def test_an_image_of_the_maximum_size_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", PIXELS.size // 3)
    assert_close(open_image(save_image(tmp_path / "a.png", PIXELS)), PIXELS)


@pytest.mark.filterwarnings("ignore")  # PIL warns about damaged metadata
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP", "AVIF", "MPO"])
def test_damaged_images_open_or_raise_image_error(tmp_path: Path, image_format: str) -> None:
    Image.init()
    buffer, path, rng = io.BytesIO(), tmp_path / "a", np.random.default_rng(0)
    second_frame = {"save_all": True, "append_images": [Image.fromarray(255 - PIXELS)]}
    options = second_frame if image_format in ("GIF", "MPO") else {}
    Image.fromarray(PIXELS).save(buffer, image_format if image_format in Image.SAVE else "PNG", **options)
    num_rejected = 0
    for _ in range(60):
        content = np.frombuffer(buffer.getvalue(), np.uint8).copy()
        content[rng.integers(0, min(len(content), 400), 4)] = rng.integers(0, 256, 4)
        path.write_bytes(content[: rng.integers(1, len(content)) if rng.random() < 0.4 else None].tobytes())
        try:
            opened = open_image(path)
        except ImageError:
            num_rejected += 1
            continue
        assert opened.dtype == np.uint8
        assert opened.shape[2] == 3
        assert opened.size
    assert num_rejected > 10
