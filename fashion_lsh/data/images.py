"""Open one picture file safely."""

import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

MAX_PIXELS = 100_000_000  # pixels; more would take over 300 MB as RGB
DECOMPRESSION_BOMBS = (
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)  # PIL's own limit; the latter where it raises

# what PIL's readers raise on damaged files, RuntimeError for AVIF
READ_ERRORS = (OSError, ValueError, SyntaxError, EOFError, ArithmeticError, LookupError, RuntimeError, struct.error)

EXIF_ORIENTATION = 0x0112  # the EXIF tag, and what makes each of its values upright
EXIF_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip


class ImageError(ValueError):
    """A file that is no usable picture; the text names the file and the reason."""


def open_image(path: str | Path | BinaryIO) -> np.ndarray:
    """Read a picture file, by its path or open, as (H, W, 3) uint8 RGB, upright.

    EXIF rotation is applied; transparency is laid on white; 16-bit grey is scaled to 8; of an animation the first
    frame is taken.

    Raises:
        ImageError: it is missing, no picture, truncated, of floating-point pixels, or larger than MAX_PIXELS pixels
            or than PIL opens in this process (`Image.MAX_IMAGE_PIXELS`).
    """
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ImageError(f"{path}: {image.width} x {image.height} is over {MAX_PIXELS:,} pixels: shrink it")
            return np.asarray(_apply_orientation(_to_rgb(image), _orientation(image)))
    except ImageError:
        raise
    except DECOMPRESSION_BOMBS as error:
        raise ImageError(f"{path}: more pixels than PIL opens ({error}): shrink it") from error
    except READ_ERRORS as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else f"no readable picture ({error})"
        raise ImageError(f"{path}: {reason}") from error


def to_pil_image(image: Any) -> Image.Image:
    """A picture, (H, W, 3) uint8, as PIL's.

    Raises:
        ValueError: it is anything else, or has no pixel.
    """
    is_array = isinstance(image, np.ndarray)
    if not is_array or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        description = f"{image.shape} {image.dtype}" if is_array else f"no array ({type(image).__name__})"
        raise ValueError(f"the picture is {description}: give (H, W, 3) uint8, as open_image does")
    return Image.fromarray(image)


def _orientation(image: Image.Image) -> int:
    """As EXIF tells it; 1, upright, where its block is damaged: the pixels may be whole all the same."""
    try:
        return int(image.getexif().get(EXIF_ORIENTATION, 1))
    except (*READ_ERRORS, TypeError, AttributeError):
        return 1


def _apply_orientation(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(EXIF_TRANSPOSE[orientation]) if orientation in EXIF_TRANSPOSE else image


def _to_rgb(image: Image.Image) -> Image.Image:
    """Any mode -> RGB."""
    if image.mode == "F":
        raise ValueError("pixels of floating point, whose white nobody tells: save it with 8 or 16 bits")
    if image.mode.startswith("I"):  # 16-bit grey; PIL alone would clip it to white
        image = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        image = image.convert("RGBA")
        background = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(background, image)
    return image.convert("RGB")
