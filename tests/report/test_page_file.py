"""Generated results between the markers of a page."""

from pathlib import Path

import pytest

from fashion_lsh.report.page_file import BEGIN, END, write_page

ROWS = [{"a": 1, "b": "x, y"}, {"a": 2, "c": None}]


def test_text_outside_the_markers_is_unchanged(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(f"# Title\n\n{BEGIN}\nold\n{END}\n\nend\n")
    write_page(tmp_path, ROWS, "new", {"a.svg": b"<svg/>"})
    assert (tmp_path / "README.md").read_text() == f"# Title\n\n{BEGIN}\n\nnew\n\n{END}\n\nend\n"
    assert (tmp_path / "results.csv").read_text() == 'a,b,c\n1,"x, y",\n2,,\n'
    assert (tmp_path / "a.svg").read_bytes() == b"<svg/>"


def test_a_missing_page_is_created(tmp_path: Path) -> None:
    write_page(tmp_path / "new", ROWS, "text")
    write_page(tmp_path / "new", ROWS, "later")
    assert (tmp_path / "new/README.md").read_text() == f"# new\n\n{BEGIN}\n\nlater\n\n{END}\n"


@pytest.mark.parametrize("page", ["# no markers", f"{END}\n{BEGIN}", f"{BEGIN}{BEGIN}{END}"])
def test_a_page_without_markers_is_rejected_and_nothing_is_written(page: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(page)
    with pytest.raises(ValueError, match=r"README\.md"):
        write_page(tmp_path, ROWS, "text", {"a.svg": b""})
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
