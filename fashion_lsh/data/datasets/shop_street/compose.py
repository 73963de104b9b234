"""Shop and street pictures: item `n` is shown in picture `2 n` (shop) and `2 n + 1` (street)."""

from dataclasses import dataclass

import numpy as np

from fashion_lsh.data.datasets.shop_street.appearances import Rng
from fashion_lsh.data.datasets.shop_street.backgrounds import IMAGE_SIZE, draw_background, draw_occluder
from fashion_lsh.data.datasets.shop_street.items import Cutout, ItemCollection

MAIN_VISIBLE, MIDDLE_VISIBLE, COMPANION_VISIBLE = 0.8, 0.9, 0.5  # least share of a garment that shows
BACKGROUND_CONTRAST = 0.5  # contrast of the ground: more hides what stands on it
MAX_TRIES = 12  # places tried before something is left out


@dataclass(frozen=True)
class ComposedImage:
    """A picture, (96, 96, 3) uint8 RGB, and its garments, the main one first: (G,) items, (G, 4) float32 xyxy boxes."""

    pixels: np.ndarray
    items: list[int]
    boxes: np.ndarray


class Layer:
    """A cutout laid at a place: its cover and what of it shows, (96, 96) float32, and how much of it has to show."""

    def __init__(self, cutout: Cutout, left: int, top: int, min_visible: float, min_core_visible: float = 0.0) -> None:
        height, width = cutout.alpha.shape
        y1, y2, x1, x2 = (min(max(edge, 0), IMAGE_SIZE) for edge in (top, top + height, left, left + width))
        within = np.s_[y1 - top : y2 - top, x1 - left : x2 - left]
        self.region = np.s_[y1:y2, x1:x2]
        self.colours = cutout.colours[within]
        self.alpha = np.zeros((IMAGE_SIZE, IMAGE_SIZE), dtype=np.float32)
        self.alpha[self.region] = cutout.alpha[within]
        self.visibility = self.alpha
        self.required_visible = min_visible * float(cutout.alpha.sum())
        self.core = np.s_[y1 + height // 3 : y2 - height // 3, x1 + width // 3 : x2 - width // 3]
        self.required_core = min_core_visible * float(self.alpha[self.core].sum()) if min_core_visible else 0.0

    def is_visible_enough(self, visibility: np.ndarray) -> bool:
        """Whether the layer may be hidden down to `shows`, (96, 96)."""
        return bool(
            visibility.sum() >= self.required_visible
            and (not self.required_core or visibility[self.core].sum() >= self.required_core)
        )

    @property
    def box(self) -> np.ndarray:
        """(4,) xyxy, ends exclusive, tight around the pixels of which at least half shows this layer."""
        visible_pixels = self.visibility >= 0.5
        rows, columns = np.flatnonzero(visible_pixels.any(axis=1)), np.flatnonzero(visible_pixels.any(axis=0))
        return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=np.float32)


class Composition:
    """Layers over a ground; each knows what of it shows."""

    def __init__(self) -> None:
        self.layers: list[Layer] = []
        self.uncovered = np.ones((IMAGE_SIZE, IMAGE_SIZE), dtype=np.float32)  # what of the ground shows

    def add(self, layer: Layer, front: bool) -> bool:
        """Lay it before or behind all others, unless that hides too much of any; True where it was laid."""
        if front:
            visible = [below.visibility * (1 - layer.alpha) for below in self.layers]
            layer.visibility = layer.alpha
        else:
            visible = [above.visibility for above in self.layers]
            layer.visibility = layer.alpha * self.uncovered
        fits = layer.is_visible_enough(layer.visibility) and all(map(Layer.is_visible_enough, self.layers, visible))
        if fits:
            for below, shows_now in zip(self.layers, visible, strict=True):
                below.visibility = shows_now
            self.layers.append(layer)
            self.uncovered = self.uncovered * (1 - layer.alpha)
        return fits

    def render(self, background: np.ndarray) -> np.ndarray:
        """(96, 96, 3) float32: the ground with the layers on it."""
        total = background * self.uncovered[:, :, None]
        for layer in self.layers:
            total[layer.region] += layer.colours * layer.visibility[layer.region][:, :, None]
        return total


def compose_image(collection: ItemCollection, number: int) -> ComposedImage:
    """Compose one picture; it depends on the wardrobe and the number only."""
    rng = np.random.default_rng([collection.seed, number])
    item, street = divmod(number, 2)
    return _street(collection, item, rng) if street else _shop(collection, item, rng)


def _shop(collection: ItemCollection, item: int, rng: Rng) -> ComposedImage:
    """The garment alone, upright, on plain light ground."""
    composition = Composition()
    cutout = collection.cutout(item, size=rng.uniform(62, 70), max_side=rng.uniform(80, 88))
    main = _place_main(cutout, rng, spread=0.15)
    composition.add(main, front=True)
    background = np.full((IMAGE_SIZE, IMAGE_SIZE, 3), rng.uniform(232, 252) + rng.uniform(-4, 3, 3), dtype=np.float32)
    pixels = np.clip(composition.render(background), 0, 255).astype(np.uint8)
    return ComposedImage(pixels, [item], main.box[None])


def _street(collection: ItemCollection, item: int, rng: Rng) -> ComposedImage:
    """The garment among smaller ones and other things, turned, in any light."""
    composition = Composition()
    size = rng.uniform(50, 64)
    angle, flipped = rng.uniform(-12, 12), bool(rng.random() < 0.3)
    main = _place_main(collection.cutout(item, size, max_side=80, angle=angle, flipped=flipped), rng, spread=0.8)
    composition.add(main, front=True)
    shown = [item]
    layers = [main]
    for other in collection.others(item, int(rng.integers(1, 4)), rng):
        cutout = collection.cutout(other, size * rng.uniform(0.42, 0.62), max_side=50, angle=rng.uniform(-20, 20))
        layer = _place_randomly(composition, cutout, rng, COMPANION_VISIBLE)
        if layer is not None:
            shown.append(other)
            layers.append(layer)
    for _ in range(int(rng.integers(0, 2))):
        _place_randomly(composition, draw_occluder(rng), rng, min_visible=0.0)
    background = draw_background(rng)
    mean = background.mean(axis=(0, 1))
    pixels = _apply_lighting(composition.render(mean + BACKGROUND_CONTRAST * (background - mean)), rng)
    return ComposedImage(pixels, shown, np.stack([layer.box for layer in layers]))


def _place_main(cutout: Cutout, rng: Rng, spread: float) -> Layer:
    """Lay the main garment wholly inside the picture; spread 0: in its middle, 1: anywhere."""
    height, width = cutout.alpha.shape
    left, top = (int((IMAGE_SIZE - length) * (0.5 + spread * rng.uniform(-0.5, 0.5))) for length in (width, height))
    return Layer(cutout, left, top, MAIN_VISIBLE, MIDDLE_VISIBLE)


def _place_randomly(composition: Composition, cutout: Cutout, rng: Rng, min_visible: float) -> Layer | None:
    """Lay a cutout before or behind the others where enough of everything shows; None where no such place is found."""
    height, width = cutout.alpha.shape
    for _ in range(MAX_TRIES):
        left, top = (int(rng.uniform(-0.3 * length, IMAGE_SIZE - 0.7 * length)) for length in (width, height))
        layer = Layer(cutout, left, top, min_visible)
        if composition.add(layer, front=bool(rng.random() < 0.5)):
            return layer
    return None


def _apply_lighting(pixels: np.ndarray, rng: Rng) -> np.ndarray:
    """(96, 96, 3) float32 -> uint8 in a light of some strength, tint and fall-off, at some contrast."""
    tint = rng.uniform(0.8, 1.15) * rng.uniform(0.92, 1.08, 3)
    horizontal, vertical = (np.linspace(1 - slope, 1 + slope, IMAGE_SIZE) for slope in rng.uniform(-0.15, 0.15, 2))
    light = (vertical[:, None] * horizontal[None, :]).astype(np.float32)[:, :, None] * tint.astype(np.float32)
    contrast = np.float32(rng.uniform(0.85, 1.1))
    return np.asarray(np.clip((pixels * light - 120) * contrast + 120, 0, 255), dtype=np.uint8)
