"""Every way to search against brute force, and the laws it keeps."""

from dataclasses import replace
from math import ceil
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fashion_lsh.data.crops import crop_image
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.index.hits import Hits
from fashion_lsh.index.inverted_lists import threads
from fashion_lsh.models.encoding import Encoded, Model, encode
from fashion_lsh.search.policy import Probes, Search
from fashion_lsh.search.searcher import Searcher
from tests.gallery.factories import BITS, CATEGORIES, Fake, catalogue, filed, pictures
from tests.index.factories import assert_inside, assert_same, padded
from tests.search.factories import PLAIN, lists_of

PROBES: list[Probes] = [1, 3, "all", 0.6, 0.95]
by_codes = ("hamming", "shortlist", "tie_break", "weighted")
distances = pytest.mark.parametrize("distance", [*by_codes, "euclidean"])
seeds = st.integers(0, 2**32 - 1)


def searcher(filed: Encoded, distance: Any, probes: Probes = 1, shortlist: int = 7) -> Searcher:
    return over(filed, Search(distance, probes, shortlist, **PLAIN))


def over(filed: Encoded, search: Search) -> Searcher:
    model: Model = Fake(None if filed.codes is None else BITS)
    return Searcher(model, Gallery.filed(model, filed, catalogue(len(filed.masses))), search)


def bits_apart(one: np.ndarray, other: np.ndarray) -> int:
    return sum(int(a ^ b).bit_count() for a, b in zip(one.tolist(), other.tolist(), strict=True))


def order_of(search: Search, k: int, rows: list[tuple[int, np.float32, int]]) -> list[tuple[Any, ...]]:
    """Rows (Hamming, Euclid, row) in the order of this search: (distance, row)."""
    match search.distance:
        case "hamming":
            return sorted((near, row) for near, _, row in rows)
        case "euclidean":
            return sorted((apart, row) for _, apart, row in rows)
        case "shortlist":
            size = search.shortlist if isinstance(search.shortlist, int) else ceil(search.shortlist * len(rows))
            shortlist = sorted(rows, key=lambda one: (one[0], one[2]))[: max(k, size)]
            return sorted((apart, row) for _, apart, row in shortlist)
        case "tie_break":
            return [(near + apart / 4, row) for near, apart, row in sorted(rows)]
    weight = search.alpha
    return sorted((np.float32(weight / BITS * near + (1 - weight) / 2 * apart), row) for near, apart, row in rows)


def brute(asked: Encoded, filed: Encoded, search: Search, k: int) -> Hits:
    """What each query must get, found one pair at a time."""
    answers = []
    for query, masses in enumerate(asked.masses):
        rows = []
        for row in np.flatnonzero(np.isin(filed.predicted, lists_of(masses, search))).tolist():
            coded = asked.codes is not None and filed.codes is not None
            near = bits_apart(asked.codes[query], filed.codes[row]) if coded else 0  # type: ignore[index]
            rows.append((near, np.linalg.norm(filed.embeddings[row] - asked.embeddings[query]), row))
        answers.append(order_of(search, k, rows)[:k])
    return padded([[one[1] for one in found] for found in answers], [[one[0] for one in found] for found in answers], k)


shortlists = st.one_of(st.integers(1, 60), st.sampled_from([0.01, 0.25, 0.5, 0.99]))
searches = st.builds(
    Search,
    distance=st.sampled_from([*by_codes, "euclidean"]),
    probes=st.sampled_from(PROBES),
    shortlist=shortlists,
    alpha=st.sampled_from([0.0, 0.05, 0.5, 0.95, 1.0]),
    whole_below=st.sampled_from([0.0, 0.3, 0.5, 1.0]),
)


@given(seeds, st.integers(0, 40), st.integers(1, 50), searches)
@settings(max_examples=300, deadline=None)
def test_hits_against_brute_force(seed: int, rows: int, k: int, search: Search) -> None:
    filed, asked = pictures(seed, rows), pictures(seed + 1, 4)
    found = over(filed, search).hits(asked, k)
    found.check()
    if search.distance == "euclidean":
        assert_inside(found, brute(asked, filed, search, rows + k))
        return
    wanted = brute(asked, filed, search, k)
    np.testing.assert_allclose(found.distances, wanted.distances, rtol=1e-6)
    assert np.array_equal(found.rows, wanted.rows)


@given(seeds, searches, st.lists(st.integers(0, 12), max_size=4))
@settings(max_examples=60, deadline=None)
def test_neither_the_split_of_a_batch_nor_threads_matter(seed: int, search: Search, cuts: list[int]) -> None:
    filed, asked = pictures(seed, 40), pictures(seed + 1, 12)
    k = 40 if search.distance == "euclidean" else 8  # its rows at the last hit's distance are left to FAISS
    answering = over(filed, search)
    together = answering.hits(asked, k)
    parts = np.split(np.arange(12), sorted(cuts))
    for count in (1, 3):
        with threads(count):
            found = [
                answering.hits(Encoded(*(None if field is None else field[part] for field in asked)), k)  # type: ignore[arg-type]
                for part in parts
            ]
        assert_same(Hits.joined(found, k), together)


@pytest.mark.parametrize("probes", PROBES)
def test_a_gallery_without_codes_is_searched_by_its_own_embeddings(probes: Probes) -> None:
    filed, asked = pictures(0, 60, None), pictures(1, 10, None)
    answering = searcher(filed, "euclidean", probes)
    assert_inside(answering.hits(asked, 9), brute(asked, filed, answering.search, 60))


@pytest.mark.parametrize(("change", "bits"), [({"probes": 5}, BITS), ({"alpha": 2.0}, BITS), ({}, None)])
def test_what_cannot_be_searched_is_refused_before_it_is_asked(change: dict[str, Any], bits: int | None) -> None:
    with pytest.raises(ValueError, match=r"search[.=]"):
        over(pictures(0, 10, bits), replace(Search("hamming", 1, 1, **PLAIN), **change))


@distances
@pytest.mark.parametrize("k", [5, 60])
def test_all_lists_probed_are_the_whole_gallery(distance: str, k: int) -> None:
    filed, asked = pictures(0, 60), pictures(1, 10)
    together = filed._replace(masses=np.eye(CATEGORIES, dtype=np.float32)[np.zeros(60, dtype=int)])
    one_list = searcher(together, distance, shortlist=60).in_lists(asked, np.tile([0, -1, -1, -1], (10, 1)), 60)
    found = searcher(filed, distance, "all", shortlist=60).hits(asked, k)
    if distance == "euclidean":
        assert_inside(found, one_list)
    else:
        assert_same(found, one_list.first(k))


@pytest.mark.parametrize("probes", PROBES)
@pytest.mark.parametrize("shortlist", [60, 0.999999])
def test_a_full_shortlist_is_exhaustive_euclid_in_the_probed_lists(probes: Probes, shortlist: Any) -> None:
    filed, asked = pictures(0, 60), pictures(1, 10)
    full = searcher(filed, "shortlist", probes, shortlist).hits(asked, 60)
    assert_same(full, searcher(filed, "euclidean", probes).hits(asked, 60))


def test_weights_of_one_and_nought_are_either_distance_alone() -> None:
    filed, asked = pictures(0, 60), pictures(1, 10)
    for alpha, alone in ((1.0, "hamming"), (0.0, "euclidean")):
        found = over(filed, Search("weighted", "all", 1, alpha, 0.0)).hits(asked, 60)
        assert np.array_equal(found.rows, searcher(filed, alone, "all").hits(asked, 60).rows)


@distances
def test_given_lists_take_the_place_of_the_probed_ones(distance: str) -> None:
    filed, asked = pictures(0, 60), pictures(1, 10)
    found = searcher(filed, distance, 1, shortlist=60).in_lists(asked, np.tile([3, 1, -1, -1], (10, 1)), 60)
    assert set(filed.predicted[found.rows[found.rows >= 0]]) == {1, 3}
    assert ((found.rows >= 0).sum(axis=1) == np.isin(filed.predicted, [1, 3]).sum()).all()


@distances
def test_fewer_rows_than_hits_end_in_minus_1(distance: str) -> None:
    found = searcher(pictures(0, 3), distance, "all").hits(pictures(1, 2), 5)
    found.check()
    assert sorted(found.rows[0].tolist()) == [-1, -1, 0, 1, 2]
    assert found.rows[:, 3:].tolist() == [[-1, -1]] * 2
    assert np.isinf(found.distances[:, 3:]).all()


@distances
def test_an_empty_gallery_answers_with_nothing_and_no_query_gets_no_answer(distance: str) -> None:
    assert searcher(pictures(0, 0), distance).hits(pictures(1, 2), 3).rows.tolist() == [[-1] * 3] * 2
    assert searcher(pictures(0, 9), distance).hits(pictures(1, 0), 3).rows.shape == (0, 3)


@distances
def test_what_is_asked_wrongly_is_refused(distance: str) -> None:
    answering, asked = searcher(pictures(0, 20), distance), pictures(1, 2)
    with pytest.raises(ValueError, match="k=0: give at least 1"):
        answering.hits(asked, 0)
    with pytest.raises(ValueError, match="probes hold 4: give numbers from -1 to 3"):
        answering.in_lists(asked, np.full((2, 4), 4), 3)
    if distance == "hamming":
        return  # it reads no embeddings
    lost = asked._replace(embeddings=np.full_like(asked.embeddings, np.nan))
    with pytest.raises(ValueError, match="0 is not finite"):
        answering.hits(lost, 3)


@pytest.mark.parametrize("box", [None, [10.0, 5.0, 40.0, 30.0]])
@distances
def test_a_picture_is_answered_as_its_encoding(distance: str, box: list[float] | None) -> None:
    rng = np.random.default_rng(5)
    shown = rng.integers(0, 256, (20, 2, 2, 3), dtype=np.uint8).repeat(24, axis=1).repeat(32, axis=2)
    model = Fake()
    corners = None if box is None else np.array(box, dtype=np.float32)
    crops = np.stack([crop_image(picture, corners, model.margin, model.image_size) for picture in shown])
    encoded = encode(model, torch.from_numpy(crops.transpose(0, 3, 1, 2).copy()))
    asked = searcher(pictures(0, 60), distance, 2, 30)
    wanted: Hits = asked.hits(encoded, 10)
    assert len(set(encoded.predicted)) > 1
    for number, picture in enumerate(shown):
        found = asked.find(picture, corners, 10)
        assert np.array_equal(found.hits.rows, wanted.rows[[number]])
        np.testing.assert_allclose(found.hits.distances, wanted.distances[[number]], rtol=1e-6)
        assert found.category == model.categories[encoded.predicted[number]]
        assert found.mass == pytest.approx(encoded.masses[number].max())


def test_what_is_no_picture_or_no_number_of_hits_is_refused() -> None:
    asked, picture = searcher(pictures(0, 9), "hamming"), np.zeros((30, 20, 3), np.uint8)
    for shown in (picture[..., 0], picture[:0, :0], picture / 255, Image.fromarray(picture)):
        with pytest.raises(ValueError, match=r"the picture is .*: give \(H, W, 3\) uint8, as open_image does"):
            asked.find(shown)
    for k, named in (("3", "'3'"), (2.0, "2.0"), (0, "0"), (None, "None")):
        with pytest.raises(ValueError, match=f"^k={named}: give at least 1, a whole number$"):
            asked.find(picture, k=k)  # type: ignore[arg-type]
    assert asked.find(picture, k=99).hits.rows.shape == (1, 9)


def test_another_models_gallery_is_refused() -> None:
    with pytest.raises(ValueError, match="the gallery holds codes of model one mode, asked by another "):
        Searcher(Fake(fingerprint="another model"), filed(), Search("hamming", 1, 1, **PLAIN))


@pytest.mark.parametrize("distance", by_codes)
def test_codes_are_not_compared_with_a_gallery_that_has_none(distance: Any) -> None:
    asked = Searcher(Fake(), filed(None), Search(distance, 1, 1, **PLAIN))
    for query in (pictures(1, 2), pictures(1, 2, None)):
        with pytest.raises(ValueError, match=f"search={distance} compares codes, and this gallery has none"):
            asked.hits(query, 3)
