"""A gallery in memory: what is filed, added, removed and packed closely is found under its own name."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.gallery import embeddings as module
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.index.indexes import FloatIndex, HashIndex
from fashion_lsh.models.encoding import Encoded
from fashion_lsh.search.policy import Search
from fashion_lsh.search.searcher import Searcher
from tests.gallery.factories import BITS, Fake, catalogue, filed, pictures
from tests.search.factories import PLAIN

both = pytest.mark.parametrize("bits", [BITS, None])
ways = pytest.mark.parametrize(
    ("distance", "bits"),
    [("hamming", BITS), ("shortlist", BITS), ("tie_break", BITS), ("weighted", BITS), ("euclidean", BITS),
     ("euclidean", None)],
)  # fmt: skip


def part(encoded: Encoded, rows: np.ndarray) -> Encoded:
    codes = None if encoded.codes is None else encoded.codes[rows]
    return Encoded(encoded.masses[rows], codes, encoded.embeddings[rows])


def asking(gallery: Gallery, distance: Any, bits: int | None) -> Searcher:
    return Searcher(Fake(bits), gallery, Search(distance, "all", 10**6, **PLAIN))


def named(searcher: Searcher, queries: Encoded, k: int) -> list[list[tuple[str, float]]]:
    """The hits of each query as (id, distance)."""
    hits = searcher.hits(queries, k)
    hits.check()
    ids = searcher.gallery.catalogue.column("id")
    return [
        [(str(ids[line]), float(apart)) for line, apart in zip(lines, distances, strict=True) if line >= 0]
        for lines, distances in zip(hits.rows, hits.distances, strict=True)
    ]


def levels(found: list[list[tuple[str, float]]]) -> list[list[tuple[float, str]]]:
    """All hits by (distance, id): the order of equally near ones left out."""
    return [sorted((apart, name) for name, apart in one) for one in found]


def test_each_row_is_filed_under_its_predicted_category() -> None:
    gallery, encoded = filed(), pictures(0, 40)
    assert isinstance(gallery.index, HashIndex)
    assert (gallery.index.bits, gallery.index.lists) == (BITS, 4)
    assert gallery.lists.tolist() == [int(np.argmax(masses)) for masses in encoded.masses]
    assert np.array_equal(gallery.codes, encoded.codes)
    assert gallery.rows.tolist() == list(range(40))
    assert np.array_equal(gallery.embeddings[gallery.rows], encoded.embeddings)
    assert (len(gallery), gallery.holes, gallery.fingerprint) == (40, 0, "one model")


def test_without_a_hash_layer_embeddings_are_filed() -> None:
    gallery, encoded = filed(None), pictures(0, 40, None)
    assert isinstance(gallery.index, FloatIndex)
    assert gallery.codes is None
    assert gallery.lists.tolist() == encoded.predicted.tolist()
    assert np.array_equal(gallery.index.contents()[2], encoded.embeddings)


@both
def test_no_second_copy_of_the_embeddings_is_kept(bits: int | None) -> None:
    gallery = filed(bits)
    read = [array for array in (gallery.rows, gallery.lists, gallery.codes) if array is not None]
    held = [each for value in vars(gallery).values() for each in (value if isinstance(value, tuple) else [value])]
    assert {id(each) for each in held if isinstance(each, np.ndarray)} == {id(array) for array in read}


@both
def test_pictures_and_catalogue_of_different_lengths_are_not_filed(bits: int | None) -> None:
    with pytest.raises(ValueError, match=r"give \(40,\) int64"):
        Gallery.filed(Fake(bits), pictures(0, 40, bits), catalogue(39))


@pytest.mark.parametrize("short", ["embeddings", "catalogue"])
def test_parts_of_different_galleries_are_not_joined(short: str) -> None:
    whole = filed()
    parts: dict[str, Any] = {"embeddings": whole.embeddings, "catalogue": whole.catalogue}
    parts[short] = whole.embeddings.taken(np.arange(39)) if short == "embeddings" else catalogue(39)
    with pytest.raises(ValueError, match=r"they are of different galleries"):
        Gallery(whole.index, parts["embeddings"], parts["catalogue"], "one model")


@ways
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(-9, 9), max_size=6))
@settings(max_examples=25, deadline=None)
def test_added_then_removed_is_never_added(distance: str, bits: int | None, seed: int, steps: list[int]) -> None:
    """A step adds so many, or removes so many at random; what remains is filed anew beside."""
    rng, everything, queries = np.random.default_rng(seed), pictures(seed, 70, bits), pictures(seed + 1, 3, bits)
    here, total = list(range(10)), 10
    gallery = Gallery.filed(Fake(bits), part(everything, np.arange(10)), catalogue(10))
    asked = asking(gallery, distance, bits)
    for step in steps:
        if step >= 0:
            new = np.arange(total, total + step)
            gallery.add(part(everything, new), catalogue(step, total))
            here, total = [*here, *new.tolist()], total + step
        else:
            gone = rng.permutation(here)[:-step].tolist()
            gallery.remove(np.array([f"garment {row}" for row in gone], dtype=str))
            here = [row for row in here if row not in gone]
        lines = Catalogue(catalogue(total).table.take(here)) if here else catalogue(0)
        never = Gallery.filed(Fake(bits), part(everything, np.array(here, dtype=np.int64)), lines)
        assert (len(gallery), gallery.holes) == (len(here), total - len(here))
        assert gallery.catalogue.checksum == never.catalogue.checksum
        k = total if distance == "euclidean" else 4  # where FAISS leaves no tie at the last hit open
        assert named(asked, queries, k) == named(asking(never, distance, bits), queries, k)


@ways
def test_compact_changes_no_answer_and_leaves_no_hole(distance: str, bits: int | None) -> None:
    gallery, queries = filed(bits), pictures(1, 5, bits)
    asked = asking(gallery, distance, bits)
    gallery.add(pictures(2, 30, bits), catalogue(30, 40))
    gallery.remove(gallery.catalogue.column("id")[::3].astype(str))
    before = named(asked, queries, 99)
    gallery.compact()
    assert levels(named(asked, queries, 99)) == levels(before)
    assert [len(found) for found in before] == [len(gallery)] * 5
    assert (len(gallery), gallery.holes, len(gallery.embeddings.segments)) == (46, 0, 1)
    assert gallery.rows.tolist() == list(range(46))
    assert (np.diff(gallery.lists) >= 0).all()
    gallery.add(pictures(3, 5, bits), catalogue(5, 70))
    gallery.remove(np.array([f"garment {row}" for row in range(70, 75)]))
    assert levels(named(asked, queries, 99)) == levels(before)


@both
def test_each_garment_keeps_its_own_line_code_and_embedding(bits: int | None) -> None:
    encoded, more = pictures(0, 40, bits), pictures(2, 30, bits)
    whole, gallery = Encoded.joined([encoded, more]), filed(bits)
    gallery.add(more, catalogue(30, 40))
    gallery.remove(gallery.catalogue.column("id")[5:25].astype(str))
    for _ in range(2):
        numbers = np.array([int(name.split()[1]) for name in gallery.catalogue.column("id")])
        assert set(numbers) == set(range(70)) - set(range(5, 25))
        assert np.array_equal(gallery.lists, whole.predicted[numbers])
        assert np.array_equal(gallery.embeddings[gallery.rows], whole.embeddings[numbers])
        if whole.codes is not None:
            assert gallery.codes is not None
            assert np.array_equal(gallery.codes, whole.codes[numbers])
        gallery.compact()


@pytest.mark.parametrize("block", [1, 7, 100])
def test_the_float_index_of_codes_holds_all_embeddings_in_their_lists(block: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    gallery = filed()
    gallery.add(pictures(2, 30), catalogue(30, 40))
    gallery.remove(gallery.catalogue.column("id")[10:45].astype(str))
    rows, lists, vectors = gallery.float_index.contents()
    assert np.array_equal(rows, gallery.rows)
    assert np.array_equal(lists, gallery.lists)
    assert np.array_equal(vectors, gallery.embeddings[rows])
    assert filed(None).float_index.contents()[2].dtype == np.float32


def nothing_changes(gallery: Gallery, bits: int | None) -> list[Any]:
    return [len(gallery), gallery.holes, gallery.catalogue.checksum, gallery.index.stats(), len(gallery.embeddings)]


@both
def test_what_cannot_be_added_is_named_and_changes_nothing(bits: int | None) -> None:
    gallery, new = filed(bits), pictures(2, 3, bits)
    before = nothing_changes(gallery, bits)
    lost, wide = np.full_like(new.embeddings, np.nan), np.zeros((3, 7), np.float32)
    cases: list[tuple[Encoded, Catalogue, str]] = [
        (new, catalogue(3, 38), r"'garment 38' is in the gallery already \(2 of 3 are\): remove it first"),
        (new, catalogue(2, 40), r"are \(2,\) int64: give \(3,\) int64"),
        (new, catalogue(4, 40), r"are \(4,\) int64: give \(3,\) int64"),
        (new._replace(embeddings=lost), catalogue(3, 40), "embedding 0 is not finite"),
        (new._replace(embeddings=wide), catalogue(3, 40), "all of one D"),
        (new._replace(masses=np.eye(9, dtype=np.float32)[6:]), catalogue(3, 40), "lists hold 6"),
    ]
    if bits:
        none = new._replace(codes=None)
        cases.append((none, catalogue(3, 40), "the gallery holds codes, and these pictures have none"))
        cases.append((new._replace(codes=np.zeros((3, 3), np.uint8)), catalogue(3, 40), "codes of 9 bits are"))
    for encoded, lines, message in cases:
        with pytest.raises(ValueError, match=message):
            gallery.add(encoded, lines)
        assert nothing_changes(gallery, bits) == before


@both
@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["garment 1", "garment 99"], "'garment 99' is not in the gallery: 1 of 2 ids are not"),
        (["garment 1", "garment 1"], "'garment 1' stands twice among the ids: name each once"),
        (["1"], "'1' is not in the gallery"),
    ],
)
def test_what_cannot_be_removed_is_named_and_changes_nothing(bits: int | None, ids: list[str], message: str) -> None:
    gallery = filed(bits)
    before = nothing_changes(gallery, bits)
    with pytest.raises(ValueError, match=message):
        gallery.remove(np.array(ids))
    assert nothing_changes(gallery, bits) == before


@both
def test_all_can_be_removed_and_others_added(bits: int | None) -> None:
    gallery, queries = filed(bits), pictures(1, 5, bits)
    asked = asking(gallery, "hamming" if bits else "euclidean", bits)
    gallery.remove(gallery.catalogue.column("id").astype(str))
    for _ in range(2):
        assert (len(gallery), named(asked, queries, 3)) == (0, [[]] * 5)
        gallery.compact()
    gallery.add(pictures(2, 2, bits), catalogue(2))
    assert [len(found) for found in named(asked, queries, 3)] == [2] * 5
