"""Fonts for text drawn into images, chosen by the characters of the text."""

import logging
from collections.abc import Sequence
from functools import lru_cache

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font
from PIL import ImageFont

log = logging.getLogger(__name__)

DEFAULT_FONT = "DejaVu Sans"  # included in matplotlib; has Latin, Greek, Cyrillic and Arabic characters
FALLBACK_FONTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei", "Droid Sans Fallback", "Microsoft YaHei", "SimHei", "PingFang SC", "Hiragino Sans GB",
    "Arial Unicode MS", "Noto Sans", "Noto Sans Devanagari", "Noto Sans Thai",
)  # fmt: skip


def font_for(text: str, size: int) -> ImageFont.FreeTypeFont:
    """Load the first installed font with all characters of a text; DEFAULT_FONT if there is none.  size: in pixels."""
    file = _find_font(frozenset(ord(character) for character in text))
    return _load_font(file, size)


@lru_cache(maxsize=512)
def _find_font(characters: frozenset[int]) -> str:
    for file in _font_files():
        if characters <= _characters(file):
            return file
    missing = "".join(map(chr, sorted(characters - _characters(_font_files()[0]))))
    log.warning(
        "No installed font has the characters %s: drawing boxes; install a font, for example Noto Sans CJK", missing
    )
    return _font_files()[0]


@lru_cache(maxsize=1)
def _font_files() -> Sequence[str]:
    """Files of DEFAULT_FONT and of the installed FALLBACK_FONTS."""
    installed = {font.name: font.fname for font in reversed(font_manager.fontManager.ttflist)}
    return [font_manager.findfont(DEFAULT_FONT), *(installed[name] for name in FALLBACK_FONTS if name in installed)]


@lru_cache(maxsize=32)
def _characters(file: str) -> frozenset[int]:
    return frozenset(FT2Font(file).get_charmap())


@lru_cache(maxsize=64)
def _load_font(file: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(file, size)
