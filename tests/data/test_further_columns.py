"""A user's further columns: kept with their types from a manifest to the gallery's catalogue."""

import csv
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.datasets.folder import Folder
from fashion_lsh.data.schema import COLUMNS

NOON = datetime(2024, 1, 31, 12, tzinfo=UTC)


def make_catalogue(first: int = 0, **columns: Any) -> Catalogue:
    """Catalogue of as many rows as the columns have."""
    names = [str(first + row) for row in range(len(next(iter(columns.values()))))]
    return Catalogue.from_columns({"image": names, "category": ["hat"] * len(names), **columns})


@pytest.mark.parametrize(("cells", "dtype", "stored"), [
    (pa.array([1, None], pa.int16()), pa.int64(), [1, None]),
    (pa.array([0.1, float("nan")]), pa.float64(), [0.1, None]),
    (pa.array([0.5, None], pa.float16()), pa.float32(), [0.5, None]),
    (pa.array([Decimal("1.25"), None]), pa.float64(), [1.25, None]),
    (pa.array([True, None]), pa.bool_(), [True, None]),
    (pa.array(["a", ""]), pa.string(), ["a", None]),
    (pa.array(["a", "a"]).dictionary_encode(), pa.string(), ["a", "a"]),
    (pa.array(["a", None], pa.large_string()), pa.string(), ["a", None]),
    (pa.array([date(2024, 1, 31), None]), pa.string(), ["2024-01-31", None]),
    (pa.array([time(12), None], pa.time32("s")), pa.string(), ["12:00:00", None]),
    (pa.array([NOON, None], pa.timestamp("s")), pa.string(), ["2024-01-31 12:00:00", None]),
    (pa.nulls(2), pa.null(), [None, None]),
])  # fmt: skip
def test_further_columns_follow_in_few_types(
    cells: pa.Array, dtype: pa.DataType, stored: list[Any], tmp_path: Path
) -> None:
    catalogue = make_catalogue(my_column=cells)
    catalogue.save(tmp_path / "c.parquet")
    changed = catalogue.take(np.arange(2)).with_columns(item=["", ""])
    for each in (catalogue, Catalogue.open(tmp_path / "c.parquet"), changed):
        assert each.table.column_names == [*COLUMNS, "my_column"]
        assert each.table.schema.field("my_column").type == dtype
        assert each.table["my_column"].to_pylist() == stored
        assert each.row(0)["my_column"] == stored[0]


def test_lists_and_bytes_are_not_kept() -> None:
    catalogue = make_catalogue(vector=[[1.0], [2.0]], code=[b"1", b"2"], price=[1, 2])
    assert catalogue.table.column_names == [*COLUMNS, "price"]


def test_further_columns_do_not_change_the_checksum() -> None:
    assert make_catalogue(price=[1, 2]).checksum == make_catalogue(price=[3, None], color=["red", "blue"]).checksum


def test_integers_beyond_64_bits_are_rejected() -> None:
    with pytest.raises(ValueError, match=r"column 'price': not int64"):
        make_catalogue(price=pa.array([2**64 - 1], pa.uint64()))


def test_concatenation_fills_missing_columns_and_combines_numbers() -> None:
    one, two = make_catalogue(price=[1, 2], size=pa.nulls(2)), make_catalogue(2, price=[0.5], color=["red"], size=["M"])
    for each, order in ((one.concatenate(two), [0, 1, 2]), (two.concatenate(one), [1, 2, 0])):
        cells = {name: [each.table[name][row].as_py() for row in order] for name in ("price", "color", "size")}
        assert cells == {"price": [1.0, 2.0, 0.5], "color": [None, None, "red"], "size": [None, None, "M"]}


@pytest.mark.parametrize("other", [["cheap"], [True]])
def test_concatenation_of_other_types_names_the_column(other: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"price .*int64.*"):
        make_catalogue(price=[1, 2]).concatenate(make_catalogue(2, price=other))


def write_manifest(path: Path, shapes: Path, columns: dict[str, Callable[[int], object]]) -> Path:
    """Write a manifest of the shapes with further columns: name -> function of the row number."""
    with shapes.open(newline="") as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    for number, row in enumerate(rows):
        cells = {name: cell(number) for name, cell in columns.items()}
        row |= {"id": row["image"], "image": str(shapes.parent / row["image"]), **cells}
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_columns_of_a_manifest_reach_the_rows_of_a_split(
    shapes: Path, make_data: Callable[..., GarmentData], tmp_path: Path
) -> None:
    columns: dict[str, Callable[[int], object]] = {
        "price": lambda number: number + 0.5 if number > 3 else number, "color": lambda number: f"c{number % 3}",
        "sku": lambda number: "" if number % 2 else number, "sold": lambda number: str(number % 2 == 0).lower(),
    }  # fmt: skip
    data = make_data(root=str(write_manifest(tmp_path / "further.csv", shapes, columns)))
    assert data.checksum == make_data(root=str(write_manifest(tmp_path / "plain.csv", shapes, {}))).checksum
    table = data.garments("gallery").table
    types = {name: table.schema.field(name).type for name in columns}
    assert types == {"price": pa.float64(), "color": pa.string(), "sku": pa.int64(), "sold": pa.bool_()}
    with shapes.open(newline="") as file:
        numbers = {row["image"]: number for number, row in enumerate(csv.DictReader(file))}
    assert len(table) > 0
    for row in table.to_pylist():
        number = numbers[row["id"]]
        assert (row["price"], row["color"]) == (columns["price"](number), f"c{number % 3}")
        assert (row["sku"], row["sold"]) == (None if number % 2 else number, number % 2 == 0)


def test_types_of_csv_columns_are_inferred_from_all_rows(tmp_path: Path) -> None:
    cells = [*["1"] * 300_000, "2.5", "", "3"]  # larger than a block of the CSV reader
    lines = [f"{number}.jpg,hat,{cell}" for number, cell in enumerate(cells)]
    (tmp_path / "c.csv").write_text("\n".join(["image,category,price", *lines]))
    prices = Catalogue.open(tmp_path / "c.csv").table["price"]
    assert prices.type == pa.float64()
    assert prices.to_pylist()[-4:] == [1.0, 2.5, None, 3.0]


def test_box_column_is_replaced_by_coordinates(shapes: Path, tmp_path: Path) -> None:
    image = str(shapes.parent / "circle-0-street.png")
    cells = {"image": [image], "category": ["circle"], "box": ["1 2 30 40"], "price": [5]}
    pq.write_table(pa.table(cells), tmp_path / "box.parquet")
    table = Folder(str(tmp_path / "box.parquet")).catalogue().table
    assert table.column_names == [*COLUMNS, "price"]
    assert [table[side][0].as_py() for side in ("x1", "y1", "x2", "y2")] == [1, 2, 30, 40]
