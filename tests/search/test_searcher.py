"""All search policies against brute-force search, and invariants of the hits."""

from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fashion_lsh.data.crops import crop_image
from fashion_lsh.data.images import ImageError
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.index.hits import Hits
from fashion_lsh.index.indexes import faiss_threads
from fashion_lsh.models.encoding import Encoded, Model, encode
from fashion_lsh.search.coverage import CoverageCalibration
from fashion_lsh.search.policy import NProbe, SearchPolicy
from fashion_lsh.search.searcher import Searcher
from tests.gallery.factories import (
    BITS,
    CATEGORIES,
    FINGERPRINT,
    FakeModel,
    build_gallery,
    make_catalogue,
    random_encoded,
)
from tests.index.factories import assert_hits_equal_up_to_ties, assert_same_hits, hits_from_lists
from tests.search.factories import POLICY_DEFAULTS, expected_lists

LIST_SELECTIONS: list[dict[str, Any]] = [
    {"nprobe": 1}, {"nprobe": 3}, {"nprobe": "all"}, {"min_probability": 0.6}, {"min_probability": 0.95, "nprobe": 2}
]  # fmt: skip
CODE_DISTANCES = ("hamming", "rerank", "tie_break", "weighted", "asymmetric")
all_distances = pytest.mark.parametrize("distance", [*CODE_DISTANCES, "euclidean"])
seeds = st.integers(0, 2**32 - 1)


def make_searcher(
    gallery: Encoded,
    distance: Any,
    nprobe: NProbe = 1,
    rerank_k: int = 7,
    min_probability: float | None = None,
) -> Searcher:
    policy = SearchPolicy(distance, nprobe, rerank_k, **{**POLICY_DEFAULTS, "min_probability": min_probability})
    return searcher_with_policy(gallery, policy)


def searcher_with_policy(gallery: Encoded, policy: SearchPolicy) -> Searcher:
    model: Model = FakeModel(None if gallery.codes is None else BITS)
    return Searcher(model, Gallery.build(model, gallery, make_catalogue(len(gallery.probabilities))), policy)


def hamming_distance(code: np.ndarray, other_code: np.ndarray) -> int:
    return sum(int(a ^ b).bit_count() for a, b in zip(code.tolist(), other_code.tolist(), strict=True))


def asymmetric_distance(activations: np.ndarray, code: np.ndarray) -> np.float32:
    bits = np.unpackbits(code, count=BITS, bitorder="little").astype(float)
    norm = np.sqrt((activations.astype(float) ** 2).sum() * BITS)
    return np.float32(np.sqrt(max(0, 2 - (2 / norm if norm else 0) * (activations * (2 * bits - 1)).sum())))


def rank(policy: SearchPolicy, k: int, rows: list[tuple[int, np.float32, int, np.float32]]) -> list[tuple[Any, ...]]:
    """Sort (Hamming, Euclidean distance, row, asymmetric distance) by the policy, and return (distance, row)."""
    match policy.distance:
        case "hamming":
            return sorted((hamming, row) for hamming, _, row, _ in rows)
        case "euclidean":
            return sorted((euclidean, row) for _, euclidean, row, _ in rows)
        case "asymmetric":
            return sorted((asymmetric, row) for *_, row, asymmetric in rows)
        case "rerank":
            num_candidates = policy.rerank_k if isinstance(policy.rerank_k, int) else ceil(policy.rerank_k * len(rows))
            candidates = sorted(rows, key=lambda row: (row[0], row[2]))[: max(k, num_candidates)]
            column = 1 if policy.rerank_by == "euclidean" else 3
            return sorted((candidate[column], candidate[2]) for candidate in candidates)
        case "tie_break":
            # Euclidean / 4 is below 1, so that it only breaks ties of Hamming distances.
            return [(hamming + euclidean / 4, row) for hamming, euclidean, row, _ in sorted(rows)]
    alpha = policy.alpha
    return sorted(
        (np.float32(alpha / BITS * hamming + (1 - alpha) / 2 * euclidean), row) for hamming, euclidean, row, _ in rows
    )


def brute_force(queries: Encoded, gallery: Encoded, policy: SearchPolicy, k: int) -> Hits:
    """Search by computing the distance of each query to each row in its probed lists."""
    rankings = []
    for query, probabilities in enumerate(queries.probabilities):
        rows = []
        for row in np.flatnonzero(np.isin(gallery.predicted, expected_lists(probabilities, policy))).tolist():
            has_codes = queries.codes is not None and gallery.codes is not None
            hamming, asymmetric = 0, np.float32(0)
            if has_codes:
                hamming = hamming_distance(queries.codes[query], gallery.codes[row])  # type: ignore[index]
                asymmetric = asymmetric_distance(queries.activations[query], gallery.codes[row])  # type: ignore[index]
            rows.append((hamming, np.linalg.norm(gallery.embeddings[row] - queries.embeddings[query]), row, asymmetric))
        rankings.append(rank(policy, k, rows)[:k])
    return hits_from_lists(
        [[row for _, row in ranking] for ranking in rankings],
        [[distance for distance, _ in ranking] for ranking in rankings],
        k,
    )


rerank_ks = st.one_of(st.integers(1, 60), st.sampled_from([0.01, 0.25, 0.5, 0.99]))
policies = st.builds(
    SearchPolicy,
    distance=st.sampled_from([*CODE_DISTANCES, "euclidean"]),
    nprobe=st.sampled_from([1, 3, "all"]),
    rerank_k=rerank_ks,
    alpha=st.sampled_from([0.0, 0.05, 0.5, 0.95, 1.0]),
    min_confidence=st.sampled_from([0.0, 0.3, 0.5, 1.0]),
    min_probability=st.sampled_from([None, 0.6, 0.95]),
    rerank_by=st.sampled_from(["euclidean", "asymmetric"]),
)


@given(seeds, st.integers(0, 40), st.integers(1, 50), policies)
@settings(max_examples=300, deadline=None)
def test_hits_equal_brute_force(seed: int, num_rows: int, k: int, policy: SearchPolicy) -> None:
    gallery, queries = random_encoded(seed, num_rows), random_encoded(seed + 1, 4)
    hits = searcher_with_policy(gallery, policy).search_encoded(queries, k)
    hits.check()
    if policy.distance == "euclidean":
        assert_hits_equal_up_to_ties(hits, brute_force(queries, gallery, policy, num_rows + k))
        return
    expected = brute_force(queries, gallery, policy, k)
    np.testing.assert_allclose(hits.distances, expected.distances, rtol=1e-6)
    assert np.array_equal(hits.rows, expected.rows)


@given(seeds, policies, st.lists(st.integers(0, 12), max_size=4))
@settings(max_examples=60, deadline=None)
def test_hits_do_not_depend_on_batches_or_threads(seed: int, policy: SearchPolicy, cuts: list[int]) -> None:
    gallery, queries = random_encoded(seed, 40), random_encoded(seed + 1, 12)
    # All rows, since it is unspecified which of the rows tied with the last hit are returned.
    k = 40 if policy.distance == "euclidean" else 8
    searcher = searcher_with_policy(gallery, policy)
    expected = searcher.search_encoded(queries, k)
    batches = np.split(np.arange(12), sorted(cuts))
    for count in (1, 3):
        with faiss_threads(count):
            hits = [
                searcher.search_encoded(Encoded(*(None if field is None else field[batch] for field in queries)), k)  # type: ignore[arg-type]
                for batch in batches
            ]
        assert_same_hits(Hits.concatenate(hits, k), expected)


@pytest.mark.parametrize("list_selection", LIST_SELECTIONS)
def test_gallery_without_codes_is_searched_by_embeddings(list_selection: dict[str, Any]) -> None:
    gallery, queries = random_encoded(0, 60, None), random_encoded(1, 10, None)
    searcher = make_searcher(gallery, "euclidean", **list_selection)
    assert_hits_equal_up_to_ties(
        searcher.search_encoded(queries, 9), brute_force(queries, gallery, searcher.policy, 60)
    )


@pytest.mark.parametrize(("change", "bits"), [({"nprobe": 5}, BITS), ({"alpha": 2.0}, BITS), ({}, None)])
def test_searcher_rejects_incompatible_policy(change: dict[str, Any], bits: int | None) -> None:
    with pytest.raises(ValueError, match=r"search[.=]"):
        searcher_with_policy(
            random_encoded(0, 10, bits), replace(SearchPolicy("hamming", 1, 1, **POLICY_DEFAULTS), **change)
        )


@all_distances
@pytest.mark.parametrize("k", [5, 60])
def test_probing_all_lists_is_exhaustive_search(distance: str, k: int) -> None:
    gallery, queries = random_encoded(0, 60), random_encoded(1, 10)
    one_category = gallery._replace(probabilities=np.eye(CATEGORIES, dtype=np.float32)[np.zeros(60, dtype=int)])
    one_list = make_searcher(one_category, distance, rerank_k=60).search_lists(
        queries, np.tile([0, -1, -1, -1], (10, 1)), 60
    )
    hits = make_searcher(gallery, distance, "all", rerank_k=60).search_encoded(queries, k)
    if distance == "euclidean":
        assert_hits_equal_up_to_ties(hits, one_list)
    else:
        assert_same_hits(hits, one_list.top(k))


@pytest.mark.parametrize("list_selection", LIST_SELECTIONS)
@pytest.mark.parametrize("rerank_k", [60, 0.999999])
def test_reranking_all_rows_is_euclidean_search_in_the_probed_lists(
    list_selection: dict[str, Any], rerank_k: Any
) -> None:
    gallery, queries = random_encoded(0, 60), random_encoded(1, 10)
    reranked = make_searcher(gallery, "rerank", rerank_k=rerank_k, **list_selection).search_encoded(queries, 60)
    assert_same_hits(reranked, make_searcher(gallery, "euclidean", **list_selection).search_encoded(queries, 60))


def test_alpha_of_0_and_1_give_a_single_distance() -> None:
    gallery, queries = random_encoded(0, 60), random_encoded(1, 10)
    for alpha, distance in ((1.0, "hamming"), (0.0, "euclidean")):
        hits = searcher_with_policy(gallery, SearchPolicy("weighted", "all", 1, alpha, 0.0, None)).search_encoded(
            queries, 60
        )
        assert np.array_equal(hits.rows, make_searcher(gallery, distance, "all").search_encoded(queries, 60).rows)


@all_distances
def test_search_lists_searches_only_the_given_lists(distance: str) -> None:
    gallery, queries = random_encoded(0, 60), random_encoded(1, 10)
    hits = make_searcher(gallery, distance, 1, rerank_k=60).search_lists(queries, np.tile([3, 1, -1, -1], (10, 1)), 60)
    assert set(gallery.predicted[hits.rows[hits.rows >= 0]]) == {1, 3}
    assert ((hits.rows >= 0).sum(axis=1) == np.isin(gallery.predicted, [1, 3]).sum()).all()


@all_distances
def test_missing_hits_are_padded_with_row_minus_1(distance: str) -> None:
    hits = make_searcher(random_encoded(0, 3), distance, "all").search_encoded(random_encoded(1, 2), 5)
    hits.check()
    assert sorted(hits.rows[0].tolist()) == [-1, -1, 0, 1, 2]
    assert hits.rows[:, 3:].tolist() == [[-1, -1]] * 2
    assert np.isinf(hits.distances[:, 3:]).all()


@all_distances
def test_empty_gallery_and_empty_batch_give_no_hits(distance: str) -> None:
    assert (
        make_searcher(random_encoded(0, 0), distance).search_encoded(random_encoded(1, 2), 3).rows.tolist()
        == [[-1] * 3] * 2
    )
    assert make_searcher(random_encoded(0, 9), distance).search_encoded(random_encoded(1, 0), 3).rows.shape == (0, 3)


@all_distances
def test_searcher_rejects_invalid_arguments(distance: str) -> None:
    searcher, queries = make_searcher(random_encoded(0, 20), distance), random_encoded(1, 2)
    with pytest.raises(ValueError, match="k=0"):
        searcher.search_encoded(queries, 0)
    with pytest.raises(ValueError, match=r"probed_lists .*4.* -1 to 3"):
        searcher.search_lists(queries, np.full((2, 4), 4), 3)
    if distance == "hamming":
        return  # Hamming distance does not use embeddings
    field = "activations" if distance == "asymmetric" else "embeddings"
    nan_queries = queries._replace(**{field: np.full_like(getattr(queries, field), np.nan)})
    with pytest.raises(ValueError, match=rf"(queries|{field})\[0\] .*NaN"):
        searcher.search_encoded(nan_queries, 3)


@pytest.mark.parametrize("box", [None, [10.0, 5.0, 40.0, 30.0]])
@all_distances
def test_search_of_an_image_equals_search_of_its_encoding(distance: str, box: list[float] | None) -> None:
    rng = np.random.default_rng(5)
    images = rng.integers(0, 256, (20, 2, 2, 3), dtype=np.uint8).repeat(24, axis=1).repeat(32, axis=2)
    model = FakeModel()
    xyxy = None if box is None else np.array(box, dtype=np.float32)
    crops = np.stack([crop_image(image, xyxy, model.margin, model.image_size) for image in images])
    encoded = encode(model, torch.from_numpy(crops.transpose(0, 3, 1, 2).copy()))
    searcher = make_searcher(random_encoded(0, 60), distance, 2, 30)
    expected: Hits = searcher.search_encoded(encoded, 10)
    assert len(set(encoded.predicted)) > 1
    for query, image in enumerate(images):
        result = searcher.search(image, xyxy, 10)
        assert [hit.row for hit in result.hits] == expected.rows[query][expected.rows[query] >= 0].tolist()
        distances = expected.distances[query, : len(result.hits)]
        np.testing.assert_allclose([hit.distance for hit in result.hits], distances, rtol=1e-6)
        garments = [searcher.gallery.catalogue.row(hit.row) for hit in result.hits]
        columns = ("id", "image", "category", "item")
        assert [hit[:4] for hit in result.hits] == [tuple(each[name] for name in columns) for each in garments]
        assert result.category == model.categories[encoded.predicted[query]]
        ascending = np.sort(encoded.probabilities[query])
        assert (result.probability, result.runner_up_probability) == pytest.approx((ascending[-1], ascending[-2]))
        assert result.runner_up == model.categories[encoded.probabilities[query].argsort(kind="stable")[-2]]


def test_search_rejects_invalid_image_and_k() -> None:
    searcher, image = make_searcher(random_encoded(0, 9), "hamming"), np.zeros((30, 20, 3), np.uint8)
    for invalid in (image[..., 0], image[:0, :0], image / 255, Image.fromarray(image)):
        with pytest.raises(ValueError, match=r"image: .*\(H, W, 3\) uint8"):
            searcher.search(invalid)
    for k in ("3", 2.0, 0, None):
        with pytest.raises(ValueError, match=f"^k={k!r}:"):
            searcher.search(image, k=k)  # type: ignore[arg-type]
    assert len(make_searcher(random_encoded(0, 9), "hamming", "all").search(image, k=99).hits) == 9


def test_search_accepts_path_and_open_file(tmp_path: Path) -> None:
    searcher = make_searcher(random_encoded(0, 9), "hamming")
    image = np.random.default_rng(0).integers(0, 256, (30, 20, 3), dtype=np.uint8)
    Image.fromarray(image).save(path := tmp_path / "query.png")
    expected = searcher.search(image)
    assert searcher.search(path) == searcher.search(str(path)) == expected
    with path.open("rb") as file:
        assert searcher.search(file) == expected
    with pytest.raises(ImageError, match=r"missing\.png"):
        searcher.search(tmp_path / "missing.png")
    (tmp_path / "text.jpg").write_text("not an image")
    with pytest.raises(ImageError, match=r"text\.jpg: not a readable image"):
        searcher.search(tmp_path / "text.jpg")


def test_gallery_of_another_model_is_rejected() -> None:
    model = FakeModel(fingerprint="another model")
    with pytest.raises(ValueError, match=rf"the gallery .*{FINGERPRINT[:8]}.*{model.model_fingerprint[:8]}"):
        Searcher(model, build_gallery(), SearchPolicy("hamming", 1, 1, **POLICY_DEFAULTS))


def test_a_coverage_needs_a_calibration() -> None:
    policy, calibration = SearchPolicy("hamming", coverage=0.5), CoverageCalibration(np.ones(9), np.arange(9), "item")
    with pytest.raises(ValueError, match=r"search\.coverage=0\.5: .*split\.calibration"):
        Searcher(FakeModel(), build_gallery(), policy)
    searcher = Searcher(FakeModel(), build_gallery(), replace(policy, calibration=calibration))
    assert searcher.with_policy(replace(searcher.policy, coverage=0.8)).policy.list_threshold == 1
    with pytest.raises(ValueError, match=r"search\.coverage=0\.5: .*split\.calibration"):
        searcher.with_policy(policy)


@pytest.mark.parametrize("distance", CODE_DISTANCES)
def test_searching_codes_in_a_gallery_without_codes_is_rejected(distance: Any) -> None:
    searcher = Searcher(FakeModel(), build_gallery(None), SearchPolicy(distance, 1, 1, **POLICY_DEFAULTS))
    for query in (random_encoded(1, 2), random_encoded(1, 2, None)):
        with pytest.raises(ValueError, match=f"search={distance} "):
            searcher.search_encoded(query, 3)


@pytest.mark.parametrize("change", [{"distance": "asymmetric"}, {"rerank_by": "asymmetric"}, {"distance": "hamming"}])
def test_gallery_without_embeddings_has_the_hits_of_a_gallery_with_embeddings(change: dict[str, Any]) -> None:
    policy, queries = replace(SearchPolicy("rerank", 2, 9), **change), random_encoded(1, 10)
    searchers = [Searcher(FakeModel(), build_gallery(store_embeddings=stored), policy) for stored in (True, False)]
    stored_hits, hits = (searcher.search_encoded(queries, 12) for searcher in searchers)
    assert_same_hits(hits, stored_hits)


@pytest.mark.parametrize("distance", ["rerank", "euclidean", "tie_break", "weighted"])
def test_searching_embeddings_that_the_gallery_does_not_store_is_rejected(distance: Any) -> None:
    gallery, message = build_gallery(store_embeddings=False), rf"search={distance} .*gallery\.embeddings=false"
    with pytest.raises(ValueError, match=message):
        Searcher(FakeModel(), gallery, SearchPolicy(distance))
    searcher = Searcher(FakeModel(), gallery, SearchPolicy("asymmetric"))
    with pytest.raises(ValueError, match=message):
        searcher.with_policy(SearchPolicy(distance))


@pytest.mark.parametrize("policy", [SearchPolicy("asymmetric"), SearchPolicy("rerank", rerank_by="asymmetric")])
def test_queries_without_activations_are_rejected(policy: SearchPolicy) -> None:
    queries = random_encoded(1, 2)._replace(activations=None)
    with pytest.raises(ValueError, match=r"activations=None"):
        searcher_with_policy(random_encoded(0, 20), policy).search_encoded(queries, 3)
