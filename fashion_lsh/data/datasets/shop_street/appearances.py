"""Draw colours and patterns of garments, and render garments (pure functions)."""

import colorsys
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from fashion_lsh.data.datasets.fashion_mnist import IMAGE_SIZE

Rng = np.random.Generator


@dataclass(frozen=True)
class Appearance:
    """Appearance of an item.

    Attributes:
        colour: First RGB colour, (3,) float32 0..255.
        second: Second RGB colour, (3,) float32 0..255.
        pattern: Key in PATTERNS of the function that mixes the colours.
        periods: Number of periods of the pattern along a side of the rendered garment.
        angle: Angle of the pattern, in degrees.
        phase: Phase of the pattern, 0..1.
    """

    colour: np.ndarray
    second: np.ndarray
    pattern: str
    periods: float
    angle: float
    phase: float


def draw_appearance(rng: Rng, colourway: int) -> Appearance:
    """Draw an appearance; for equal generator states, colourways 0 and 1 have the same pattern in other colours."""
    pattern = tuple(PATTERNS)[int(np.searchsorted(PATTERN_CDF, rng.random(), side="right"))]
    periods, angle, phase = rng.uniform(3.5, 7.5), 45.0 * rng.integers(4), rng.random()
    colours = PALETTE[_distinct_colours(rng)] + rng.uniform(-14, 14, (4, 3))
    colour, second = np.clip(colours[2 * colourway : 2 * colourway + 2], 12, 250).astype(np.float32)
    second = colour + CONTRAST * (second - colour)
    return Appearance(colour, second, pattern, periods, angle, phase)


def render_garment(shade: np.ndarray, alpha: np.ndarray, appearance: Appearance, side: int) -> np.ndarray:
    """Colour and enlarge a shaded garment: (28, 28) uint8 shade and alpha -> (side, side, 4) uint8 RGBA."""
    light, edge = (_enlarge(array, side) for array in (shade, alpha))
    weight = PATTERNS[appearance.pattern](appearance, side)[:, :, None]
    cloth = appearance.colour + (appearance.second - appearance.colour) * weight
    light = light[:, :, None] / 255
    pixels = np.empty((side, side, 4), dtype=np.uint8)
    pixels[:, :, :3] = np.clip(cloth * (0.3 + 0.8 * light) + 45 * light * light, 0, 255)
    pixels[:, :, 3] = np.clip((edge - 128) * (side / IMAGE_SIZE) + 128, 0, 255)  # blurs edges over about one pixel
    return pixels


def _enlarge(array: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(Image.fromarray(array).resize((side, side), Image.Resampling.BICUBIC), dtype=np.float32)


def _distinct_colours(rng: Rng) -> list[int]:
    """Draw four palette indices; each colour is distinct from the previous colour and from the first colour."""
    chosen = [int(rng.integers(len(PALETTE)))]
    for _ in range(3):
        candidates = np.flatnonzero(IS_DISTINCT[chosen[0]] & IS_DISTINCT[chosen[-1]])
        chosen.append(int(candidates[rng.integers(len(candidates))]))
    return chosen


def _wave(appearance: Appearance, side: int, angle: float) -> np.ndarray:
    """Sine wave in direction `angle` (degrees) with `appearance.periods` periods: (side, side) float32, -1..1."""
    radians = math.radians(angle)
    steps = np.arange(side, dtype=np.float32) / side
    projection = steps[None, :] * math.sin(radians) + steps[:, None] * math.cos(radians)
    return np.sin(2 * math.pi * (appearance.periods * projection + appearance.phase)).astype(np.float32)


def _sharp(wave: np.ndarray, appearance: Appearance, side: int) -> np.ndarray:
    """Threshold a wave at 0, with edges blurred over about one pixel: float32, 0..1."""
    return np.asarray(np.clip(0.5 + wave * side / (2 * math.pi * appearance.periods), 0, 1), dtype=np.float32)


def _plain(_appearance: Appearance, side: int) -> np.ndarray:
    return np.zeros((side, side), dtype=np.float32)


def _stripes(appearance: Appearance, side: int) -> np.ndarray:
    return _sharp(_wave(appearance, side, appearance.angle), appearance, side)


def _checks(appearance: Appearance, side: int) -> np.ndarray:
    one, other = (
        _sharp(_wave(appearance, side, appearance.angle + rotation), appearance, side) for rotation in (0, 90)
    )
    return np.asarray((one + other) / 2)


def _polka_dots(appearance: Appearance, side: int) -> np.ndarray:
    return _sharp(_wave(appearance, side, 45) + _wave(appearance, side, 135) - 0.7, appearance, side)


def _pins(appearance: Appearance, side: int) -> np.ndarray:
    return _sharp(_wave(appearance, side, appearance.angle) - 0.75, appearance, side)


def _halves(appearance: Appearance, side: int) -> np.ndarray:
    edge = (0.4 + 0.2 * appearance.phase) * side
    below = np.clip(np.arange(side, dtype=np.float32) - edge, 0, 1)
    return np.repeat(below[:, None], side, axis=1)


def _fade(_appearance: Appearance, side: int) -> np.ndarray:
    return np.repeat(np.linspace(0, 1, side, dtype=np.float32)[:, None], side, axis=1)


# name -> function (appearance, side) that returns the weight of the second colour, (side, side) float32 0..1
PATTERNS: dict[str, Callable[[Appearance, int], np.ndarray]] = {
    "plain": _plain,
    "stripes": _stripes,
    "checks": _checks,
    "dots": _polka_dots,
    "pins": _pins,
    "halves": _halves,
    "fade": _fade,
}
CONTRAST = 0.35  # factor of the difference between the two colours; a higher factor makes garments hard to recognise
PATTERN_CDF = np.cumsum((0.5, 0.12, 0.1, 0.1, 0.08, 0.05, 0.05))  # cumulative probability of the patterns
PATTERN_CDF[-1] = 1.0  # avoids a rounding error in the sum
TONES = ((0.85, 0.9), (0.45, 0.95), (0.8, 0.5))  # (saturation, value) in HSV of strong, pale and deep colours
PALETTE = 255 * np.array(
    [colorsys.hsv_to_rgb(hue / 12, *tone) for hue in range(12) for tone in TONES]
    + [(grey, grey, grey) for grey in (0.13, 0.4, 0.65, 0.9)]
)
# whether two palette colours have an L1 distance above 150, (C, C) bool
IS_DISTINCT = np.abs(PALETTE[:, None] - PALETTE[None]).sum(axis=2) > 150
