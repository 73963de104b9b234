"""What can be asked, which lists a query searches, and what tables call it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fashion_lsh.search.policy import Probes, Search
from tests.gallery.factories import BITS, CATEGORIES, pictures
from tests.search.factories import PLAIN, lists_of

HAMMING = Search("hamming", 1, 1, **PLAIN)
NAN = float("nan")


@pytest.mark.parametrize(
    ("change", "bits", "message"),
    [
        ({"probes": 0.0}, BITS, r"search.probes=0.0: a softmax mass lies between 0 and 1"),
        ({"probes": 1.0}, BITS, r"search.probes=1.0: a softmax mass"),
        ({"probes": -0.5}, BITS, r"search.probes=-0.5: a softmax mass"),
        ({"probes": NAN}, BITS, r"search.probes=nan: a softmax mass"),
        ({"probes": 0}, BITS, r"search.probes=0: there are 4 categories; give 1 to 4, or all"),
        ({"probes": 5}, BITS, r"search.probes=5: there are 4 categories"),
        ({"shortlist": 0}, BITS, r"search.shortlist=0: give at least 1 row, or a share between 0 and 1"),
        ({"shortlist": -3}, BITS, r"search.shortlist=-3: give at least 1 row"),
        ({"shortlist": 0.0}, BITS, r"search.shortlist=0.0: give at least 1 row"),
        ({"shortlist": 1.0}, BITS, r"search.shortlist=1.0: give at least 1 row"),
        ({"shortlist": 2.5}, BITS, r"search.shortlist=2.5: give at least 1 row"),
        ({"shortlist": NAN}, BITS, r"search.shortlist=nan: give at least 1 row"),
        ({"alpha": -0.1}, BITS, r"search.alpha=-0.1: give 0 to 1"),
        ({"alpha": 1.5}, BITS, r"search.alpha=1.5: give 0 to 1"),
        ({"alpha": NAN}, BITS, r"search.alpha=nan: give 0 to 1"),
        ({"whole_below": -0.1}, BITS, r"search.whole_below=-0.1: give 0 to 1"),
        ({"whole_below": 1.1}, BITS, r"search.whole_below=1.1: give 0 to 1"),
        ({}, None, r"search=hamming compares codes, and hash=none makes none: give search=euclidean"),
        ({"distance": "shortlist"}, None, r"search=shortlist compares codes"),
        ({"distance": "tie_break"}, None, r"search=tie_break compares codes"),
        ({"distance": "weighted"}, None, r"search=weighted compares codes"),
    ],
)
def test_what_cannot_be_searched_is_named(change: dict[str, Any], bits: int | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(HAMMING, **change).check(bits, 4)


@pytest.mark.parametrize("probes", [1, 4, "all", 0.001, 0.999])
@pytest.mark.parametrize("shortlist", [1, 10**6, 0.001, 0.999])
@pytest.mark.parametrize("weight", [0, 0.0, 0.3, 1, 1.0])
def test_what_can_be_searched_passes(probes: Probes, shortlist: int | float, weight: float) -> None:
    Search("shortlist", probes, shortlist, weight, weight).check(1, 4)
    Search("euclidean", probes, shortlist, weight, weight).check(None, 4)


@pytest.mark.parametrize(
    ("probes", "whole_below", "wanted"),
    [
        (1, 0.0, [2, -1, -1, -1]),
        (2, 0.0, [2, 0, -1, -1]),
        ("all", 0.0, [2, 0, 1, 3]),
        (0.5, 0.0, [2, -1, -1, -1]),  # 0.5 is reached by the first alone
        (0.75, 0.0, [2, 0, -1, -1]),
        (0.7500001, 0.0, [2, 0, 1, -1]),
        (0.999, 0.0, [2, 0, 1, 3]),
        (1, 0.5, [2, -1, -1, -1]),  # 0.5 is not below 0.5
        (1, 0.5000001, [2, 0, 1, 3]),
        (0.75, 0.6, [2, 0, 1, 3]),
        (0.75, 0.4, [2, 0, -1, -1]),
    ],
)
def test_lists_are_the_likeliest_of_equals_the_first(probes: Probes, whole_below: float, wanted: list[int]) -> None:
    masses = np.array([[0.25, 0.125, 0.5, 0.125]], dtype=np.float32)
    assert Search("hamming", probes, 1, 0.5, whole_below).lists(masses).tolist() == [wanted]


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 3, 4, "all", 0.05, 0.6, 0.95, 0.999999]), st.floats(0, 1))
@settings(deadline=None)
def test_lists_against_adding_up_one_by_one(seed: int, probes: Probes, whole_below: float) -> None:
    masses = pictures(seed, 6).masses
    search = Search("hamming", probes, 1, 0.5, whole_below)
    lists = search.lists(masses)
    assert lists.dtype == np.int64
    for query in range(6):
        wanted = lists_of(masses[query], search)
        assert lists[query].tolist() == wanted + [-1] * (CATEGORIES - len(wanted))
        assert np.array_equal(search.lists(masses[[query]])[0], lists[query])
    assert search.lists(masses[:0]).shape == (0, CATEGORIES)


def test_a_mass_takes_the_fewest_lists_that_reach_it() -> None:
    masses = pictures(3, 200).masses
    lists = replace(HAMMING, probes=0.95).lists(masses)
    for query, found in enumerate(lists):
        taken = masses[query, found[found >= 0]]
        assert taken.sum() >= np.float32(0.95) - 1e-6
        assert taken[:-1].sum() < 0.95
        assert len(taken) == min(n for n in range(1, 5) if np.sort(masses[query])[-n:].sum() >= 0.95 - 1e-7)


@pytest.mark.parametrize(
    ("search", "label"),
    [
        (Search("shortlist", 1, 200, **PLAIN), "shortlist200_1"),
        (Search("shortlist", "all", 0.1, **PLAIN), "shortlist0.1_all"),
        (Search("hamming", "all", 200, **PLAIN), "hamming_all"),
        (Search("euclidean", 0.95, 200, **PLAIN), "euclidean_0.95"),
        (Search("tie_break", 2, 200, **PLAIN), "tie_break_2"),
        (Search("weighted", 0.95, 200, 0.3, 0.5), "weighted0.3_0.95_sure0.5"),
        (Search("hamming", "all", 200, 0.3, 0.5), "hamming_all"),
    ],
)
def test_a_label_tells_all_that_matters(search: Search, label: str) -> None:
    assert search.label == label
