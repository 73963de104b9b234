"""Colours and patterns, and a garment dressed in them (pure)."""

import colorsys
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from fashion_lsh.data.datasets.fashion_mnist import SIDE

Rng = np.random.Generator


@dataclass(frozen=True)
class Look:
    """What makes an item of a garment: two colours 0..255 and how they share the cloth."""

    colour: np.ndarray
    second: np.ndarray
    pattern: str
    periods: float
    angle: float
    phase: float


def draw_look(rng: Rng, colourway: int) -> Look:
    """A look at random; colourways 0 and 1 drawn from like generators share the pattern and differ in colour."""
    pattern = tuple(PATTERNS)[int(np.searchsorted(SHARES, rng.random(), side="right"))]
    periods, angle, phase = rng.uniform(3.5, 7.5), 45.0 * rng.integers(4), rng.random()
    colours = PALETTE[_apart(rng)] + rng.uniform(-14, 14, (4, 3))
    colour, second = np.clip(colours[2 * colourway : 2 * colourway + 2], 12, 250).astype(np.float32)
    second = colour + CONTRAST * (second - colour)
    return Look(colour, second, pattern, periods, angle, phase)


def dressed(shade: np.ndarray, cover: np.ndarray, look: Look, side: int) -> np.ndarray:
    """(28, 28) uint8 shade and cover -> (side, side, 4) uint8 RGBA in the look's colours, the shading kept."""
    light, edge = (_enlarged(array, side) for array in (shade, cover))
    weight = PATTERNS[look.pattern](look, side)[:, :, None]
    cloth = look.colour + (look.second - look.colour) * weight
    light = light[:, :, None] / 255
    pixels = np.empty((side, side, 4), dtype=np.uint8)
    pixels[:, :, :3] = np.clip(cloth * (0.3 + 0.8 * light) + 45 * light * light, 0, 255)
    pixels[:, :, 3] = np.clip((edge - 128) * (side / SIDE) + 128, 0, 255)  # an edge about one pixel soft
    return pixels


def _enlarged(array: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(Image.fromarray(array).resize((side, side), Image.Resampling.BICUBIC), dtype=np.float32)


def _apart(rng: Rng) -> list[int]:
    """Four colours of the palette, each clearly unlike the one before and the first."""
    chosen = [int(rng.integers(len(PALETTE)))]
    for _ in range(3):
        fit = np.flatnonzero(UNLIKE[chosen[0]] & UNLIKE[chosen[-1]])
        chosen.append(int(fit[rng.integers(len(fit))]))
    return chosen


def _across(look: Look, side: int, angle: float) -> np.ndarray:
    """(side, side) float32: a wave of the look's period along `angle`, -1..1."""
    turn = math.radians(angle)
    steps = np.arange(side, dtype=np.float32) / side
    along = steps[None, :] * math.sin(turn) + steps[:, None] * math.cos(turn)
    return np.sin(2 * math.pi * (look.periods * along + look.phase)).astype(np.float32)


def _sharp(wave: np.ndarray, look: Look, side: int) -> np.ndarray:
    """0 or 1 by the sign of a wave, about one pixel soft."""
    return np.asarray(np.clip(0.5 + wave * side / (2 * math.pi * look.periods), 0, 1), dtype=np.float32)


def _plain(_look: Look, side: int) -> np.ndarray:
    return np.zeros((side, side), dtype=np.float32)


def _stripes(look: Look, side: int) -> np.ndarray:
    return _sharp(_across(look, side, look.angle), look, side)


def _checks(look: Look, side: int) -> np.ndarray:
    one, other = (_sharp(_across(look, side, look.angle + turn), look, side) for turn in (0, 90))
    return np.asarray((one + other) / 2)


def _dots(look: Look, side: int) -> np.ndarray:
    return _sharp(_across(look, side, 45) + _across(look, side, 135) - 0.7, look, side)


def _pins(look: Look, side: int) -> np.ndarray:
    return _sharp(_across(look, side, look.angle) - 0.75, look, side)


def _halves(look: Look, side: int) -> np.ndarray:
    edge = (0.4 + 0.2 * look.phase) * side
    below = np.clip(np.arange(side, dtype=np.float32) - edge, 0, 1)
    return np.repeat(below[:, None], side, axis=1)


def _fade(_look: Look, side: int) -> np.ndarray:
    return np.repeat(np.linspace(0, 1, side, dtype=np.float32)[:, None], side, axis=1)


# name: (look, side) -> (side, side) float32, the second colour's share of each pixel
PATTERNS: dict[str, Callable[[Look, int], np.ndarray]] = {
    "plain": _plain,
    "stripes": _stripes,
    "checks": _checks,
    "dots": _dots,
    "pins": _pins,
    "halves": _halves,
    "fade": _fade,
}
CONTRAST = 0.35  # how far the second colour goes from the first: more hides what the garment is
SHARES = np.cumsum((0.5, 0.12, 0.1, 0.1, 0.08, 0.05, 0.05))  # of the items, up to and with each pattern
SHARES[-1] = 1.0  # the sum of the shares, whatever its last bit
TONES = ((0.85, 0.9), (0.45, 0.95), (0.8, 0.5))  # saturation and value: strong, pale, deep
PALETTE = 255 * np.array(
    [colorsys.hsv_to_rgb(hue / 12, *tone) for hue in range(12) for tone in TONES]
    + [(grey, grey, grey) for grey in (0.13, 0.4, 0.65, 0.9)]
)
UNLIKE = np.abs(PALETTE[:, None] - PALETTE[None]).sum(axis=2) > 150  # (C, C): which differ clearly
