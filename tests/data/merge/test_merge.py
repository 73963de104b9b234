"""Merge sources: labels are mapped, every skipped row has a reason, and splits have no leaks."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.image_scan import ImageInfo
from fashion_lsh.data.images import ImageError
from fashion_lsh.data.leaks import check_disjoint
from fashion_lsh.data.merge import merge as merging
from fashion_lsh.data.merge.merge import ScannedSource, merge
from fashion_lsh.data.merge.recipe import Recipe
from fashion_lsh.data.merge.taxonomy import LabelMap
from fashion_lsh.data.near_duplicates import fingerprint

LABELS = LabelMap({"Tee": ("t-shirt", "upper"), "Bag": ("bag", "accessory"), "Robe": ("", "outer"), "Tie": ("", "")})
RECIPE = Recipe(None, 1, None, False, {"train": 0.5, "val": 0.2, "query": 0.2, "gallery": 0.1}, 0)

TWO_SPLITS = {"train": 0.6, "val": 0.4}


def make_noise_image(seed: int) -> np.ndarray:
    """Draw an image that differs for each seed, (30, 40, 3) uint8."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return coarse.repeat(5, axis=0).repeat(5, axis=1)


def make_source(
    labels: Sequence[str], name: str = "", content_ids: Sequence[int] | None = None, **columns: Any
) -> ScannedSource:
    """Create a source with one image per label. All digests differ; images with equal content ids have equal pixels."""
    images = columns.pop("image", [f"{index:03d}.jpg" for index in range(len(labels))])
    ids = [f"{index:03d}" for index in range(len(labels))]
    rows = Catalogue.from_columns({"id": ids, "image": images, "category": list(labels), **columns})
    pixels = dict(zip(dict.fromkeys(images), map(make_noise_image, content_ids or range(len(labels))), strict=False))
    image_infos = {
        key: ImageInfo(40, 30, f"{name}{key}", "", fingerprint(image).tobytes() if content_ids else b"")
        for key, image in pixels.items()
    }
    return ScannedSource(rows, image_infos, {}, LABELS, pixels.__getitem__)


def test_labels_become_categories_and_ids_get_the_source_prefix() -> None:
    sources = {
        "b": make_source(["Tee", "Bag"] * 8, "b"),
        "a": make_source(["Bag", "Tee"] * 8, "a", item=["x", "y"] * 8),
    }
    merged = merge(sources, RECIPE).catalogue
    assert merged.column("id")[:2].tolist() == ["a/000", "a/001"]
    assert merged.column("image")[16] == "b/000.jpg"
    assert set(merged.column("item")) == {"a/x", "a/y", ""}
    assert set(zip(merged.column("category"), merged.column("supercategory"), strict=True)) == {
        ("t-shirt", "upper"), ("bag", "accessory"),
    }  # fmt: skip
    assert set(merged.column("source")) == {"a", "b"}


def test_the_order_of_sources_does_not_change_the_catalogue() -> None:
    one, other = make_source(["Tee", "Bag"] * 6, "b"), make_source(["Bag", "Tee", "Robe"] * 6, "a")
    first, second = merge({"b": one, "a": other}, RECIPE), merge({"a": other, "b": one}, RECIPE)
    assert first.catalogue.checksum == second.catalogue.checksum


def test_a_label_that_covers_several_categories_keeps_its_group() -> None:
    merged = merge({"a": make_source(["Tee", "Bag"] * 6 + ["Robe", "Robe"])}, RECIPE)
    is_robe = merged.catalogue.column("category") == "[outer]"
    assert is_robe.sum() == 2
    assert not merged.catalogue.column("main")[is_robe].any()
    assert set(merged.catalogue.column("supercategory")[is_robe]) == {"outer"}
    assert merged.catalogue.categories == ["bag", "t-shirt"]
    assert merged.unmapped == {("a", "Robe"): (2, "outer", True)}


def test_unmapped_labels_are_skipped_and_counted() -> None:
    merged = merge({"a": make_source(["Tee", "Bag"] * 6 + ["Tie", "Te", "Te"])}, RECIPE)
    assert merged.skipped == {
        "a/012": "label 'Tie' maps to no category",
        "a/013": "label 'Te' maps to no category",
        "a/014": "label 'Te' maps to no category",
    }
    assert merged.unmapped == {("a", "Tie"): (1, "", True), ("a", "Te"): (2, "", False)}


def test_ids_of_skipped_rows_get_the_prefix_of_the_source() -> None:
    source = replace(make_source(["Tee", "Bag"] * 6), skipped={"77": "box has no area"})
    assert merge({"a": source}, RECIPE).skipped == {"a/77": "box has no area"}


def test_only_one_of_several_exact_copies_is_kept() -> None:
    one, other = make_source(["Tee", "Bag"] * 8, "a"), make_source(["Tee", "Bag"] * 8, "b")
    other.image_infos["003.jpg"] = one.image_infos["005.jpg"]  # type: ignore[index]
    merged = merge({"a": one, "b": other}, RECIPE)
    assert len(merged.catalogue) == 31
    assert merged.skipped == {"b/003": "b/003.jpg: exact copy of a/005.jpg, which is kept"}


def test_the_exact_copy_with_a_category_is_kept() -> None:
    classified, unclassified = make_source(["Tee", "Bag"] * 6, "b"), make_source(["Robe"] * 12, "a")
    merged = merge({"a": replace(unclassified, image_infos=classified.image_infos), "b": classified}, RECIPE)
    assert set(merged.catalogue.column("source")) == {"b"}


@given(st.integers(0, 2**16))
@settings(deadline=None, max_examples=20)
def test_items_connected_by_exact_copies_share_a_split(seed: int) -> None:
    labels, rng = ["Tee", "Bag"] * 30, np.random.default_rng(seed)
    items = {name: [f"{name}{rng.integers(25)}-{label}" for label in labels] for name in "ab"}
    one, other = (make_source(labels, name, item=items[name]) for name in "ab")
    original_keys = dict(zip(sorted(other.image_infos), rng.permutation(sorted(one.image_infos)), strict=True))
    infos_with_copies = {
        key: one.image_infos[original] if rng.random() < 0.3 else other.image_infos[key]
        for key, original in original_keys.items()
    }
    merged = merge({"a": one, "b": replace(other, image_infos=infos_with_copies)}, replace(RECIPE, ratios=TWO_SPLITS))
    image_splits = dict(zip(merged.catalogue.column("image"), merged.catalogue.column("split"), strict=True))
    item_splits: dict[str, set[str]] = {}
    for name, source in (("a", one), ("b", other)):
        for image, item in zip(source.catalogue.column("image"), items[name], strict=True):
            split = image_splits.get(f"{name}/{image}")
            if split is None:  # a removed copy counts as a member of the split of the kept copy
                assert (name, infos_with_copies[image]) == ("b", one.image_infos[original_keys[image]])
                split = image_splits[f"a/{original_keys[image]}"]
            item_splits.setdefault(item, set()).add(split)
    assert all(len(splits) == 1 for splits in item_splits.values())
    assert merged.leaks == []


def test_rows_connected_by_unclassified_garments_share_a_split() -> None:
    labels, items, images = [], [], []
    for number in range(
        30
    ):  # a Tee is linked to a Bag only through a Robe: same image as the Tee, same item as the Bag
        labels += ["Tee", "Robe", "Bag"]
        items += ["", f"item{number}", f"item{number}"]
        images += [f"{number}-a.jpg", f"{number}-a.jpg", f"{number}-b.jpg"]
    merged = merge({"a": make_source(labels, item=items, image=images)}, replace(RECIPE, ratios=TWO_SPLITS))
    assert merged.leaks == []
    splits = merged.catalogue.column("split").reshape(30, 3)
    assert (splits == splits[:, :1]).all()


def test_near_duplicates_of_two_sources_share_a_split() -> None:
    one = make_source(["Tee", "Bag"] * 20, "a", [7 * each for each in range(20)] + list(range(200, 220)))
    other = make_source(["Tee", "Bag"] * 20, "b", [7 * each for each in range(20)] + list(range(220, 240)))
    merged = merge({"a": one, "b": other}, change_recipe(max_distance=0)).catalogue
    groups = dict(zip(merged.column("id"), merged.column("group"), strict=True))
    assert all(groups[f"a/{n:03d}"] == groups[f"b/{n:03d}"] == f"a/{n:03d}" for n in range(20))
    assert not any(groups[f"a/{n:03d}"] for n in range(20, 40))
    check_disjoint(merged)


def test_a_near_duplicate_joins_existing_groups() -> None:
    one = make_source(["Tee", "Bag"] * 6, "a", [1, *range(100, 111)], group=["g", "", "g", *[""] * 9])
    other = make_source(["Tee", "Bag"] * 6, "b", [1, *range(200, 211)])
    merged = merge({"a": one, "b": other}, change_recipe(max_distance=0))
    groups = dict(zip(merged.catalogue.column("id"), merged.catalogue.column("group"), strict=True))
    assert {name for name, group in groups.items() if group} == {"a/000", "a/002", "b/000"}
    assert len({groups[name] for name in ("a/000", "a/002", "b/000")}) == 1
    assert merged.near_duplicates == 2


def test_images_without_a_fingerprint_are_not_compared() -> None:
    merged = merge({"a": make_source(["Tee", "Bag"] * 6)}, change_recipe(max_distance=200))
    assert merged.near_duplicates == 0
    assert set(merged.catalogue.column("group")) == {""}


def change_recipe(**changed: Any) -> Recipe:
    return replace(RECIPE, **changed)


@given(st.integers(4, 30), st.integers(4, 12), st.integers(0, 5))
@settings(deadline=None)  # the first call imports scipy
def test_category_sizes_are_limited(count: int, max_per_category: int, seed: int) -> None:
    merged = merge(
        {"a": make_source(["Tee"] * count + ["Bag"] * 3)},
        change_recipe(max_per_category=max_per_category, min_per_category=4, seed=seed),
    )
    assert merged.catalogue.categories == ["t-shirt"]
    assert len(merged.catalogue) == min(count, max_per_category)
    assert len(merged.skipped) == count + 3 - len(merged.catalogue)
    assert merged.skipped["a/" + f"{count:03d}"] == "category 'bag' has 3 groups of linked images, fewer than 4"


def test_a_category_with_few_groups_of_linked_images_is_dropped() -> None:
    source = make_source(["Tee"] * 20 + ["Bag"] * 20, item=[""] * 20 + ["a", "b"] * 10)
    merged = merge({"a": source}, RECIPE)
    assert merged.catalogue.categories == ["t-shirt"]
    assert merged.skipped["a/020"] == "category 'bag' has 2 groups of linked images, fewer than 4"


def test_near_duplicates_count_as_one_group_of_linked_images() -> None:
    source = make_source(["Tee"] * 20 + ["Bag"] * 5, "a", [*range(100, 120), 1, 1, 1, 2, 3])
    assert merge({"a": source}, change_recipe(max_distance=0)).catalogue.categories == ["t-shirt"]


def test_an_image_missing_since_the_scan_is_not_compared(caplog: pytest.LogCaptureFixture) -> None:
    source = make_source(["Tee", "Bag"] * 8, "a", [1, 1, *range(100, 114)])

    def image(key: str) -> np.ndarray:
        if key == "001.jpg":
            raise ImageError("001.jpg: no such file")
        return source.image(key)

    merged = merge({"a": replace(source, image=image)}, change_recipe(max_distance=0))
    assert merged.near_duplicates == 0
    assert "001.jpg: no such file" in caplog.text
    assert merge({"a": source}, change_recipe(max_distance=0)).near_duplicates == 2


def test_garments_of_small_categories_stay_as_companions() -> None:
    images = [f"{number // 2}.jpg" for number in range(16)]
    source = make_source(["Tee", "Tee"] * 7 + ["Tee", "Bag"], image=images)
    merged = merge({"a": source}, change_recipe(min_per_category=2)).catalogue
    assert merged.column("main").tolist() == [True] * 15 + [False]
    assert merged.column("split")[15] == merged.column("split")[14]


def test_published_splits_are_kept_and_their_leaks_are_reported() -> None:
    splits = ["train", "query", "val", "gallery"] * 4
    source = make_source(["Tee", "Bag"] * 8, split=splits, group=["g", "g", *[""] * 14])
    merged = merge({"a": source}, change_recipe(keep_official_splits=True))
    assert merged.catalogue.column("split").tolist() == splits
    assert merged.leaks == [("group", "a/g")]
    reassigned = merge({"a": source}, RECIPE)
    assert reassigned.leaks == []
    assert reassigned.catalogue.column("split")[0] == reassigned.catalogue.column("split")[1]


def test_exact_copies_are_kept_with_published_splits() -> None:
    splits = ["train", "query", "val", "gallery"] * 4
    source = make_source(["Tee", "Bag"] * 8, split=splits)
    source.image_infos["001.jpg"] = source.image_infos["000.jpg"]  # type: ignore[index]
    merged = merge({"a": source}, change_recipe(keep_official_splits=True))
    assert merged.catalogue.column("split").tolist() == splits
    assert (merged.copies, merged.leaks) == (2, [("group", "a/000")])
    reassigned = merge({"a": source}, RECIPE)
    assert (reassigned.copies, reassigned.leaks, len(reassigned.catalogue)) == (0, [], 15)


def test_rows_without_published_splits_are_assigned_to_train_if_too_few(caplog: pytest.LogCaptureFixture) -> None:
    one, other = make_source(["Tee", "Bag"] * 6, "a", split=["train"] * 12), make_source(["Tee"] * 3 + ["Bag"] * 8, "b")
    splits = merge({"a": one, "b": other}, change_recipe(keep_official_splits=True)).catalogue.column("split")
    assert set(splits[12:15]) == {"train"}
    assert set(splits[15:]) == {"train", "val", "query", "gallery"}
    assert "Assigned 3 garments to train" in caplog.text


def test_rows_without_published_splits_are_assigned_to_splits() -> None:
    one, other = make_source(["Tee", "Bag"] * 6, "a", split=["train"] * 12), make_source(["Tee", "Bag"] * 6, "b")
    splits = merge({"a": one, "b": other}, change_recipe(keep_official_splits=True)).catalogue.column("split")
    assert set(splits[:12]) == {"train"}
    assert set(splits[12:]) == {"train", "val", "query", "gallery"}


def test_no_garment_left_raises_with_the_first_reason() -> None:
    with pytest.raises(ValueError, match=r"no garment of a is left; 2 were skipped.*label 'Tie'"):
        merge({"a": make_source(["Tie", "Tie"])}, RECIPE)


def test_digests_of_a_source_without_files_are_computed_from_pixels() -> None:
    class ArraySource:
        def catalogue(self, filters: Any = None) -> Catalogue:
            return Catalogue.from_columns({"image": ["0", "1"], "category": ["Tee", "Bag"]})

        def image(self, key: str) -> np.ndarray:
            return np.full((4, 6, 3), int(key), np.uint8)

    merged = merging.scan_source("a", ArraySource(), LABELS, True)
    assert [merged.image_infos[key][:2] for key in ("0", "1")] == [(6, 4), (6, 4)]
    assert merged.image_infos["0"].digest != merged.image_infos["1"].digest
    assert merged.image_infos["0"].fingerprint == b""
