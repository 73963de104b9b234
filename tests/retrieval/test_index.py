"""Both indexes against brute force, and the laws they keep."""

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fashion_lsh.retrieval import index as module
from fashion_lsh.retrieval.codes import hamming, pack
from fashion_lsh.retrieval.distances import rerank
from fashion_lsh.retrieval.hits import Hits
from fashion_lsh.retrieval.index import FloatIndex, HashIndex, PartitionedIndex

kinds = pytest.mark.parametrize("kind", [HashIndex, FloatIndex])


@dataclass(frozen=True)
class Library:
    """Rows to file and queries to ask, of either kind."""

    vectors: np.ndarray
    lists: np.ndarray
    rows: np.ndarray
    queries: np.ndarray
    probes: np.ndarray

    def filed(self, index: PartitionedIndex, parts: int = 1) -> PartitionedIndex:
        for part in np.array_split(np.arange(len(self.rows)), parts):
            index.add(self.vectors[part], self.lists[part], self.rows[part])
        return index

    def expected(self, distances: np.ndarray, k: int) -> Hits:
        """Brute force: every pair's distance, (Q, N), sorted by (distance, row) within the probed lists."""
        probed = (self.lists[None, :, None] == self.probes[:, None, :]).any(axis=2)
        rows = np.full((len(self.queries), k), -1)
        nearest = np.full((len(self.queries), k), np.inf, dtype=np.float32)
        for query, asked in enumerate(distances):
            found = sorted((asked[n], self.rows[n]) for n in np.flatnonzero(probed[query]))[:k]
            rows[query, : len(found)] = [row for _, row in found]
            nearest[query, : len(found)] = [distance for distance, _ in found]
        return Hits(rows, nearest)


def library(seed: int, width: int, rows: int = 60, lists: int = 5, queries: int = 4, codes: bool = True) -> Library:
    """Few distinct vectors, so that many rows are equally near; a list may be empty, rows are far from 0..N."""
    rng = np.random.default_rng(seed)
    distinct = rng.normal(size=(max(1, rows // 4), width)).astype(np.float32)
    vectors = pack(distinct, 0.0) if codes else distinct
    probes = np.stack([np.where(rng.random(lists) < 0.5, rng.permutation(lists), -1) for _ in range(queries)])
    filed, asked = rng.integers(0, len(vectors), rows), rng.integers(0, len(vectors), queries)
    names = rng.choice(10 * rows + 1, rows, replace=False)
    return Library(vectors[filed], rng.integers(0, lists, rows), names, vectors[asked], probes)


def whole(made: Library, lists: int = 5) -> np.ndarray:
    return np.tile(np.arange(lists), (len(made.queries), 1))


def made_for(kind: type[Any], seed: int = 0, **sizes: int) -> tuple[Any, Library]:
    made = library(seed, 12, codes=kind is HashIndex, **sizes)
    return made.filed(kind(12, 5)), made


def assert_same(found: Hits, expected: Hits) -> None:
    found.check()
    assert np.array_equal(found.distances, expected.distances)
    assert np.array_equal(found.rows, expected.rows)


@given(st.integers(0, 2**32 - 1), st.integers(1, 130), st.integers(0, 60), st.integers(1, 70), st.integers(0, 5))
@settings(max_examples=150, deadline=None)
def test_codes_are_found_as_by_brute_force(seed: int, bits: int, rows: int, k: int, ahead: int) -> None:
    made = library(seed, bits, rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "AHEAD", 1 + ahead)  # small, so that ties go to the second scan
        found = made.filed(HashIndex(bits, 5), parts=3).search(made.queries, made.probes, k)
    assert_same(found, made.expected(hamming(made.queries, made.vectors), k))


def test_many_equal_codes_are_served_lowest_row_first() -> None:
    rows = np.random.default_rng(0).permutation(3000)
    index = HashIndex(64, 30)
    index.add(np.zeros((3000, 8), np.uint8), rows % 30, rows)
    found = index.search(np.zeros((2, 8), np.uint8), np.tile(np.arange(30), (2, 1)), 10)
    assert found.rows.tolist() == [list(range(10))] * 2
    assert not found.distances.any()


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(0, 60), st.integers(1, 70))
@settings(max_examples=60, deadline=None)
def test_embeddings_are_found_as_by_brute_force(seed: int, dimensions: int, rows: int, k: int) -> None:
    made = library(seed, dimensions, rows, codes=False)
    found = made.filed(FloatIndex(dimensions, 5), parts=3).search(made.queries, made.probes, k)
    found.check()
    apart = made.queries[:, None].astype(float) - made.vectors[None]
    expected = made.expected(np.sqrt((apart**2).sum(axis=2)), k)
    finite = np.isfinite(expected.distances)
    assert np.array_equal(np.isfinite(found.distances), finite)
    assert np.allclose(found.distances[finite], expected.distances[finite], atol=1e-5)
    equal = found.distances[:, 1:] == found.distances[:, :-1]
    assert (found.rows[:, 1:] > found.rows[:, :-1])[equal & finite[:, 1:]].all()


@given(st.integers(0, 2**32 - 1), st.integers(1, 130))
@settings(max_examples=30, deadline=None)
def test_a_mask_over_all_codes_changes_nothing(seed: int, bits: int) -> None:
    made = library(seed, bits)
    mask = pack(np.random.default_rng(seed).random((1, bits)))
    masked = Library(made.vectors ^ mask, made.lists, made.rows, made.queries ^ mask, made.probes)
    plain = made.filed(HashIndex(bits, 5)).search(made.queries, made.probes, 7)
    assert_same(masked.filed(HashIndex(bits, 5)).search(masked.queries, masked.probes, 7), plain)


@kinds
def test_all_lists_probed_are_the_whole_library(kind: type[Any]) -> None:
    index, made = made_for(kind)
    single = kind(12, 1)
    single.add(made.vectors, np.zeros_like(made.lists), made.rows)
    everything = single.search(made.queries, whole(made, 1), 60)
    assert_same(index.search(made.queries, whole(made), 60), everything)
    assert (everything.rows >= 0).all()


@kinds
def test_saved_then_opened_gives_the_same_hits(kind: type[Any], tmp_path: Path) -> None:
    index, made = made_for(kind)
    index.save(tmp_path / "index.faiss")
    opened = kind.open(tmp_path / "index.faiss")
    assert_same(opened.search(made.queries, made.probes, 9), index.search(made.queries, made.probes, 9))
    assert (len(opened), opened.lists) == (60, 5)
    assert np.array_equal(opened.list_sizes(), np.bincount(made.lists, minlength=5))
    with pytest.raises(ValueError, match=f"row {made.rows[0]} is in the index already"):
        opened.add(made.vectors[:1], made.lists[:1], made.rows[:1])
    opened.add(made.vectors[:1], made.lists[:1], np.array([10_000]))
    assert (len(opened), len(index)) == (61, 60)


@pytest.mark.parametrize("bits", [1, 8, 12, 16, 130])
def test_a_file_tells_its_bits_and_is_small(bits: int, tmp_path: Path) -> None:
    HashIndex(bits, 30).save(tmp_path / "index.faiss")
    assert HashIndex.open(tmp_path / "index.faiss").bits == bits
    assert (tmp_path / "index.faiss").stat().st_size < 1500


def test_a_file_tells_its_dimensions(tmp_path: Path) -> None:
    FloatIndex(7, 3).save(tmp_path / "index.faiss")
    assert FloatIndex.open(tmp_path / "index.faiss").dimensions == 7


@kinds
def test_batch_and_order_of_probes_do_not_matter(kind: type[Any]) -> None:
    index, made = made_for(kind, queries=20)
    together = index.search(made.queries, made.probes, 8)
    single = [index.search(made.queries[[q]], made.probes[[q], ::-1], 8) for q in range(20)]
    assert np.array_equal(together.distances, np.concatenate([hits.distances for hits in single]))
    if kind is HashIndex:  # the other leaves ties at the last hit to FAISS
        assert np.array_equal(together.rows, np.concatenate([hits.rows for hits in single]))


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


@kinds
def test_threads_do_not_matter(kind: type[Any]) -> None:
    found = []
    for count in (1, 3):
        with threads(count):
            index, made = made_for(kind, queries=30)
            found.append(index.search(made.queries, made.probes, 8))
    assert_same(*found)


def test_full_shortlist_reranked_is_exhaustive_euclid() -> None:
    codes, embeddings = library(0, 12), library(0, 12, codes=False)
    rows = np.arange(60)
    hashes, floats = HashIndex(12, 5), FloatIndex(12, 5)
    hashes.add(codes.vectors, codes.lists, rows)
    floats.add(embeddings.vectors, embeddings.lists, rows)
    shortlist = hashes.search(codes.queries, whole(codes), 60)
    reranked = rerank(embeddings.queries, shortlist, embeddings.vectors, 60)
    exhaustive = floats.search(embeddings.queries, whole(embeddings), 60)
    assert np.allclose(reranked.distances, exhaustive.distances, atol=1e-6)
    assert np.array_equal(reranked.rows, exhaustive.rows)


@kinds
@pytest.mark.parametrize("rows", [0, 60])
def test_contents_are_what_was_filed(kind: type[Any], rows: int) -> None:
    index, made = made_for(kind, rows=rows)
    order = np.argsort(made.rows)
    for held, filed in zip(index.contents(), (made.rows, made.lists, made.vectors), strict=True):
        assert held.dtype == filed.dtype
        assert np.array_equal(held, filed[order])


@kinds
def test_an_empty_index_answers_with_nothing(kind: type[Any]) -> None:
    _, made = made_for(kind)
    index = kind(12, 5)
    index.add(made.vectors[:0], made.lists[:0], made.rows[:0])
    found = index.search(made.queries, made.probes, 3)
    found.check()
    assert (found.rows == -1).all()
    assert (len(index), index.list_sizes().tolist()) == (0, [0] * 5)
    assert index.search(made.queries[:0], made.probes[:0], 3).rows.shape == (0, 3)


@kinds
def test_no_probe_no_hit_and_k_beyond_the_rows(kind: type[Any]) -> None:
    index, made = made_for(kind)
    assert (index.search(made.queries, np.full((4, 5), -1), 3).rows == -1).all()
    beyond = index.search(made.queries, whole(made), 1000)
    beyond.check()
    assert ((beyond.rows >= 0).sum(axis=1) == 60).all()


@kinds
def test_arrays_in_any_memory_order_serve(kind: type[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AHEAD", 0)  # codes always take the second scan
    index, made = made_for(kind)
    turned = kind(12, 5)
    turned.add(np.asfortranarray(made.vectors), np.repeat(made.lists, 2)[::2], np.repeat(made.rows, 2)[::2])
    for k in (1, 60) if kind is HashIndex else (60,):  # floats leave ties at the last hit to FAISS
        expected = index.search(made.queries, made.probes, k)
        assert_same(turned.search(np.asfortranarray(made.queries), np.asfortranarray(made.probes), k), expected)


CODES, FLOATS = np.zeros((2, 2), np.uint8), np.zeros((2, 12), np.float32)
ADDED = {"lists": np.array([0, 4]), "rows": np.array([7, 8])}


@kinds
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lists": np.array([0, 5])}, "lists hold 5: give numbers from 0 to 4"),
        ({"lists": np.array([0, -1])}, "lists hold -1"),
        ({"lists": np.array([0])}, r"lists are \(1,\) int64: give \(2,\) int64"),
        ({"lists": np.array([0.0, 1.0])}, r"lists are \(2,\) float64"),
        ({"rows": np.array([-1, 8])}, "rows hold -1"),
        ({"rows": np.array([7, 7])}, "row 7 is given more than once"),
        ({"rows": np.array([7, 3])}, "row 3 is in the index already"),
        ({"rows": np.array([[7, 8]])}, r"rows are \(1, 2\)"),
        ({"vectors": np.zeros((2, 5), np.uint8)}, r"\(2, 5\) uint8"),
        ({"vectors": np.zeros((2, 12))}, r"\(2, 12\) float64"),
        ({"vectors": np.zeros(2, np.uint8)}, r"\(2,\) uint8"),
    ],
)
def test_add_refuses_and_adds_nothing(kind: type[Any], change: dict[str, np.ndarray], message: str) -> None:
    index, vectors = kind(12, 5), CODES if kind is HashIndex else FLOATS
    index.add(vectors, ADDED["lists"], np.array([3, 4]))
    with pytest.raises(ValueError, match=message):
        index.add(**{"vectors": vectors, **ADDED, **change})
    assert len(index) == 2


@kinds
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 0}, "k=0"),
        ({"probes": np.full((2, 5), 5)}, "probes hold 5: give numbers from -1 to 4"),
        ({"probes": np.full((2, 5), -2)}, "probes hold -2"),
        ({"probes": np.zeros((2, 4), np.int64)}, r"give \(2, 5\) int64"),
        ({"probes": np.zeros((1, 5), np.int64)}, r"give \(2, 5\) int64"),
        ({"probes": np.zeros((2, 5), np.int32)}, "int32"),
        ({"probes": np.array([[0, 1, 2, 3, 4], [2, -1, -1, 2, -1]])}, "probes of query 1 name a list twice"),
        ({"queries": np.zeros((2, 5), np.uint8)}, r"\(2, 5\) uint8"),
    ],
)
def test_search_refuses(kind: type[Any], change: dict[str, Any], message: str) -> None:
    queries = CODES if kind is HashIndex else FLOATS
    with pytest.raises(ValueError, match=message):
        kind(12, 5).search(**{"queries": queries, "probes": np.full((2, 5), -1), "k": 1, **change})


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_embeddings_must_be_finite(bad: float) -> None:
    vectors = FLOATS.copy()
    vectors[1, 3] = bad
    with pytest.raises(ValueError, match="embedding 1 is not finite"):
        FloatIndex(12, 5).add(vectors, **ADDED)
    with pytest.raises(ValueError, match="embedding 1 is not finite"):
        FloatIndex(12, 5).search(vectors, np.full((2, 5), -1), 1)


def test_codes_must_keep_their_padding() -> None:
    with pytest.raises(ValueError, match="code 0 has bits set beyond its 12"):
        HashIndex(12, 5).add(np.full((2, 2), 255, np.uint8), **ADDED)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HashIndex(0, 5), "bits=0"),
        (lambda: HashIndex(8, 0), "lists=0"),
        (lambda: FloatIndex(0, 5), "dimensions=0"),
        (lambda: FloatIndex(8, 0), "lists=0"),
    ],
)
def test_sizes_are_at_least_one(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


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
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, before[1]))  # the disk is full after 600 bytes
    try:
        with pytest.raises(OSError, match=r"index\.faiss could not be written"):
            index.save(tmp_path / "index.faiss")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in tmp_path.iterdir()] == ["index.faiss"]
    assert len(kind.open(tmp_path / "index.faiss")) == 0
    assert len(made.rows) == len(index)
