"""Escaping of user text in templates."""

import pytest

from fashion_lsh.report.templates import MAX_EMBEDDED, data_uri, download_address, markdown


@pytest.mark.parametrize(
    ("text", "escaped"),
    [("a | b", r"a \| b"), ("<b>", r"\<b\>"), ("$x_1$", r"\$x\_1\$"), (r"\a", r"\\a"), ("two\nlines", "two lines")],
)
def test_markdown_characters_are_escaped(text: str, escaped: str) -> None:
    assert markdown(text) == escaped


def test_only_small_downloads_are_part_of_the_page() -> None:
    assert download_address("a b.csv", b"x") == data_uri("a b.csv", b"x")
    assert download_address("a b.csv", bytes(MAX_EMBEDDED + 1)) == "a%20b.csv"
