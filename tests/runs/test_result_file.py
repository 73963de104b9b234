"""Results files: all fields are restored, and damaged files are rejected."""

import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from fashion_lsh.metrics.results import Result, ResultTable, column_of
from fashion_lsh.runs.result_file import (
    METADATA_KEY,
    SCHEMA,
    ResultFile,
    read_results_file,
    result_rows,
    result_schema,
    write_results_file,
)

SEARCH = ("rerank 1000", "1 list")
FULL = Result("map", 0.5, 0.25, 0.75, 100, *SEARCH, "category", "bag", "val", "crop=whole", 48, 7)
BARE = Result("parameters", 1e6, split="", method="model")
TEXTS = st.sampled_from(["", "a", "whole gallery", "corruption=blur", "外套", 'with "quotes", | and \n'])
NUMBERS = st.floats(allow_nan=True, allow_infinity=False)
RESULTS = st.builds(
    Result, metric=TEXTS, value=NUMBERS, low=NUMBERS, high=NUMBERS, k=st.integers(0, 2**31 - 1), method=TEXTS,
    scope=TEXTS, relevance=TEXTS, category=TEXTS, split=TEXTS, condition=TEXTS, bits=st.integers(0, 512),
    n=st.integers(0, 10**6),
)  # fmt: skip


def content_of(*rows: Result, **settings: Any) -> ResultFile:
    table = ResultTable(rows, SEARCH)
    return ResultFile(table, {"seed": 3, **settings}, {"a.B": 2}, "0a1b2c3d", {"code_version": "0a0a", "gpu": None})


def as_text(rows: list[Result]) -> list[str]:
    return list(map(repr, rows))  # NaN differs from NaN


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
@given(rows=st.lists(RESULTS, unique_by=column_of, max_size=5))
def test_results_are_restored(tmp_path: Path, rows: list[Result]) -> None:
    path = tmp_path / "results.parquet"
    write_results_file(path, content_of(*rows))
    results = read_results_file(path).results
    assert as_text(results.rows) == as_text(rows)
    assert results.search == SEARCH


def test_the_record_of_the_run_is_restored(tmp_path: Path) -> None:
    content = content_of(FULL, BARE, data={"categories": ["外套", None], "margin": 0.1}, hash=None)
    write_results_file(tmp_path / "results.parquet", content)
    restored = read_results_file(tmp_path / "results.parquet")
    assert restored._replace(results=content.results) == content
    assert isinstance(restored.results.search, tuple)


def test_fields_that_do_not_apply_are_null(tmp_path: Path) -> None:
    write_results_file(tmp_path / "results.parquet", content_of(FULL, BARE))
    table = pq.read_table(tmp_path / "results.parquet")
    full, bare = table.to_pylist()
    assert table.schema.remove_metadata() == SCHEMA
    assert {name: full[name] for name in Result._fields} == FULL._asdict()
    given_fields = {"metric": "parameters", "value": 1e6, "method": "model", "seed": 3, "code_version": "0a0a"}
    assert {name: value for name, value in bare.items() if value is not None} == given_fields


def test_a_value_of_0_is_not_null(tmp_path: Path) -> None:
    write_results_file(tmp_path / "results.parquet", content_of(Result("map", 0.0, 0.0, 0.0, 100)))
    [row] = pq.read_table(tmp_path / "results.parquet").to_pylist()
    assert [row[name] for name in ("value", "low", "high")] == [0, 0, 0]
    [result] = read_results_file(tmp_path / "results.parquet").results
    assert result.has_interval
    assert math.copysign(1, result.value) == 1


def test_a_run_without_seed_and_code_version_has_nulls(tmp_path: Path) -> None:
    content = content_of(FULL)._replace(settings={}, environment={})
    write_results_file(tmp_path / "results.parquet", content)
    [row] = pq.read_table(tmp_path / "results.parquet").to_pylist()
    assert (row["seed"], row["code_version"]) == (None, None)
    assert [dict(row)] == result_rows(content.results, None, None)


def test_further_columns_are_the_first_columns() -> None:
    assert result_schema([("job", pa.string())]).names == ["job", *SCHEMA.names]
    assert result_schema() == SCHEMA


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1 and then nothing", b"{}"])
def test_a_damaged_file_raises_with_its_path(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "results.parquet"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{path} is damaged"):
        read_results_file(path)


@pytest.mark.parametrize(
    ("field", "value"), [("search", []), ("search", None), ("settings", ["seed"]), ("environment", "linux")]
)
def test_a_file_with_damaged_metadata_raises_with_its_path(tmp_path: Path, field: str, value: Any) -> None:
    path = tmp_path / "results.parquet"
    write_results_file(path, content_of(FULL))
    table = pq.read_table(path)
    record = json.loads(table.schema.metadata[METADATA_KEY]) | {field: value}
    pq.write_table(table.replace_schema_metadata({METADATA_KEY: json.dumps(record)}), path)
    with pytest.raises(ValueError, match=rf"{path} is damaged"):
        read_results_file(path)


def test_a_truncated_file_raises_with_its_path(tmp_path: Path) -> None:
    path = tmp_path / "results.parquet"
    write_results_file(path, content_of(FULL, BARE))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=rf"{path} is damaged"):
        read_results_file(path)


def test_a_missing_file_raises_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=str(tmp_path / "results.parquet")):
        read_results_file(tmp_path / "results.parquet")


@pytest.mark.parametrize("name", ["search", "settings", "components", "data", "environment"])
def test_an_incomplete_record_raises_with_the_path(tmp_path: Path, name: str) -> None:
    path = tmp_path / "results.parquet"
    write_results_file(path, content_of(FULL))
    table = pq.read_table(path)
    record = json.loads(table.schema.metadata[METADATA_KEY])
    del record[name]
    pq.write_table(table.replace_schema_metadata({METADATA_KEY: json.dumps(record)}), path)
    with pytest.raises(ValueError, match=rf"{path} is damaged .*{name}"):
        read_results_file(path)


@pytest.mark.parametrize("metadata", [None, {METADATA_KEY: b"{"}, {METADATA_KEY: b"[]"}, {b"other": b"{}"}])
def test_a_table_without_record_raises_with_the_path(tmp_path: Path, metadata: dict[bytes, bytes] | None) -> None:
    path = tmp_path / "results.parquet"
    write_results_file(path, content_of(FULL))
    pq.write_table(pq.read_table(path).replace_schema_metadata(metadata), path)
    with pytest.raises(ValueError, match=rf"{path} is damaged"):
        read_results_file(path)


@pytest.mark.parametrize("name", Result._fields)
def test_a_missing_column_raises_with_the_path(tmp_path: Path, name: str) -> None:
    path = tmp_path / "results.parquet"
    write_results_file(path, content_of(FULL))
    pq.write_table(pq.read_table(path).drop_columns([name]), path)
    with pytest.raises(ValueError, match=rf"{path} is damaged .*{name}"):
        read_results_file(path)


def test_duplicate_results_raise_with_the_path(tmp_path: Path) -> None:
    path = tmp_path / "results.parquet"
    write_results_file(path, content_of(FULL))
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table, table]), path)
    with pytest.raises(ValueError, match=rf"{path} is damaged .*two results"):
        read_results_file(path)


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "results.parquet"
    write_results_file(path, content_of(FULL))
    before = path.read_bytes()

    def write_half(table: pa.Table, target: Path) -> None:
        target.write_bytes(before[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", write_half)
    with pytest.raises(OSError, match="No space left"):
        write_results_file(path, content_of(BARE))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
