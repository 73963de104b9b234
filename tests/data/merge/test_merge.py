"""Several sources become one catalogue: nothing is guessed, nothing is lost silently, nothing leaks."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.image_scan import Seen
from fashion_lsh.data.images import PictureError
from fashion_lsh.data.leaks import check_disjoint
from fashion_lsh.data.merge import merge as merging
from fashion_lsh.data.merge.merge import Listed, merge
from fashion_lsh.data.merge.recipe import Recipe
from fashion_lsh.data.merge.taxonomy import LabelMap
from fashion_lsh.data.near_duplicates import fingerprint

LABELS = LabelMap({"Tee": ("t-shirt", "upper"), "Bag": ("bag", "accessory"), "Robe": ("", "outer"), "Tie": ("", "")})
RECIPE = Recipe(None, 1, None, False, {"train": 0.5, "val": 0.2, "query": 0.2, "gallery": 0.1}, 0)

TWO_SIDES = {"train": 0.6, "val": 0.4}


def noise(number: int) -> np.ndarray:
    """A picture like no other, (30, 40, 3) uint8."""
    coarse = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return coarse.repeat(5, axis=0).repeat(5, axis=1)


def listed(labels: Sequence[str], name: str = "", looks: Sequence[int] | None = None, **columns: Any) -> Listed:
    """A source with a picture a label, all of other bytes; `looks`: what each picture looks like, by number."""
    pictures = columns.pop("picture", [f"{place:03d}.jpg" for place in range(len(labels))])
    ids = [f"{place:03d}" for place in range(len(labels))]
    rows = Catalogue.of({"id": ids, "picture": pictures, "category": list(labels), **columns})
    pixels = dict(zip(dict.fromkeys(pictures), map(noise, looks or range(len(labels))), strict=False))
    seen = {
        picture: Seen(40, 30, f"{name}{picture}", "", fingerprint(image).tobytes() if looks else b"")
        for picture, image in pixels.items()
    }
    return Listed(rows, seen, {}, LABELS, pixels.__getitem__)


def test_labels_become_categories_and_names_are_told_apart_by_source() -> None:
    sources = {"b": listed(["Tee", "Bag"] * 8, "b"), "a": listed(["Bag", "Tee"] * 8, "a", item=["x", "y"] * 8)}
    made = merge(sources, RECIPE).catalogue
    assert made.column("id")[:2].tolist() == ["a/000", "a/001"]
    assert made.column("picture")[16] == "b/000.jpg"
    assert set(made.column("item")) == {"a/x", "a/y", ""}
    assert set(zip(made.column("category"), made.column("supercategory"), strict=True)) == {
        ("t-shirt", "upper"), ("bag", "accessory"),
    }  # fmt: skip
    assert set(made.column("source")) == {"a", "b"}


def test_the_order_of_the_sources_changes_nothing() -> None:
    one, other = listed(["Tee", "Bag"] * 6, "b"), listed(["Bag", "Tee", "Robe"] * 6, "a")
    first, second = merge({"b": one, "a": other}, RECIPE), merge({"a": other, "b": one}, RECIPE)
    assert first.catalogue.checksum == second.catalogue.checksum


def test_a_label_that_spans_categories_keeps_its_group_and_is_not_classified() -> None:
    made = merge({"a": listed(["Tee", "Bag"] * 6 + ["Robe", "Robe"])}, RECIPE)
    robes = made.catalogue.column("category") == "[outer]"
    assert robes.sum() == 2
    assert not made.catalogue.column("main")[robes].any()
    assert set(made.catalogue.column("supercategory")[robes]) == {"outer"}
    assert made.catalogue.categories == ["bag", "t-shirt"]
    assert made.unmapped == {("a", "Robe"): (2, "outer", True)}


def test_labels_without_a_place_are_left_out_counted_and_never_guessed() -> None:
    made = merge({"a": listed(["Tee", "Bag"] * 6 + ["Tie", "Te", "Te"])}, RECIPE)
    assert made.left_out == {
        "a/012": "label 'Tie' has none of the categories",
        "a/013": "label 'Te' has none of the categories",
        "a/014": "label 'Te' has none of the categories",
    }
    assert made.unmapped == {("a", "Tie"): (1, "", True), ("a", "Te"): (2, "", False)}


def test_rows_that_a_source_left_out_are_named_under_it() -> None:
    source = replace(listed(["Tee", "Bag"] * 6), left_out={"77": "its box has no area"})
    assert merge({"a": source}, RECIPE).left_out == {"a/77": "its box has no area"}


def test_of_exact_copies_in_two_sources_one_stays() -> None:
    one, other = listed(["Tee", "Bag"] * 8, "a"), listed(["Tee", "Bag"] * 8, "b")
    other.seen["003.jpg"] = one.seen["005.jpg"]  # type: ignore[index]
    made = merge({"a": one, "b": other}, RECIPE)
    assert len(made.catalogue) == 31
    assert made.left_out == {"b/003": "b/003.jpg: the same picture as a/005.jpg, which is kept"}


def test_of_exact_copies_the_one_that_is_classified_stays() -> None:
    whole, spanning = listed(["Tee", "Bag"] * 6, "b"), listed(["Robe"] * 12, "a")
    joined = merge({"a": replace(spanning, seen=whole.seen), "b": whole}, RECIPE)
    assert set(joined.catalogue.column("source")) == {"b"}


@given(st.integers(0, 2**16))
@settings(deadline=None, max_examples=20)
def test_items_that_exact_copies_join_stand_on_one_side(seed: int) -> None:
    labels, rng = ["Tee", "Bag"] * 30, np.random.default_rng(seed)
    items = {name: [f"{name}{rng.integers(25)}-{label}" for label in labels] for name in "ab"}
    one, other = (listed(labels, name, item=items[name]) for name in "ab")
    shared = dict(zip(sorted(other.seen), rng.permutation(sorted(one.seen)), strict=True))
    copies = {mine: one.seen[theirs] if rng.random() < 0.3 else other.seen[mine] for mine, theirs in shared.items()}
    joined = merge({"a": one, "b": replace(other, seen=copies)}, replace(RECIPE, shares=TWO_SIDES))
    split_of = dict(zip(joined.catalogue.column("picture"), joined.catalogue.column("split"), strict=True))
    sides: dict[str, set[str]] = {}
    for name, source in (("a", one), ("b", other)):
        for picture, item in zip(source.catalogue.column("picture"), items[name], strict=True):
            theirs = f"a/{shared[picture]}" if name == "b" and copies[picture] is one.seen[shared[picture]] else ""
            kept = split_of.get(f"{name}/{picture}") or split_of[theirs]  # of a copy that went, the one that stayed
            sides.setdefault(item, set()).add(kept)
    assert all(len(found) == 1 for found in sides.values())
    assert joined.leaks == []


def test_what_hangs_together_through_a_garment_that_is_not_classified_is_dealt_together() -> None:
    labels, items, pictures = [], [], []
    for number in range(30):  # a Tee and a Robe on one picture, the Robe and a Bag of one item
        labels += ["Tee", "Robe", "Bag"]
        items += ["", f"item{number}", f"item{number}"]
        pictures += [f"{number}-a.jpg", f"{number}-a.jpg", f"{number}-b.jpg"]
    joined = merge({"a": listed(labels, item=items, picture=pictures)}, replace(RECIPE, shares=TWO_SIDES))
    assert joined.leaks == []
    splits = joined.catalogue.column("split").reshape(30, 3)
    assert (splits == splits[:, :1]).all()


def test_near_duplicates_of_two_sources_stand_on_one_side() -> None:
    prints = list(range(40))
    one = listed(["Tee", "Bag"] * 20, "a", [7 * each for each in range(20)] + list(range(200, 220)))
    other = listed(["Tee", "Bag"] * 20, "b", [7 * each for each in range(20)] + list(range(220, 240)))
    made = merge({"a": one, "b": other}, replace_recipe(distance=0)).catalogue
    groups = dict(zip(made.column("id"), made.column("group"), strict=True))
    assert all(groups[f"a/{n:03d}"] == groups[f"b/{n:03d}"] == f"a/{n:03d}" for n in prints[:20])
    assert not any(groups[f"a/{n:03d}"] for n in prints[20:])
    check_disjoint(made)


def test_a_near_duplicate_joins_the_groups_that_there_are() -> None:
    one = listed(["Tee", "Bag"] * 6, "a", [1, *range(100, 111)], group=["g", "", "g", *[""] * 9])
    other = listed(["Tee", "Bag"] * 6, "b", [1, *range(200, 211)])
    made = merge({"a": one, "b": other}, replace_recipe(distance=0))
    groups = dict(zip(made.catalogue.column("id"), made.catalogue.column("group"), strict=True))
    assert {name for name, group in groups.items() if group} == {"a/000", "a/002", "b/000"}
    assert len({groups[name] for name in ("a/000", "a/002", "b/000")}) == 1
    assert made.near == 2


def test_pictures_without_a_fingerprint_are_not_compared() -> None:
    made = merge({"a": listed(["Tee", "Bag"] * 6)}, replace_recipe(distance=200))
    assert made.near == 0
    assert set(made.catalogue.column("group")) == {""}


def replace_recipe(**changed: Any) -> Recipe:
    return replace(RECIPE, **changed)


@given(st.integers(4, 30), st.integers(4, 12), st.integers(0, 5))
def test_no_category_is_larger_or_smaller_than_it_may_be(many: int, most: int, seed: int) -> None:
    made = merge({"a": listed(["Tee"] * many + ["Bag"] * 3)}, replace_recipe(most=most, least=4, seed=seed))
    assert made.catalogue.categories == ["t-shirt"]
    assert len(made.catalogue) == min(many, most)
    assert len(made.left_out) == many + 3 - len(made.catalogue)
    assert made.left_out["a/" + f"{many:03d}"] == "category 'bag' has 3 separate pictures or items, under 4"


def test_a_category_whose_pictures_hang_together_is_too_small_however_many_they_are() -> None:
    source = listed(["Tee"] * 20 + ["Bag"] * 20, item=[""] * 20 + ["a", "b"] * 10)
    made = merge({"a": source}, RECIPE)
    assert made.catalogue.categories == ["t-shirt"]
    assert made.left_out["a/020"] == "category 'bag' has 2 separate pictures or items, under 4"


def test_near_duplicates_that_leave_too_few_apart_count_as_one() -> None:
    source = listed(["Tee"] * 20 + ["Bag"] * 5, "a", [*range(100, 120), 1, 1, 1, 2, 3])
    assert merge({"a": source}, replace_recipe(distance=0)).catalogue.categories == ["t-shirt"]


def test_a_picture_that_went_since_it_was_seen_is_compared_with_nothing(caplog: pytest.LogCaptureFixture) -> None:
    source = listed(["Tee", "Bag"] * 8, "a", [1, 1, *range(100, 114)])

    def picture(key: str) -> np.ndarray:
        if key == "001.jpg":
            raise PictureError("001.jpg: no such file")
        return source.picture(key)

    made = merge({"a": replace(source, picture=picture)}, replace_recipe(distance=0))
    assert made.near == 0
    assert "not compared with others: 001.jpg: no such file" in caplog.text
    assert merge({"a": source}, replace_recipe(distance=0)).near == 2


def test_beside_garments_that_stay_those_of_small_categories_stay_for_a_detector() -> None:
    pictures = [f"{number // 2}.jpg" for number in range(16)]
    source = listed(["Tee", "Tee"] * 7 + ["Tee", "Bag"], picture=pictures)
    made = merge({"a": source}, replace_recipe(least=2)).catalogue
    assert made.column("main").tolist() == [True] * 15 + [False]
    assert made.column("split")[15] == made.column("split")[14]


def test_official_splits_stay_and_their_leaks_are_told() -> None:
    splits = ["train", "query", "val", "gallery"] * 4
    source = listed(["Tee", "Bag"] * 8, split=splits, group=["g", "g", *[""] * 14])
    made = merge({"a": source}, replace_recipe(official=True))
    assert made.catalogue.column("split").tolist() == splits
    assert made.leaks == [("group", "a/g")]
    dealt = merge({"a": source}, RECIPE)
    assert dealt.leaks == []
    assert dealt.catalogue.column("split")[0] == dealt.catalogue.column("split")[1]


def test_with_official_splits_exact_copies_stay_and_are_told() -> None:
    splits = ["train", "query", "val", "gallery"] * 4
    source = listed(["Tee", "Bag"] * 8, split=splits)
    source.seen["001.jpg"] = source.seen["000.jpg"]  # type: ignore[index]
    made = merge({"a": source}, replace_recipe(official=True))
    assert made.catalogue.column("split").tolist() == splits
    assert (made.copies, made.leaks) == (2, [("group", "a/000")])
    dealt = merge({"a": source}, RECIPE)
    assert (dealt.copies, dealt.leaks, len(dealt.catalogue)) == (0, [], 15)


def test_beside_official_splits_too_few_rows_without_one_train(caplog: pytest.LogCaptureFixture) -> None:
    one, other = listed(["Tee", "Bag"] * 6, "a", split=["train"] * 12), listed(["Tee"] * 3 + ["Bag"] * 8, "b")
    splits = merge({"a": one, "b": other}, replace_recipe(official=True)).catalogue.column("split")
    assert set(splits[12:15]) == {"train"}
    assert set(splits[15:]) == {"train", "val", "query", "gallery"}
    assert "3 garments without a split train" in caplog.text


def test_beside_official_splits_rows_without_one_are_dealt() -> None:
    one, other = listed(["Tee", "Bag"] * 6, "a", split=["train"] * 12), listed(["Tee", "Bag"] * 6, "b")
    splits = merge({"a": one, "b": other}, replace_recipe(official=True)).catalogue.column("split")
    assert set(splits[:12]) == {"train"}
    assert set(splits[12:]) == {"train", "val", "query", "gallery"}


def test_nothing_left_is_told_with_the_first_reason() -> None:
    with pytest.raises(ValueError, match="no garment of a is left; of 2 the first: label 'Tie' has none"):
        merge({"a": listed(["Tie", "Tie"])}, RECIPE)


def test_a_source_that_is_no_files_is_seen_by_its_pixels() -> None:
    class Drawn:
        def catalogue(self, wanted: Any = None) -> Catalogue:
            return Catalogue.of({"picture": ["0", "1"], "category": ["Tee", "Bag"]})

        def picture(self, key: str) -> np.ndarray:
            return np.full((4, 6, 3), int(key), np.uint8)

    made = merging.listed("a", Drawn(), LABELS, True)
    assert [made.seen[key][:2] for key in ("0", "1")] == [(6, 4), (6, 4)]
    assert made.seen["0"].digest != made.seen["1"].digest
    assert made.seen["0"].fingerprint == b""
