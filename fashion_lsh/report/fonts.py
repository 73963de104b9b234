"""A font for a text that is drawn into a picture: one that has its letters."""

import logging
from collections.abc import Sequence
from functools import lru_cache

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font
from PIL import ImageFont

log = logging.getLogger(__name__)

PLAIN = "DejaVu Sans"  # comes with matplotlib: Latin, Greek, Cyrillic, Arabic
FURTHER = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei", "Droid Sans Fallback", "Microsoft YaHei", "SimHei", "PingFang SC", "Hiragino Sans GB",
    "Arial Unicode MS", "Noto Sans", "Noto Sans Devanagari", "Noto Sans Thai",
)  # fmt: skip


def font_for(text: str, size: int) -> ImageFont.FreeTypeFont:
    """The first font here that has all letters of a text; PLAIN where none has."""
    file = _file(frozenset(ord(sign) for sign in text))
    return _opened(file, size)


@lru_cache(maxsize=512)
def _file(signs: frozenset[int]) -> str:
    for file in _files():
        if signs <= _letters(file):
            return file
    lacking = "".join(map(chr, sorted(signs - _letters(_files()[0]))))
    log.warning("no font here has %s: sheets show boxes; install one that has (Noto Sans CJK, say)", lacking)
    return _files()[0]


@lru_cache(maxsize=1)
def _files() -> Sequence[str]:
    """Font files: PLAIN, then those of FURTHER that this machine has."""
    installed = {font.name: font.fname for font in reversed(font_manager.fontManager.ttflist)}
    return [font_manager.findfont(PLAIN), *(installed[name] for name in FURTHER if name in installed)]


@lru_cache(maxsize=32)
def _letters(file: str) -> frozenset[int]:
    return frozenset(FT2Font(file).get_charmap())


@lru_cache(maxsize=64)
def _opened(file: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(file, size)
