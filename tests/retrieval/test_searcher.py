"""Lists by mass, and every way to search against brute force."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fashion_lsh.catalogue.catalogue import Catalogue
from fashion_lsh.catalogue.crops import cut
from fashion_lsh.retrieval.encoding import Encoded, Model, encode
from fashion_lsh.retrieval.gallery import Gallery
from fashion_lsh.retrieval.hits import Hits
from fashion_lsh.retrieval.searcher import Probes, Search, Searcher

CATEGORIES, BITS, DEPTH = 4, 9, 6
PROBES: list[Probes] = [1, 3, "all", 0.6, 0.95]


class Fake:
    """A model of fixed random layers on a picture shrunk to 2 x 2, in whole numbers: exact in batches of any size."""

    threshold, image_size, margin = 0.5, 8, 0.25
    device = torch.device("cpu")

    def __init__(self, bits: int | None = BITS, fingerprint: str = "one model") -> None:
        self.bits, self.print, self.categories = bits, fingerprint, ["bag", "coat", "dress", "hat"]

    def __call__(self, images: Tensor) -> Any:
        quarters = images.float().unflatten(2, (2, 4)).unflatten(4, (2, 4)).sum((3, 5)).flatten(1)  # (B, 12)
        random = torch.Generator().manual_seed(0)
        layer = torch.randint(-4, 5, (12, CATEGORIES + BITS + DEPTH), generator=random).float()
        logits, activations, embedding = (quarters @ layer).split([CATEGORIES, BITS, DEPTH], dim=1)
        kept = None if self.bits is None else (activations > 0).float()
        return SimpleNamespace(logits=logits / 1e4, activations=kept, embedding=embedding / 1e3)

    def masses(self, logits: Tensor) -> Tensor:
        return logits.softmax(dim=1)

    def fingerprint(self) -> str:
        return self.print


def pictures(seed: int, rows: int, bits: int | None = BITS) -> Encoded:
    """Few distinct codes, so that many rows are equally near."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(rows, CATEGORIES))
    masses = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)
    distinct = np.packbits(np.random.default_rng(7).random((8, BITS)) < 0.5, axis=1, bitorder="little")
    embeddings = rng.normal(size=(rows, DEPTH)).astype(np.float32)
    return Encoded(masses, None if bits is None else distinct[rng.integers(0, 8, rows)], embeddings)


def catalogue(rows: int) -> Catalogue:
    ids = [str(row) for row in range(rows)]
    return Catalogue.of({"id": ids, "picture": ids, "category": ["hat"] * rows})


def searcher(filed: Encoded, distance: Any, probes: Probes = 1, shortlist: int = 7) -> Searcher:
    model: Model = Fake(None if filed.codes is None else BITS)
    gallery = Gallery.filed(model, filed, catalogue(len(filed.masses)))
    return Searcher(model, gallery, Search(distance, probes, shortlist))


def lists_of(masses: np.ndarray, probes: Probes) -> list[int]:
    """The slow twin of Search.lists for one query."""
    order = sorted(range(len(masses)), key=lambda category: (-masses[category], category))
    if probes == "all":
        return order
    if isinstance(probes, int):
        return order[:probes]
    taken, reached = [], np.float32(0)
    for category in order:
        taken.append(category)
        reached += masses[category]
        if reached >= np.float32(probes):
            break
    return taken


def bits_apart(one: np.ndarray, other: np.ndarray) -> int:
    return sum(int(a ^ b).bit_count() for a, b in zip(one.tolist(), other.tolist(), strict=True))


def brute(asked: Encoded, filed: Encoded, distance: str, probes: Probes, shortlist: int, k: int) -> list[list[int]]:
    """The rows each query must get, found one pair at a time."""
    answers = []
    for query in range(len(asked.masses)):
        lists = lists_of(asked.masses[query], probes)
        rows = [row for row in range(len(filed.masses)) if filed.predicted[row] in lists]
        if asked.codes is not None and filed.codes is not None and distance != "euclidean":
            code, codes = asked.codes[query], filed.codes
            rows.sort(key=lambda row: (bits_apart(code, codes[row]), row))
        if distance != "hamming":
            rows = rows[: max(k, shortlist)] if distance == "shortlist" else rows
            kept = filed.embeddings.astype(np.float16) if filed.codes is not None else filed.embeddings
            apart = ((kept.astype(float) - asked.embeddings[query]) ** 2).sum(axis=1)
            rows.sort(key=lambda row: (apart[row], row))
        answers.append(rows[:k] + [-1] * (k - len(rows)))
    return answers


@pytest.mark.parametrize(
    ("search", "bits", "message"),
    [
        (Search("hamming", 0.0, 1), BITS, r"search.probes=0.0: a softmax mass lies between 0 and 1"),
        (Search("hamming", 1.0, 1), BITS, r"search.probes=1.0: a softmax mass"),
        (Search("hamming", -0.5, 1), BITS, r"search.probes=-0.5: a softmax mass"),
        (Search("hamming", float("nan"), 1), BITS, r"search.probes=nan: a softmax mass"),
        (Search("hamming", 0, 1), BITS, r"search.probes=0: there are 4 categories; give 1 to 4, or all"),
        (Search("hamming", 5, 1), BITS, r"search.probes=5: there are 4 categories"),
        (Search("shortlist", 1, 0), BITS, r"search.shortlist=0: give at least 1 row"),
        (Search("hamming", 1, 1), None, r"search=hamming compares codes, and hash=none makes none: give search=euc"),
        (Search("shortlist", 1, 1), None, r"search=shortlist compares codes"),
    ],
)
def test_what_cannot_be_searched_is_named(search: Search, bits: int | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        search.check(bits, 4)
    filed = pictures(0, 10, bits)
    with pytest.raises(ValueError, match=message):
        searcher(filed, search.distance, search.probes, search.shortlist)


@pytest.mark.parametrize("probes", [1, 4, "all", 0.001, 0.999])
def test_what_can_be_searched_passes(probes: Probes) -> None:
    Search("shortlist", probes, 1).check(1, 4)
    Search("euclidean", probes, 1).check(None, 4)


@pytest.mark.parametrize(
    ("probes", "wanted"),
    [
        (1, [2, -1, -1, -1]),
        (2, [2, 0, -1, -1]),
        ("all", [2, 0, 1, 3]),
        (0.5, [2, -1, -1, -1]),  # 0.5 is reached by the first alone
        (0.75, [2, 0, -1, -1]),
        (0.7500001, [2, 0, 1, -1]),
        (0.999, [2, 0, 1, 3]),
    ],
)
def test_lists_are_the_likeliest_of_equals_the_first(probes: Probes, wanted: list[int]) -> None:
    masses = np.array([[0.25, 0.125, 0.5, 0.125]], dtype=np.float32)
    assert Search("hamming", probes, 1).lists(masses).tolist() == [wanted]


@given(st.integers(0, 2**32 - 1), st.sampled_from([*PROBES, 2, 4, 0.05, 0.999999]))
@settings(deadline=None)
def test_lists_against_adding_up_one_by_one(seed: int, probes: Probes) -> None:
    masses = pictures(seed, 6).masses
    lists = Search("hamming", probes, 1).lists(masses)
    assert lists.dtype == np.int64
    for query in range(6):
        wanted = lists_of(masses[query], probes)
        assert lists[query].tolist() == wanted + [-1] * (CATEGORIES - len(wanted))


def test_a_mass_takes_the_fewest_lists_that_reach_it() -> None:
    masses = pictures(3, 200).masses
    lists = Search("hamming", 0.95, 1).lists(masses)
    for query, found in enumerate(lists):
        taken = masses[query, found[found >= 0]]
        assert taken.sum() >= np.float32(0.95) - 1e-6
        assert taken[:-1].sum() < 0.95
        assert len(taken) == min(n for n in range(1, 5) if np.sort(masses[query])[-n:].sum() >= 0.95 - 1e-7)


@pytest.mark.parametrize(
    ("search", "label"),
    [
        (Search("shortlist", 1, 200), "shortlist_1"),
        (Search("hamming", "all", 200), "hamming_all"),
        (Search("euclidean", 0.95, 200), "euclidean_0.95"),
    ],
)
def test_a_label_tells_distance_and_probes(search: Search, label: str) -> None:
    assert search.label == label


@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.integers(1, 50), st.sampled_from(PROBES), st.integers(1, 60))
@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("distance", ["hamming", "shortlist", "euclidean"])
def test_hits_against_brute_force(distance: str, seed: int, rows: int, k: int, probes: Probes, shortlist: int) -> None:
    filed, asked = pictures(seed, rows), pictures(seed + 1, 4)
    found = searcher(filed, distance, probes, shortlist).hits(asked, k)
    found.check()
    assert found.rows.tolist() == brute(asked, filed, distance, probes, shortlist, k)


@pytest.mark.parametrize("probes", PROBES)
def test_a_gallery_without_codes_is_searched_by_its_own_embeddings(probes: Probes) -> None:
    filed, asked = pictures(0, 60, None), pictures(1, 10, None)
    found = searcher(filed, "euclidean", probes).hits(asked, 9)
    assert found.rows.tolist() == brute(asked, filed, "euclidean", probes, 1, 9)
    first = found.rows[:, 0]
    apart = np.linalg.norm(filed.embeddings[first].astype(float) - asked.embeddings, axis=1)
    np.testing.assert_allclose(found.distances[:, 0], apart, rtol=1e-5)


@pytest.mark.parametrize("distance", ["hamming", "shortlist", "euclidean"])
def test_all_lists_probed_are_the_whole_library(distance: str) -> None:
    filed, asked = pictures(0, 60), pictures(1, 10)
    together = filed._replace(masses=np.eye(CATEGORIES, dtype=np.float32)[np.zeros(60, dtype=int)])
    one_list = searcher(together, distance).within(asked, np.tile([0, -1, -1, -1], (10, 1)), 20)
    found = searcher(filed, distance, "all").hits(asked, 20)
    assert np.array_equal(found.rows, one_list.rows)
    np.testing.assert_allclose(found.distances, one_list.distances, rtol=1e-6)


@pytest.mark.parametrize("probes", PROBES)
def test_a_full_shortlist_is_exhaustive_euclid_in_the_probed_lists(probes: Probes) -> None:
    filed, asked = pictures(0, 60), pictures(1, 10)
    full = searcher(filed, "shortlist", probes, shortlist=60).hits(asked, 60)
    exhaustive = searcher(filed, "euclidean", probes).hits(asked, 60)
    assert np.array_equal(full.rows, exhaustive.rows)
    np.testing.assert_allclose(full.distances, exhaustive.distances, rtol=1e-5)


@pytest.mark.parametrize("distance", ["hamming", "shortlist", "euclidean"])
def test_given_lists_take_the_place_of_the_probed_ones(distance: str) -> None:
    filed, asked = pictures(0, 60), pictures(1, 10)
    found = searcher(filed, distance, 1).within(asked, np.tile([3, 1, -1, -1], (10, 1)), 60)
    assert set(filed.predicted[found.rows[found.rows >= 0]]) == {1, 3}
    assert ((found.rows >= 0).sum(axis=1) == np.isin(filed.predicted, [1, 3]).sum()).all()


@pytest.mark.parametrize("distance", ["hamming", "shortlist", "euclidean"])
def test_fewer_rows_than_hits_end_in_minus_1(distance: str) -> None:
    found = searcher(pictures(0, 3), distance, "all").hits(pictures(1, 2), 5)
    found.check()
    assert sorted(found.rows[0].tolist()) == [-1, -1, 0, 1, 2]
    assert found.rows[:, 3:].tolist() == [[-1, -1]] * 2
    assert np.isinf(found.distances[:, 3:]).all()


@pytest.mark.parametrize("distance", ["hamming", "shortlist", "euclidean"])
def test_an_empty_gallery_answers_with_nothing(distance: str) -> None:
    assert searcher(pictures(0, 0), distance).hits(pictures(1, 2), 3).rows.tolist() == [[-1] * 3] * 2


@pytest.mark.parametrize("box", [None, [10.0, 5.0, 40.0, 30.0]])
@pytest.mark.parametrize("distance", ["hamming", "shortlist", "euclidean"])
def test_a_picture_is_answered_as_its_encoding(distance: str, box: list[float] | None) -> None:
    rng = np.random.default_rng(5)
    shown = rng.integers(0, 256, (20, 2, 2, 3), dtype=np.uint8).repeat(24, axis=1).repeat(32, axis=2)
    model = Fake()
    corners = None if box is None else np.array(box, dtype=np.float32)
    crops = np.stack([cut(picture, corners, model.margin, model.image_size) for picture in shown])
    encoded = encode(model, torch.from_numpy(crops.transpose(0, 3, 1, 2).copy()))
    asked = Searcher(model, Gallery.filed(model, pictures(0, 60), catalogue(60)), Search(distance, 2, 30))
    wanted: Hits = asked.hits(encoded, 10)
    assert len(set(encoded.predicted)) > 1
    for number, picture in enumerate(shown):
        found = asked.find(picture, corners, 10)
        assert np.array_equal(found.hits.rows, wanted.rows[[number]])
        np.testing.assert_allclose(found.hits.distances, wanted.distances[[number]], rtol=1e-6)
        assert found.category == model.categories[encoded.predicted[number]]
        assert found.mass == pytest.approx(encoded.masses[number].max())


def test_another_models_gallery_is_refused() -> None:
    gallery = Gallery.filed(Fake(), pictures(0, 10), catalogue(10))
    with pytest.raises(ValueError, match="the gallery holds codes of model one mode, asked by another "):
        Searcher(Fake(fingerprint="another model"), gallery, Search("hamming", 1, 1))


@pytest.mark.parametrize("distance", ["hamming", "shortlist"])
def test_codes_are_not_compared_with_a_gallery_that_has_none(distance: Any) -> None:
    gallery = Gallery.filed(Fake(None), pictures(0, 10, None), catalogue(10))
    asked = Searcher(Fake(), gallery, Search(distance, 1, 1))
    for query in (pictures(1, 2), pictures(1, 2, None)):
        with pytest.raises(ValueError, match=f"search={distance} compares codes, and this gallery has none"):
            asked.hits(query, 3)
