"""Validation of search policies, selection of lists, and labels."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fashion_lsh.index.hits import Hits
from fashion_lsh.search.policy import NProbe, SearchPolicy
from tests.gallery.factories import BITS, CATEGORIES, random_encoded
from tests.search.factories import POLICY_DEFAULTS, expected_lists

HAMMING = SearchPolicy("hamming", 1, 1, **POLICY_DEFAULTS)
NAN = float("nan")


class OwnReranker:
    """Returns the first candidates."""

    def __init__(self, power: int) -> None:
        self.power = power

    def rerank(self, queries: np.ndarray, candidates: Hits, embeddings: np.ndarray, k: int) -> Hits:
        return Hits(candidates.rows[:, :k], candidates.distances[:, :k])


@pytest.mark.parametrize(
    ("change", "bits", "message"),
    [
        ({"min_probability": 0.0}, BITS, r"search\.min_probability=0\.0:"),
        ({"min_probability": 1.0}, BITS, r"search\.min_probability=1\.0:"),
        ({"min_probability": -0.5}, BITS, r"search\.min_probability=-0\.5:"),
        ({"min_probability": NAN}, BITS, r"search\.min_probability=nan:"),
        ({"coverage": 0.0}, BITS, r"search\.coverage=0\.0:"),
        ({"coverage": 1.0}, BITS, r"search\.coverage=1\.0:"),
        ({"coverage": NAN}, BITS, r"search\.coverage=nan:"),
        ({"coverage": 0.9, "nprobe": "all"}, BITS, r"search\.coverage=0\.9 with search\.nprobe=all:"),
        ({"coverage": 0.9, "min_probability": 0.8}, BITS, r"search\.coverage=0\.9 with search\.min_probability=0\.8:"),
        ({"nprobe": 0}, BITS, r"search\.nprobe=0: .*1 to 4, or all"),
        ({"nprobe": 5}, BITS, r"search\.nprobe=5: .*4 categories"),
        ({"rerank_k": 0}, BITS, r"search\.rerank_k=0:"),
        ({"rerank_k": -3}, BITS, r"search\.rerank_k=-3:"),
        ({"rerank_k": 0.0}, BITS, r"search\.rerank_k=0\.0:"),
        ({"rerank_k": 1.0}, BITS, r"search\.rerank_k=1\.0:"),
        ({"rerank_k": 2.5}, BITS, r"search\.rerank_k=2\.5:"),
        ({"rerank_k": NAN}, BITS, r"search\.rerank_k=nan:"),
        ({"alpha": -0.1}, BITS, r"search\.alpha=-0\.1:"),
        ({"alpha": 1.5}, BITS, r"search\.alpha=1\.5:"),
        ({"alpha": NAN}, BITS, r"search\.alpha=nan:"),
        ({"min_confidence": -0.1}, BITS, r"search\.min_confidence=-0\.1:"),
        ({"min_confidence": 1.1}, BITS, r"search\.min_confidence=1\.1:"),
        ({}, None, r"search=hamming .*hash=none.*search=euclidean"),
        ({"distance": "rerank"}, None, r"search=rerank "),
        ({"distance": "tie_break"}, None, r"search=tie_break "),
        ({"distance": "weighted"}, None, r"search=weighted "),
        ({"distance": "asymmetric"}, None, r"search=asymmetric .*hash=none"),
        (
            {"rerank_by": "asymmetric", "reranker": {"_target_": "tests.search.test_policy.OwnReranker", "power": 1}},
            BITS,
            r"search\.rerank_by=asymmetric: search\.reranker=.*OwnReranker",
        ),
    ],
)
def test_check_rejects_invalid_policies(change: dict[str, Any], bits: int | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(HAMMING, **change).check(bits, 4)


@pytest.mark.parametrize("nprobe", [1, 4, "all"])
@pytest.mark.parametrize("min_probability", [None, 0.001, 0.999])
@pytest.mark.parametrize("rerank_k", [1, 10**6, 0.001, 0.999])
@pytest.mark.parametrize("weight", [0, 0.0, 0.3, 1, 1.0])
def test_check_accepts_valid_policies(
    nprobe: NProbe, min_probability: float | None, rerank_k: int | float, weight: float
) -> None:
    SearchPolicy("rerank", nprobe, rerank_k, weight, weight, min_probability).check(1, 4)
    SearchPolicy("euclidean", nprobe, rerank_k, weight, weight, min_probability).check(None, 4)


@pytest.mark.parametrize(
    ("nprobe", "min_probability", "min_confidence", "expected"),
    [
        (1, None, 0.0, [2, -1, -1, -1]),
        (2, None, 0.0, [2, 0, -1, -1]),
        ("all", None, 0.0, [2, 0, 1, 3]),
        ("all", 0.1, 0.0, [2, 0, 1, 3]),
        (1, 0.5, 0.0, [2, -1, -1, -1]),  # the first list has probability 0.5
        (1, 0.75, 0.0, [2, 0, -1, -1]),
        (1, 0.7500001, 0.0, [2, 0, 1, -1]),
        (1, 0.999, 0.0, [2, 0, 1, 3]),
        (3, 0.5, 0.0, [2, 0, 1, -1]),  # nprobe is the minimum number of lists
        (2, 0.999, 0.0, [2, 0, 1, 3]),
        (1, None, 0.5, [2, -1, -1, -1]),  # 0.5 is not below 0.5
        (1, None, 0.5000001, [2, 0, 1, 3]),
        (1, 0.75, 0.6, [2, 0, 1, 3]),
        (1, 0.75, 0.4, [2, 0, -1, -1]),
    ],
)
def test_select_lists_selects_the_most_probable_first(
    nprobe: NProbe, min_probability: float | None, min_confidence: float, expected: list[int]
) -> None:
    probabilities = np.array([[0.25, 0.125, 0.5, 0.125]], dtype=np.float32)
    policy = SearchPolicy("hamming", nprobe, 1, 0.5, min_confidence, min_probability)
    assert policy.select_lists(probabilities).tolist() == [expected]


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 2, 3, 4, "all"]),
    st.sampled_from([None, 0.05, 0.6, 0.95, 0.999999]),
    st.floats(0, 1),
)
@settings(deadline=None)
def test_select_lists_equals_the_reference_implementation(
    seed: int, nprobe: NProbe, min_probability: float | None, min_confidence: float
) -> None:
    probabilities = random_encoded(seed, 6).probabilities
    policy = SearchPolicy("hamming", nprobe, 1, 0.5, min_confidence, min_probability)
    lists = policy.select_lists(probabilities)
    assert lists.dtype == np.int64
    for query in range(6):
        expected = expected_lists(probabilities[query], policy)
        assert lists[query].tolist() == expected + [-1] * (CATEGORIES - len(expected))
        assert np.array_equal(policy.select_lists(probabilities[[query]])[0], lists[query])
    assert policy.select_lists(probabilities[:0]).shape == (0, CATEGORIES)


def test_probability_threshold_selects_the_fewest_lists() -> None:
    probabilities = random_encoded(3, 200).probabilities
    lists = replace(HAMMING, min_probability=0.95).select_lists(probabilities)
    for query, selected_lists in enumerate(lists):
        probed_probabilities = probabilities[query, selected_lists[selected_lists >= 0]]
        assert probed_probabilities.sum() >= np.float32(0.95) - 1e-6
        assert probed_probabilities[:-1].sum() < 0.95
        assert len(probed_probabilities) == min(
            n for n in range(1, 5) if np.sort(probabilities[query])[-n:].sum() >= 0.95 - 1e-7
        )


@pytest.mark.parametrize(
    ("policy", "label"),
    [
        (SearchPolicy("rerank", 1, 1000, **POLICY_DEFAULTS), "rerank 1000, 1 list"),
        (SearchPolicy("rerank", "all", 0.1, **POLICY_DEFAULTS), "rerank 0.1, whole gallery"),
        (SearchPolicy("hamming", "all", 1000, **POLICY_DEFAULTS), "hamming, whole gallery"),
        (
            SearchPolicy(nprobe=2, reranker={"_target_": "tests.search.test_policy.OwnReranker", "power": 3}),
            "rerank 1000 OwnReranker power=3, 2 lists",
        ),
        (
            SearchPolicy("euclidean", 1, 200, **{**POLICY_DEFAULTS, "min_probability": 0.95}),
            "euclidean, 1 list, probability 0.95",
        ),
        (SearchPolicy("tie_break", 2, 200, **POLICY_DEFAULTS), "tie_break, 2 lists"),
        (SearchPolicy("hamming", coverage=0.99), "hamming, 1 list, coverage 0.99"),
        (
            SearchPolicy("weighted", 2, 200, 0.3, 0.5, 0.95),
            "weighted 0.3, 2 lists, probability 0.95, whole gallery below 0.5",
        ),
        (SearchPolicy("hamming", "all", 200, 0.3, 0.5, 0.9), "hamming, whole gallery"),
        (SearchPolicy("asymmetric"), "asymmetric, 1 list"),
        (SearchPolicy("rerank", rerank_by="asymmetric"), "rerank 1000 asymmetric, 1 list"),
        (SearchPolicy("hamming", rerank_by="asymmetric"), "hamming, 1 list"),
    ],
)
def test_label_contains_every_setting(policy: SearchPolicy, label: str) -> None:
    assert policy.label == label == f"{policy.method}, {policy.scope}"
    assert policy.uses_codes == (policy.distance != "euclidean")


@pytest.mark.parametrize(
    ("policy", "uses_embeddings"),
    [
        (SearchPolicy("hamming"), False),
        (SearchPolicy("asymmetric"), False),
        (SearchPolicy("rerank", rerank_by="asymmetric"), False),
        (SearchPolicy("rerank"), True),
        (SearchPolicy("rerank", reranker={"_target_": "tests.search.test_policy.OwnReranker", "power": 1}), True),
        *((SearchPolicy(distance), True) for distance in ("euclidean", "tie_break", "weighted")),
    ],
)
def test_policies_that_use_embeddings_need_a_gallery_with_embeddings(
    policy: SearchPolicy, uses_embeddings: bool
) -> None:
    assert policy.uses_embeddings == uses_embeddings
    policy.check_embeddings(True)
    if uses_embeddings:
        with pytest.raises(ValueError, match=rf"search={policy.distance} .*gallery\.embeddings=false"):
            policy.check_embeddings(False)
    else:
        policy.check_embeddings(False)
