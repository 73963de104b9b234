"""Reader of DeepFashion's text files: row counts, headers, encodings and invalid rows."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fashion_lsh.data.datasets.deepfashion import files
from tests.data.datasets.deepfashion.factories import BACK, FRONT, JEANS, SIDE, row, write


def test_a_wrong_row_count_warns(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "a.txt", "image_name item", [row(FRONT, "a"), row(SIDE, "b")], count=3)
    assert files.read_table(path, ("image_name", "item")).rows == {FRONT: ("a",), SIDE: ("b",)}
    assert "a.txt: 2 rows" in caplog.text


def test_a_correct_row_count_does_not_warn(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "a.txt", "image_name item", [row(FRONT, "a"), "", row(SIDE, "b")], count=2)
    assert len(files.read_table(path, ("image_name", "item")).rows) == 2
    assert not caplog.text


@pytest.mark.parametrize(("content", "reason"), [
    ("image_name item\nimg/a.jpg 1\n", "line 1 is 'image_name item'"),
    ("1\nimg/a.jpg 1\n", "line 2 is 'img/a.jpg 1'"), ("1\n", "line 2 is ''"), ("", "line 1 is ''"),
    ("1\nimage_name item status\nimg/a.jpg 1 2\n", "columns image_name item status .*separate root"),
    ("1\nname thing\nimg/a.jpg 1\n", "columns name thing instead of image_name item"),
])  # fmt: skip
def test_a_file_of_another_format_raises(tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / "a.txt").write_text(content)
    with pytest.raises(ValueError, match=rf"a\.txt: {reason}"):
        files.read_table(tmp_path / "a.txt", ("image_name", "item"))


def test_columns_are_matched_by_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "a.txt", "item  Image_Name", [f"7 {FRONT}"])
    assert files.read_table(path, ("image_name", "item")).rows == {FRONT: ("7",)}
    assert not caplog.text


def test_columns_with_unknown_names_are_read_in_order_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / "a.txt", "image_name  x1", [f"{FRONT} 7"])
    assert files.read_table(path, ("image_name", "x_1")).rows == {FRONT: ("7",)}
    assert "columns image_name x1 instead of image_name x_1" in caplog.text


def test_rows_of_wrong_length_and_conflicting_rows_are_reported(tmp_path: Path) -> None:
    rows = [row(FRONT, 1), row(SIDE), row(BACK, 2), row(BACK, 3), row(JEANS, 4), row(JEANS, 4)]
    table = files.read_table(write(tmp_path / "a.txt", "image_name item", rows), ("image_name", "item"))
    assert table.rows == {FRONT: ("1",), JEANS: ("4",)}
    assert table.bad == {
        SIDE: "line 4 of a.txt has 1 cells instead of 2", BACK: "listed twice in a.txt, with 2 and 3",
    }  # fmt: skip


def test_item_lists_have_no_header(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "list_item_inshop.txt", "", ["id_00000001", "id_00000002"], end="\r\n")
    assert files.read_list(path) == ["id_00000001", "id_00000002"]
    assert not caplog.text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_chinese_names_are_read_in_utf8_and_gb18030(
    tmp_path: Path, encoding: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "list_attr_type.txt"
    path.write_bytes("1\r\nname type\r\n长袖 上衣  3\r\n".encode(encoding))
    assert files.read_names(path) == [("长袖 上衣", "3")]
    assert ("GB18030" in caplog.text) == (encoding == "gb18030")


def test_an_unsupported_encoding_raises(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"1\nname type\n\xff\xff 3\n")
    with pytest.raises(ValueError, match=r"a\.txt: .*UTF-8 nor GB18030"):
        files.read_names(tmp_path / "a.txt")


def test_a_name_without_type_warns(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "a.txt", "name type", ["a-line 3", "abstract"])
    assert files.read_names(path) == [("a-line", "3"), ("abstract", "")]
    assert "names without a type: 1 (first: 'abstract')" in caplog.text


def test_each_bad_row_is_reported(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "name type", ["a 3", "b", "b 3 4"])
    rows, bad = files.read_rows(path, ("name", "type"))
    assert rows == [("a", "3")]
    assert list(bad) == ["b", "b (line 5)"]


WORD = st.text(st.sampled_from("abcXYZ059_-.'é袖"), min_size=1, max_size=12)


@given(
    rows=st.dictionaries(WORD.map("img/{}".format), st.tuples(WORD, WORD), min_size=1, max_size=8),
    end=st.sampled_from(["\n", "\r\n"]), separator=st.sampled_from([" ", "   ", "\t"]),
)  # fmt: skip
def test_tables_round_trip(
    tmp_path_factory: pytest.TempPathFactory, rows: dict[str, tuple[str, str]], end: str, separator: str
) -> None:
    lines = [separator.join([name, *cells]) for name, cells in rows.items()]
    path = write(tmp_path_factory.mktemp("table") / "a.txt", "image_name b c", lines, end=end)
    assert files.read_table(path, ("image_name", "b", "c")) == files.Table(rows, {})


@given(st.lists(st.lists(st.sampled_from(["-1", "1", "0"]), min_size=4, max_size=4), min_size=1, max_size=6),
       st.integers(0, 3), st.sets(st.integers(0, 5)))  # fmt: skip
def test_read_cell_equals_the_column_of_the_whole_table(
    tmp_path_factory: pytest.TempPathFactory, values: list[list[str]], column: int, requested: set[int]
) -> None:
    names = [f"img/{number}.jpg" for number in range(len(values))]
    lines = [row(name, *each) for name, each in zip(names, values, strict=True)]
    path = write(tmp_path_factory.mktemp("cells") / "a.txt", "image_name labels", lines)
    table = files.read_cell(path, column, 4, {f"img/{number}.jpg".encode() for number in requested})
    whole = files.read_table(write(path.with_name("b.txt"), "image_name a b c d", lines), ("image_name", *"abcd"))
    assert table.rows == {names[each]: (whole.rows[names[each]][column],) for each in requested if each < len(names)}
