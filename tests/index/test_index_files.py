"""Saving and opening an index, with invalid files and full disks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from faiss.contrib import ivf_tools

from fashion_lsh.index.codes import pack
from fashion_lsh.index.indexes import FloatIndex, HashIndex
from tests.disks import full_disk
from tests.index.factories import assert_same_hits, both_index_classes, exact_search, index_and_dataset


@both_index_classes
def test_save_and_open_give_the_same_hits(index_class: type[Any], tmp_path: Path) -> None:
    index, dataset = index_and_dataset(index_class)
    index.remove(dataset.rows[:7])
    index.save(tmp_path / "index.faiss")
    opened = index_class.open(tmp_path / "index.faiss")
    for search in ("search", "search_exact") if index_class is HashIndex else ("search",):
        actual, expected = (getattr(each, search)(dataset.queries, dataset.probed_lists, 9) for each in (opened, index))
        assert_same_hits(actual, expected)
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
    HashIndex(bits, 30).save(tmp_path / "index.faiss")
    assert HashIndex.open(tmp_path / "index.faiss").bits == bits
    assert (tmp_path / "index.faiss").stat().st_size < 2000


def test_index_file_with_unpadded_codes_is_searched_and_extended(tmp_path: Path) -> None:
    index, dataset = index_and_dataset(HashIndex)
    quantiser = faiss.IndexBinaryFlat(16)
    quantiser.add(pack(np.ones((5, 12))))
    unpadded = faiss.IndexBinaryIVF(quantiser, 16, 5)
    ivf_tools.add_preassigned(
        unpadded, dataset.vectors[:40].copy(), dataset.list_ids[:40].copy(), dataset.rows[:40].copy()
    )
    faiss.write_index_binary(unpadded, str(tmp_path / "unpadded.faiss"))
    opened = HashIndex.open(tmp_path / "unpadded.faiss")
    assert (opened.bits, opened.stats().vector_bytes) == (12, 40 * 2)
    opened.add(dataset.vectors[40:], dataset.list_ids[40:], dataset.rows[40:])
    for actual, expected in zip(opened.contents(), index.contents(), strict=True):
        assert np.array_equal(actual, expected)
    assert_same_hits(exact_search(opened, dataset.queries, dataset.probed_lists, 9), dataset.expected(9))
    assert opened.empty().stats() == HashIndex(12, 5).stats()


def test_index_file_stores_dimensions(tmp_path: Path) -> None:
    FloatIndex(7, 3).save(tmp_path / "index.faiss")
    assert FloatIndex.open(tmp_path / "index.faiss").dimensions == 7


def write_index_without_placeholders(path: Path) -> None:
    quantiser = faiss.IndexBinaryFlat(16)
    quantiser.add(np.array([[1, 2], [3, 4]], np.uint8))
    faiss.write_index_binary(faiss.IndexBinaryIVF(quantiser, 16, 2), str(path))


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
        (HashIndex, lambda path: faiss.write_index_binary(faiss.IndexBinaryFlat(8), str(path))),
        (FloatIndex, lambda path: faiss.write_index(faiss.IndexFlatL2(8), str(path))),
        (HashIndex, write_index_without_placeholders),
        (FloatIndex, write_inner_product_index),
    ],
)
def test_open_rejects_another_file_type(
    index_class: type[Any], write: Callable[[Path], object], tmp_path: Path
) -> None:
    write(tmp_path / "other.faiss")
    with pytest.raises(ValueError, match=rf"other\.faiss: .*{index_class.__name__}"):
        index_class.open(tmp_path / "other.faiss")


@both_index_classes
def test_open_rejects_truncated_file(index_class: type[Any], tmp_path: Path) -> None:
    index, _ = index_and_dataset(index_class)
    index.save(tmp_path / "index.faiss")
    content = (tmp_path / "index.faiss").read_bytes()
    for size in range(0, len(content), 37):
        (tmp_path / "index.faiss").write_bytes(content[:size])
        with pytest.raises(ValueError, match=r"index\.faiss"):
            index_class.open(tmp_path / "index.faiss")


@both_index_classes
@pytest.mark.parametrize(("field", "value"), [("is_trained", False), ("ntotal", 61)])
def test_open_rejects_header_that_is_inconsistent_with_the_lists(
    index_class: type[Any], field: str, value: int, tmp_path: Path
) -> None:
    index, _ = index_and_dataset(index_class)
    setattr(index._index, field, value)
    index.save(tmp_path / "index.faiss")
    with pytest.raises(ValueError, match=r"index\.faiss"):
        index_class.open(tmp_path / "index.faiss")


@both_index_classes
def test_open_rejects_missing_file(index_class: type[Any], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.faiss"):
        index_class.open(tmp_path / "absent.faiss")


@both_index_classes
def test_failed_save_keeps_the_old_file(index_class: type[Any], tmp_path: Path) -> None:
    index, dataset = index_and_dataset(index_class)
    index_class(12, 5).save(tmp_path / "index.faiss")
    with full_disk(600), pytest.raises(OSError, match=r"index\.faiss"):
        index.save(tmp_path / "index.faiss")
    assert [path.name for path in tmp_path.iterdir()] == ["index.faiss"]
    assert len(index_class.open(tmp_path / "index.faiss")) == 0
    assert len(dataset.rows) == len(index)
