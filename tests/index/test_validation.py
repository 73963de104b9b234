"""Invalid arguments are rejected before FAISS is called, with the argument in the message."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import faiss
import numpy as np
import pytest

from fashion_lsh.index import indexes
from fashion_lsh.index.indexes import FloatIndex, HashIndex
from fashion_lsh.index.validation import MAX_ROW
from tests.index.factories import both_index_classes

CODES, FLOATS = np.zeros((2, 2), np.uint8), np.zeros((2, 12), np.float32)
NEW_ROWS = {"list_ids": np.array([0, 4]), "rows": np.array([7, 8])}
INVALID_PROBED_LISTS = [
    (np.full((2, 5), 5), "probed_lists .*5.* -1 to 4"),
    (np.full((2, 5), -2), "probed_lists .*-2"),
    (np.zeros((2, 4), np.int64), r"probed_lists .*\(2, 5\) int64"),
    (np.zeros((1, 5), np.int64), r"probed_lists .*\(2, 5\) int64"),
    (np.zeros((2, 5), np.int32), "probed_lists .*int32"),
    (np.array([[0, 1, 2, 3, 4], [2, -1, -1, 2, -1]]), r"probed_lists\[1\]"),
]


@contextmanager
def raises_before_faiss(pattern: str) -> Iterator[None]:
    """Check that the block raises a matching ValueError without calling FAISS."""

    def fail(*_: object) -> None:
        pytest.fail("FAISS was called")

    names = ("add_preassigned", "search_preassigned")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(ValueError, match=pattern):  # noqa: PT012
        patch.setattr(indexes, "preassigned", SimpleNamespace(**dict.fromkeys(names, fail)))
        patch.setattr(faiss, "IDSelectorBatch", fail)
        patch.setattr(faiss, "hammings", fail)
        yield


def two_row_index(index_class: type[Any]) -> tuple[Any, np.ndarray]:
    """Return an index of rows 3 and 4, and the vectors of both rows."""
    index, vectors = index_class(12, 5), CODES if index_class is HashIndex else FLOATS
    index.add(vectors, NEW_ROWS["list_ids"], np.array([3, 4]))
    return index, vectors


@both_index_classes
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"list_ids": np.array([0, 5])}, "list_ids .*5.* 0 to 4"),
        ({"list_ids": np.array([0, -1])}, "list_ids .*-1"),
        ({"list_ids": np.array([0])}, r"list_ids .*\(1,\) .*int64.*\(2,\) int64"),
        ({"list_ids": np.array([0.0, 1.0])}, r"list_ids .*\(2,\) .*float64"),
        ({"rows": np.array([-1, 8])}, "rows .*-1"),
        ({"rows": np.array([7, MAX_ROW + 1])}, f"rows .*{MAX_ROW + 1}.* 0 to {MAX_ROW}"),
        ({"rows": np.array([7, 7])}, "rows .*7"),
        ({"rows": np.array([7, 3])}, "row 3 "),
        ({"rows": np.array([[7, 8]])}, r"rows .*\(1, 2\)"),
        ({"vectors": np.zeros((2, 5), np.uint8)}, r"\(2, 5\) .*uint8"),
        ({"vectors": np.zeros((2, 1), np.uint8)}, r"\(2, 1\) .*uint8"),
        ({"vectors": np.zeros((2, 12))}, r"\(2, 12\) .*float64"),
        ({"vectors": np.zeros((2, 2), np.int8)}, r"\(2, 2\) .*int8"),
        ({"vectors": np.zeros(2, np.uint8)}, r"\(2,\) .*uint8"),
    ],
)
def test_rejected_addition_does_not_change_the_index(
    index_class: type[Any], change: dict[str, np.ndarray], message: str
) -> None:
    index, vectors = two_row_index(index_class)
    with raises_before_faiss(message):
        index.add(**{"vectors": vectors, **NEW_ROWS, **change})
    assert index.contents()[0].tolist() == [3, 4]


@both_index_classes
@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.array([3, 5]), "row 5 "),
        (np.array([3, 3]), "rows .*more than once"),
        (np.array([3, -1]), "rows .*-1"),
        (np.array([MAX_ROW + 1]), f"rows .*{MAX_ROW + 1}"),
        (np.array([3.0]), r"rows .*\(1,\) .*float64.*\(1,\) int64"),
        (np.array([3], np.int32), r"rows .*\(1,\) .*int32"),
        (np.array([[3, 4]]), r"rows .*\(1, 2\) .*int64.*\(2,\) int64"),
    ],
)
def test_rejected_removal_does_not_change_the_index(index_class: type[Any], rows: np.ndarray, message: str) -> None:
    index, _ = two_row_index(index_class)
    with raises_before_faiss(message):
        index.remove(rows)
    assert index.contents()[0].tolist() == [3, 4]


@both_index_classes
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 0}, "k=0"),
        ({"k": -3}, "k=-3"),
        *(({"probed_lists": probed_lists}, message) for probed_lists, message in INVALID_PROBED_LISTS),
        ({"queries": np.zeros((2, 5), np.uint8)}, r"\(2, 5\) .*uint8"),
        ({"queries": np.zeros((2, 12))}, r"\(2, 12\) .*float64"),
    ],
)
def test_search_rejects_invalid_arguments(index_class: type[Any], change: dict[str, Any], message: str) -> None:
    index, queries = two_row_index(index_class)
    with raises_before_faiss(message):
        index.search(**{"queries": queries, "probed_lists": np.full((2, 5), -1), "k": 1, **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"radius": -1}, "radius=-1"),
        ({"probed_lists": np.full(5, 5)}, "probed_lists .*5.* -1 to 4"),
        ({"probed_lists": np.full(4, -1)}, r"probed_lists .*\(1, 5\) int64"),
        ({"probed_lists": np.array([1, 1, -1, -1, -1])}, r"probed_lists\[0\]"),
        ({"query": np.zeros((1, 2), np.uint8)}, r"codes .*\(1, 1, 2\) .*uint8"),
        ({"query": np.zeros(3, np.uint8)}, r"codes .*\(1, 3\) .*uint8"),
        ({"query": np.full(2, 255, np.uint8)}, r"codes\[0\] .*12 bits"),
    ],
)
def test_range_search_rejects_invalid_arguments(change: dict[str, Any], message: str) -> None:
    index, queries = two_row_index(HashIndex)
    with raises_before_faiss(message):
        index.range_search(**{"query": queries[0], "probed_lists": np.full(5, -1), "radius": 1, **change})


def test_radius_above_bits_returns_all_rows() -> None:
    index, queries = two_row_index(HashIndex)
    assert index.range_search(queries[0], np.arange(5), 10**12).rows.tolist() == [[3, 4]]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_embeddings_must_be_finite(value: float) -> None:
    vectors = FLOATS.copy()
    vectors[1, 3] = value
    with raises_before_faiss(r"embeddings\[1\] .*NaN"):
        FloatIndex(12, 5).add(vectors, **NEW_ROWS)
    with raises_before_faiss(r"embeddings\[1\] .*NaN"):
        FloatIndex(12, 5).search(vectors, np.full((2, 5), -1), 1)


def test_codes_with_nonzero_padding_are_rejected() -> None:
    with raises_before_faiss(r"codes\[0\] .*12 bits"):
        HashIndex(12, 5).add(np.full((2, 2), 255, np.uint8), **NEW_ROWS)


@pytest.mark.parametrize(
    ("make_index", "message"),
    [
        (lambda: HashIndex(0, 5), "bits=0"),
        (lambda: HashIndex(8, 0), "num_lists=0"),
        (lambda: FloatIndex(0, 5), "dimensions=0"),
        (lambda: FloatIndex(8, 0), "num_lists=0"),
    ],
)
def test_sizes_must_be_positive(make_index: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_index()


@pytest.mark.parametrize("value", [1e17, np.nan, -np.inf])
def test_embeddings_whose_squares_overflow_are_rejected(value: float) -> None:
    vectors = FLOATS.copy()
    vectors[1, 3] = value
    index, _ = two_row_index(FloatIndex)
    with raises_before_faiss(r"embeddings\[1\] .*1e\+16"):
        index.search(vectors, np.tile(np.arange(5), (2, 1)), 3)


@pytest.mark.parametrize("k", [2.5, "3"])
def test_k_must_be_an_integer(k: Any) -> None:
    index, vectors = two_row_index(HashIndex)
    with raises_before_faiss(f"k={k!r}"):
        index.search(vectors, np.tile(np.arange(5), (2, 1)), k)
