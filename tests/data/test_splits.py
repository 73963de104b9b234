"""Nothing is shared between the splits, and each gets its part."""

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
from fashion_lsh.data.leaks import check_disjoint, without_leaks
from fashion_lsh.data.schema import SPLITS
from fashion_lsh.data.splits import split

SHARES = {"train": 0.6, "val": 0.1, "query": 0.1, "gallery": 0.2}
LINKS = ("picture", "group", "item")
seeds = st.integers(0, 2**32 - 1)


def wardrobe(seed: int, units: int = 24, tangled: bool = False) -> Catalogue:
    """Units of one to three items of one category, an item in one to four pictures; some items and views unknown.

    Tangled: some pictures show a garment of another item too, of any category, so that several units become one.
    """
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for unit in range(units):
        for item in range(rng.integers(1, 4)):
            known = rng.random() < 0.8
            rows += [{"picture": f"{unit}-{item}-{number}.jpg", "category": f"c{unit % 3}", "group": f"g{unit}",
                      "item": f"i{unit}-{item}" if known else "", "view": rng.choice(["", "shop", "street"])}
                     for number in range(rng.integers(1, 5))]  # fmt: skip
    if tangled:
        rows += [{**rows[rng.integers(len(rows))], "picture": rows[rng.integers(len(rows))]["picture"],
                  "group": "", "category": f"c{rng.integers(3)}"} for _ in range(units // 4)]  # fmt: skip
    order = rng.permutation(len(rows))
    columns = {name: [rows[n][name] for n in order] for name in rows[0]}
    return Catalogue.of({"id": [f"id{n}" for n in range(len(rows))], **columns})


def single(categories: list[str], **columns: Any) -> Catalogue:
    """A picture a row."""
    return Catalogue.of({"picture": [f"{n}.jpg" for n in range(len(categories))], "category": categories, **columns})


def items_of(pictures: dict[str, list[str]], others: int = 40) -> Catalogue:
    """Items by name with the views of their pictures, among other items of two pictures, one of each view or none."""
    views = ["street", "shop"] if any("shop" in v or "street" in v for v in pictures.values()) else ["", ""]
    every = {**pictures, **{f"other{n}": views for n in range(others)}}
    rows = [(f"{item}-{n}.jpg", item, view) for item, seen in every.items() for n, view in enumerate(seen)]
    names, items, seen = zip(*rows, strict=True)
    return Catalogue.of({"picture": names, "category": ["hat"] * len(rows), "item": items, "view": seen})


def components(catalogue: Catalogue) -> list[list[int]]:
    """Rows that share a picture, group or item, directly or through others: a plain walk."""
    sharing: dict[tuple[str, str], list[int]] = defaultdict(list)
    names = [[(link, name) for link in LINKS if (name := row[link])] for row in catalogue.table.to_pylist()]
    for row, keys in enumerate(names):
        for key in keys:
            sharing[key].append(row)
    seen: set[int] = set()
    return [sorted(_walk(row, names, sharing, seen)) for row in range(len(names)) if row not in seen]


def _walk(start: int, names: list[Any], sharing: dict[Any, list[int]], seen: set[int]) -> Iterator[int]:
    waiting = [start]
    seen.add(start)
    while waiting:
        row = waiting.pop()
        yield row
        near = {other for key in names[row] for other in sharing[key]} - seen
        seen |= near
        waiting += near


def side(name: str) -> str:
    return "test" if name in ("query", "gallery") else name


def shared(catalogue: Catalogue, column: str, one: str, other: str) -> set[str]:
    splits, names = catalogue.column("split"), catalogue.column(column)
    return (set(names[splits == one]) & set(names[splits == other])) - {""}


@given(seeds, st.booleans())
@settings(max_examples=80, deadline=None)
def test_nothing_is_shared_between_the_splits(seed: int, tangled: bool) -> None:
    made = split(wardrobe(seed, 60, tangled), SHARES, seed)
    check_disjoint(made)
    for one, other in combinations(SPLITS, 2):
        assert not shared(made, "picture", one, other)
        if (one, other) != ("query", "gallery"):
            assert not shared(made, "group", one, other)
            assert not shared(made, "item", one, other)


@given(seeds)
@settings(max_examples=50, deadline=None)
def test_what_hangs_together_and_no_more_goes_one_way(seed: int) -> None:
    made = wardrobe(seed, 40, tangled=True)
    made = split(made.having(category=["hat"] * len(made)), {"train": 0.5, "val": 0.5}, seed)
    splits = made.column("split")
    together = components(made)
    assert all(len(set(splits[rows])) == 1 for rows in together)
    dealt = [splits[rows[0]] for rows in together]
    assert abs(dealt.count("train") - dealt.count("val")) <= 1  # were more joined, the deal would be of fewer


def test_long_chain_of_links_stays_together_and_is_found_soon() -> None:
    count = 80_000  # rows of the chain, in any order
    order = np.random.default_rng(0).permutation(count)
    place = np.empty(count, dtype=int)
    place[order] = np.arange(count)
    chain = {"group": [f"g{n // 2}" for n in place], "item": [f"i{(n + 1) // 2}" for n in place]}
    loose = {name: [*values, *[""] * 9] for name, values in chain.items()}
    began = time.perf_counter()
    made = split(single(["hat"] * (count + 9), **loose), {"train": 0.5, "val": 0.5}, 0)
    assert time.perf_counter() - began < 8  # a link a round would take minutes
    splits = made.column("split")
    assert len(set(splits[:count])) == 1
    assert sorted([*splits[count:], splits[0]]) == ["train"] * 5 + ["val"] * 5


@given(st.lists(st.integers(4, 60), min_size=1, max_size=4), st.lists(st.integers(0, 9), min_size=4, max_size=4), seeds)
@settings(max_examples=80, deadline=None)
def test_each_split_gets_its_share_of_each_category_and_at_least_one(
    sizes: list[int], weights: list[int], seed: int
) -> None:
    shares = {name: weight / 10 for name, weight in zip(SPLITS, [1 + weights[0], *weights[1:]], strict=True)}
    names = [f"c{n}" for n, size in enumerate(sizes) for _ in range(size)]
    made = split(single(np.random.default_rng(seed).permutation(names).tolist()), shares, seed)
    splits, categories = made.column("split"), made.column("category")
    ideal = np.array([shares[name] for name in SPLITS]) / sum(shares.values())
    for number, size in enumerate(sizes):
        dealt = np.array([(splits[categories == f"c{number}"] == name).sum() for name in SPLITS])
        assert ((dealt > 0) == (ideal > 0)).all()
        if (size * ideal[ideal > 0] >= 1).all():
            assert (abs(dealt - size * ideal) < 1).all()
        else:
            assert (abs(dealt - size * ideal) < len(SPLITS)).all()


@given(seeds)
@settings(max_examples=50, deadline=None)
def test_each_split_gets_each_category_also_when_pictures_show_several(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shown = [("shirt", "pants")] * 20 + [("shirt", "shoes")] * 8 + [("hat",)] * 4 + [("coat", "hat")] * 4
    rows = [(f"{n}.jpg", name) for n, names in enumerate(shown) for name in rng.permutation(names)]
    pictures, categories = zip(*rows, strict=True)
    made = Catalogue.of({"id": [f"{n}" for n in range(len(rows))], "picture": pictures, "category": categories})
    made = split(made, SHARES, seed)
    check_disjoint(made)
    assert len(set(zip(made.column("category"), made.column("split"), strict=True))) == 5 * 4
    shirts = made.column("split")[made.column("category") == "shirt"].tolist()
    assert abs(shirts.count("train") - 0.6 * 28) <= 2


def test_category_dealt_with_rarer_ones_still_fills_its_small_shares() -> None:
    rows = [(f"{kind}-{n}.jpg", name) for kind in range(5) for n in range(4) for name in (f"rare{kind}", "hat")]
    rows += [(f"{n}.jpg", "hat") for n in range(10)]  # 30 pictures of hats, of which each split has five by then
    pictures, categories = zip(*rows, strict=True)
    made = Catalogue.of({"id": [f"{n}" for n in range(len(rows))], "picture": pictures, "category": categories})
    made = split(made, {"val": 0.1, "query": 0.1, "gallery": 0.2, "train": 0.6}, 0)
    hats = made.column("split")[made.column("category") == "hat"].tolist()
    assert {name: hats.count(name) for name in SPLITS} == {"train": 14, "val": 5, "query": 5, "gallery": 6}


def test_same_seed_gives_the_same_splits_and_another_seed_others() -> None:
    made = wardrobe(0)
    splits = [split(made, SHARES, seed).column("split").tolist() for seed in (1, 1, 2)]
    assert splits[0] == splits[1] != splits[2]


def test_splits_stay_what_they_were_in_earlier_versions() -> None:
    made = split(single(["hat", "bag", "hat", "cap"] * 10), SHARES, 0)
    assert "".join(name[0] for name in made.column("split")) == "tqtttgtgttttgtgtvtgtqttgttttqttqvgtvtvgt"


def test_splits_do_not_depend_on_what_the_rows_are_called() -> None:
    categories = ["hat", "bag"] * 20
    one, other = (
        single(categories),
        single(categories, id=[f"x{n}" for n in range(40)], item=[f"i{n}" for n in range(40)]),
    )
    assert split(one, SHARES, 3).column("split").tolist() == split(other, SHARES, 3).column("split").tolist()


@pytest.mark.parametrize(("views", "query", "gallery"), [
    (["", "", ""], {"0"}, {"1", "2"}),  # a third ask, by name
    (["", ""], {"0"}, {"1"}),
    ([""] * 6, {"0", "1"}, {"2", "3", "4", "5"}),
    (["shop", "street"], {"1"}, {"0"}),
    (["street", "shop", "street", "shop"], {"0", "2"}, {"1", "3"}),
    (["shop", "", ""], {"1"}, {"0", "2"}),
    (["street", ""], {"0"}, {"1"}),
    (["shop", "shop"], set(), {"0", "1"}),  # nobody asks for it: it only stands in the gallery
    (["street", "street"], {"0", "1"}, set()),
])  # fmt: skip
def test_pictures_of_a_test_item_are_dealt_by_view_or_in_turn(
    views: list[str], query: set[str], gallery: set[str]
) -> None:
    items = items_of({f"mine{n}": views for n in range(12)})
    made = split(items, SHARES, 0)
    test = [
        n
        for n in range(12)
        if np.isin(made.column("split")[made.column("item") == f"mine{n}"], ["query", "gallery"]).any()
    ]
    assert test
    for number in test:
        names = dict(zip(made.column("picture"), made.column("split"), strict=True))
        found = {name: split for name, split in names.items() if name.startswith(f"mine{number}-")}
        assert {name[:-4].split("-")[1] for name, split in found.items() if split == "query"} == query
        assert {name[:-4].split("-")[1] for name, split in found.items() if split == "gallery"} == gallery


@pytest.mark.parametrize("shares", [{"query": 0.05, "gallery": 0.95}, {"query": 0.95, "gallery": 0.05}])
@pytest.mark.parametrize("pictures", [2, 3, 8])
def test_each_test_item_asks_and_is_searched_however_small_a_share(shares: dict[str, float], pictures: int) -> None:
    items = [f"i{n // pictures}" for n in range(30 * pictures)]
    made = split(single(["hat"] * len(items), item=items), shares, 0)
    asking, searched = (made.column("item")[made.rows(name)].tolist() for name in ("query", "gallery"))
    assert set(asking) == set(searched) == set(items)
    assert min(len(asking), len(searched)) == 30


def test_query_and_gallery_share_items_but_no_picture() -> None:
    made = split(wardrobe(1), SHARES, 1)
    assert shared(made, "item", "query", "gallery")
    assert not shared(made, "picture", "query", "gallery")


@pytest.mark.parametrize("view", ["", "shop", "street"])
def test_items_of_one_picture_keep_their_share(view: str) -> None:
    count = 40
    made = split(single(["hat"] * count, item=[f"i{n}" for n in range(count)], view=[view] * count), SHARES, 0)
    splits = made.column("split").tolist()
    assert {name: splits.count(name) for name in SPLITS} == {"train": 24, "val": 4, "query": 4, "gallery": 8}


@pytest.mark.parametrize("view", ["shop", "street"])
def test_items_seen_in_one_view_alone_ask_and_are_searched(view: str) -> None:
    items = [f"i{n // 3}" for n in range(120)]
    made = split(single(["hat"] * 120, item=items, view=[view] * 120), SHARES, 0)
    asking = set(made.column("item")[made.rows("query")])
    assert asking
    assert asking == set(made.column("item")[made.rows("gallery")])
    assert len(made.rows("gallery")) == 2 * len(made.rows("query"))


def test_picture_of_two_items_goes_one_way() -> None:
    rows = [(f"{n}-{number}.jpg", f"{name}{n}") for n in range(30) for number, name in
            [(0, "hat"), (1, "hat"), (1, "bag"), (2, "bag"), (0, "")]]  # fmt: skip
    pictures, items = zip(*rows, strict=True)
    items = tuple(item if item.strip("0123456789") else "" for item in items)
    ids = [f"{n}" for n in range(len(rows))]
    made = split(
        Catalogue.of({"id": ids, "picture": pictures, "item": items, "category": ["x"] * len(rows)}), SHARES, 0
    )
    check_disjoint(made)
    asking, searched = (set(made.column("item")[made.rows(name)]) for name in ("query", "gallery"))
    assert {item for item in asking if item.startswith("hat")} <= searched


def test_share_of_nothing_leaves_the_gallery_empty_and_train_is_searched() -> None:
    made = split(wardrobe(2), {"train": 0.8, "val": 0.1, "query": 0.1, "gallery": 0.0}, 0)
    assert set(made.column("split")) == {"train", "val", "query"}
    for name in LINKS:
        assert not shared(made, name, "train", "query")


def test_splits_that_are_given_stay() -> None:
    made = single(["hat", "hat"], split=["query", "train"])
    assert split(made, SHARES, 0) is made


def test_splits_of_some_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="1 of 3 rows have a split: give one to all rows or to none"):
        split(single(["hat"] * 3, split=["", "train", ""]), SHARES, 0)


@pytest.mark.parametrize(("count", "group", "size"), [(1, "", 1), (3, "", 3), (30, "all", 1)])
def test_category_too_small_is_named_with_its_size(count: int, group: str, size: int) -> None:
    made = single(["hat"] * 50 + ["bag"] * count, group=[""] * 50 + [group] * count)
    with pytest.raises(ValueError, match=rf"category 'bag' has {size} separate pictures or items, too few .* 4 splits"):
        split(made, SHARES, 0)


def test_smallest_category_gives_each_split_one() -> None:
    made = split(single(["hat"] * 50 + ["bag"] * 4), SHARES, 0)
    assert sorted(made.column("split")[-4:]) == sorted(SPLITS)


def test_shares_that_give_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="leave every split empty: give train, val and query more than 0"):
        split(single(["hat"] * 9), dict.fromkeys(SPLITS, 0.0), 0)


def test_share_of_an_unknown_split_is_refused() -> None:
    with pytest.raises(ValueError, match="split 'test' is unknown"):
        split(single(["hat"] * 9), {"train": 0.5, "test": 0.5}, 0)


@pytest.mark.parametrize("column", LINKS)
@pytest.mark.parametrize(("one", "other"), list(combinations(SPLITS, 2)))
def test_leaks_of_each_kind_are_found(column: str, one: str, other: str) -> None:
    columns: dict[str, list[str]] = {
        "id": ["1", "2", "3"], "picture": ["a", "b", "c"], "group": ["", "g", ""], "item": ["", "i", ""],
        "category": ["hat"] * 3, "split": [one, other, other],
    }  # fmt: skip
    check_disjoint(Catalogue.of(columns))
    columns[column] = ["twice", "twice", columns[column][2]]
    leaking = Catalogue.of(columns)
    if (one, other) == ("query", "gallery") and column != "picture":
        check_disjoint(leaking)
        return
    with pytest.raises(
        ValueError, match=f"{column} 'twice' is both in .* and .*: put all its rows on one side"
    ) as found:
        check_disjoint(leaking)
    sides = (
        (one, other) if column == "picture" else ("query and gallery" if side(s) == "test" else s for s in (one, other))
    )
    assert all(name in str(found.value) for name in sides)


@given(st.lists(st.tuples(*[st.sampled_from(["", "a", "b", "c"])] * 2, st.sampled_from(SPLITS)), max_size=6))
@settings(max_examples=200, deadline=None)
def test_check_agrees_with_comparing_all_pairs(rows: list[tuple[str, str, str]]) -> None:
    made = single(["hat"] * len(rows), **dict(zip(("group", "item", "split"), zip(*rows, strict=True), strict=False)))
    leaks = any((one[n] and one[n] == other[n]) and side(one[2]) != side(other[2])
                for one, other in combinations(rows, 2) for n in (0, 1))  # fmt: skip
    if leaks:
        with pytest.raises(ValueError, match="is both in"):
            check_disjoint(made)
    else:
        check_disjoint(made)


def test_category_too_small_to_give_val_some_stays_in_train() -> None:
    made = single(["hat"] * 20 + ["bag", "bag"], split=["train"] * 20 + ["train", "query"])
    splits = split(made, SHARES, 0).column("split")
    assert splits[20:].tolist() == ["train", "query"]
    assert sorted(set(splits[:20])) == ["train", "val"]


def test_val_that_is_missing_is_taken_from_train() -> None:
    dealt = split(wardrobe(3), {"train": 0.5, "query": 0.5}, 0)
    made = split(dealt, SHARES, 0)
    before, after = dealt.column("split"), made.column("split")
    assert set(after) == {"train", "val", "query"}
    assert (after[before == "query"] == "query").all()
    assert set(after[before == "train"]) == {"train", "val"}
    check_disjoint(made)
    assert split(dealt, SHARES, 0).checksum == made.checksum != split(dealt, SHARES, 1).checksum
    assert split(dealt, {**SHARES, "val": 0}, 0).checksum == dealt.checksum


@settings(deadline=None)
@given(seed=seeds)
def test_without_leaks_nothing_is_shared_and_no_more_goes_than_must(seed: int) -> None:
    rng = np.random.default_rng(seed)
    made = wardrobe(seed, tangled=True)
    made = made.having(split=rng.choice(["train", "val", "query"], len(made)).tolist())
    kept, reasons = without_leaks(made)
    check_disjoint(kept)
    assert set(kept.column("id")) | set(reasons) == set(made.column("id"))
    assert len(kept) + len(reasons) == len(made)
    assert (made.column("split") == "query").sum() == (kept.column("split") == "query").sum()
    rows = {name: row for row, name in enumerate(made.column("id"))}
    columns = {name: made.column(name) for name in (*LINKS, "split")}
    above = {"train": ["val", "query"], "val": ["query"]}
    alive = np.array([name not in reasons for name in made.column("id")])
    for name in reasons:  # each one dropped shares something with what is kept on a higher side
        row = rows[name]
        others = alive & np.isin(columns["split"].astype(str), above[columns["split"][row]])
        assert any((columns[link][others] == columns[link][row]).any() for link in LINKS if columns[link][row])
