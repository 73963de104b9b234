"""Building a gallery in memory, adding and removing garments, and compacting."""

from pathlib import Path
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
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.search.searcher import Searcher
from tests.gallery.factories import BITS, FakeModel, build_gallery, make_catalogue, random_encoded
from tests.index.factories import assert_same_hits
from tests.search.factories import POLICY_DEFAULTS

with_and_without_codes = pytest.mark.parametrize("bits", [BITS, None])
all_distances = pytest.mark.parametrize(
    ("distance", "bits"),
    [("hamming", BITS), ("rerank", BITS), ("tie_break", BITS), ("weighted", BITS), ("asymmetric", BITS),
     ("euclidean", BITS), ("euclidean", None)],
)  # fmt: skip


def subset(encoded: Encoded, rows: np.ndarray) -> Encoded:
    return Encoded(*(None if field is None else field[rows] for field in encoded))  # type: ignore[arg-type]


def make_searcher(gallery: Gallery, distance: Any, bits: int | None) -> Searcher:
    return Searcher(FakeModel(bits), gallery, SearchPolicy(distance, "all", 10**6, **POLICY_DEFAULTS))


def hits_by_id(searcher: Searcher, queries: Encoded, k: int) -> list[list[tuple[str, float]]]:
    """Hits of each query as (id, distance)."""
    hits = searcher.search_encoded(queries, k)
    hits.check()
    ids = searcher.gallery.catalogue.column("id")
    return [
        [(str(ids[row]), float(distance)) for row, distance in zip(rows, distances, strict=True) if row >= 0]
        for rows, distances in zip(hits.rows, hits.distances, strict=True)
    ]


def sort_ties(hits: list[list[tuple[str, float]]]) -> list[list[tuple[float, str]]]:
    """Sort the hits of each query by (distance, id), so that the order of tied hits is ignored."""
    return [sorted((distance, name) for name, distance in query_hits) for query_hits in hits]


def test_rows_are_indexed_under_the_predicted_category() -> None:
    gallery, encoded = build_gallery(), random_encoded(0, 40)
    assert isinstance(gallery.index, HashIndex)
    assert (gallery.index.bits, gallery.index.num_lists) == (BITS, 4)
    assert gallery.lists.tolist() == [int(np.argmax(probabilities)) for probabilities in encoded.probabilities]
    assert np.array_equal(gallery.codes, encoded.codes)
    assert gallery.rows.tolist() == list(range(40))
    assert np.array_equal(gallery.embeddings[gallery.rows], encoded.embeddings)
    assert (len(gallery), gallery.tombstones, gallery.fingerprint) == (40, 0, "one model")


def test_embeddings_are_indexed_without_a_hash_layer() -> None:
    gallery, encoded = build_gallery(None), random_encoded(0, 40, None)
    assert isinstance(gallery.index, FloatIndex)
    assert gallery.codes is None
    assert gallery.lists.tolist() == encoded.predicted.tolist()
    assert np.array_equal(gallery.index.contents()[2], encoded.embeddings)


@with_and_without_codes
def test_gallery_does_not_copy_embeddings(bits: int | None) -> None:
    gallery = build_gallery(bits)
    exposed_arrays = [array for array in (gallery.rows, gallery.lists, gallery.codes) if array is not None]
    values_by_attribute = [value if isinstance(value, tuple) else [value] for value in vars(gallery).values()]
    arrays = [value for values in values_by_attribute for value in values if isinstance(value, np.ndarray)]
    assert {id(array) for array in arrays} == {id(array) for array in exposed_arrays}


@with_and_without_codes
def test_build_rejects_a_catalogue_with_another_number_of_rows(bits: int | None) -> None:
    with pytest.raises(ValueError, match=r"\(40,\) int64"):
        Gallery.build(FakeModel(bits), random_encoded(0, 40, bits), make_catalogue(39))


@pytest.mark.parametrize("shortened_part", ["embeddings", "catalogue"])
def test_parts_of_different_galleries_are_rejected(shortened_part: str) -> None:
    gallery = build_gallery()
    parts: dict[str, Any] = {"embeddings": gallery.embeddings, "catalogue": gallery.catalogue}
    parts[shortened_part] = (
        gallery.embeddings.take(np.arange(39)) if shortened_part == "embeddings" else make_catalogue(39)
    )
    with pytest.raises(ValueError, match=r"index has 40 rows.*catalogue.*embeddings"):
        Gallery(gallery.index, parts["embeddings"], parts["catalogue"], "one model")


@all_distances
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(-9, 9), max_size=6))
@settings(max_examples=25, deadline=None)
def test_remove_undoes_add(distance: str, bits: int | None, seed: int, steps: list[int]) -> None:
    """After additions (positive steps) and random removals (negative steps), hits equal those of a new gallery."""
    rng, all_garments, queries = (
        np.random.default_rng(seed),
        random_encoded(seed, 70, bits),
        random_encoded(seed + 1, 3, bits),
    )
    remaining, total = list(range(10)), 10
    gallery = Gallery.build(FakeModel(bits), subset(all_garments, np.arange(10)), make_catalogue(10))
    searcher = make_searcher(gallery, distance, bits)
    for step in steps:
        if step >= 0:
            new_rows = np.arange(total, total + step)
            gallery.add(subset(all_garments, new_rows), make_catalogue(step, total))
            remaining, total = [*remaining, *new_rows.tolist()], total + step
        else:
            removed_rows = rng.permutation(remaining)[:-step].tolist()
            gallery.remove(np.array([f"garment {row}" for row in removed_rows], dtype=str))
            remaining = [row for row in remaining if row not in removed_rows]
        rows = Catalogue(make_catalogue(total).table.take(remaining)) if remaining else make_catalogue(0)
        expected = Gallery.build(FakeModel(bits), subset(all_garments, np.array(remaining, dtype=np.int64)), rows)
        assert (len(gallery), gallery.tombstones) == (len(remaining), total - len(remaining))
        assert gallery.catalogue.checksum == expected.catalogue.checksum
        k = total if distance == "euclidean" else 4  # all rows, since the order of tied hits is unspecified
        assert hits_by_id(searcher, queries, k) == hits_by_id(make_searcher(expected, distance, bits), queries, k)


@all_distances
def test_compact_keeps_hits_and_removes_tombstones(distance: str, bits: int | None) -> None:
    gallery, queries = build_gallery(bits), random_encoded(1, 5, bits)
    searcher = make_searcher(gallery, distance, bits)
    gallery.add(random_encoded(2, 30, bits), make_catalogue(30, 40))
    gallery.remove(gallery.catalogue.column("id")[::3].astype(str))
    expected = hits_by_id(searcher, queries, 99)
    gallery.compact()
    assert sort_ties(hits_by_id(searcher, queries, 99)) == sort_ties(expected)
    assert [len(hits) for hits in expected] == [len(gallery)] * 5
    assert (len(gallery), gallery.tombstones, len(gallery.embeddings.segments)) == (46, 0, 1)
    assert gallery.rows.tolist() == list(range(46))
    assert (np.diff(gallery.lists) >= 0).all()
    gallery.add(random_encoded(3, 5, bits), make_catalogue(5, 70))
    gallery.remove(np.array([f"garment {row}" for row in range(70, 75)]))
    assert sort_ties(hits_by_id(searcher, queries, 99)) == sort_ties(expected)


@with_and_without_codes
def test_rows_keep_their_catalogue_row_code_and_embedding(bits: int | None) -> None:
    encoded, added = random_encoded(0, 40, bits), random_encoded(2, 30, bits)
    all_encoded, gallery = Encoded.concatenate([encoded, added]), build_gallery(bits)
    gallery.add(added, make_catalogue(30, 40))
    gallery.remove(gallery.catalogue.column("id")[5:25].astype(str))
    for _ in range(2):
        numbers = np.array([int(name.split()[1]) for name in gallery.catalogue.column("id")])
        assert set(numbers) == set(range(70)) - set(range(5, 25))
        assert np.array_equal(gallery.lists, all_encoded.predicted[numbers])
        assert np.array_equal(gallery.embeddings[gallery.rows], all_encoded.embeddings[numbers])
        if all_encoded.codes is not None:
            assert gallery.codes is not None
            assert np.array_equal(gallery.codes, all_encoded.codes[numbers])
        gallery.compact()


@pytest.mark.parametrize("block", [1, 7, 100])
def test_float_index_contains_all_embeddings_in_their_lists(block: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    gallery = build_gallery()
    gallery.add(random_encoded(2, 30), make_catalogue(30, 40))
    gallery.remove(gallery.catalogue.column("id")[10:45].astype(str))
    rows, lists, vectors = gallery.float_index.contents()
    assert np.array_equal(rows, gallery.rows)
    assert np.array_equal(lists, gallery.lists)
    assert np.array_equal(vectors, gallery.embeddings[rows])
    assert build_gallery(None).float_index.contents()[2].dtype == np.float32


def gallery_state(gallery: Gallery, bits: int | None) -> list[Any]:
    return [
        len(gallery),
        gallery.tombstones,
        gallery.catalogue.checksum,
        gallery.index.stats(),
        len(gallery.embeddings),
    ]


@with_and_without_codes
def test_rejected_addition_does_not_change_the_gallery(bits: int | None) -> None:
    gallery, new = build_gallery(bits), random_encoded(2, 3, bits)
    before = gallery_state(gallery, bits)
    nan_embeddings, wide_embeddings = np.full_like(new.embeddings, np.nan), np.zeros((3, 7), np.float32)
    cases: list[tuple[Encoded, Catalogue, str]] = [
        (new, make_catalogue(3, 38), r"2 of 3 ids .*'garment 38'"),
        (new, make_catalogue(2, 40), r"\(2,\) .*int64.*\(3,\) int64"),
        (new, make_catalogue(4, 40), r"\(4,\) .*int64.*\(3,\) int64"),
        (new._replace(embeddings=nan_embeddings), make_catalogue(3, 40), r"embeddings\[0\] .*NaN"),
        (new._replace(embeddings=wide_embeddings), make_catalogue(3, 40), "segments .*same D"),
        (new._replace(probabilities=np.eye(9, dtype=np.float32)[6:]), make_catalogue(3, 40), "list_ids .*6"),
    ]
    if bits:
        cases.append((new._replace(codes=None), make_catalogue(3, 40), "encoded.codes=None"))
        cases.append((new._replace(codes=np.zeros((3, 3), np.uint8)), make_catalogue(3, 40), "codes .*9 bits"))
    for encoded, rows, message in cases:
        with pytest.raises(ValueError, match=message):
            gallery.add(encoded, rows)
        assert gallery_state(gallery, bits) == before


@with_and_without_codes
@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["garment 1", "garment 99"], "id='garment 99' .*1 of 2"),
        (["garment 1", "garment 1"], "id='garment 1' "),
        (["1"], "id='1' "),
    ],
)
def test_rejected_removal_does_not_change_the_gallery(bits: int | None, ids: list[str], message: str) -> None:
    gallery = build_gallery(bits)
    before = gallery_state(gallery, bits)
    with pytest.raises(ValueError, match=message):
        gallery.remove(np.array(ids))
    assert gallery_state(gallery, bits) == before


@with_and_without_codes
def test_gallery_can_be_emptied_and_refilled(bits: int | None) -> None:
    gallery, queries = build_gallery(bits), random_encoded(1, 5, bits)
    searcher = make_searcher(gallery, "hamming" if bits else "euclidean", bits)
    gallery.remove(gallery.catalogue.column("id").astype(str))
    for _ in range(2):
        assert (len(gallery), hits_by_id(searcher, queries, 3)) == (0, [[]] * 5)
        gallery.compact()
    gallery.add(random_encoded(2, 2, bits), make_catalogue(2))
    assert [len(hits) for hits in hits_by_id(searcher, queries, 3)] == [2] * 5


def test_gallery_without_embeddings_is_updated_and_saved(tmp_path: Path) -> None:
    gallery, whole = (build_gallery(store_embeddings=stored) for stored in (False, True))
    assert (gallery.has_embeddings, whole.has_embeddings) == (False, True)
    queries, policy = random_encoded(1, 5), SearchPolicy("asymmetric", "all")
    for each in (gallery, whole):
        each.add(random_encoded(2, 7), make_catalogue(7, 40))
        each.remove(each.catalogue.column("id")[::5].astype(str))
    gallery.save(tmp_path)
    opened = Gallery.open(tmp_path, gallery.fingerprint, verify_embeddings=True)
    assert opened.embeddings.shape == (47, 0)
    assert opened.tombstones == whole.tombstones == 10
    for each in (gallery, opened):
        assert_same_hits(*(Searcher(FakeModel(), g, policy).search_encoded(queries, 50) for g in (each, whole)))
    opened.compact()
    whole.compact()
    assert_same_hits(*(Searcher(FakeModel(), g, policy).search_encoded(queries, 50) for g in (opened, whole)))


def test_asymmetric_search_of_a_gallery_without_codes_is_rejected() -> None:
    with pytest.raises(ValueError, match="search=asymmetric needs codes"):
        _ = build_gallery(None).code_lists
