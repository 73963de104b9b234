"""The 30 categories, and the label maps of all sources."""

import csv
import json
import re
from collections import Counter
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fashion_lsh.data.datasets import fashion_mnist, open_dataset
from fashion_lsh.data.merge import taxonomy
from fashion_lsh.data.merge.taxonomy import CATEGORIES, GROUPS, SOURCES, LabelMap, find_group, load_label_map

ROOT = Path(__file__).parents[3]
FOLDER = Path(taxonomy.__file__).parent
DATA = ROOT.parent / "shared" / "data"  # folder of the data sets garments and scenes; may be missing
MAP_FILES = sorted((FOLDER / "maps").glob("*.csv"))
HEADER = "label,category,group,reason\n"
GROUP_CATEGORIES = {
    "upper": "t-shirt long-sleeve-top polo tank-top top blouse shirt sweater cardigan sweatshirt",
    "outer": "blazer jacket coat wrap",
    "lower": "jeans pants sweatpants leggings shorts skirt",
    "one-piece": "dress jumpsuit",
    "legwear": "hosiery",
    "footwear": "shoes boots sandals",
    "accessory": "hat bag scarf belt",
}
DEEPFASHION_LABELS = """
    Anorak Blazer Blouse Bomber Button-Down Cardigan Flannel Halter Henley Hoodie Jacket Jersey Parka Peacoat Poncho
    Sweater Tank Tee Top Turtleneck Capris Chinos Culottes Cutoffs Gauchos Jeans Jeggings Jodhpurs Joggers Leggings
    Sarong Shorts Skirt Sweatpants Sweatshorts Trunks Caftan Cape Coat Coverup Dress Jumpsuit Kaftan Kimono
    Nightdress Onesie Robe Romper Shirtdress Sundress
"""
INSHOP_FOLDERS = {
    "MEN": "Denim Jackets_Vests Pants Shirts_Polos Shorts Suiting Sweaters Sweatshirts_Hoodies Tees_Tanks",
    "WOMEN": """
        Blouses_Shirts Cardigans Denim Dresses Graphic_Tees Jackets_Coats Leggings Pants Rompers_Jumpsuits Shorts Skirts
        Sweaters Sweatshirts_Hoodies Tees_Tanks
    """,
}
CLOTHES_TYPES = ("upper", "lower", "full")
DEEPFASHION2_LABELS = [
    f"{length} sleeve {garment}" for garment in ("top", "outwear", "dress") for length in ("short", "long")
]
DEEPFASHION2_LABELS += ["vest", "sling", "shorts", "trousers", "skirt", "vest dress", "sling dress"]
MODANET_LABELS = "bag belt boots footwear outer dress sunglasses pants top shorts skirt headwear"
FASHIONAI_LABELS = """
    skirt dress blouse outwear trousers skirt_length coat_length collar_design lapel_design neck_design neckline_design
    pant_length sleeve_length
"""
EXPECTED_SOURCES = """
    deepfashion2 deepfashion_category deepfashion_consumer deepfashion_consumer_val deepfashion_fine deepfashion_inshop
    fashion_mnist fashionai garments modanet modanet_corrected scenes shop
"""


def write_label_map(folder: Path, *lines: str) -> LabelMap:
    path = folder / "own.csv"
    path.write_text(HEADER + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return load_label_map(path)


def lookup_one(source: str, label: str) -> tuple[str, str]:
    categories, groups = load_label_map(source).lookup([label])
    return categories[0], groups[0]


def inshop_labels() -> list[str]:
    folders = [f"{gender}/{folder}" for gender, names in INSHOP_FOLDERS.items() for folder in names.split()]
    assert len(folders) == 23
    return [f"{folder}/{clothes_type}" for folder, clothes_type in product(folders, CLOTHES_TYPES)]


def test_there_are_30_categories_in_seven_groups() -> None:
    assert len(CATEGORIES) == len(set(CATEGORIES)) == 30
    expected = {name: group for group, names in GROUP_CATEGORIES.items() for name in names.split()}
    assert expected == GROUPS
    assert tuple(GROUPS) == CATEGORIES == tuple(" ".join(GROUP_CATEGORIES.values()).split())


@pytest.mark.parametrize("path", MAP_FILES, ids=lambda path: path.stem)
def test_each_line_has_a_category_or_a_reason(path: Path) -> None:
    with path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(load_label_map(path).entries) == len(lines) > 0
    for index, line in enumerate(lines):
        assert line["category"] or line["reason"]
        assert not (line["category"] and line["group"])  # a category implies its group
        assert not any(fnmatchcase(line["label"], earlier["label"]) for earlier in lines[:index])


def test_every_category_has_a_label() -> None:
    mapped = {category for source in SOURCES for category, _ in load_label_map(source).entries.values()}
    assert mapped == {"", *CATEGORIES}


def test_every_source_has_a_label_map() -> None:
    assert list(SOURCES) == EXPECTED_SOURCES.split()
    assert load_label_map("deepfashion_fine") == load_label_map("deepfashion_category")
    with pytest.raises(ValueError, match=r"'deepfashoin' .*deepfashion2, .*, shop, or a \.csv file"):
        load_label_map("deepfashoin")
    with pytest.raises(ValueError, match=r"'\.\./categories' not found"):
        load_label_map("../categories")


@pytest.mark.parametrize(
    ("source", "labels"),
    [
        ("deepfashion_category", [*DEEPFASHION_LABELS.split(), "Tee/long sleeve"]),
        ("deepfashion_inshop", inshop_labels()),
        (
            "deepfashion_consumer",
            [f"{folder}/{clothes_type}" for folder in ("CLOTHING/Coat", "TOPS/X") for clothes_type in CLOTHES_TYPES],
        ),
        ("deepfashion2", DEEPFASHION2_LABELS),
        ("fashionai", FASHIONAI_LABELS.split()),
        ("modanet", [*MODANET_LABELS.split(), "scarf & tie"]),
        ("fashion_mnist", fashion_mnist.CATEGORIES),
    ],
)
def test_all_labels_of_a_source_are_mapped(source: str, labels: list[str]) -> None:
    assert len(set(labels)) == len(labels)
    assert load_label_map(source).count_unmatched(labels) == {}


def test_the_map_of_deepfashion_has_50_categories_and_long_sleeved_tees() -> None:
    assert len(DEEPFASHION_LABELS.split()) == 50
    assert set(load_label_map("deepfashion_category").entries) == {*DEEPFASHION_LABELS.split(), "Tee/long sleeve"}


def test_fashion_mnist_categories_map_to_themselves() -> None:
    categories, groups = load_label_map("fashion_mnist").lookup(fashion_mnist.CATEGORIES)
    assert categories.tolist() == list(fashion_mnist.CATEGORIES)
    assert groups.tolist() == [GROUPS[name] for name in categories]


def test_labels_of_the_garments_are_mapped() -> None:
    path = DATA / "garments" / "manifest.csv"
    if not path.is_file():
        pytest.skip("garments not found")
    with path.open(encoding="utf-8", newline="") as file:
        labels = [line["label"] for line in csv.DictReader(file)]
    assert set(load_label_map("garments").entries) == set(labels)
    counts = Counter(load_label_map("garments").lookup(labels)[0])
    assert counts["long-sleeve-top"] == 587
    assert counts[""] == 282 + 58  # outwear, body


@pytest.mark.parametrize("part", ["train", "val"])
def test_labels_of_the_scenes_are_mapped(part: str) -> None:
    path = DATA / "scenes" / f"instances_{part}.json"
    if not path.is_file():
        pytest.skip("scenes not found")
    names = [category["name"] for category in json.loads(path.read_text(encoding="utf-8"))["categories"]]
    assert {line for line in load_label_map("scenes").entries if "/" not in line} == set(names)


def test_finer_tags_of_scenes_are_mapped() -> None:
    if not (DATA / "scenes").is_dir():
        pytest.skip("scenes not found")
    rows, _ = open_dataset("scenes", str(DATA / "scenes"), 0).list_garments()  # type: ignore[attr-defined]
    counts = Counter(load_label_map("scenes").lookup(list(rows.column("category")))[0])
    expected = {"boots": 47, "sandals": 60, "wrap": 24, "coat": 200, "shoes": 727, "jumpsuit": 23}
    assert {name: counts[name] for name in expected} == expected
    assert counts[""] == 46 + 9  # vests, bodysuits


@pytest.mark.parametrize(
    ("source", "label", "expected"),
    [
        ("deepfashion_category", "Tee", ("t-shirt", "upper")),
        ("deepfashion_fine", "Tee/long sleeve", ("long-sleeve-top", "upper")),
        ("deepfashion_category", "Jersey", ("", "upper")),
        ("deepfashion_category", "Robe", ("", "outer")),
        ("deepfashion_inshop", "MEN/Denim/lower", ("jeans", "lower")),
        ("deepfashion_inshop", "WOMEN/Denim/upper", ("", "")),
        ("deepfashion_inshop", "MEN/Suiting/upper", ("blazer", "outer")),
        ("deepfashion_inshop", "MEN/Suiting/lower", ("pants", "lower")),
        ("deepfashion_inshop", "MEN/Suiting/full", ("", "")),
        ("deepfashion_inshop", "WOMEN/Jackets_Coats/upper", ("", "outer")),
        ("deepfashion_consumer", "DRESSES/Dress/full", ("dress", "one-piece")),
        ("deepfashion_consumer", "TOPS/T_Shirt/upper", ("t-shirt", "upper")),
        ("deepfashion_consumer", "TOPS/Vest/upper", ("", "")),
        ("deepfashion_consumer", "TROUSERS/Jeans/lower", ("", "lower")),
        ("deepfashion_consumer", "CLOTHING/Coat/full", ("", "")),
        ("deepfashion2", "vest", ("tank-top", "upper")),
        ("scenes", "vest", ("", "outer")),
        ("modanet", "scarf & tie", ("scarf", "accessory")),
        ("modanet", "sunglasses", ("", "")),
        ("fashionai", "trousers", ("", "lower")),
        ("fashionai", "skirt_length", ("", "")),
        ("shop", "Tshirts/polo", ("polo", "upper")),
        ("shop", "Socks", ("hosiery", "legwear")),
        ("shop", "Kurtas", ("", "upper")),
    ],
)
def test_labels_map_to_category_and_group(source: str, label: str, expected: tuple[str, str]) -> None:
    assert lookup_one(source, label) == expected
    assert load_label_map(source).count_unmatched([label]) == {}


def test_unmatched_labels_are_counted() -> None:
    labels = ["Tee", "tee", "Tee ", "T-Shirt", "tee", ""]
    label_map = load_label_map("deepfashion_category")
    assert label_map.count_unmatched(labels) == {"": 1, "T-Shirt": 1, "Tee ": 1, "tee": 2}
    categories, groups = label_map.lookup(labels)
    assert categories.tolist() == ["t-shirt", "", "", "", "", ""]
    assert groups.tolist() == ["upper", "", "", "", "", ""]


def test_labels_of_unknown_inshop_folders_match_no_line() -> None:
    labels = ["MEN/Skirts/lower", "men/Pants/lower"]
    assert load_label_map("deepfashion_inshop").count_unmatched(labels) == dict.fromkeys(labels, 1)


@pytest.mark.parametrize(("label", "group"), [("coat", "outer"), ("hoodie", "upper"), ("Tshirts", "upper"),
                                              ("body", ""), ("gizmo", ""), ("", "")])  # fmt: skip
def test_group_of_a_category_or_label(label: str, group: str) -> None:
    assert find_group(label) == group


def test_lookup_of_no_labels_is_empty() -> None:
    categories, groups = load_label_map("shop").lookup([])
    assert categories.shape == groups.shape == (0,)
    assert load_label_map("shop").count_unmatched([]) == {}


@given(st.lists(st.sampled_from([*DEEPFASHION_LABELS.split(), "Tee/long sleeve", "Frock"])))
def test_the_result_for_a_label_does_not_depend_on_other_labels(labels: list[str]) -> None:
    label_map = load_label_map("deepfashion_category")
    categories, groups = label_map.lookup(np.array(labels, dtype=object))
    assert categories.dtype == groups.dtype == object
    assert list(zip(categories, groups, strict=True)) == [lookup_one("deepfashion_category", label) for label in labels]
    assert sum(label_map.count_unmatched(labels).values()) == labels.count("Frock")
    assert all(group == GROUPS[name] for name, group in zip(categories, groups, strict=True) if name)


def test_the_first_matching_line_applies(tmp_path: Path) -> None:
    labels = ["a/x", "a/y", "b/y", "b/z", "B/z"]
    narrow_first = write_label_map(tmp_path, "a/x,hat,,", "a/*,bag,,", "*/y,belt,,", "[bc]/?,,accessory,any")
    assert narrow_first.lookup(labels)[0].tolist() == ["hat", "bag", "belt", "", ""]
    assert narrow_first.lookup(labels)[1].tolist() == ["accessory"] * 4 + [""]
    assert narrow_first.count_unmatched(labels) == {"B/z": 1}
    wide_first = write_label_map(tmp_path, "a/*,bag,,", "a/x,hat,,")
    assert wide_first.lookup(labels)[0].tolist() == ["bag", "bag", "", "", ""]


def test_a_label_with_pattern_characters_matches_itself(tmp_path: Path) -> None:
    label_map = write_label_map(tmp_path, "hats [old],hat,,", "what?,bag,,")
    assert label_map.lookup(["hats [old]", "what?"])[0].tolist() == ["hat", "bag"]


def test_a_label_map_saved_by_a_spreadsheet_is_read(tmp_path: Path) -> None:
    path = tmp_path / "own.CSV"
    first_lines = "group,label,reason,category\r\n,Mütze,,hat\r\n,,,\r\n\r\n"
    text = first_lines + 'outer,"Jacke, Mantel","both\r\nof them",\r\naccessory, Tasche ,, bag \r\n'
    path.write_bytes(text.encode("utf-8-sig"))
    assert load_label_map(str(path)).entries == {
        "Mütze": ("hat", "accessory"),
        "Jacke, Mantel": ("", "outer"),
        "Tasche": ("bag", "accessory"),
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HEADER + "a,hat,,\nb,cap,,\n", r"own\.csv, line 3: unknown category 'cap' of label 'b'; use one of t-"),
        (HEADER + "a,,head,\n", r"own\.csv, line 2: unknown group 'head' of label 'a'; use one of upper, outer, "),
        (HEADER + "a,hat,upper,\n", r"own\.csv, line 2: group 'upper' of label 'a' .*'accessory'"),
        (HEADER + "a,hat,,\nb,bag,,\na,hat,,\n", r"own\.csv, line 4: duplicate label 'a'"),
        (HEADER + ",hat,,\n", r"own\.csv, line 2: label is empty"),
        (HEADER + "a,hat,,one, two\n", r"own\.csv, line 2: 5 cells for 4 columns"),
        (HEADER + "a,hat\n", r"own\.csv, line 2: 2 cells for 4 columns"),
        ("label,category\na,hat\n", r"own\.csv, line 1: columns 'label,category'; use 'label,"),
        ('"label";"category";"group";"reason"\n"a";"hat";;\n', r"own\.csv, line 1: columns 'label;\"category"),
        ("label;category;group;reason\na;hat;;\n", r"own\.csv, line 1: columns 'label;category;group;reason'"),
        ("", r"own\.csv, line 1: columns ''"),
        (HEADER + 'a,hat,,\nb,"bag,,\nc,dress,,\n', r"own\.csv, line 3: unclosed quote"),
    ],
)  # fmt: skip
def test_an_invalid_label_map_raises(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "own.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        load_label_map(path)


def test_a_missing_or_binary_label_map_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"own\.csv: no such label map"):
        load_label_map(tmp_path / "own.csv")
    (tmp_path / "own.csv").write_bytes(HEADER.encode() + "Mütze,hat,,\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"own\.csv: .*UTF-8"):
        load_label_map(tmp_path / "own.csv")


def test_the_docs_show_the_categories() -> None:
    with (FOLDER / "categories.csv").open(encoding="utf-8", newline="") as file:
        rows = [f"| {row['category']} | {row['group']} | {row['meaning']} |" for row in csv.DictReader(file)]
    table = "\n".join(["| category | group | meaning |", "|---|---|---|", *rows])
    assert f"\n\n{table}\n\n" in (ROOT / "docs" / "categories.md").read_text(encoding="utf-8")


def test_the_examples_in_the_docs_give_the_documented_results(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "categories.md").read_text(encoding="utf-8")
    sources_section = page[page.index("Sources with a label map") :].split("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", sources_section)) == set(SOURCES)
    example = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(example[0], names)
    assert [names[name].tolist() for name in ("categories", "groups")] == [
        ["jacket", "", ""],
        ["outer", "upper", ""],
    ]
    assert load_label_map("deepfashion_category").count_unmatched(names["labels"]) == {"Anorack": 1}
    own_map = re.findall(rf"```\n({HEADER}.*?)```", page, flags=re.DOTALL)
    (tmp_path / "own.csv").write_text(own_map[0], encoding="utf-8")
    assert load_label_map(tmp_path / "own.csv").lookup(["Jacke", "Kleid/lang"])[1].tolist() == ["outer", "one-piece"]
