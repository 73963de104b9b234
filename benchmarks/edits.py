"""Image edits that create near-duplicates."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance

Edit = Callable[[Image.Image, np.random.Generator], Image.Image]


def resized(image: Image.Image, _: np.random.Generator) -> Image.Image:
    """Resize to 60 % of width and height."""
    return image.resize((max(1, round(0.6 * image.width)), max(1, round(0.6 * image.height))))


def recompressed(image: Image.Image, _: np.random.Generator) -> Image.Image:
    """Compress as JPEG with quality 40."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=40)
    return Image.open(file).convert("RGB")


def flipped(image: Image.Image, _: np.random.Generator) -> Image.Image:
    """Mirror horizontally."""
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def cropped(image: Image.Image, _: np.random.Generator) -> Image.Image:
    """Crop 5 % on each side."""
    margin_x, margin_y = round(0.05 * image.width), round(0.05 * image.height)
    return image.crop((margin_x, margin_y, image.width - margin_x, image.height - margin_y))


def recoloured(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Change brightness and contrast by up to 15 %, hue by up to 11 degrees."""
    image = ImageEnhance.Brightness(image).enhance(rng.uniform(0.85, 1.15))
    image = ImageEnhance.Contrast(image).enhance(rng.uniform(0.85, 1.15))
    hue, saturation, value = image.convert("HSV").split()
    shifted_hue = np.asarray(hue) + np.uint8(rng.integers(-8, 9) % 256)  # 256 hue steps are 360 degrees
    return Image.merge("HSV", (Image.fromarray(shifted_hue), saturation, value)).convert("RGB")


def all_edits(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Apply all edits in sequence."""
    for edit in (resized, recompressed, flipped, cropped, recoloured):
        image = edit(image, rng)
    return image


EDITS: dict[str, Edit] = {
    edit.__name__: edit for edit in (resized, recompressed, flipped, cropped, recoloured, all_edits)
}
