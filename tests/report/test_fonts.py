"""Selection of a font that has all characters of a text."""

import logging
from pathlib import Path

import pytest
from matplotlib import font_manager

from fashion_lsh.report import fonts
from fashion_lsh.report.fonts import font_for

SERIF = font_manager.findfont("DejaVu Serif")
SYMBOLS = font_manager.findfont("STIXGeneral")  # also ships with matplotlib


@pytest.fixture(autouse=True)
def _clear_cache() -> None:
    fonts._find_font.cache_clear()


@pytest.mark.parametrize("text", ["coat", "пальто", "παλτό", "manteau d\u2019été…", ""])
def test_the_default_font_draws_common_characters(text: str, caplog: pytest.LogCaptureFixture) -> None:
    assert Path(str(font_for(text, 11).path)).name == "DejaVuSans.ttf"
    assert not caplog.messages


def test_the_first_font_with_all_characters_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    latin, chinese = frozenset(map(ord, "coat ")), frozenset(map(ord, "coat 外套"))
    monkeypatch.setattr(fonts, "_font_files", lambda: [SERIF, SYMBOLS])
    monkeypatch.setattr(fonts, "_characters", {SERIF: latin, SYMBOLS: chinese}.__getitem__)
    assert font_for("a coat", 11).path == SERIF
    assert font_for("coat 外套", 11).path == SYMBOLS


def test_characters_missing_in_all_fonts_are_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(fonts, "_font_files", lambda: [SERIF])
    with caplog.at_level(logging.WARNING):
        assert font_for("coat 外套", 11).path == SERIF
        assert font_for("外 coat套", 13).path == SERIF
    [message] = caplog.messages
    assert "外套" in message
