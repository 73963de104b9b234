"""The table of garments: what comes in comes back, and what cannot be right is refused."""

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
from fashion_lsh.data.schema import BOX, COLUMNS, SPLITS, box_of

TEXTS = [name for name, (kind, _) in COLUMNS.items() if kind == pa.string()]
NASTY = ["a,b", 'say "hi"', "two\nlines", "毛衣", "007", "1e5", "NA", "null", "nan", " spaced ", "'", "a;b\tc", "true"]

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
corners = st.integers(-5, 5)
boxes = st.none() | st.tuples(corners, corners, st.integers(6, 20), st.integers(6, 20))


@st.composite
def rows(draw: st.DrawFn, text: st.SearchStrategy[str] = texts) -> list[dict[str, Any]]:
    """One to six rows with a value in each column."""
    ids = draw(st.lists(text.filter(bool), min_size=1, max_size=6, unique=True))
    return [draw(row(name, text)) for name in ids]


@st.composite
def row(draw: st.DrawFn, name: str, text: st.SearchStrategy[str]) -> dict[str, Any]:
    box = draw(boxes) or [float("nan")] * 4
    required = {column: draw(text.filter(bool)) for column in ("picture", "category")}
    optional = {column: draw(text) for column in ("supercategory", "item", "group", "view", "source")}
    return {
        "id": name, **required, **optional, **dict(zip(BOX, map(float, box), strict=True)),
        "split": draw(st.sampled_from(["", *SPLITS])), "main": draw(st.booleans()),
    }  # fmt: skip


def catalogue(rows: list[dict[str, Any]]) -> Catalogue:
    return Catalogue.of({name: [one[name] for one in rows] for name in rows[0]})


def plain(**columns: Any) -> Catalogue:
    """Three rows, but for the columns given."""
    return Catalogue.of({"picture": ["a.jpg", "b.jpg", "c.jpg"], "category": ["hat", "bag", "hat"], **columns})


def written_csv(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def assert_rows(found: Catalogue, rows: list[dict[str, Any]]) -> None:
    """Cell for cell; NaN equals NaN."""
    assert [list(map(repr, one.values())) for one in found.table.to_pylist()] == [
        [repr(one[name]) for name in COLUMNS] for one in rows
    ]


@given(rows())
@settings(max_examples=60, deadline=None)
def test_parquet_gives_back_every_cell(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]) -> None:
    path = tmp_path_factory.mktemp("parquet") / "c.parquet"
    made = catalogue(rows)
    made.save(path)
    assert_rows(Catalogue.open(path), rows)
    assert Catalogue.open(path).checksum == made.checksum


@given(rows(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)))
@settings(max_examples=60, deadline=None)
def test_csv_gives_back_every_cell(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]) -> None:
    path = tmp_path_factory.mktemp("csv") / "c.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    assert_rows(Catalogue.open(path), rows)
    assert Catalogue.open(path).checksum == catalogue(rows).checksum


@pytest.mark.parametrize("name", NASTY)
def test_csv_leaves_names_as_they_are(tmp_path: Path, name: str) -> None:
    with (tmp_path / "c.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([TEXTS[:-3], [name] * len(TEXTS[:-3])])  # all but split, view, source
    found = Catalogue.open(tmp_path / "c.csv")
    assert {found.column(column)[0] for column in TEXTS[:-3]} == {name}


def test_long_csv_with_names_of_several_lines_opens(tmp_path: Path) -> None:
    names = [f"line\nand line {number}" * 3 for number in range(30_000)]  # more than is read at a time
    with (tmp_path / "c.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("picture", "category"), *((name, "hat") for name in names)])
    assert Catalogue.open(tmp_path / "c.csv").column("picture").tolist() == names


def test_numbers_as_ids_stay_text_in_csv(tmp_path: Path) -> None:
    text = "id,picture,category,item,group\n007,1,2,03,4.50\n8,2,2,,\n"
    found = Catalogue.open(written_csv(tmp_path / "c.csv", text))
    assert found.column("id").tolist() == ["007", "8"]
    assert found.column("item").tolist() == ["03", ""]
    assert found.column("group").tolist() == ["4.50", ""]


def test_numbers_as_names_become_text_in_parquet(tmp_path: Path) -> None:
    pq.write_table(pa.table({"picture": [1, 2], "category": pa.array(["a", "a"]).dictionary_encode()}), tmp_path / "c")
    (tmp_path / "c").rename(tmp_path / "c.parquet")
    found = Catalogue.open(tmp_path / "c.parquet")
    assert found.column("id").tolist() == ["1", "2"]
    assert found.categories == ["a"]


@pytest.mark.parametrize("text", ["\ufeffpicture,category\na.jpg,hat\n", "picture,category\r\na.jpg,hat\r\n"])
def test_csv_of_a_spreadsheet_program_opens(tmp_path: Path, text: str) -> None:
    found = Catalogue.open(written_csv(tmp_path / "C.CSV", text))
    assert found.column("picture").tolist() == ["a.jpg"]
    assert found.column("category").tolist() == ["hat"]


def test_columns_left_out_get_their_defaults() -> None:
    made = plain(price=[1, 2, 3])
    assert made.table.column_names == list(COLUMNS)
    assert made.column("id").tolist() == ["a.jpg", "b.jpg", "c.jpg"]
    assert np.isnan(made.boxes).all()
    assert made.column("main").tolist() == [True] * 3
    assert {*made.column("item"), *made.column("group"), *made.column("split"), *made.column("view")} == {""}


def test_empty_cells_get_the_defaults_of_their_columns(tmp_path: Path) -> None:
    text = "picture,category,item,split,x1,y1,x2,y2,main\na.jpg,hat,,,,,,,\nb.jpg,hat,i,train,1,2,3,4,false\n"
    for found in (
        Catalogue.open(written_csv(tmp_path / "c.csv", text)),
        Catalogue.of({"picture": ["a.jpg", "b.jpg"], "category": ["hat", "hat"], "item": [None, "i"],
                      "split": [None, "train"], "x1": [None, 1.0], "y1": [None, 2], "x2": [None, 3], "y2": [None, 4],
                      "main": [None, False]}),
    ):  # fmt: skip
        assert found.column("item").tolist() == ["", "i"]
        assert found.column("split").tolist() == ["", "train"]
        assert found.column("main").tolist() == [True, False]
        assert np.isnan(found.boxes[0]).all()
        assert found.boxes[1].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(("text", "reason"), [
    ("", "c.csv: Empty CSV file"),
    ("picture\na.jpg\n", "one column 'category', here are 0: its columns are picture$"),
    ("file,category\na.jpg,hat\n", "one column 'picture', here are 0: its columns are file, category"),
    ("picture;category\na.jpg;hat\n", "has one column, 'picture;category': part its cells by commas"),
    ("picture,category,category\na.jpg,hat,bag\n", "a name stands twice among its columns picture, category, category"),
    ("picture,category\na.jpg,\nb.jpg,\n", "column 'category' of the catalogue has 2 empty cells"),
    ("picture,category\n,hat\n", "column 'picture' of the catalogue has 1 empty cells"),
    ("id,picture,category\n,a.jpg,hat\n", "column 'id' of the catalogue has 1 empty cells"),
    ("picture,category\na.jpg\n", "c.csv: CSV parse error"),
    ("picture,category,x1\na.jpg,hat,left\n", "column 'x1' of the catalogue holds what is no float .*'left'"),
    ("picture,category,main\na.jpg,hat,maybe\n", "column 'main' of the catalogue holds what is no bool .*maybe"),
    ("picture,category,split\na.jpg,hat,test\n", "split 'test' is unknown: give one of train, val, query, gallery"),
])  # fmt: skip
def test_manifest_that_cannot_be_right_is_named_with_what_is_wrong(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        Catalogue.open(written_csv(tmp_path / "c.csv", text))
    assert str(tmp_path / "c.csv") in str(caught.value)


def test_csv_in_another_encoding_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"c\.csv: .*UTF8"):
        Catalogue.open(written_csv(tmp_path / "c.csv", "picture,category\né.jpg,hat\n", "latin-1"))


def test_missing_cells_of_a_needed_column_are_counted() -> None:
    with pytest.raises(ValueError, match="column 'category' of the catalogue has 2 empty cells: fill them"):
        plain(category=["hat", None, ""])


@pytest.mark.parametrize("columns", [
    {"id": ["1", "2", "2"], "category": ["hat"] * 3},
    {"picture": ["1", "2", "2"]},  # two garments of one picture, and no ids to tell them apart
])  # fmt: skip
def test_garments_of_one_id_are_refused(columns: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"id '2' stands .* more than once: .* two garments, give them a column `id`"):
        plain(**columns)


def test_one_picture_may_show_two_garments_that_have_ids() -> None:
    assert len(plain(id=["1", "2", "3"], picture=["a.jpg", "a.jpg", "b.jpg"])) == 3


@pytest.mark.parametrize("box", [(5, 0, 5, 9), (0, 5, 9, 5), (9, 0, 5, 9), (0, 9, 9, 5), (0, 0, 5, None), (0, 0, 0, 0)])
def test_box_without_area_is_named(box: tuple[int, ...]) -> None:
    columns = {name: [None, corner, None] for name, corner in zip(BOX, box, strict=True)}
    with pytest.raises(ValueError, match=r"box \[.*\] of 'b\.jpg' has no area: give x1 y1 x2 y2"):
        plain(**columns)


@pytest.mark.parametrize("name", ["c.txt", "c.json", "c"])
def test_file_of_another_kind_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"is no catalogue: give a \.parquet or \.csv file"):
        Catalogue.open(written_csv(tmp_path / name, "picture,category\n"))


@pytest.mark.parametrize("name", ["nothing.csv", ""])
def test_missing_file_and_folder_are_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileNotFoundError, match=rf"no catalogue at {tmp_path}.*: give a \.parquet or \.csv file"):
        Catalogue.open(tmp_path / name)


def test_damaged_parquet_is_named_whatever_is_damaged(tmp_path: Path) -> None:
    path, rng = tmp_path / "c.parquet", np.random.default_rng(0)
    plain().save(path)
    whole = path.read_bytes()
    for size in rng.integers(0, len(whole), 60):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=rf"^{path}: "):
            Catalogue.open(path)
    for place in range(4, len(whole) - 8, len(whole) // 60):  # may hit what is not looked at
        path.write_bytes(whole[:place] + bytes(8) + whole[place + 8 :])
        with suppress(ValueError):
            Catalogue.open(path)


def test_save_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.parquet"
    plain().save(path)

    def full(_table: pa.Table, where: Path) -> None:
        where.write_bytes(b"PAR1")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pa.parquet, "write_table", full)
    with pytest.raises(OSError, match=r"c\.parquet could not be written"):
        plain(item=["1", "2", "3"]).save(path)
    assert Catalogue.open(path).checksum == plain().checksum
    assert [file.name for file in tmp_path.iterdir()] == ["c.parquet"]


@given(rows(st.text("ab\0", max_size=2)), rows(st.text("ab\0", max_size=2)))
@settings(max_examples=150, deadline=None)
def test_checksum_tells_any_two_catalogues_apart(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> None:
    assert (catalogue(one).checksum == catalogue(other).checksum) == (repr(one) == repr(other))


@given(rows(), st.data())
@settings(max_examples=100, deadline=None)
def test_checksum_changes_with_any_cell(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(rows) - 1))
    column = data.draw(st.sampled_from(list(COLUMNS)))
    before = catalogue([{**row, "x2": 90.0, "y2": 90.0, "x1": 1.0, "y1": 1.0} for row in rows])
    new: Any = {"main": not rows[place]["main"], "split": "val" if rows[place]["split"] == "train" else "train"}
    new = new.get(column, 2.5 if column in BOX else f"{rows[place][column]}+{place}" + "." * 20)
    values = before.column(column).tolist()
    values[place] = new
    assert before.having(**{column: values}).checksum != before.checksum


@pytest.mark.parametrize("moved", [
    {"item": ["", "", ""], "group": ["x", "", ""]},
    {"item": ["", "x", ""]},
    {"item": ["", "", ""], "view": ["x", "", ""]},
])  # fmt: skip
def test_checksum_changes_when_a_cell_moves(moved: dict[str, list[str]]) -> None:
    before = plain(item=["x", "", ""])
    assert before.having(**moved).checksum != before.checksum


def test_checksum_changes_with_the_order_of_rows() -> None:
    assert plain().take(np.array([1, 0, 2])).checksum != plain().checksum


def test_checksum_is_the_same_on_every_machine() -> None:
    assert (
        plain(x1=[0, 1, None], y1=[0, 1, None], x2=[0.1, 2, None], y2=[9, 9, None]).checksum[:16] == "3e4ef00f856be98c"
    )


def test_a_row_can_be_taken_twice_under_ids_of_its_own() -> None:
    assert plain().take(np.array([2, 0, 2]), ["c", "a", "d"]).column("id").tolist() == ["c", "a", "d"]
    with pytest.raises(ValueError, match=r"id 'c\.jpg' stands in the catalogue more than once"):
        plain().take(np.array([2, 2]))
    assert len(plain().take(np.array([]))) == 0


def test_taken_rows_come_in_the_order_asked_and_replaced_columns_alone_change() -> None:
    taken = plain(item=["1", "2", "3"]).take(np.array([2, 0]))
    assert taken.column("item").tolist() == ["3", "1"]
    changed = taken.having(category=np.array(["bag", "cap"]))
    assert changed.categories == ["bag", "cap"]
    assert changed.column("item").tolist() == ["3", "1"]
    assert taken.categories == ["hat"]


def test_rows_of_a_split_are_its_main_garments() -> None:
    made = plain(split=["train", "train", "val"], main=[True, False, True])
    assert made.rows("train").tolist() == [0]
    assert made.rows("val").tolist() == [2]
    assert made.rows("query").tolist() == []


def test_labels_are_positions_in_the_list_given() -> None:
    assert plain().labels(["hat", "cap", "bag"]).tolist() == [0, 2, 0]
    assert plain().labels(["hat", "cap"]).tolist() == [0, -1, 0]


@pytest.mark.parametrize(("cells", "box"), [
    (("065", "045", "233", "252"), (65, 45, 233, 252)), (("008", "009", "010", "011"), (8, 9, 10, 11)),
    (("5", "5", "5", "9"), None), (("5", "9", "7", "5"), None), (("a", "1", "2", "3"), None),
    (("nan", "1", "2", "3"), None), (("0", "0", "inf", "3"), None), (("1", "2", "3"), None),
])  # fmt: skip
def test_padded_numbers_are_decimals_and_boxes_have_an_area(cells: Sequence[str], box: Any) -> None:
    assert box_of(cells) == box
