"""Unseen categories are only in query and gallery, other categories only in train and val; splits stay disjoint."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.leaks import check_disjoint
from fashion_lsh.data.splits import split
from fashion_lsh.data.unseen_categories import MIN_GARMENTS, hold_out_categories
from tests.data.test_splits import RATIOS, make_catalogue

PUBLISHED = {"train": 0.7, "val": 0.1, "query": 0.2}  # ratios of data without a gallery
seeds = st.integers(0, 2**32 - 1)


def make_categories(**counts: int) -> Catalogue:
    """Create a catalogue with splits and this number of images per category."""
    names = [name for name, count in counts.items() for _ in range(count)]
    catalogue = Catalogue.from_columns({"image": [f"{n}.jpg" for n in range(len(names))], "category": names})
    return split(catalogue, RATIOS, 0)


def main_categories(catalogue: Catalogue, *splits: str) -> set[str]:
    rows = np.concatenate([catalogue.rows(name) for name in splits])
    return set(catalogue.column("category")[rows])


def rows_by_id(catalogue: Catalogue) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in catalogue.table.to_pylist()}


@given(seeds, st.booleans(), st.sampled_from([RATIOS, PUBLISHED]))
@settings(max_examples=80, deadline=None)
def test_unseen_categories_are_only_in_query_and_gallery(seed: int, tangled: bool, ratios: dict[str, float]) -> None:
    before = split(make_catalogue(seed, 60, tangled), ratios, seed)
    catalogue = hold_out_categories(before, ["c1"], seed)
    check_disjoint(catalogue)
    assert main_categories(catalogue, "train", "val") <= {"c0", "c2"}
    assert main_categories(catalogue, "query", "gallery") <= {"c1"}
    images = set(catalogue.column("image")[catalogue.column("main")])
    assert set(catalogue.column("image")) == images  # all images have a main garment
    rows_before, rows_after = rows_by_id(before), rows_by_id(catalogue)
    for name, row in rows_after.items():
        changed = {key for key in ("image", "category", "item", "split", "main") if row[key] != rows_before[name][key]}
        assert changed <= {"main"} or ("gallery" not in ratios and row["split"] == "gallery" and changed == {"split"})
    for name, row in rows_before.items():  # each garment whose category is allowed in its split stays a main garment
        if (row["category"] == "c1") == (row["split"] in ("query", "gallery")):
            assert rows_after[name]["main"]


def test_an_existing_gallery_is_kept() -> None:
    before = make_categories(hat=20, bag=20, cap=20)
    catalogue = hold_out_categories(before, ["cap"], 0)
    expected = before.column("id")[before.rows("gallery")][before.column("category")[before.rows("gallery")] == "cap"]
    assert catalogue.column("id")[catalogue.rows("gallery")].tolist() == expected.tolist()


def test_a_missing_gallery_is_built_from_unseen_categories() -> None:
    rows = [
        ("alone", "cap", "", "train"), ("in val", "cap", "", "val"), ("query", "cap", "", "query"),
        ("both", "cap", "", "train"), ("both", "hat", "", "train"),  # stays in train, as it shows a trained hat
        ("copy", "cap", "g", "train"), ("of it", "bag", "g", "train"),  # stays in train, as the group has a trained bag
        ("hat", "hat", "", "train"), ("bag", "bag", "", "val"), ("hat query", "hat", "", "query"),
    ]  # fmt: skip
    images, categories, groups, splits = zip(*rows, strict=True)
    ids = [f"{number}" for number in range(len(rows))]
    columns = {"id": ids, "image": images, "category": categories, "group": groups, "split": splits}
    catalogue = hold_out_categories(Catalogue.from_columns(columns), ["cap"], 0)
    check_disjoint(catalogue)
    images_by_split = {
        name: catalogue.column("image")[catalogue.rows(name)].tolist() for name in ("train", "val", "query", "gallery")
    }
    assert images_by_split == {"train": ["both", "of it", "hat"], "val": ["bag"], "query": ["query"],
                     "gallery": ["alone", "in val"]}  # fmt: skip
    companions = catalogue.column("id")[~catalogue.column("main")]
    assert companions.tolist() == ["3"]  # the cap in a training image with a hat


def test_a_number_of_unseen_categories_is_drawn_from_large_categories_by_seed() -> None:
    catalogue = make_categories(**{f"c{number}": MIN_GARMENTS for number in range(6)}, small=MIN_GARMENTS - 1)
    choices = [frozenset(main_categories(hold_out_categories(catalogue, 3, seed), "query")) for seed in [*range(20), 0]]
    assert choices[0] == choices[-1]
    assert {len(names) for names in choices} == {3}
    assert len(set(choices)) > 5
    counts = Counter(name for names in choices for name in names)
    assert set(counts) == {f"c{number}" for number in range(6)}


@pytest.mark.parametrize(
    ("unseen", "message"),
    [
        (["cap", "star"], r"split\.unseen='star': .*bag, cap, hat"),
        (["cap", "hat"], r"split\.unseen=\[.*1 of 3 categories"),
        (2, r"split\.unseen=2: .*1 of 3 categories.*80"),
    ],
)
def test_invalid_names_or_numbers_of_unseen_categories_raise(unseen: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hold_out_categories(make_categories(hat=MIN_GARMENTS, bag=20, cap=20), unseen, 0)
