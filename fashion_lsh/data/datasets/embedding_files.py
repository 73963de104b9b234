"""Embeddings instead of images: vectors with ids, categories and, optionally, items and splits."""

import logging
from collections import Counter
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fashion_lsh.data.catalogue import Catalogue, Filters
from fashion_lsh.data.datasets.image_files import SPLIT_ALIASES, normalise_spelling
from fashion_lsh.data.images import ImageError
from fashion_lsh.data.schema import read_table

log = logging.getLogger(__name__)

COLUMN = "embedding"  # column of the vectors in a Parquet file
BLOCK = 1 << 14  # rows checked and hashed at once
ROOT_HELP = "a Parquet file with a column embedding, a folder of such files, or a .npy file with a table of its name"


class Vectors(NamedTuple):
    """Content of the files.

    Attributes:
        table: columns of a Catalogue, N rows.
        matrix: (N, D) float16 or float32; may be memory-mapped.
        model: fingerprint of the model that computed the vectors; "" if the files do not name it.
    """

    table: pa.Table
    matrix: np.ndarray
    model: str


class EmbeddingFiles:
    """Vectors of garments, for training heads without images.

    The root is one of
    - a Parquet file with the columns `embedding` (lists of D floats), `id` and `category`, and optionally the other
      columns of a Catalogue, as `fashion-lsh encode` writes it. The columns of a CSV file of the same name, matched by
      `id`, replace those of the Parquet file;
    - a folder of such Parquet files;
    - a .npy file, (N, D) float16, float32 or float64, with a .csv or .parquet file of the same name, in the order of
      the vectors.

    Args:
        root: file or folder.
    """

    def __init__(self, root: str) -> None:
        self.root = Path(root).expanduser()

    def catalogue(self, filters: Filters = None) -> Catalogue:
        """Return the filtered rows (see `Catalogue.filter`).

        Raises:
            FileNotFoundError: a file does not exist.
            ValueError: a column is missing, an id occurs twice, the vectors have several lengths, are not finite, or
                were computed by several models. The message counts the rows.
        """
        try:
            return Catalogue(self._vectors.table).filter(filters)
        except ValueError as error:
            raise ValueError(f"{self.root}: {str(error).removeprefix(f'{self.root}: ')}") from error

    def image(self, key: str) -> np.ndarray:
        """Raise an ImageError, since there are no images."""
        raise ImageError(f"{key}: data=embeddings has vectors without images")

    @property
    def matrix(self) -> np.ndarray:
        """All vectors, (N, D) float16 or float32."""
        return self._vectors.matrix

    @property
    def model(self) -> str:
        """Fingerprint of the model that computed the vectors; "" if the files do not name it."""
        return self._vectors.model

    @property
    def backbone(self) -> dict[str, Any]:
        """Backbone of heads on these vectors, for `Classifier` and `HashHead`."""
        return {
            "_target_": "fashion_lsh.models.vector_backbone.VectorBackbone",
            "feature_dim": self.matrix.shape[1],
            "model": self.model,
        }

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of the vectors, in hex."""
        digest = sha256(self.model.encode())
        for start in range(0, len(self.matrix), BLOCK):
            digest.update(self.matrix[start : start + BLOCK].tobytes())
        return digest.hexdigest()

    def positions(self, ids: np.ndarray) -> np.ndarray:
        """Matrix rows of the vectors with these ids, (n,) str -> (n,) int64."""
        rows = {name: row for row, name in enumerate(self._vectors.table["id"].to_pylist())}
        return np.array([rows[name] for name in ids], dtype=np.int64)

    @cached_property
    def _vectors(self) -> Vectors:
        if not self.root.exists():
            raise FileNotFoundError(f"{self.root}: no such file or folder; set data.root to {ROOT_HELP}")
        if self.root.suffix.lower() == ".npy":
            table, matrix, model = _read_npy(self.root)
        else:
            table, matrix, model = _read_parquet(self.root)
        table = _normalise(table)
        _check_vectors(matrix, table["id"].to_pylist())
        return Vectors(table, matrix, model)


def _read_npy(path: Path) -> Vectors:
    """Map a .npy file, and read the table of the same name."""
    tables = [path.with_suffix(suffix) for suffix in (".csv", ".parquet")]
    found = [each for each in tables if each.is_file()]
    if not found:
        raise FileNotFoundError(f"{tables[0]}: not found; write ids and categories of the vectors in {path} to it")
    try:
        matrix = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"{path}: {error}; write it with numpy.save") from error
    table = _with_text_ids(read_table(found[0]))
    if matrix.ndim != 2 or matrix.dtype.kind != "f" or len(matrix) != len(table):
        raise ValueError(
            f"{path}: {matrix.dtype} of shape {matrix.shape}; it must be (N, D) float16, float32 or float64 with one "
            f"row for each of the {len(table):,} rows of {found[0].name}"
        )
    return Vectors(table, matrix if matrix.itemsize <= 4 else np.asarray(matrix, np.float32), "")


def _read_parquet(root: Path) -> Vectors:
    """Read one Parquet file, or all Parquet files of a folder, and the CSV file of the same name."""
    paths = sorted(root.glob("*.parquet")) if root.is_dir() else [root]
    if not paths or paths[0].suffix.lower() != ".parquet":
        raise ValueError(f"{root}: no embeddings; set data.root to {ROOT_HELP}")
    tables = [_with_text_ids(read_table(path)) for path in paths]
    if missing := [str(path) for path, each in zip(paths, tables, strict=True) if COLUMN not in each.column_names]:
        names = ", ".join(tables[paths.index(Path(missing[0]))].column_names)
        raise ValueError(
            f"column {COLUMN!r} is missing in {len(missing)} of {len(paths)} files (columns of {missing[0]}: {names}); "
            "add lists of floats, as fashion-lsh encode writes them"
        )
    metadata = [(pq.read_schema(path).metadata or {}).get(b"model", b"").decode() for path in paths]
    if len(models := Counter(metadata)) > 1:
        counts = ", ".join(f"{name[:12] or 'unknown'} ({count} files)" for name, count in models.items())
        raise ValueError(f"vectors of {len(models)} models: {counts}; encode all images with one model")
    columns = [name for name in tables[0].column_names if all(name in each.column_names for each in tables)]
    table = pa.concat_tables([each.select(columns) for each in tables], promote_options="permissive")
    matrix = _read_lists(table[COLUMN])
    table, labels = table.drop_columns([COLUMN]), root.with_suffix(".csv")
    if labels.is_file():
        table, rows = _join(table, _with_text_ids(read_table(labels)), labels)
        matrix = matrix[rows]
    elif metadata[0] and "category" in table.column_names:
        log.warning("%s: categories predicted by the model; write the true ones to %s", root, labels)
    return Vectors(table, matrix, metadata[0])


def _read_lists(column: pa.ChunkedArray) -> np.ndarray:
    """Convert lists of D floats to a matrix.  N lists -> (N, D) float16 or float32."""
    if not hasattr(column.type, "value_type") or not pa.types.is_floating(column.type.value_type):
        raise ValueError(f"column {COLUMN!r}: {column.type}; it must contain lists of floats")
    lengths = Counter(pc.list_value_length(column).to_pylist())
    if len(lengths) != 1 or None in lengths:
        counts = ", ".join(f"{length or 'empty'} ({count:,} rows)" for length, count in lengths.most_common(5))
        raise ValueError(f"column {COLUMN!r}: vectors of {len(lengths)} lengths: {counts}; encode all with one model")
    dtype = np.float16 if pa.types.is_float16(column.type.value_type) else np.float32
    values = [chunk.flatten().to_numpy(zero_copy_only=False).astype(dtype, copy=False) for chunk in column.chunks]
    return np.concatenate(values).reshape(len(column), next(iter(lengths)))


def _join(table: pa.Table, labels: pa.Table, path: Path) -> tuple[pa.Table, np.ndarray]:
    """Select the rows of `labels` by id; return their columns and their rows in `table`, (n,) int64."""
    for name, each in (("the embeddings", table), (path.name, labels)):
        if "id" not in each.column_names:
            raise ValueError(f"column 'id' is missing in {name} (columns: {', '.join(each.column_names)}); add it")
        _check_unique(each["id"].to_pylist())
    rows = {name: row for row, name in enumerate(table["id"].to_pylist())}
    ids = labels["id"].to_pylist()
    if missing := [name for name in ids if name not in rows]:
        raise ValueError(
            f"{len(missing):,} of {len(ids):,} ids of {path.name} have no vector, for example {missing[0]!r}; encode "
            "these images, or remove the rows"
        )
    selected = np.array([rows[name] for name in ids], dtype=np.int64)
    kept = [name for name in table.column_names if name not in labels.column_names]
    joined = table.select(kept).take(pa.array(selected))
    for name in labels.column_names:
        joined = joined.append_column(name, labels[name])
    return joined, selected


def _normalise(table: pa.Table) -> pa.Table:
    """Complete the columns id and image from each other, and normalise the names of categories and splits."""
    columns = {name: table[name] for name in table.column_names}
    columns = {"id": columns.get("image")} | columns
    if missing := [name for name in ("id", "category") if columns.get(name) is None]:
        names = ", ".join(table.column_names)
        raise ValueError(f"column {missing[0]!r} is missing (columns: {names}); add it to the table of the vectors")
    columns = {"image": columns["id"]} | columns
    _check_unique(columns["id"].to_pylist())
    categories = [str(name or "") for name in columns["category"].to_pylist()]
    columns["category"] = pa.array(normalise_spelling(categories))
    if "split" in columns:
        splits = [str(split or "") for split in columns["split"].to_pylist()]
        columns["split"] = pa.array([SPLIT_ALIASES.get(split.strip().lower(), split) for split in splits])
    return pa.table(columns)


def _with_text_ids(table: pa.Table) -> pa.Table:
    if "id" not in table.column_names:
        return table
    return table.set_column(table.column_names.index("id"), "id", table["id"].cast(pa.string()))


def _check_unique(ids: list[str]) -> None:
    if repeated := [name for name, count in Counter(ids).items() if count > 1]:
        raise ValueError(f"id: {len(repeated):,} occur more than once, for example {repeated[0]!r}; make them unique")


def _check_vectors(matrix: np.ndarray, ids: list[str]) -> None:
    """Check that all vectors are finite.  matrix: (N, D)."""
    if not ids:
        raise ValueError("no rows; encode images first (fashion-lsh encode)")
    blocks = range(0, len(matrix), BLOCK)
    is_finite = np.concatenate([np.isfinite(matrix[start : start + BLOCK]).all(axis=1) for start in blocks])
    if not is_finite.all():
        first = ids[int(np.flatnonzero(~is_finite)[0])]
        raise ValueError(
            f"{(~is_finite).sum():,} of {len(ids):,} vectors contain NaN or inf, for example that of {first!r}; remove "
            "these rows, or encode them again"
        )
