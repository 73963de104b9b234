"""Unseen categories never train, the others are never searched, and nothing is shared for it."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.leaks import check_disjoint
from fashion_lsh.data.splits import split
from fashion_lsh.data.unseen_categories import LEAST, apart_by_category
from tests.data.test_splits import SHARES, wardrobe

PUBLISHED = {"train": 0.7, "val": 0.1, "query": 0.2}  # no gallery
seeds = st.integers(0, 2**32 - 1)


def sized(**counts: int) -> Catalogue:
    """So many pictures of each category, split."""
    names = [name for name, count in counts.items() for _ in range(count)]
    made = Catalogue.of({"picture": [f"{n}.jpg" for n in range(len(names))], "category": names})
    return split(made, SHARES, 0)


def main_categories(catalogue: Catalogue, *splits: str) -> set[str]:
    rows = np.concatenate([catalogue.rows(name) for name in splits])
    return set(catalogue.column("category")[rows])


def cells(catalogue: Catalogue) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in catalogue.table.to_pylist()}


@given(seeds, st.booleans(), st.sampled_from([SHARES, PUBLISHED]))
@settings(max_examples=80, deadline=None)
def test_unseen_categories_never_train_and_the_others_are_never_searched(
    seed: int, tangled: bool, shares: dict[str, float]
) -> None:
    before = split(wardrobe(seed, 60, tangled), shares, seed)
    made = apart_by_category(before, ["c1"], seed)
    check_disjoint(made)
    assert main_categories(made, "train", "val") <= {"c0", "c2"}
    assert main_categories(made, "query", "gallery") <= {"c1"}
    pictures = set(made.column("picture")[made.column("main")])
    assert set(made.column("picture")) == pictures  # each picture serves
    was, now = cells(before), cells(made)
    for name, row in now.items():
        changed = {key for key in ("picture", "category", "item", "split", "main") if row[key] != was[name][key]}
        assert changed <= {"main"} or ("gallery" not in shares and row["split"] == "gallery" and changed == {"split"})
    for name, row in was.items():  # what may train does, and what may ask or be searched does
        if (row["category"] == "c1") == (row["split"] in ("query", "gallery")):
            assert now[name]["main"]


def test_a_gallery_of_its_own_stays_as_it_is() -> None:
    before = sized(hat=20, bag=20, cap=20)
    made = apart_by_category(before, ["cap"], 0)
    theirs = before.column("id")[before.rows("gallery")][before.column("category")[before.rows("gallery")] == "cap"]
    assert made.column("id")[made.rows("gallery")].tolist() == theirs.tolist()


def test_where_there_is_no_gallery_what_shows_unseen_categories_alone_becomes_it() -> None:
    rows = [
        ("alone", "cap", "", "train"), ("in val", "cap", "", "val"), ("asks", "cap", "", "query"),
        ("both", "cap", "", "train"), ("both", "hat", "", "train"),  # stays: a hat trains on it
        ("copy", "cap", "g", "train"), ("of it", "bag", "g", "train"),  # stays: its copy trains
        ("hat", "hat", "", "train"), ("bag", "bag", "", "val"), ("hat asks", "hat", "", "query"),
    ]  # fmt: skip
    pictures, categories, groups, splits = zip(*rows, strict=True)
    ids = [f"{number}" for number in range(len(rows))]
    columns = {"id": ids, "picture": pictures, "category": categories, "group": groups, "split": splits}
    made = apart_by_category(Catalogue.of(columns), ["cap"], 0)
    check_disjoint(made)
    shown = {name: made.column("picture")[made.rows(name)].tolist() for name in ("train", "val", "query", "gallery")}
    assert shown == {"train": ["both", "of it", "hat"], "val": ["bag"], "query": ["asks"],
                     "gallery": ["alone", "in val"]}  # fmt: skip
    companions = made.column("id")[~made.column("main")]
    assert companions.tolist() == ["3"]  # of the picture that trains


def test_a_number_draws_among_the_large_enough_by_the_seed() -> None:
    made = sized(**{f"c{number}": LEAST for number in range(6)}, small=LEAST - 1)
    drawn = [frozenset(main_categories(apart_by_category(made, 3, seed), "query")) for seed in [*range(20), 0]]
    assert drawn[0] == drawn[-1]
    assert {len(names) for names in drawn} == {3}
    assert len(set(drawn)) > 5
    often = Counter(name for names in drawn for name in names)
    assert set(often) == {f"c{number}" for number in range(6)}


@pytest.mark.parametrize(
    ("unseen", "message"),
    [
        (["cap", "star"], "category 'star' is unknown; known are bag, cap, hat"),
        (["cap", "hat"], "1 of 3 categories are left to train, of two at least"),
        (2, "split.unseen=2: 1 of 3 categories have 80 garments or more: give fewer, or names"),
    ],
)
def test_what_cannot_be_set_apart_is_refused(unseen: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        apart_by_category(sized(hat=LEAST, bag=20, cap=20), unseen, 0)
