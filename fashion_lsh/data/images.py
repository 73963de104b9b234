"""Open image files safely as RGB arrays, with the EXIF orientation applied."""

import struct
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from PIL import Image, UnidentifiedImageError

MAX_PIXELS = 100_000_000  # a larger image would take over 300 MB as RGB
# exceptions of PIL's own pixel limit; the warning is raised only if a warning filter turns warnings into errors
DECOMPRESSION_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)

# exceptions that PIL raises for damaged files (RuntimeError comes from the AVIF reader)
READ_ERRORS = (OSError, ValueError, SyntaxError, EOFError, ArithmeticError, LookupError, RuntimeError, struct.error)

JPEG_FORMATS = ("JPEG", "MPO")  # formats of PIL that are read as JPEG files

EXIF_ORIENTATION = 0x0112  # EXIF tag
EXIF_AXES = {  # value of EXIF_ORIENTATION -> flip x, flip y, then swap the axes
    2: (True, False, False), 3: (True, True, False), 4: (False, True, False), 5: (False, False, True),
    6: (False, True, True), 7: (True, True, True), 8: (True, False, True),
}  # fmt: skip
QUARTER_TURNS = (5, 6, 7, 8)  # values of EXIF_ORIENTATION that swap width and height


class ImageError(ValueError):
    """Unusable image file; the message names the file and the reason."""


def open_image(path: str | Path | BinaryIO) -> np.ndarray:
    """Read an image as (H, W, 3) uint8 RGB, with the EXIF orientation applied.

    JPEG files are decoded by torchvision, all others by PIL, with equal pixels. Transparency is composited on white.
    16-bit greyscale values are scaled to 8 bits. Of an animation, the first frame is read.

    Args:
        path: path of the image, or an open binary file.

    Raises:
        ImageError: the file is missing, not an image, truncated, or has floating-point pixels; or the image exceeds
            MAX_PIXELS or PIL's limit in this process (`Image.MAX_IMAGE_PIXELS`).
    """
    name = path if isinstance(path, str | Path) else getattr(path, "name", "image")
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ImageError(
                    f"{name}: {image.width} x {image.height} pixels exceed {MAX_PIXELS:,}; shrink the image"
                )
            return _orient(_decode(image), _read_orientation(image))
    except ImageError:
        raise
    except DECOMPRESSION_BOMBS as error:
        raise ImageError(f"{name}: exceeds PIL's pixel limit ({error}); shrink the image") from error
    except READ_ERRORS as error:
        detail = "unknown format" if isinstance(error, UnidentifiedImageError) else error
        reason = "no such file" if isinstance(error, FileNotFoundError) else f"not a readable image ({detail})"
        raise ImageError(f"{name}: {reason}") from error


def read_orientation(path: str | Path) -> int:
    """Read the EXIF orientation of an image file, 1 to 8; 1 (no transform) if it is missing or not readable."""
    try:
        with Image.open(path) as image:
            return _read_orientation(image)
    except READ_ERRORS:
        return 1


def orient_boxes(boxes: np.ndarray, orientation: int, width: int, height: int) -> np.ndarray:
    """Transform boxes as `open_image` transforms the stored pixels of an image with this EXIF orientation.

    Args:
        boxes: (n, 4) xyxy in stored pixels.
        orientation: EXIF orientation.
        width: width of the stored image in pixels.
        height: height of the stored image in pixels.

    Returns:
        (n, 4) xyxy in pixels of the oriented image, same dtype.
    """
    x1, y1, x2, y2 = boxes.T
    flip_x, flip_y, swap = EXIF_AXES.get(orientation, (False, False, False))
    if flip_x:
        x1, x2 = width - x2, width - x1
    if flip_y:
        y1, y2 = height - y2, height - y1
    return np.stack([y1, x1, y2, x2] if swap else [x1, y1, x2, y2], axis=1)


def check_image(image: Any) -> np.ndarray:
    """Return an image if it is an array, (H, W, 3) uint8 RGB, with pixels.

    Raises:
        ValueError: the image is not an array of this shape and dtype, or has no pixels.
    """
    is_array = isinstance(image, np.ndarray)
    if not is_array or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        description = f"{image.shape} {image.dtype}" if is_array else f"not an array ({type(image).__name__})"
        raise ValueError(f"image: {description}; pass (H, W, 3) uint8, as returned by open_image")
    return cast(np.ndarray, image)


def to_pil_image(image: Any) -> Image.Image:
    """Convert an image, (H, W, 3) uint8 RGB, to a PIL image; errors as for `check_image`."""
    return Image.fromarray(check_image(image))


def resize(image: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Resize an image, (H, W, 3) uint8, to `size` pixels on its longer side.

    Returns:
        The resized image, uint8; scale factors of box coordinates xyxy, (4,) float32.

    Raises:
        ValueError: the image is not (H, W, 3) uint8.
    """
    from fashion_lsh.data.resizing import resize_region  # opening images must not import PyTorch

    height, width = check_image(image).shape[:2]
    scale = size / max(height, width)
    new_width, new_height = max(1, round(width * scale)), max(1, round(height * scale))
    resized = resize_region(image, np.array([0, 0, width, height]), new_width, new_height)
    return resized, np.tile([new_width / width, new_height / height], 2).astype(np.float32)


def _decode(image: Image.Image) -> np.ndarray:
    """Decode an open image as (H, W, 3) uint8 RGB, without the EXIF orientation."""
    if image.format in JPEG_FORMATS and image.mode in ("RGB", "L"):  # not CMYK
        from fashion_lsh.data.jpeg import decode_jpeg  # importing this module must not import PyTorch

        file = cast(Any, image).fp
        file.seek(0)
        pixels = decode_jpeg(file.read())
        if pixels is not None:
            return pixels
    return np.asarray(_to_rgb(image))


def _read_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation; 1 (no transform) if the EXIF block is damaged, since the pixels may be intact."""
    try:
        return int(image.getexif().get(EXIF_ORIENTATION, 1))
    except (*READ_ERRORS, TypeError, AttributeError):
        return 1


def _orient(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Apply an EXIF orientation to stored pixels, (H, W, 3)."""
    flip_x, flip_y, swap = EXIF_AXES.get(orientation, (False, False, False))
    pixels = pixels[:: -1 if flip_y else 1, :: -1 if flip_x else 1]
    return np.ascontiguousarray(pixels.swapaxes(0, 1) if swap else pixels)


def _to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image of any mode to RGB."""
    if image.mode == "F":
        raise ValueError("floating-point pixels have no defined white level; save the image with 8 or 16 bits")
    if image.mode.startswith("I"):  # 16-bit greyscale, which PIL would clip to white
        image = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        image = image.convert("RGBA")
        background = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(background, image)
    return image.convert("RGB")
