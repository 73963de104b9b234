"""Saving and opening an index, with invalid files and full disks."""

import pickle
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fashion_lsh.index.indexes import FloatIndex, HashIndex
from tests.disks import full_disk
from tests.index.factories import assert_same_hits, both_index_classes, exact_search, index_and_dataset


@both_index_classes
def test_save_and_open_give_the_same_hits(index_class: type[Any], tmp_path: Path) -> None:
    index, dataset = index_and_dataset(index_class)
    index.remove(dataset.rows[:7])
    index.save(tmp_path / "index.bin")
    opened = index_class.open(tmp_path / "index.bin")
    assert_same_hits(*(each.search(dataset.queries, dataset.probed_lists, 9) for each in (opened, index)))
    assert (opened.num_lists, opened.stats()) == (5, index.stats())
    with pytest.raises(ValueError, match=f"row {dataset.rows[7]} "):
        opened.add(dataset.vectors[:1], dataset.list_ids[:1], dataset.rows[7:8])
    opened.add(dataset.vectors[:7], dataset.list_ids[:7], dataset.rows[:7])
    assert (len(opened), len(index)) == (60, 53)
    assert_same_hits(exact_search(opened, dataset.queries, dataset.probed_lists, 9), dataset.expected(9))
    opened.remove(dataset.rows)
    assert len(opened) == 0


@pytest.mark.parametrize("bits", [1, 8, 12, 16, 130, 300])
def test_index_file_stores_bits_and_is_small(bits: int, tmp_path: Path) -> None:
    HashIndex(bits, 30).save(tmp_path / "index.bin")
    assert HashIndex.open(tmp_path / "index.bin").bits == bits
    assert (tmp_path / "index.bin").stat().st_size < 2000


def test_index_file_stores_dimensions(tmp_path: Path) -> None:
    FloatIndex(7, 3).save(tmp_path / "index.bin")
    assert FloatIndex.open(tmp_path / "index.bin").dimensions == 7


def npy_bytes(*arrays: np.ndarray) -> bytes:
    """Contents of a file with arrays in the npy format, one after the other."""
    file = BytesIO()
    for array in arrays:
        np.save(file, array)
    return file.getvalue()


def write_inner_product_index(path: Path) -> None:
    quantiser = faiss.IndexFlatIP(8)
    quantiser.add(np.zeros((2, 8), np.float32))
    faiss.write_index(faiss.IndexIVFFlat(quantiser, 8, 2, faiss.METRIC_INNER_PRODUCT), str(path))


@pytest.mark.parametrize(
    ("index_class", "write"),
    [
        (HashIndex, lambda path: FloatIndex(8, 2).save(path)),
        (FloatIndex, lambda path: HashIndex(8, 2).save(path)),
        (HashIndex, lambda path: path.write_bytes(b"")),
        (FloatIndex, lambda path: path.write_text("not an index")),
        (HashIndex, lambda path: path.write_bytes(npy_bytes(np.array([8, 0, 0])))),
        (FloatIndex, lambda path: faiss.write_index(faiss.IndexFlatL2(8), str(path))),
        (HashIndex, lambda path: path.write_bytes(pickle.dumps(np.arange(3)))),
        (HashIndex, lambda path: path.write_bytes(npy_bytes(np.array([{"bits": 8}])))),
        (FloatIndex, write_inner_product_index),
    ],
)
def test_open_rejects_another_file_type(
    index_class: type[Any], write: Callable[[Path], object], tmp_path: Path
) -> None:
    write(tmp_path / "other.bin")
    with pytest.raises(ValueError, match=rf"other\.bin: .*{index_class.__name__}"):
        index_class.open(tmp_path / "other.bin")


@both_index_classes
def test_open_rejects_truncated_file(index_class: type[Any], tmp_path: Path) -> None:
    index, _ = index_and_dataset(index_class)
    index.save(tmp_path / "index.bin")
    content = (tmp_path / "index.bin").read_bytes()
    for size in range(0, len(content), 37):
        (tmp_path / "index.bin").write_bytes(content[:size])
        with pytest.raises(ValueError, match=r"index\.bin"):
            index_class.open(tmp_path / "index.bin")


@pytest.mark.parametrize(("field", "value"), [("is_trained", False), ("ntotal", 61)])
def test_open_rejects_faiss_header_that_is_inconsistent_with_the_lists(field: str, value: int, tmp_path: Path) -> None:
    index, _ = index_and_dataset(FloatIndex)
    setattr(index._index, field, value)
    index.save(tmp_path / "index.bin")
    with pytest.raises(ValueError, match=r"index\.bin"):
        FloatIndex.open(tmp_path / "index.bin")


CODES = np.array([[1, 0, 0, 0], [2, 0, 0, 0], [255, 15, 0, 0]], np.uint8)  # 12 bits, stored in 4 bytes


def test_file_of_a_hash_index_has_three_arrays(tmp_path: Path) -> None:
    (tmp_path / "index.bin").write_bytes(npy_bytes(np.array([12, 0, 2, 2, 3]), np.array([9, 5, 7]), CODES))
    index = HashIndex.open(tmp_path / "index.bin")
    assert (index.bits, index.num_lists, index.list_sizes().tolist()) == (12, 3, [2, 0, 1])
    index.add(CODES[:2, :2], np.array([1, 0]), np.array([6, 8]))
    rows, list_ids, codes = index.contents()
    assert (rows.tolist(), list_ids.tolist()) == ([5, 6, 7, 8, 9], [0, 1, 2, 0, 0])
    assert np.array_equal(codes, CODES[[1, 0, 2, 1, 0], :2])
    assert index.search(CODES[1:2, :2], np.array([[0, -1, -1]]), 3).rows.tolist() == [[5, 8, 9]]


@pytest.mark.parametrize(
    "arrays",
    [
        (np.array([0, 0, 3]), np.arange(3), CODES),  # 0 bits
        (np.array([33, 0, 3]), np.arange(3), CODES),  # 33 bits need 8 bytes
        (np.array([11, 0, 3]), np.arange(3), CODES),  # bit 11 of the last code is set
        (np.array([8, 0, 3]), np.arange(3), CODES),  # bits 8 to 11 of the last code are set
        (np.array([12, 0]), np.arange(0), CODES[:0]),  # no list
        (np.array([12, 1, 3]), np.arange(3), CODES),  # the first list does not start at 0
        (np.array([12, 0, 2, 1, 3]), np.arange(3), CODES),  # a negative size
        (np.array([12, 0, 4]), np.arange(3), CODES),  # more rows than in the file
        (np.array([12, 0, 3]), np.arange(3), CODES[:2]),  # fewer codes than rows
        (np.array([12, 0, 3]), np.array([0, 1, -1]), CODES),  # a negative row
        (np.array([12, 0, 2, 3]), np.array([0, 1, 0]), CODES),  # row 0 is in two lists
        (np.array([12.0, 0, 3]), np.arange(3), CODES),
        (np.array([12, 0, 3]), np.arange(3.0), CODES),
        (np.array([12, 0, 3]), np.arange(3), CODES.astype(np.int8)),
        (np.array([12, 0, 3]), np.arange(3), CODES, CODES),  # trailing bytes
    ],
)
def test_open_rejects_inconsistent_arrays(arrays: tuple[np.ndarray, ...], tmp_path: Path) -> None:
    (tmp_path / "index.bin").write_bytes(npy_bytes(*arrays))
    with pytest.raises(ValueError, match=r"index\.bin: .*HashIndex"):
        HashIndex.open(tmp_path / "index.bin")


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_open_survives_any_changed_byte(data: st.DataObject) -> None:
    """A file with a changed byte is rejected, or opens as an index that can be searched."""
    content = bytearray(npy_bytes(np.array([12, 0, 2, 2, 3]), np.array([5, 9, 7]), CODES))
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "index.bin"
        path.write_bytes(content)
        try:
            index = HashIndex.open(path)
        except ValueError as error:
            assert "index.bin" in str(error)  # noqa: PT017
        else:
            query, lists = np.zeros((1, -(-index.bits // 8)), np.uint8), np.arange(index.num_lists)[None]
            index.search(query, lists, 5).check()


@both_index_classes
def test_open_rejects_missing_file(index_class: type[Any], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.bin"):
        index_class.open(tmp_path / "absent.bin")


@both_index_classes
def test_failed_save_keeps_the_old_file(index_class: type[Any], tmp_path: Path) -> None:
    index, dataset = index_and_dataset(index_class)
    index_class(12, 5).save(tmp_path / "index.bin")
    with full_disk(600), pytest.raises(OSError, match=r"index\.bin"):
        index.save(tmp_path / "index.bin")
    assert [path.name for path in tmp_path.iterdir()] == ["index.bin"]
    assert len(index_class.open(tmp_path / "index.bin")) == 0
    assert len(dataset.rows) == len(index)
