"""Shop and street pictures: item `n` is shown in picture `2 n` (shop) and `2 n + 1` (street)."""

from dataclasses import dataclass

import numpy as np

from fashion_lsh.data.datasets.shop_street.backgrounds import SIDE, ground, thing
from fashion_lsh.data.datasets.shop_street.items import Cutout, Wardrobe
from fashion_lsh.data.datasets.shop_street.looks import Rng

MAIN_VISIBLE, MIDDLE_VISIBLE, COMPANION_VISIBLE = 0.8, 0.9, 0.5  # least share of a garment that shows
CLUTTER = 0.5  # contrast of the ground: more hides what stands on it
TRIES = 12  # places tried before something is left out


@dataclass(frozen=True)
class Drawn:
    """A picture, (96, 96, 3) uint8 RGB, and its garments, the main one first: (G,) items, (G, 4) float32 xyxy boxes."""

    pixels: np.ndarray
    items: list[int]
    boxes: np.ndarray


class Layer:
    """A cutout laid at a place: its cover and what of it shows, (96, 96) float32, and how much of it has to show."""

    def __init__(self, cutout: Cutout, left: int, top: int, least: float, middle: float = 0.0) -> None:
        height, width = cutout.cover.shape
        y1, y2, x1, x2 = (min(max(edge, 0), SIDE) for edge in (top, top + height, left, left + width))
        within = np.s_[y1 - top : y2 - top, x1 - left : x2 - left]
        self.place = np.s_[y1:y2, x1:x2]
        self.colours = cutout.colours[within]
        self.cover = np.zeros((SIDE, SIDE), dtype=np.float32)
        self.cover[self.place] = cutout.cover[within]
        self.shows = self.cover
        self.needed = least * float(cutout.cover.sum())
        self.core = np.s_[y1 + height // 3 : y2 - height // 3, x1 + width // 3 : x2 - width // 3]
        self.core_needed = middle * float(self.cover[self.core].sum()) if middle else 0.0

    def enough(self, shows: np.ndarray) -> bool:
        """Whether the layer may be hidden down to `shows`, (96, 96)."""
        return bool(shows.sum() >= self.needed and (not self.core_needed or shows[self.core].sum() >= self.core_needed))

    @property
    def box(self) -> np.ndarray:
        """(4,) xyxy, ends exclusive, tight around the pixels of which at least half shows this layer."""
        seen = self.shows >= 0.5
        rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
        return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=np.float32)


class Composition:
    """Layers over a ground; each knows what of it shows."""

    def __init__(self) -> None:
        self.layers: list[Layer] = []
        self.bare = np.ones((SIDE, SIDE), dtype=np.float32)  # what of the ground shows

    def put(self, layer: Layer, front: bool) -> bool:
        """Lay it before or behind all others, unless that hides too much of any; True where it was laid."""
        if front:
            left = [below.shows * (1 - layer.cover) for below in self.layers]
            layer.shows = layer.cover
        else:
            left = [above.shows for above in self.layers]
            layer.shows = layer.cover * self.bare
        fits = layer.enough(layer.shows) and all(map(Layer.enough, self.layers, left))
        if fits:
            for below, shows in zip(self.layers, left, strict=True):
                below.shows = shows
            self.layers.append(layer)
            self.bare = self.bare * (1 - layer.cover)
        return fits

    def over(self, background: np.ndarray) -> np.ndarray:
        """(96, 96, 3) float32: the ground with the layers on it."""
        total = background * self.bare[:, :, None]
        for layer in self.layers:
            total[layer.place] += layer.colours * layer.shows[layer.place][:, :, None]
        return total


def draw(wardrobe: Wardrobe, picture: int) -> Drawn:
    """Compose one picture; it depends on the wardrobe and the number only."""
    rng = np.random.default_rng([wardrobe.seed, picture])
    item, street = divmod(picture, 2)
    return _street(wardrobe, item, rng) if street else _shop(wardrobe, item, rng)


def _shop(wardrobe: Wardrobe, item: int, rng: Rng) -> Drawn:
    """The garment alone, upright, on plain light ground."""
    composed = Composition()
    cutout = wardrobe.cutout(item, size=rng.uniform(62, 70), longest=rng.uniform(80, 88))
    main = _inside(cutout, rng, spread=0.15)
    composed.put(main, front=True)
    paper = np.full((SIDE, SIDE, 3), rng.uniform(232, 252) + rng.uniform(-4, 3, 3), dtype=np.float32)
    pixels = np.clip(composed.over(paper), 0, 255).astype(np.uint8)
    return Drawn(pixels, [item], main.box[None])


def _street(wardrobe: Wardrobe, item: int, rng: Rng) -> Drawn:
    """The garment among smaller ones and other things, turned, in any light."""
    composed = Composition()
    size = rng.uniform(50, 64)
    turned, mirrored = rng.uniform(-12, 12), bool(rng.random() < 0.3)
    main = _inside(wardrobe.cutout(item, size, longest=80, angle=turned, mirrored=mirrored), rng, spread=0.8)
    composed.put(main, front=True)
    shown = [item]
    layers = [main]
    for other in wardrobe.others(item, int(rng.integers(1, 4)), rng):
        cutout = wardrobe.cutout(other, size * rng.uniform(0.42, 0.62), longest=50, angle=rng.uniform(-20, 20))
        layer = _anywhere(composed, cutout, rng, COMPANION_VISIBLE)
        if layer is not None:
            shown.append(other)
            layers.append(layer)
    for _ in range(int(rng.integers(0, 2))):
        _anywhere(composed, thing(rng), rng, least=0.0)
    clutter = ground(rng)
    mean = clutter.mean(axis=(0, 1))
    pixels = _lit(composed.over(mean + CLUTTER * (clutter - mean)), rng)
    return Drawn(pixels, shown, np.stack([layer.box for layer in layers]))


def _inside(cutout: Cutout, rng: Rng, spread: float) -> Layer:
    """Lay the main garment wholly inside the picture; spread 0: in its middle, 1: anywhere."""
    height, width = cutout.cover.shape
    left, top = (int((SIDE - length) * (0.5 + spread * rng.uniform(-0.5, 0.5))) for length in (width, height))
    return Layer(cutout, left, top, MAIN_VISIBLE, MIDDLE_VISIBLE)


def _anywhere(composed: Composition, cutout: Cutout, rng: Rng, least: float) -> Layer | None:
    """Lay a cutout before or behind the others where enough of everything shows; None where no such place is found."""
    height, width = cutout.cover.shape
    for _ in range(TRIES):
        left, top = (int(rng.uniform(-0.3 * length, SIDE - 0.7 * length)) for length in (width, height))
        layer = Layer(cutout, left, top, least)
        if composed.put(layer, front=bool(rng.random() < 0.5)):
            return layer
    return None


def _lit(pixels: np.ndarray, rng: Rng) -> np.ndarray:
    """(96, 96, 3) float32 -> uint8 in a light of some strength, tint and fall-off, at some contrast."""
    tint = rng.uniform(0.8, 1.15) * rng.uniform(0.92, 1.08, 3)
    across, down = (np.linspace(1 - slope, 1 + slope, SIDE) for slope in rng.uniform(-0.15, 0.15, 2))
    light = (down[:, None] * across[None, :]).astype(np.float32)[:, :, None] * tint.astype(np.float32)
    contrast = np.float32(rng.uniform(0.85, 1.1))
    return np.asarray(np.clip((pixels * light - 120) * contrast + 120, 0, 255), dtype=np.uint8)
