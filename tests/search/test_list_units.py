"""Probing groups of lists, and excluding lists, against a loop."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.search.policy import NProbe, SearchPolicy
from fashion_lsh.search.searcher import Searcher
from tests.gallery.factories import CATEGORIES, FakeModel, make_catalogue, random_encoded

NAMES = ["bag", "coat", "dress", "hat"]
GROUPS = {"bag": "accessory", "coat": "outer", "dress": "one-piece", "hat": "accessory"}  # of the built-in taxonomy


def lists_in_a_loop(probabilities: np.ndarray, policy: SearchPolicy) -> list[int]:
    """Select the lists of one query: groups or categories by probability, and the lists of each in the same order."""
    allowed = [number for number, name in enumerate(NAMES) if name not in (policy.exclude or ())]
    total = sum(float(probabilities[number]) for number in allowed)
    units: dict[str, list[int]] = {}
    for number in allowed:
        units.setdefault(GROUPS[NAMES[number]] if policy.by == "group" else NAMES[number], []).append(number)
    sums = {
        unit: np.float32(sum(float(probabilities[each]) for each in lists) / total) for unit, lists in units.items()
    }
    order = sorted(units, key=lambda unit: -sums[unit])  # stable
    num_probed = len(units) if policy.nprobe == "all" else policy.nprobe
    if policy.min_probability is not None and policy.nprobe != "all":
        cumulative = np.cumsum([sums[unit] for unit in order])
        num_probed = max(num_probed, 1 + int((cumulative < policy.min_probability).sum()))
    if max(sums.values()) < policy.min_confidence:
        num_probed = len(units)
    return [each for unit in order[:num_probed] for each in sorted(units[unit], key=lambda each: -probabilities[each])]


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["category", "group"]),
    st.sampled_from([None, ["hat"], ["bag", "hat"], ["coat", "dress", "bag"]]),
    st.sampled_from([1, "all"]),
    st.sampled_from([None, 0.3, 0.8]),
    st.sampled_from([0.0, 0.4, 0.7]),
)
@settings(max_examples=150, deadline=None)
def test_selected_lists_equal_a_loop(
    seed: int, by: Any, exclude: list[str] | None, nprobe: NProbe, min_probability: float | None, min_confidence: float
) -> None:
    policy = SearchPolicy(
        "hamming", nprobe, min_probability=min_probability, min_confidence=min_confidence, by=by, exclude=exclude
    )
    probabilities = random_encoded(seed, 5).probabilities
    lists = policy.bind(NAMES).select_lists(probabilities)
    assert (lists.dtype, lists.shape) == (np.int64, (5, CATEGORIES))
    for query in range(5):
        expected = lists_in_a_loop(probabilities[query], policy)
        assert lists[query].tolist() == expected + [-1] * (CATEGORIES - len(expected))


def test_queries_without_detection_probe_no_list_and_hopeless_ones_the_first() -> None:
    policy = SearchPolicy(by="group", exclude=["coat"]).bind(NAMES)
    probabilities = np.float32([[0, 0, 0, 0], [0, 1, 0, 0]])  # nothing detected; only the excluded list
    assert policy.select_lists(probabilities).tolist() == [[-1] * 4, [0, 3, -1, -1]]
    assert policy.select_lists(probabilities[:0]).shape == (0, 4)


def test_groups_of_the_policy_replace_those_of_the_taxonomy() -> None:
    probabilities = np.float32([[0.1, 0.4, 0.3, 0.2]])
    policy = SearchPolicy(by="group", groups={"warm": ["coat", "hat"]}).bind(NAMES)
    assert policy.select_lists(probabilities).tolist() == [[1, 3, -1, -1]]
    own = SearchPolicy(by="group", groups={"one": ["x"], "two": ["y", "z"]}).bind(["x", "y", "z"])
    assert own.select_lists(np.float32([[0.4, 0.3, 0.3]])).tolist() == [[1, 2, -1]]


@pytest.mark.parametrize(("settings", "categories", "message"), [
    ({"exclude": ["hatt"]}, NAMES, r"search\.exclude: .*'hatt'.*hat"),
    ({"exclude": ["q"]}, NAMES, r"search\.exclude: .*'q'.*bag, coat, dress, hat"),
    ({"exclude": NAMES}, NAMES, r"search\.exclude .*all 4"),
    ({"by": "group"}, ["coat", "gizmo"], r"search\.by=group: 1 of 2 .*'gizmo'.*search\.groups.*\[gizmo\]"),
    ({"by": "group", "groups": {"warm": ["cot"]}}, NAMES, r"search\.groups\.warm: .*'cot'.*coat"),
    ({"by": "group", "groups": {"a": ["hat"], "b": ["hat"]}}, NAMES, r"search\.groups: 'hat'.*'a'.*'b'"),
    ({"by": "group", "nprobe": 4}, NAMES, r"search\.nprobe=4: 3 groups"),
    ({"exclude": ["hat"], "nprobe": 4}, NAMES, r"search\.nprobe=4: 3 categories"),
])  # fmt: skip
def test_unknown_names_and_too_many_lists_are_rejected(
    settings: dict[str, Any], categories: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        SearchPolicy(**settings).bind(categories)


def test_unresolved_names_are_rejected() -> None:
    probabilities = random_encoded(0, 2).probabilities
    for policy in (SearchPolicy(by="group"), SearchPolicy(exclude=["hat"])):
        with pytest.raises(ValueError, match="bind"):
            policy.select_lists(probabilities)
        assert policy.bind(NAMES) == policy
    policy = SearchPolicy()
    assert policy.bind(NAMES) is policy


def test_searcher_resolves_the_names() -> None:
    model, encoded, queries = FakeModel(), random_encoded(0, 60), random_encoded(1, 10)
    searcher = Searcher(model, Gallery.build(model, encoded, make_catalogue(60)), SearchPolicy("hamming", by="group"))
    rows = searcher.search_encoded(queries, 60).rows
    for query, probabilities in enumerate(queries.probabilities):
        lists = lists_in_a_loop(probabilities, searcher.policy)
        assert (
            sorted(rows[query, rows[query] >= 0].tolist()) == np.flatnonzero(np.isin(encoded.predicted, lists)).tolist()
        )
    without_hat = searcher.with_policy(replace(searcher.policy, nprobe="all", by="category", exclude=["hat"]))
    rows = without_hat.search_encoded(queries, 60).rows
    assert set(encoded.predicted[rows[rows >= 0]]) == {0, 1, 2}


@pytest.mark.parametrize(("settings", "scope"), [
    ({"by": "group"}, "1 group"), ({"by": "group", "nprobe": 2, "min_probability": 0.9}, "2 groups, probability 0.9"),
    ({"by": "group", "groups": {"a": ["x", "y"], "b": ["z"]}}, "1 group (a: x y; b: z)"),
    ({"exclude": ["hat", "bag"]}, "1 list, without hat, bag"),
    ({"exclude": ["hat"], "nprobe": "all"}, "whole gallery, without hat"),
])  # fmt: skip
def test_scope_names_groups_and_excluded_categories(settings: dict[str, Any], scope: str) -> None:
    assert SearchPolicy(**settings).scope == scope
