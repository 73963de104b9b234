"""Catalogue: file round trips, validation, checksum and row selection."""

import csv
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.schema import BOX_COLUMNS, COLUMNS, SPLITS, parse_box

STRING_COLUMNS = [name for name, (dtype, _) in COLUMNS.items() if dtype == pa.string()]
AWKWARD_STRINGS = [
    "a,b",
    'say "hi"',
    "two\nlines",
    "毛衣",
    "007",
    "1e5",
    "NA",
    "null",
    "nan",
    " spaced ",
    "'",
    "a;b\tc",
    "true",
]

strings = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
coordinates = st.integers(-5, 5)
boxes = st.none() | st.tuples(coordinates, coordinates, st.integers(6, 20), st.integers(6, 20))


@st.composite
def rows(draw: st.DrawFn, text: st.SearchStrategy[str] = strings) -> list[dict[str, Any]]:
    """Draw one to six rows with a value in each column."""
    ids = draw(st.lists(text.filter(bool), min_size=1, max_size=6, unique=True))
    return [draw(row(name, text)) for name in ids]


@st.composite
def row(draw: st.DrawFn, name: str, text: st.SearchStrategy[str]) -> dict[str, Any]:
    box = draw(boxes) or [float("nan")] * 4
    required = {column: draw(text.filter(bool)) for column in ("image", "category")}
    optional = {column: draw(text) for column in ("supercategory", "item", "group", "view", "source")}
    return {
        "id": name, **required, **optional, **dict(zip(BOX_COLUMNS, map(float, box), strict=True)),
        "split": draw(st.sampled_from(["", *SPLITS])), "main": draw(st.booleans()),
    }  # fmt: skip


def make_catalogue(rows: list[dict[str, Any]]) -> Catalogue:
    return Catalogue.from_columns({name: [one[name] for one in rows] for name in rows[0]})


def make_small_catalogue(**columns: Any) -> Catalogue:
    """Create a catalogue of three rows with the passed columns; other columns have defaults."""
    return Catalogue.from_columns({"image": ["a.jpg", "b.jpg", "c.jpg"], "category": ["hat", "bag", "hat"], **columns})


def write_csv(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def assert_rows(loaded: Catalogue, rows: list[dict[str, Any]]) -> None:
    """Compare the cells of a catalogue with rows; NaN equals NaN."""
    assert [list(map(repr, one.values())) for one in loaded.table.to_pylist()] == [
        [repr(one[name]) for name in COLUMNS] for one in rows
    ]


@given(rows())
@settings(max_examples=60, deadline=None)
def test_parquet_round_trip(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]) -> None:
    path = tmp_path_factory.mktemp("parquet") / "c.parquet"
    original = make_catalogue(rows)
    original.save(path)
    assert_rows(Catalogue.open(path), rows)
    assert Catalogue.open(path).checksum == original.checksum


@given(rows(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)))
@settings(max_examples=60, deadline=None)
def test_csv_round_trip(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]) -> None:
    path = tmp_path_factory.mktemp("csv") / "c.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    assert_rows(Catalogue.open(path), rows)
    assert Catalogue.open(path).checksum == make_catalogue(rows).checksum


@pytest.mark.parametrize("name", AWKWARD_STRINGS)
def test_csv_strings_are_not_converted(tmp_path: Path, name: str) -> None:
    with (tmp_path / "c.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [STRING_COLUMNS[:-3], [name] * len(STRING_COLUMNS[:-3])]
        )  # without split, view, source
    loaded = Catalogue.open(tmp_path / "c.csv")
    assert {loaded.column(column)[0] for column in STRING_COLUMNS[:-3]} == {name}


def test_a_long_csv_with_multiline_cells_opens(tmp_path: Path) -> None:
    names = [f"line\nand line {number}" * 3 for number in range(30_000)]  # larger than one block of the CSV reader
    with (tmp_path / "c.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "category"), *((name, "hat") for name in names)])
    assert Catalogue.open(tmp_path / "c.csv").column("image").tolist() == names


def test_numeric_ids_stay_strings_in_csv(tmp_path: Path) -> None:
    text = "id,image,category,item,group\n007,1,2,03,4.50\n8,2,2,,\n"
    loaded = Catalogue.open(write_csv(tmp_path / "c.csv", text))
    assert loaded.column("id").tolist() == ["007", "8"]
    assert loaded.column("item").tolist() == ["03", ""]
    assert loaded.column("group").tolist() == ["4.50", ""]


def test_numeric_names_become_strings_in_parquet(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [1, 2], "category": pa.array(["a", "a"]).dictionary_encode()}), tmp_path / "c")
    (tmp_path / "c").rename(tmp_path / "c.parquet")
    loaded = Catalogue.open(tmp_path / "c.parquet")
    assert loaded.column("id").tolist() == ["1", "2"]
    assert loaded.categories == ["a"]


@pytest.mark.parametrize("text", ["\ufeffimage,category\na.jpg,hat\n", "image,category\r\na.jpg,hat\r\n"])
def test_csv_saved_by_a_spreadsheet_opens(tmp_path: Path, text: str) -> None:
    loaded = Catalogue.open(write_csv(tmp_path / "C.CSV", text))
    assert loaded.column("image").tolist() == ["a.jpg"]
    assert loaded.column("category").tolist() == ["hat"]


def test_missing_columns_get_their_defaults() -> None:
    original = make_small_catalogue()
    assert original.table.column_names == list(COLUMNS)
    assert original.column("id").tolist() == ["a.jpg", "b.jpg", "c.jpg"]
    assert np.isnan(original.boxes).all()
    assert original.column("main").tolist() == [True] * 3
    assert {
        *original.column("item"),
        *original.column("group"),
        *original.column("split"),
        *original.column("view"),
    } == {""}


def test_empty_cells_get_defaults(tmp_path: Path) -> None:
    text = "image,category,item,split,x1,y1,x2,y2,main\na.jpg,hat,,,,,,,\nb.jpg,hat,i,train,1,2,3,4,false\n"
    for loaded in (
        Catalogue.open(write_csv(tmp_path / "c.csv", text)),
        Catalogue.from_columns({"image": ["a.jpg", "b.jpg"], "category": ["hat", "hat"], "item": [None, "i"],
                      "split": [None, "train"], "x1": [None, 1.0], "y1": [None, 2], "x2": [None, 3], "y2": [None, 4],
                      "main": [None, False]}),
    ):  # fmt: skip
        assert loaded.column("item").tolist() == ["", "i"]
        assert loaded.column("split").tolist() == ["", "train"]
        assert loaded.column("main").tolist() == [True, False]
        assert np.isnan(loaded.boxes[0]).all()
        assert loaded.boxes[1].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(("text", "reason"), [
    ("", "c.csv: Empty CSV file"),
    ("image\na.jpg\n", "column 'category' is missing"),
    ("file,category\na.jpg,hat\n", "column 'image' is missing"),
    ("image;category\na.jpg;hat\n", "one column, 'image;category'"),
    ("image,category,category\na.jpg,hat,bag\n", "columns image, category, category"),
    ("image,category\na.jpg,\nb.jpg,\n", "column 'category': empty cells: 2"),
    ("image,category\n,hat\n", "column 'image': empty cells: 1"),
    ("id,image,category\n,a.jpg,hat\n", "column 'id': empty cells: 1"),
    ("image,category\na.jpg\n", "c.csv: CSV parse error"),
    ("image,category,x1\na.jpg,hat,left\n", "column 'x1': not float .*'left'"),
    ("image,category,main\na.jpg,hat,maybe\n", "column 'main': not bool .*maybe"),
    ("image,category,split\na.jpg,hat,test\n", "split='test': .*train, val, query, gallery"),
])  # fmt: skip
def test_an_invalid_manifest_raises(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as raised:
        Catalogue.open(write_csv(tmp_path / "c.csv", text))
    assert str(tmp_path / "c.csv") in str(raised.value)


def test_csv_in_an_encoding_other_than_utf8_raises(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"c\.csv: .*UTF8"):
        Catalogue.open(write_csv(tmp_path / "c.csv", "image,category\né.jpg,hat\n", "latin-1"))


def test_empty_cells_of_a_required_column_raise() -> None:
    with pytest.raises(ValueError, match="column 'category': empty cells: 2"):
        make_small_catalogue(category=["hat", None, ""])


@pytest.mark.parametrize("columns", [
    {"id": ["1", "2", "2"], "category": ["hat"] * 3},
    {"image": ["1", "2", "2"]},  # two garments in one image, without an id column
])  # fmt: skip
def test_duplicate_ids_raise(columns: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="id='2'"):
        make_small_catalogue(**columns)


def test_one_image_can_contain_several_garments_with_unique_ids() -> None:
    assert len(make_small_catalogue(id=["1", "2", "3"], image=["a.jpg", "a.jpg", "b.jpg"])) == 3


@pytest.mark.parametrize("box", [(5, 0, 5, 9), (0, 5, 9, 5), (9, 0, 5, 9), (0, 9, 9, 5), (0, 0, 5, None), (0, 0, 0, 0)])
def test_a_box_without_area_raises(box: tuple[int, ...]) -> None:
    columns = {name: [None, coordinate, None] for name, coordinate in zip(BOX_COLUMNS, box, strict=True)}
    with pytest.raises(ValueError, match=r"id='b\.jpg': box \["):
        make_small_catalogue(**columns)


@pytest.mark.parametrize("name", ["c.txt", "c.json", "c"])
def test_an_unsupported_file_type_raises(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{tmp_path / name}: "):
        Catalogue.open(write_csv(tmp_path / name, "image,category\n"))


@pytest.mark.parametrize("name", ["nothing.csv", ""])
def test_a_missing_file_raises(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileNotFoundError, match=rf"^{tmp_path / name}: "):
        Catalogue.open(tmp_path / name)


def test_damaged_parquet_raises(tmp_path: Path) -> None:
    path, rng = tmp_path / "c.parquet", np.random.default_rng(0)
    make_small_catalogue().save(path)
    content = path.read_bytes()
    for size in rng.integers(0, len(content), 60):
        path.write_bytes(content[:size])
        with pytest.raises(ValueError, match=rf"^{path}: "):
            Catalogue.open(path)
    for offset in range(4, len(content) - 8, len(content) // 60):
        path.write_bytes(content[:offset] + bytes(8) + content[offset + 8 :])
        with suppress(ValueError):  # no error if the overwritten bytes are not read
            Catalogue.open(path)


def test_a_failed_save_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.parquet"
    make_small_catalogue().save(path)

    def raise_no_space(_table: pa.Table, where: Path) -> None:
        where.write_bytes(b"PAR1")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pa.parquet, "write_table", raise_no_space)
    with pytest.raises(OSError, match=r"c\.parquet could not be written"):
        make_small_catalogue(item=["1", "2", "3"]).save(path)
    assert Catalogue.open(path).checksum == make_small_catalogue().checksum
    assert [file.name for file in tmp_path.iterdir()] == ["c.parquet"]


@given(rows(st.text("ab\0", max_size=2)), rows(st.text("ab\0", max_size=2)))
@settings(max_examples=150, deadline=None)
def test_different_catalogues_have_different_checksums(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> None:
    assert (make_catalogue(one).checksum == make_catalogue(other).checksum) == (repr(one) == repr(other))


@given(rows(), st.data())
@settings(max_examples=100, deadline=None)
def test_the_checksum_changes_with_any_cell(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(rows) - 1))
    column = data.draw(st.sampled_from(list(COLUMNS)))
    before = make_catalogue([{**row, "x2": 90.0, "y2": 90.0, "x1": 1.0, "y1": 1.0} for row in rows])
    new: Any = {"main": not rows[position]["main"], "split": "val" if rows[position]["split"] == "train" else "train"}
    new = new.get(column, 2.5 if column in BOX_COLUMNS else f"{rows[position][column]}+{position}" + "." * 20)
    values = before.column(column).tolist()
    values[position] = new
    assert before.with_columns(**{column: values}).checksum != before.checksum


@pytest.mark.parametrize("moved", [
    {"item": ["", "", ""], "group": ["x", "", ""]},
    {"item": ["", "x", ""]},
    {"item": ["", "", ""], "view": ["x", "", ""]},
])  # fmt: skip
def test_the_checksum_changes_when_a_cell_moves(moved: dict[str, list[str]]) -> None:
    before = make_small_catalogue(item=["x", "", ""])
    assert before.with_columns(**moved).checksum != before.checksum


def test_the_checksum_changes_with_the_order_of_rows() -> None:
    assert make_small_catalogue().take(np.array([1, 0, 2])).checksum != make_small_catalogue().checksum


def test_the_checksum_equals_the_checksum_of_earlier_versions() -> None:
    assert (
        make_small_catalogue(x1=[0, 1, None], y1=[0, 1, None], x2=[0.1, 2, None], y2=[9, 9, None]).checksum[:16]
        == "3bb8c60c85ab1cbe"
    )


def test_rows_can_be_repeated_with_new_ids() -> None:
    assert make_small_catalogue().take(np.array([2, 0, 2]), ["c", "a", "d"]).column("id").tolist() == ["c", "a", "d"]
    with pytest.raises(ValueError, match=r"id='c\.jpg'"):
        make_small_catalogue().take(np.array([2, 2]))
    assert len(make_small_catalogue().take(np.array([]))) == 0


def test_take_selects_rows_in_the_passed_order() -> None:
    taken = make_small_catalogue(item=["1", "2", "3"]).take(np.array([2, 0]))
    assert taken.column("item").tolist() == ["3", "1"]
    changed = taken.with_columns(category=np.array(["bag", "cap"]))
    assert changed.categories == ["bag", "cap"]
    assert changed.column("item").tolist() == ["3", "1"]
    assert taken.categories == ["hat"]


def test_rows_of_a_split_are_main_garments() -> None:
    original = make_small_catalogue(split=["train", "train", "val"], main=[True, False, True])
    assert original.rows("train").tolist() == [0]
    assert original.rows("val").tolist() == [2]
    assert original.rows("query").tolist() == []


def test_labels_are_positions_in_the_passed_list() -> None:
    assert make_small_catalogue().labels(["hat", "cap", "bag"]).tolist() == [0, 2, 0]
    assert make_small_catalogue().labels(["hat", "cap"]).tolist() == [0, -1, 0]


@pytest.mark.parametrize(("cells", "box"), [
    (("065", "045", "233", "252"), (65, 45, 233, 252)), (("008", "009", "010", "011"), (8, 9, 10, 11)),
    (("5", "5", "5", "9"), None), (("5", "9", "7", "5"), None), (("a", "1", "2", "3"), None),
    (("nan", "1", "2", "3"), None), (("0", "0", "inf", "3"), None), (("1", "2", "3"), None),
])  # fmt: skip
def test_parse_box_returns_the_box_or_none(cells: Sequence[str], box: Any) -> None:
    assert parse_box(cells) == box
