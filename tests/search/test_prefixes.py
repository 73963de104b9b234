"""A search by the first bits of the codes equals a search of a gallery that was built of the cut codes."""

import logging
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fashion_lsh.evaluation.scoring import score_search
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.index.codes import code_bytes, pack, unpack
from fashion_lsh.metrics.retrieval import Relevance
from fashion_lsh.models.encoding import Encoded
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.search.policy_checks import log_untrained_prefix
from fashion_lsh.search.searcher import Searcher
from fashion_lsh.search.storage import storage_bytes
from tests.gallery.factories import BITS, FakeModel, make_catalogue, random_encoded
from tests.index.factories import assert_same_hits

DISTANCES: tuple[Any, ...] = ("hamming", "asymmetric", "rerank", "tie_break", "weighted")
seeds = st.integers(0, 2**32 - 1)
policies = st.builds(
    SearchPolicy,
    distance=st.sampled_from(DISTANCES),
    nprobe=st.sampled_from([1, 3, "all"]),
    rerank_k=st.sampled_from([1, 7, 0.5]),
    rerank_by=st.sampled_from(["euclidean", "asymmetric"]),
    where=st.sampled_from([None, "id >= 'garment 2'"]),
    unique_items=st.booleans(),
    bits=st.integers(1, BITS),
)


def searcher_of(encoded: Encoded, policy: SearchPolicy, bits: int = BITS) -> Searcher:
    model = FakeModel(bits)
    return Searcher(model, Gallery.build(model, encoded, make_catalogue(len(encoded.probabilities))), policy)


def cut(encoded: Encoded, bits: int) -> Encoded:
    """Keep the first bits of codes and activations, one after another."""
    assert encoded.codes is not None
    assert encoded.activations is not None
    codes = pack(np.float32(unpack(encoded.codes, BITS)[:, :bits]))
    return encoded._replace(codes=codes, activations=encoded.activations[:, :bits])


@settings(deadline=None)
@given(seeds, st.integers(0, 40), st.integers(1, 50), policies)
def test_a_prefix_is_searched_like_a_gallery_of_cut_codes(
    seed: int, num_rows: int, k: int, policy: SearchPolicy
) -> None:
    bits = policy.bits or BITS
    gallery, queries = random_encoded(seed, num_rows), random_encoded(seed + 1, 3)
    expected = searcher_of(cut(gallery, bits), replace(policy, bits=None), bits)
    hits = expected.search_encoded(cut(queries, bits), k)
    assert_same_hits(searcher_of(gallery, policy).search_encoded(queries, k), hits)
    other = searcher_of(gallery, SearchPolicy("hamming", bits=1 + bits % BITS)).with_policy(policy)
    assert_same_hits(other.search_encoded(queries, k), hits)


@pytest.mark.parametrize("distance", DISTANCES)
def test_a_prefix_is_scored_like_cut_codes(distance: Any) -> None:
    gallery, queries, policy = random_encoded(0, 40), random_encoded(1, 9), SearchPolicy(distance, 2, 5, bits=4)
    relevance = Relevance(queries.predicted, gallery.predicted)
    scores = score_search(searcher_of(gallery, policy), queries, relevance)
    cut_searcher = searcher_of(cut(gallery, 4), replace(policy, bits=None), 4)
    expected = score_search(cut_searcher, cut(queries, 4), relevance)
    assert scores.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(scores[name], values)


def test_searchers_of_other_lengths_do_not_change_the_gallery() -> None:
    searcher = searcher_of(random_encoded(0, 40), SearchPolicy("hamming"))
    prefix = searcher.with_policy(SearchPolicy("hamming", bits=3))
    codes = prefix.gallery.codes
    assert codes is not None
    assert codes.shape[1] == code_bytes(3)
    assert prefix.gallery.embeddings is searcher.gallery.embeddings
    assert prefix.with_policy(SearchPolicy("hamming")).gallery is searcher.gallery


@pytest.mark.parametrize("bits", [BITS + 1, 0])
def test_a_length_that_the_codes_do_not_have_is_rejected(bits: int) -> None:
    with pytest.raises(ValueError, match=rf"search\.bits={bits}: the codes have {BITS} bits"):
        searcher_of(random_encoded(0, 5), SearchPolicy("hamming", bits=bits))


def test_embeddings_have_no_prefix() -> None:
    with pytest.raises(ValueError, match=r"search\.bits=3 with search=euclidean"):
        searcher_of(random_encoded(0, 5), SearchPolicy("euclidean", bits=3))


def test_a_prefix_has_its_own_name_and_size() -> None:
    policy = SearchPolicy("hamming", bits=32)
    assert policy.label == "hamming 32 bits, 1 list"
    assert storage_bytes(policy, 64, 256)["code bytes"] == 4
    with pytest.raises(ValueError, match=r"search\.max_distance=auto: .*hamming 32 bits"):
        replace(policy, max_distance="auto").check(64, 4)


@pytest.mark.parametrize(("bits", "prefixes", "is_noted"), [
    (16, [16, 32], False), (64, None, False), (None, None, False), (24, [16, 32], True), (16, None, True),
])  # fmt: skip
def test_an_untrained_prefix_is_noted(
    bits: int | None, prefixes: list[int] | None, is_noted: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    log_untrained_prefix(SearchPolicy("hamming", bits=bits), 64, prefixes)
    assert (f"search.bits={bits}" in caplog.text) == is_noted
