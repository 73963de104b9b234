"""Vectors are read from Parquet and .npy files; errors name the column, the count and a row."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.datasets import open_dataset
from fashion_lsh.data.datasets.embedding_files import EmbeddingFiles
from fashion_lsh.data.images import ImageError

NUM_ROWS, WIDTH = 12, 5


def vectors(dtype: Any = np.float32) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(NUM_ROWS, WIDTH)).astype(dtype)


def write(path: Path, model: str = "", **changes: Any) -> Path:
    """Write a Parquet file of vectors; a column that is None is omitted."""
    columns: dict[str, Any] = {
        "id": [f"v{row}" for row in range(NUM_ROWS)],
        "category": ["bag", "coat", "dress"] * (NUM_ROWS // 3),
        "embedding": list(vectors()),
    }
    columns = {name: value for name, value in (columns | changes).items() if value is not None}
    pq.write_table(pa.table(columns).replace_schema_metadata({"model": model}), path)
    return path


def open_files(path: Path) -> EmbeddingFiles:
    source = open_dataset("embeddings", str(path))
    assert isinstance(source, EmbeddingFiles)
    return source


def test_parquet_file_has_ids_categories_items_and_splits(tmp_path: Path) -> None:
    splits = ["training", "test", "val", "gallery"] * 3
    source = open_files(write(tmp_path / "v.parquet", item=["a", "b"] * 6, split=splits))
    rows = source.catalogue()
    assert rows.column("id").tolist() == [f"v{row}" for row in range(NUM_ROWS)]
    assert rows.column("item").tolist() == ["a", "b"] * 6
    assert rows.column("split").tolist() == ["train", "query", "val", "gallery"] * 3
    assert rows.categories == ["bag", "coat", "dress"]
    assert np.array_equal(source.matrix, vectors())
    assert source.positions(rows.column("id")[[3, 0]]).tolist() == [3, 0]
    assert source.catalogue({"category": ["bag"]}).column("id").tolist() == ["v0", "v3", "v6", "v9"]
    with pytest.raises(ImageError, match="v0"):
        source.image("v0")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_npy_file_has_a_table_of_its_name(dtype: Any, suffix: str, tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", vectors(dtype))
    if suffix == ".csv":
        (tmp_path / "v.csv").write_text("id,label\n" + "".join(f"{row},c{row % 2}\n" for row in range(NUM_ROWS)))
    else:
        write(tmp_path / "v.parquet", embedding=None)
    source = open_files(tmp_path / "v.npy")
    assert len(source.catalogue()) == NUM_ROWS
    assert np.allclose(source.matrix, vectors(dtype))
    assert source.matrix.dtype == (np.float16 if dtype == np.float16 else np.float32)
    assert isinstance(source.matrix, np.memmap) == (dtype != np.float64)


def test_folder_of_files_is_read_in_order_of_names(tmp_path: Path) -> None:
    for number in range(2):
        ids = [f"{number} {row}" for row in range(NUM_ROWS)]
        write(tmp_path / f"{number}.parquet", model="abc", id=ids, extra=[0] * NUM_ROWS if number else None)
    source = open_files(tmp_path)
    assert np.array_equal(source.matrix, np.concatenate([vectors(), vectors()]))
    assert source.catalogue().column("id")[NUM_ROWS] == "1 0"
    assert source.backbone["model"] == "abc"
    assert source.backbone["feature_dim"] == WIDTH


def test_csv_of_the_same_name_replaces_predicted_categories(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "v.parquet", model="abc", image=[f"{row}.jpg" for row in range(NUM_ROWS)])
    assert len(open_files(path).catalogue()) == NUM_ROWS
    assert "v.csv" in caplog.text
    (tmp_path / "v.csv").write_text("id,category,item\nv7,hat,x\nv2,sock,y\n")
    source = open_files(path)
    rows = source.catalogue()
    assert rows.column("category").tolist() == ["hat", "sock"]
    assert rows.column("image").tolist() == ["7.jpg", "2.jpg"]
    assert np.array_equal(source.matrix[source.positions(rows.column("id"))], vectors()[[7, 2]])
    (tmp_path / "v.csv").write_text("id,category\nv7,hat\nw1,hat\nw2,hat\n")
    with pytest.raises(ValueError, match=r"2 of 3 ids of v\.csv .*'w1'"):
        open_files(path).catalogue()


def with_values(value: float, *rows: int) -> list[np.ndarray]:
    changed = vectors()
    changed[list(rows), 1] = value
    return list(changed)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"embedding": with_values(np.nan, 4, 7)}, "2 of 12 vectors contain NaN or inf.*'v4'"),
        ({"embedding": with_values(np.inf, 3)}, "1 of 12 vectors contain NaN or inf.*'v3'"),
        ({"embedding": [*vectors()[:10], *vectors()[10:, :3]]}, r"embedding.*5 \(10 rows\), 3 \(2 rows\)"),
        ({"embedding": [*vectors()[:11], None]}, r"embedding.*5 \(11 rows\), empty \(1 rows\)"),
        ({"embedding": ["x"] * NUM_ROWS}, "'embedding': string"),
        ({"embedding": [[1, 2]] * NUM_ROWS}, "'embedding': list<.*int64"),
        ({"embedding": None}, "'embedding' is missing in 1 of 1 files.*id, category"),
        ({"category": None}, "'category' is missing.*id"),
        ({"id": None}, "'id' is missing.*category"),
        ({"id": ["a", "a", "b", "b", *map(str, range(NUM_ROWS - 4))]}, "2 occur more than once.*'a'"),
    ],
)
def test_errors_name_the_column_and_count_the_rows(changes: dict[str, Any], named: str, tmp_path: Path) -> None:
    path = write(tmp_path / "v.parquet", **changes)
    with pytest.raises(ValueError, match=named) as error:
        open_files(path).catalogue()
    assert str(error.value).count(str(path)) <= 2
    assert str(path) in str(error.value)


def test_vectors_of_two_models_are_refused(tmp_path: Path) -> None:
    for number, model in enumerate(["abc", "abc", "def"]):
        write(tmp_path / f"{number}.parquet", model=model)
    with pytest.raises(ValueError, match=r"2 models: abc \(2 files\), def \(1 files\)"):
        open_files(tmp_path).catalogue()


@pytest.mark.parametrize(
    ("array", "named"),
    [(vectors()[:5], r"\(5, 5\).*12 rows"), (vectors()[:, 0], r"\(12,\)"), (np.ones((12, 5), int), "int64")],
)
def test_npy_files_must_fit_their_table(array: np.ndarray, named: str, tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", array)
    with pytest.raises(FileNotFoundError, match=r"v\.csv"):
        open_files(tmp_path / "v.npy").catalogue()
    write(tmp_path / "v.parquet", embedding=None)
    with pytest.raises(ValueError, match=named):
        open_files(tmp_path / "v.npy").catalogue()


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.parquet"):
        open_files(tmp_path / "none.parquet").catalogue()
    with pytest.raises(ValueError, match="no embeddings"):
        open_files(tmp_path).catalogue()
    (tmp_path / "x.npy").write_bytes(b"text")
    (tmp_path / "x.csv").write_text("id,category\n")
    with pytest.raises(ValueError, match=r"x\.npy"):
        open_files(tmp_path / "x.npy").catalogue()


def test_checksum_covers_vectors_and_model(tmp_path: Path) -> None:
    checksums = {
        open_files(write(tmp_path / "v.parquet", **changes)).checksum
        for changes in ({}, {"model": "abc"}, {"embedding": with_values(9, 2)}, {})
    }
    assert len(checksums) == 3


def test_data_module_has_vectors_as_batches(tmp_path: Path) -> None:
    ratios = {"train": 1, "val": 1, "query": 1, "gallery": 1}
    data = GarmentData("embeddings", root=str(write(tmp_path / "v.parquet")), ratios=ratios, batch_size=2)
    assert not data.has_images
    for split in ("train", "val", "query", "gallery"):
        for batch in data.loader(split):  # type: ignore[arg-type]
            ids = data.catalogue.column("id")[batch.rows.numpy()]
            assert np.array_equal(batch.images.numpy(), vectors()[[int(name[1:]) for name in ids]])
