"""Escaping of user text in templates."""

import pytest

from fashion_lsh.report.templates import markdown


@pytest.mark.parametrize(
    ("text", "escaped"),
    [("a | b", r"a \| b"), ("<b>", r"\<b\>"), ("$x_1$", r"\$x\_1\$"), (r"\a", r"\\a"), ("two\nlines", "two lines")],
)
def test_markdown_characters_are_escaped(text: str, escaped: str) -> None:
    assert markdown(text) == escaped
