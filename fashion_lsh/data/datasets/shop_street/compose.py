"""Compose shop and street images: image `2 n` is the shop image and image `2 n + 1` the street image of item `n`."""

from dataclasses import dataclass

import numpy as np

from fashion_lsh.data.datasets.shop_street.appearances import Rng
from fashion_lsh.data.datasets.shop_street.backgrounds import IMAGE_SIZE, draw_background, draw_occluder
from fashion_lsh.data.datasets.shop_street.items import Cutout, ItemCollection

# minimum visible fraction of the main garment, of the main garment's central third, and of a companion
MIN_MAIN_VISIBLE, MIN_CORE_VISIBLE, MIN_COMPANION_VISIBLE = 0.8, 0.9, 0.5
BACKGROUND_CONTRAST = 0.5  # a higher contrast of the background hides the garments
MAX_TRIES = 12  # number of random positions tried before an object is skipped


@dataclass(frozen=True)
class ComposedImage:
    """Composed image with G garments; the main garment is first.

    Attributes:
        pixels: (96, 96, 3) uint8 RGB.
        items: G item numbers.
        boxes: (G, 4) float32 xyxy boxes in pixels.
    """

    pixels: np.ndarray
    items: list[int]
    boxes: np.ndarray


class Layer:
    """Cutout at a position of the image.

    Args:
        cutout: Cutout to place.
        left: Left edge in pixels; may be negative.
        top: Top edge in pixels; may be negative.
        min_visible: Minimum visible fraction of the cutout.
        min_core_visible: Minimum visible fraction of the central third of the cutout.
    """

    def __init__(self, cutout: Cutout, left: int, top: int, min_visible: float, min_core_visible: float = 0.0) -> None:
        height, width = cutout.alpha.shape
        y1, y2, x1, x2 = (min(max(edge, 0), IMAGE_SIZE) for edge in (top, top + height, left, left + width))
        cutout_region = np.s_[y1 - top : y2 - top, x1 - left : x2 - left]
        self.region = np.s_[y1:y2, x1:x2]
        self.colours = cutout.colours[cutout_region]
        self.alpha = np.zeros((IMAGE_SIZE, IMAGE_SIZE), dtype=np.float32)
        self.alpha[self.region] = cutout.alpha[cutout_region]
        self.visibility = self.alpha
        self.required_visible = min_visible * float(cutout.alpha.sum())
        self.core = np.s_[y1 + height // 3 : y2 - height // 3, x1 + width // 3 : x2 - width // 3]
        self.required_core = min_core_visible * float(self.alpha[self.core].sum()) if min_core_visible else 0.0

    def is_visible_enough(self, visibility: np.ndarray) -> bool:
        """Return whether `visibility`, (96, 96), is at least the minimum visibility of the layer."""
        return bool(
            visibility.sum() >= self.required_visible
            and (not self.required_core or visibility[self.core].sum() >= self.required_core)
        )

    @property
    def box(self) -> np.ndarray:
        """Tight box (4,) float32 xyxy, exclusive end, around pixels with a visibility of at least 0.5."""
        visible_pixels = self.visibility >= 0.5
        rows, columns = np.flatnonzero(visible_pixels.any(axis=1)), np.flatnonzero(visible_pixels.any(axis=0))
        return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=np.float32)


class Composition:
    """Stack of layers in front of a background, with the visibility of each layer."""

    def __init__(self) -> None:
        self.layers: list[Layer] = []
        self.uncovered = np.ones((IMAGE_SIZE, IMAGE_SIZE), dtype=np.float32)  # visibility of the background

    def add(self, layer: Layer, front: bool) -> bool:
        """Add a layer in front of or behind all other layers, unless a layer would be hidden too much.

        Returns:
            Whether the layer was added.
        """
        if front:
            visibilities = [below.visibility * (1 - layer.alpha) for below in self.layers]
            layer.visibility = layer.alpha
        else:
            visibilities = [above.visibility for above in self.layers]
            layer.visibility = layer.alpha * self.uncovered
        fits = layer.is_visible_enough(layer.visibility) and all(
            map(Layer.is_visible_enough, self.layers, visibilities)
        )
        if fits:
            for other, visibility in zip(self.layers, visibilities, strict=True):
                other.visibility = visibility
            self.layers.append(layer)
            self.uncovered = self.uncovered * (1 - layer.alpha)
        return fits

    def render(self, background: np.ndarray) -> np.ndarray:
        """Render the layers over a background: (96, 96, 3) float32 0..255."""
        total = background * self.uncovered[:, :, None]
        for layer in self.layers:
            total[layer.region] += layer.colours * layer.visibility[layer.region][:, :, None]
        return total


def compose_image(collection: ItemCollection, number: int) -> ComposedImage:
    """Compose the image with a number; deterministic given the collection and the number."""
    rng = np.random.default_rng([collection.seed, number])
    item, street = divmod(number, 2)
    return _compose_street(collection, item, rng) if street else _compose_shop(collection, item, rng)


def _compose_shop(collection: ItemCollection, item: int, rng: Rng) -> ComposedImage:
    """Compose a shop image: one garment without rotation on a plain light background."""
    composition = Composition()
    cutout = collection.cutout(item, size=rng.uniform(62, 70), max_side=rng.uniform(80, 88))
    main = _place_main(cutout, rng, spread=0.15)
    composition.add(main, front=True)
    background = np.full((IMAGE_SIZE, IMAGE_SIZE, 3), rng.uniform(232, 252) + rng.uniform(-4, 3, 3), dtype=np.float32)
    pixels = np.clip(composition.render(background), 0, 255).astype(np.uint8)
    return ComposedImage(pixels, [item], main.box[None])


def _compose_street(collection: ItemCollection, item: int, rng: Rng) -> ComposedImage:
    """Compose a street image: a rotated garment with smaller garments, occluders and random lighting."""
    composition = Composition()
    size = rng.uniform(50, 64)
    angle, flipped = rng.uniform(-12, 12), bool(rng.random() < 0.3)
    main = _place_main(collection.cutout(item, size, max_side=80, angle=angle, flipped=flipped), rng, spread=0.8)
    composition.add(main, front=True)
    items = [item]
    layers = [main]
    for other in collection.draw_companions(item, int(rng.integers(1, 4)), rng):
        cutout = collection.cutout(other, size * rng.uniform(0.42, 0.62), max_side=50, angle=rng.uniform(-20, 20))
        layer = _place_randomly(composition, cutout, rng, MIN_COMPANION_VISIBLE)
        if layer is not None:
            items.append(other)
            layers.append(layer)
    for _ in range(int(rng.integers(0, 2))):
        _place_randomly(composition, draw_occluder(rng), rng, min_visible=0.0)
    background = draw_background(rng)
    mean = background.mean(axis=(0, 1))
    pixels = _apply_lighting(composition.render(mean + BACKGROUND_CONTRAST * (background - mean)), rng)
    return ComposedImage(pixels, items, np.stack([layer.box for layer in layers]))


def _place_main(cutout: Cutout, rng: Rng, spread: float) -> Layer:
    """Place the main garment inside the image; with spread 0 in the centre, with spread 1 anywhere."""
    height, width = cutout.alpha.shape
    left, top = (int((IMAGE_SIZE - length) * (0.5 + spread * rng.uniform(-0.5, 0.5))) for length in (width, height))
    return Layer(cutout, left, top, MIN_MAIN_VISIBLE, MIN_CORE_VISIBLE)


def _place_randomly(composition: Composition, cutout: Cutout, rng: Rng, min_visible: float) -> Layer | None:
    """Place a cutout at a random position, in front or behind; return None if no position is valid."""
    height, width = cutout.alpha.shape
    for _ in range(MAX_TRIES):
        left, top = (int(rng.uniform(-0.3 * length, IMAGE_SIZE - 0.7 * length)) for length in (width, height))
        layer = Layer(cutout, left, top, min_visible)
        if composition.add(layer, front=bool(rng.random() < 0.5)):
            return layer
    return None


def _apply_lighting(pixels: np.ndarray, rng: Rng) -> np.ndarray:
    """Apply random brightness, tint, gradient and contrast: (96, 96, 3) float32 -> uint8."""
    tint = rng.uniform(0.8, 1.15) * rng.uniform(0.92, 1.08, 3)
    horizontal, vertical = (np.linspace(1 - slope, 1 + slope, IMAGE_SIZE) for slope in rng.uniform(-0.15, 0.15, 2))
    light = (vertical[:, None] * horizontal[None, :]).astype(np.float32)[:, :, None] * tint.astype(np.float32)
    contrast = np.float32(rng.uniform(0.85, 1.1))
    return np.asarray(np.clip((pixels * light - 120) * contrast + 120, 0, 255), dtype=np.uint8)
