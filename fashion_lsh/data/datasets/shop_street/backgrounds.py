"""Draw cluttered backgrounds and occluders of street images; the only randomness is the passed generator."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from fashion_lsh.data.datasets.shop_street.appearances import Rng
from fashion_lsh.data.datasets.shop_street.items import Cutout, extract_cutout

IMAGE_SIZE = 96  # side of a composed image, in pixels


def draw_background(rng: Rng) -> np.ndarray:
    """Draw a background of one of five types, with fine noise: (96, 96, 3) float32, about 0..255."""
    draw_type = (_draw_wall, _draw_shapes, _draw_pavement, _draw_foliage, _draw_planks)[rng.integers(5)]
    noise = rng.standard_normal((IMAGE_SIZE, IMAGE_SIZE, 1), dtype=np.float32) * rng.uniform(2, 9)
    return np.asarray(draw_type(rng) + noise, dtype=np.float32)


def draw_occluder(rng: Rng) -> Cutout:
    """Draw a pole, a ball or a board of one colour with horizontal shading."""
    canvas = Image.new("RGBA", (IMAGE_SIZE, IMAGE_SIZE))
    pen = ImageDraw.Draw(canvas)
    width, height = rng.uniform(10, 26, 2)
    fill = (*_draw_colour(rng), 255)
    shape = rng.integers(3)
    if shape == 0:
        pen.rectangle((0, 0, width * 0.45, IMAGE_SIZE), fill=fill)
    elif shape == 1:
        pen.ellipse((0, 0, width + 4, height + 4), fill=fill)
    else:
        pen.rounded_rectangle((0, 0, width, height + 6), radius=3, fill=fill)
    cutout = extract_cutout(canvas, angle=rng.uniform(-25, 25))
    left, right = rng.uniform(0.65, 1.25, 2)
    shade = np.linspace(left, right, cutout.alpha.shape[1], dtype=np.float32)
    return Cutout(cutout.colours * shade[:, None], cutout.alpha)


def _draw_colour(rng: Rng) -> tuple[int, int, int]:
    """Draw an RGB colour of low saturation."""
    grey, deviation = rng.uniform(50, 215), rng.uniform(5, 70)
    red, green, blue = (int(value) for value in np.clip(grey + rng.uniform(-deviation, deviation, 3), 0, 255))
    return red, green, blue


def _draw_wall(rng: Rng) -> np.ndarray:
    """Wall above a floor, each with a colour gradient."""
    horizon = int(rng.uniform(0.45, 0.85) * IMAGE_SIZE)
    rows = np.empty((IMAGE_SIZE, 3), dtype=np.float32)
    rows[:horizon] = np.linspace(_draw_colour(rng), _draw_colour(rng), horizon)
    rows[horizon:] = np.linspace(_draw_colour(rng), _draw_colour(rng), IMAGE_SIZE - horizon)
    return np.repeat(rows[:, None], IMAGE_SIZE, axis=1)


def _draw_shapes(rng: Rng) -> np.ndarray:
    """Blurred shapes, like a shop window or a crowd out of focus."""
    canvas = Image.new("RGB", (IMAGE_SIZE, IMAGE_SIZE), _draw_colour(rng))
    pen = ImageDraw.Draw(canvas)
    for x, y, width, height in rng.uniform((-20, -20, 10, 10), (90, 90, 50, 60), (int(rng.integers(6, 14)), 4)):
        draw = pen.ellipse if rng.random() < 0.5 else pen.rectangle
        draw((x, y, x + width, y + height), fill=_draw_colour(rng))
    return _pixels(canvas.filter(ImageFilter.BoxBlur(rng.uniform(0.5, 4))))


def _draw_pavement(rng: Rng) -> np.ndarray:
    """Rotated slabs or bricks of varying brightness, with joints."""
    # large enough for the crop to contain no empty corner after the rotation
    field, margin = IMAGE_SIZE * 3 // 2, IMAGE_SIZE // 4
    canvas = Image.new("RGB", (field, field), _draw_colour(rng))
    pen = ImageDraw.Draw(canvas)
    base, deviation = np.array(_draw_colour(rng)), rng.uniform(4, 22)
    width, height = (int(value) for value in rng.integers((16, 12), (40, 30)))
    for line, top in enumerate(range(0, field, height)):
        for left in range(-(line % 2) * width // 2, field, width):
            red, green, blue = (int(value) for value in np.clip(base + rng.uniform(-deviation, deviation), 0, 255))
            pen.rectangle((left, top, left + width - 3, top + height - 3), fill=(red, green, blue))
    rotated = canvas.rotate(rng.uniform(-30, 30), Image.Resampling.BILINEAR)
    return _pixels(rotated.crop((margin, margin, margin + IMAGE_SIZE, margin + IMAGE_SIZE)))


def _draw_foliage(rng: Rng) -> np.ndarray:
    """Smooth noise at three scales."""
    total = np.full((IMAGE_SIZE, IMAGE_SIZE, 3), _draw_colour(rng), dtype=np.float32)
    for cells, amplitude in ((5, 50), (14, 35), (40, 20)):
        grey = rng.uniform(-amplitude, amplitude, (cells, cells, 1)) + rng.uniform(
            -0.3 * amplitude, 0.3 * amplitude, (cells, cells, 3)
        )
        small = Image.fromarray((128 + grey).astype(np.uint8))
        total += _pixels(small.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BILINEAR)) - 128
    return total


def _draw_planks(rng: Rng) -> np.ndarray:
    """Vertical or horizontal bands of varying width, like boards, fences, shutters or stairs."""
    edges = np.cumsum(rng.integers(4, 18, 24))
    tones = np.array([_draw_colour(rng)]) + rng.uniform(-28, 28, (25, 1))
    rows = tones[np.searchsorted(edges, np.arange(IMAGE_SIZE))].astype(np.float32)
    rows[edges[edges < IMAGE_SIZE]] *= 0.6
    bands = np.repeat(rows[:, None], IMAGE_SIZE, axis=1)
    return bands if rng.random() < 0.5 else bands.transpose(1, 0, 2)


def _pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image, dtype=np.float32)
