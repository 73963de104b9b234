"""Splits share no image, group or item, and follow their ratios."""

import time
from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.leaks import check_disjoint, drop_leaks
from fashion_lsh.data.schema import SPLITS
from fashion_lsh.data.splits import split

RATIOS = {"train": 0.6, "val": 0.1, "query": 0.1, "gallery": 0.2}
LINKS = ("image", "group", "item")
seeds = st.integers(0, 2**32 - 1)


def make_catalogue(seed: int, num_components: int = 24, tangled: bool = False) -> Catalogue:
    """Create a catalogue of connected components with one category, one to three items and one to four images per item.

    Some items and views are unknown. If `tangled`, some images also show a garment of another component, which
    connects the two components.
    """
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for component in range(num_components):
        for item in range(rng.integers(1, 4)):
            has_item = rng.random() < 0.8
            rows += [{"image": f"{component}-{item}-{number}.jpg",
                      "category": f"c{component % 3}", "group": f"g{component}",
                      "item": f"i{component}-{item}" if has_item else "", "view": rng.choice(["", "shop", "street"])}
                     for number in range(rng.integers(1, 5))]  # fmt: skip
    if tangled:
        rows += [{**rows[rng.integers(len(rows))], "image": rows[rng.integers(len(rows))]["image"],
                  "group": "", "category": f"c{rng.integers(3)}"} for _ in range(num_components // 4)]  # fmt: skip
    order = rng.permutation(len(rows))
    columns = {name: [rows[n][name] for n in order] for name in rows[0]}
    return Catalogue.from_columns({"id": [f"id{n}" for n in range(len(rows))], **columns})


def make_single_images(categories: list[str], **columns: Any) -> Catalogue:
    return Catalogue.from_columns(
        {"image": [f"{n}.jpg" for n in range(len(categories))], "category": categories, **columns}
    )


def make_items(images: dict[str, list[str]], num_others: int = 40) -> Catalogue:
    """Create items with the passed views, and other items with two images (one per view, or without views)."""
    views = ["street", "shop"] if any({"shop", "street"} & set(names) for names in images.values()) else ["", ""]
    all_items = {**images, **{f"other{n}": views for n in range(num_others)}}
    rows = [
        (f"{item}-{n}.jpg", item, view) for item, item_views in all_items.items() for n, view in enumerate(item_views)
    ]
    names, items, row_views = zip(*rows, strict=True)
    return Catalogue.from_columns({"image": names, "category": ["hat"] * len(rows), "item": items, "view": row_views})


def components(catalogue: Catalogue) -> list[list[int]]:
    """Connected components of rows linked by image, group or item, computed by graph search."""
    rows_by_value: dict[tuple[str, str], list[int]] = defaultdict(list)
    row_values = [[(link, name) for link in LINKS if (name := row[link])] for row in catalogue.table.to_pylist()]
    for row, values in enumerate(row_values):
        for value in values:
            rows_by_value[value].append(row)
    visited: set[int] = set()
    return [
        sorted(_walk(row, row_values, rows_by_value, visited)) for row in range(len(row_values)) if row not in visited
    ]


def _walk(start: int, row_values: list[Any], rows_by_value: dict[Any, list[int]], visited: set[int]) -> Iterator[int]:
    queue = [start]
    visited.add(start)
    while queue:
        row = queue.pop()
        yield row
        neighbours = {other for value in row_values[row] for other in rows_by_value[value]} - visited
        visited |= neighbours
        queue += neighbours


def partition(name: str) -> str:
    return "test" if name in ("query", "gallery") else name


def shared_values(catalogue: Catalogue, column: str, one: str, other: str) -> set[str]:
    splits, names = catalogue.column("split"), catalogue.column(column)
    return (set(names[splits == one]) & set(names[splits == other])) - {""}


@given(seeds, st.booleans())
@settings(max_examples=80, deadline=None)
def test_no_image_group_or_item_is_in_two_splits(seed: int, tangled: bool) -> None:
    catalogue = split(make_catalogue(seed, 60, tangled), RATIOS, seed)
    check_disjoint(catalogue)
    for one, other in combinations(SPLITS, 2):
        assert not shared_values(catalogue, "image", one, other)
        if (one, other) != ("query", "gallery"):
            assert not shared_values(catalogue, "group", one, other)
            assert not shared_values(catalogue, "item", one, other)


@given(seeds)
@settings(max_examples=50, deadline=None)
def test_connected_rows_are_in_one_split(seed: int) -> None:
    catalogue = make_catalogue(seed, 40, tangled=True)
    catalogue = split(catalogue.with_columns(category=["hat"] * len(catalogue)), {"train": 0.5, "val": 0.5}, seed)
    splits = catalogue.column("split")
    groups = components(catalogue)
    assert all(len(set(splits[rows])) == 1 for rows in groups)
    assigned = [splits[rows[0]] for rows in groups]
    assert (
        abs(assigned.count("train") - assigned.count("val")) <= 1
    )  # equal counts imply that no other rows were connected


def test_rows_of_a_long_chain_of_links_are_in_one_split() -> None:
    count = 80_000  # rows of the chain, in random order
    order = np.random.default_rng(0).permutation(count)
    positions = np.empty(count, dtype=int)
    positions[order] = np.arange(count)
    chain = {"group": [f"g{n // 2}" for n in positions], "item": [f"i{(n + 1) // 2}" for n in positions]}
    columns = {name: [*values, *[""] * 9] for name, values in chain.items()}  # 9 more rows without links
    start = time.perf_counter()
    catalogue = split(make_single_images(["hat"] * (count + 9), **columns), {"train": 0.5, "val": 0.5}, 0)
    assert time.perf_counter() - start < 8  # following one link per iteration would take minutes
    splits = catalogue.column("split")
    assert len(set(splits[:count])) == 1
    assert sorted([*splits[count:], splits[0]]) == ["train"] * 5 + ["val"] * 5


@given(st.lists(st.integers(4, 60), min_size=1, max_size=4), st.lists(st.integers(0, 9), min_size=4, max_size=4), seeds)
@settings(max_examples=80, deadline=None)
def test_each_category_is_divided_by_the_ratios(sizes: list[int], weights: list[int], seed: int) -> None:
    ratios = {name: weight / 10 for name, weight in zip(SPLITS, [1 + weights[0], *weights[1:]], strict=True)}
    names = [f"c{n}" for n, size in enumerate(sizes) for _ in range(size)]
    catalogue = split(make_single_images(np.random.default_rng(seed).permutation(names).tolist()), ratios, seed)
    splits, categories = catalogue.column("split"), catalogue.column("category")
    ideal = np.array([ratios[name] for name in SPLITS]) / sum(ratios.values())
    for index, size in enumerate(sizes):
        assigned = np.array([(splits[categories == f"c{index}"] == name).sum() for name in SPLITS])
        assert ((assigned > 0) == (ideal > 0)).all()
        if (size * ideal[ideal > 0] >= 1).all():
            assert (abs(assigned - size * ideal) < 1).all()
        else:
            assert (abs(assigned - size * ideal) < len(SPLITS)).all()


@given(seeds)
@settings(max_examples=50, deadline=None)
def test_each_split_contains_each_category_if_images_show_several_categories(seed: int) -> None:
    rng = np.random.default_rng(seed)
    image_categories = [("shirt", "pants")] * 20 + [("shirt", "shoes")] * 8 + [("hat",)] * 4 + [("coat", "hat")] * 4
    rows = [(f"{n}.jpg", name) for n, names in enumerate(image_categories) for name in rng.permutation(names)]
    images, categories = zip(*rows, strict=True)
    catalogue = Catalogue.from_columns(
        {"id": [f"{n}" for n in range(len(rows))], "image": images, "category": categories}
    )
    catalogue = split(catalogue, RATIOS, seed)
    check_disjoint(catalogue)
    assert len(set(zip(catalogue.column("category"), catalogue.column("split"), strict=True))) == 5 * 4
    shirts = catalogue.column("split")[catalogue.column("category") == "shirt"].tolist()
    assert abs(shirts.count("train") - 0.6 * 28) <= 2


def test_a_category_in_images_with_rarer_categories_is_divided_by_the_ratios() -> None:
    rows = [(f"{rare}-{n}.jpg", name) for rare in range(5) for n in range(4) for name in (f"rare{rare}", "hat")]
    rows += [(f"{n}.jpg", "hat") for n in range(10)]  # 30 images of hats in total; each split already has five
    images, categories = zip(*rows, strict=True)
    catalogue = Catalogue.from_columns(
        {"id": [f"{n}" for n in range(len(rows))], "image": images, "category": categories}
    )
    catalogue = split(catalogue, {"val": 0.1, "query": 0.1, "gallery": 0.2, "train": 0.6}, 0)
    hats = catalogue.column("split")[catalogue.column("category") == "hat"].tolist()
    assert {name: hats.count(name) for name in SPLITS} == {"train": 14, "val": 5, "query": 5, "gallery": 6}


def test_splits_depend_on_the_seed() -> None:
    catalogue = make_catalogue(0)
    splits = [split(catalogue, RATIOS, seed).column("split").tolist() for seed in (1, 1, 2)]
    assert splits[0] == splits[1] != splits[2]


def test_splits_equal_the_splits_of_earlier_versions() -> None:
    catalogue = split(make_single_images(["hat", "bag", "hat", "cap"] * 10), RATIOS, 0)
    assert "".join(name[0] for name in catalogue.column("split")) == "tqtttgtgttttgtgtvtgtqttgttttqttqvgtvtvgt"


def test_splits_do_not_depend_on_ids() -> None:
    categories = ["hat", "bag"] * 20
    one, other = (
        make_single_images(categories),
        make_single_images(categories, id=[f"x{n}" for n in range(40)], item=[f"i{n}" for n in range(40)]),
    )
    assert split(one, RATIOS, 3).column("split").tolist() == split(other, RATIOS, 3).column("split").tolist()


@pytest.mark.parametrize(("views", "query", "gallery"), [
    (["", "", ""], {"0"}, {"1", "2"}),  # a third of the images are queries, in order of their names
    (["", ""], {"0"}, {"1"}),
    ([""] * 6, {"0", "1"}, {"2", "3", "4", "5"}),
    (["shop", "street"], {"1"}, {"0"}),
    (["street", "shop", "street", "shop"], {"0", "2"}, {"1", "3"}),
    (["shop", "", ""], {"1"}, {"0", "2"}),
    (["street", ""], {"0"}, {"1"}),
    (["shop", "shop"], set(), {"0", "1"}),  # only gallery images, no queries
    (["street", "street"], {"0", "1"}, set()),
])  # fmt: skip
def test_images_of_an_item_are_divided_by_view_or_ratio(views: list[str], query: set[str], gallery: set[str]) -> None:
    items = make_items({f"mine{n}": views for n in range(12)})
    catalogue = split(items, RATIOS, 0)
    test = [
        n
        for n in range(12)
        if np.isin(catalogue.column("split")[catalogue.column("item") == f"mine{n}"], ["query", "gallery"]).any()
    ]
    assert test
    for number in test:
        names = dict(zip(catalogue.column("image"), catalogue.column("split"), strict=True))
        by_image = {name: split for name, split in names.items() if name.startswith(f"mine{number}-")}
        assert {name[:-4].split("-")[1] for name, split in by_image.items() if split == "query"} == query
        assert {name[:-4].split("-")[1] for name, split in by_image.items() if split == "gallery"} == gallery


@pytest.mark.parametrize("ratios", [{"query": 0.05, "gallery": 0.95}, {"query": 0.95, "gallery": 0.05}])
@pytest.mark.parametrize("images", [2, 3, 8])
def test_each_test_item_is_in_query_and_gallery_at_any_ratio(ratios: dict[str, float], images: int) -> None:
    items = [f"i{n // images}" for n in range(30 * images)]
    catalogue = split(make_single_images(["hat"] * len(items), item=items), ratios, 0)
    query_items, gallery_items = (
        catalogue.column("item")[catalogue.rows(name)].tolist() for name in ("query", "gallery")
    )
    assert set(query_items) == set(gallery_items) == set(items)
    assert min(len(query_items), len(gallery_items)) == 30


def test_query_and_gallery_share_items_but_no_image() -> None:
    catalogue = split(make_catalogue(1), RATIOS, 1)
    assert shared_values(catalogue, "item", "query", "gallery")
    assert not shared_values(catalogue, "image", "query", "gallery")


@pytest.mark.parametrize("view", ["", "shop", "street"])
def test_items_with_one_image_are_divided_by_the_ratios(view: str) -> None:
    count = 40
    catalogue = split(
        make_single_images(["hat"] * count, item=[f"i{n}" for n in range(count)], view=[view] * count), RATIOS, 0
    )
    splits = catalogue.column("split").tolist()
    assert {name: splits.count(name) for name in SPLITS} == {"train": 24, "val": 4, "query": 4, "gallery": 8}


@pytest.mark.parametrize("view", ["shop", "street"])
def test_items_of_one_view_are_in_query_and_gallery(view: str) -> None:
    items = [f"i{n // 3}" for n in range(120)]
    catalogue = split(make_single_images(["hat"] * 120, item=items, view=[view] * 120), RATIOS, 0)
    query_items = set(catalogue.column("item")[catalogue.rows("query")])
    assert query_items
    assert query_items == set(catalogue.column("item")[catalogue.rows("gallery")])
    assert len(catalogue.rows("gallery")) == 2 * len(catalogue.rows("query"))


def test_an_image_of_two_items_is_in_one_split() -> None:
    rows = [(f"{n}-{number}.jpg", f"{name}{n}") for n in range(30) for number, name in
            [(0, "hat"), (1, "hat"), (1, "bag"), (2, "bag"), (0, "")]]  # fmt: skip
    images, items = zip(*rows, strict=True)
    items = tuple(item if item.strip("0123456789") else "" for item in items)
    ids = [f"{n}" for n in range(len(rows))]
    catalogue = split(
        Catalogue.from_columns({"id": ids, "image": images, "item": items, "category": ["x"] * len(rows)}), RATIOS, 0
    )
    check_disjoint(catalogue)
    query_items, gallery_items = (set(catalogue.column("item")[catalogue.rows(name)]) for name in ("query", "gallery"))
    assert {item for item in query_items if item.startswith("hat")} <= gallery_items


def test_a_zero_ratio_leaves_the_gallery_empty() -> None:
    catalogue = split(make_catalogue(2), {"train": 0.8, "val": 0.1, "query": 0.1, "gallery": 0.0}, 0)
    assert set(catalogue.column("split")) == {"train", "val", "query"}
    for name in LINKS:
        assert not shared_values(catalogue, name, "train", "query")


def test_existing_splits_are_kept() -> None:
    catalogue = make_single_images(["hat", "hat"], split=["query", "train"])
    assert split(catalogue, RATIOS, 0) is catalogue


def test_splits_in_only_some_rows_raise() -> None:
    with pytest.raises(ValueError, match="1 of 3 rows"):
        split(make_single_images(["hat"] * 3, split=["", "train", ""]), RATIOS, 0)


@pytest.mark.parametrize(("count", "group", "size"), [(1, "", 1), (3, "", 3), (30, "all", 1)])
def test_a_category_with_too_few_groups_of_linked_images_raises(count: int, group: str, size: int) -> None:
    catalogue = make_single_images(["hat"] * 50 + ["bag"] * count, group=[""] * 50 + [group] * count)
    with pytest.raises(ValueError, match=rf"category 'bag': {size} .* 4 splits"):
        split(catalogue, RATIOS, 0)


def test_each_split_contains_one_row_of_a_category_with_four_rows() -> None:
    catalogue = split(make_single_images(["hat"] * 50 + ["bag"] * 4), RATIOS, 0)
    assert sorted(catalogue.column("split")[-4:]) == sorted(SPLITS)


def test_ratios_that_are_all_zero_raise() -> None:
    with pytest.raises(ValueError, match=r"split\.ratios={"):
        split(make_single_images(["hat"] * 9), dict.fromkeys(SPLITS, 0.0), 0)


def test_the_ratio_of_an_unknown_split_raises() -> None:
    with pytest.raises(ValueError, match="split='test'"):
        split(make_single_images(["hat"] * 9), {"train": 0.5, "test": 0.5}, 0)


@pytest.mark.parametrize("column", LINKS)
@pytest.mark.parametrize(("one", "other"), list(combinations(SPLITS, 2)))
def test_check_disjoint_finds_leaks_of_each_column(column: str, one: str, other: str) -> None:
    columns: dict[str, list[str]] = {
        "id": ["1", "2", "3"], "image": ["a", "b", "c"], "group": ["", "g", ""], "item": ["", "i", ""],
        "category": ["hat"] * 3, "split": [one, other, other],
    }  # fmt: skip
    check_disjoint(Catalogue.from_columns(columns))
    columns[column] = ["twice", "twice", columns[column][2]]
    leaky = Catalogue.from_columns(columns)
    if (one, other) == ("query", "gallery") and column != "image":
        check_disjoint(leaky)
        return
    with pytest.raises(ValueError, match=f"{column}='twice'") as raised:
        check_disjoint(leaky)
    split_names = (
        (one, other)
        if column == "image"
        else ("query and gallery" if partition(s) == "test" else s for s in (one, other))
    )
    assert all(name in str(raised.value) for name in split_names)


@given(st.lists(st.tuples(*[st.sampled_from(["", "a", "b", "c"])] * 2, st.sampled_from(SPLITS)), max_size=6))
@settings(max_examples=200, deadline=None)
def test_check_disjoint_equals_a_comparison_of_all_pairs(rows: list[tuple[str, str, str]]) -> None:
    catalogue = make_single_images(
        ["hat"] * len(rows), **dict(zip(("group", "item", "split"), zip(*rows, strict=True), strict=False))
    )
    has_leak = any((one[n] and one[n] == other[n]) and partition(one[2]) != partition(other[2])
                for one, other in combinations(rows, 2) for n in (0, 1))  # fmt: skip
    if has_leak:
        with pytest.raises(ValueError, match=r"='[abc]': "):
            check_disjoint(catalogue)
    else:
        check_disjoint(catalogue)


def test_a_category_too_small_for_val_stays_in_train() -> None:
    catalogue = make_single_images(["hat"] * 20 + ["bag", "bag"], split=["train"] * 20 + ["train", "query"])
    splits = split(catalogue, RATIOS, 0).column("split")
    assert splits[20:].tolist() == ["train", "query"]
    assert sorted(set(splits[:20])) == ["train", "val"]


def test_a_missing_val_is_taken_from_train() -> None:
    assigned = split(make_catalogue(3), {"train": 0.5, "query": 0.5}, 0)
    catalogue = split(assigned, RATIOS, 0)
    before, after = assigned.column("split"), catalogue.column("split")
    assert set(after) == {"train", "val", "query"}
    assert (after[before == "query"] == "query").all()
    assert set(after[before == "train"]) == {"train", "val"}
    check_disjoint(catalogue)
    assert split(assigned, RATIOS, 0).checksum == catalogue.checksum != split(assigned, RATIOS, 1).checksum
    assert split(assigned, {**RATIOS, "val": 0}, 0).checksum == assigned.checksum


@settings(deadline=None)
@given(seed=seeds)
def test_drop_leaks_removes_only_leaking_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    catalogue = make_catalogue(seed, tangled=True)
    catalogue = catalogue.with_columns(split=rng.choice(["train", "val", "query"], len(catalogue)).tolist())
    kept, reasons = drop_leaks(catalogue)
    check_disjoint(kept)
    assert set(kept.column("id")) | set(reasons) == set(catalogue.column("id"))
    assert len(kept) + len(reasons) == len(catalogue)
    assert (catalogue.column("split") == "query").sum() == (kept.column("split") == "query").sum()
    rows = {name: row for row, name in enumerate(catalogue.column("id"))}
    columns = {name: catalogue.column(name) for name in (*LINKS, "split")}
    later_splits = {"train": ["val", "query"], "val": ["query"]}
    is_kept = np.array([name not in reasons for name in catalogue.column("id")])
    for name in reasons:  # each dropped row is linked to a kept row of a later split
        row = rows[name]
        is_later = is_kept & np.isin(columns["split"].astype(str), later_splits[columns["split"][row]])
        assert any((columns[link][is_later] == columns[link][row]).any() for link in LINKS if columns[link][row])
