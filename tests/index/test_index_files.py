"""The file of an index: what it tells, what is refused, what a full disk leaves."""

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
from tests.index.factories import assert_same, kinds, made_for, to_the_row


@kinds
def test_saved_then_opened_gives_the_same_hits(kind: type[Any], tmp_path: Path) -> None:
    index, made = made_for(kind)
    index.remove(made.rows[:7])
    index.save(tmp_path / "index.faiss")
    opened = kind.open(tmp_path / "index.faiss")
    for search in ("search", "nearest") if kind is HashIndex else ("search",):
        ours, theirs = (getattr(one, search)(made.queries, made.probes, 9) for one in (opened, index))
        assert_same(ours, theirs)
    assert (opened.lists, opened.stats()) == (5, index.stats())
    with pytest.raises(ValueError, match=f"row {made.rows[7]} is in the index already"):
        opened.add(made.vectors[:1], made.lists[:1], made.rows[7:8])
    opened.add(made.vectors[:7], made.lists[:7], made.rows[:7])
    assert (len(opened), len(index)) == (60, 53)
    assert_same(to_the_row(opened, made.queries, made.probes, 9), made.expected(9))
    opened.remove(made.rows)
    assert len(opened) == 0


@pytest.mark.parametrize("bits", [1, 8, 12, 16, 130, 300])
def test_a_file_tells_its_bits_and_is_small(bits: int, tmp_path: Path) -> None:
    HashIndex(bits, 30).save(tmp_path / "index.faiss")
    assert HashIndex.open(tmp_path / "index.faiss").bits == bits
    assert (tmp_path / "index.faiss").stat().st_size < 2000


def test_a_file_whose_codes_are_not_widened_answers_and_grows(tmp_path: Path) -> None:
    index, made = made_for(HashIndex)
    quantiser = faiss.IndexBinaryFlat(16)
    quantiser.add(pack(np.ones((5, 12))))
    narrow = faiss.IndexBinaryIVF(quantiser, 16, 5)
    ivf_tools.add_preassigned(narrow, made.vectors[:40].copy(), made.lists[:40].copy(), made.rows[:40].copy())
    faiss.write_index_binary(narrow, str(tmp_path / "narrow.faiss"))
    opened = HashIndex.open(tmp_path / "narrow.faiss")
    assert (opened.bits, opened.stats().vector_bytes) == (12, 40 * 2)
    opened.add(made.vectors[40:], made.lists[40:], made.rows[40:])
    for ours, theirs in zip(opened.contents(), index.contents(), strict=True):
        assert np.array_equal(ours, theirs)
    assert_same(to_the_row(opened, made.queries, made.probes, 9), made.expected(9))
    assert opened.empty().stats() == HashIndex(12, 5).stats()


def test_a_file_tells_its_dimensions(tmp_path: Path) -> None:
    FloatIndex(7, 3).save(tmp_path / "index.faiss")
    assert FloatIndex.open(tmp_path / "index.faiss").dimensions == 7


def foreign(path: Path) -> None:
    quantiser = faiss.IndexBinaryFlat(16)
    quantiser.add(np.array([[1, 2], [3, 4]], np.uint8))
    faiss.write_index_binary(faiss.IndexBinaryIVF(quantiser, 16, 2), str(path))


def by_products(path: Path) -> None:
    quantiser = faiss.IndexFlatIP(8)
    quantiser.add(np.zeros((2, 8), np.float32))
    faiss.write_index(faiss.IndexIVFFlat(quantiser, 8, 2, faiss.METRIC_INNER_PRODUCT), str(path))


@pytest.mark.parametrize(
    ("kind", "write"),
    [
        (HashIndex, lambda path: FloatIndex(8, 2).save(path)),
        (FloatIndex, lambda path: HashIndex(8, 2).save(path)),
        (HashIndex, lambda path: path.write_bytes(b"")),
        (FloatIndex, lambda path: path.write_text("not an index")),
        (HashIndex, lambda path: faiss.write_index_binary(faiss.IndexBinaryFlat(8), str(path))),
        (FloatIndex, lambda path: faiss.write_index(faiss.IndexFlatL2(8), str(path))),
        (HashIndex, foreign),
        (FloatIndex, by_products),
    ],
)
def test_a_file_of_another_kind_is_refused(kind: type[Any], write: Callable[[Path], object], tmp_path: Path) -> None:
    write(tmp_path / "other.faiss")
    with pytest.raises(ValueError, match=rf"other\.faiss is no {kind.__name__}"):
        kind.open(tmp_path / "other.faiss")


@kinds
def test_a_file_cut_short_is_refused(kind: type[Any], tmp_path: Path) -> None:
    index, _ = made_for(kind)
    index.save(tmp_path / "index.faiss")
    content = (tmp_path / "index.faiss").read_bytes()
    for size in range(0, len(content), 37):
        (tmp_path / "index.faiss").write_bytes(content[:size])
        with pytest.raises(ValueError, match="is no "):
            kind.open(tmp_path / "index.faiss")


@kinds
@pytest.mark.parametrize(("field", "value"), [("is_trained", False), ("ntotal", 61)])
def test_a_header_that_denies_the_lists_is_refused(kind: type[Any], field: str, value: int, tmp_path: Path) -> None:
    index, _ = made_for(kind)
    setattr(index._index, field, value)
    index.save(tmp_path / "index.faiss")
    with pytest.raises(ValueError, match="is no "):
        kind.open(tmp_path / "index.faiss")


@kinds
def test_no_file_no_index(kind: type[Any], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no index at .*absent\.faiss"):
        kind.open(tmp_path / "absent.faiss")


@kinds
def test_a_save_that_fails_leaves_the_old_file(kind: type[Any], tmp_path: Path) -> None:
    index, made = made_for(kind)
    kind(12, 5).save(tmp_path / "index.faiss")
    with full_disk(600), pytest.raises(OSError, match=r"index\.faiss could not be written"):
        index.save(tmp_path / "index.faiss")
    assert [path.name for path in tmp_path.iterdir()] == ["index.faiss"]
    assert len(kind.open(tmp_path / "index.faiss")) == 0
    assert len(made.rows) == len(index)
