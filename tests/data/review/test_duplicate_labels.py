"""Near-duplicate images with different labels are found; images with several garments are compared as sets."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datasets import open_dataset
from fashion_lsh.data.review.duplicate_labels import LabelConflict, find_label_conflicts, near_duplicate_groups


def make_catalogue(*rows: tuple[str, str]) -> Catalogue:
    """Catalogue of (image, category) rows."""
    images, categories = zip(*rows, strict=True)
    return Catalogue.from_columns(
        {"id": [f"{number}" for number in range(len(rows))], "image": images, "category": categories}
    )


def test_the_less_frequent_label_of_a_group_comes_with_the_other_one() -> None:
    catalogue = make_catalogue(("a", "coat"), ("b", "coat"), ("c", "dress"), ("d", "hat"), ("e", "bag"))
    conflicts = find_label_conflicts(catalogue, np.array(["g", "g", "g", "", ""], dtype=object))
    assert conflicts == [
        LabelConflict(0, "dress", 2 / 3),
        LabelConflict(1, "dress", 2 / 3),
        LabelConflict(2, "coat", 1 / 3),
    ]


def test_images_with_the_same_garments_do_not_conflict() -> None:
    catalogue = make_catalogue(("a", "coat"), ("a", "shoes"), ("b", "shoes"), ("b", "coat"))
    groups = np.array(["g"] * 4, dtype=object)
    assert find_label_conflicts(catalogue, groups) == []
    secondary = catalogue.with_columns(category=["coat", "bag", "shoes", "coat"], main=[True, False, False, True])
    assert find_label_conflicts(secondary, groups) == []
    different = find_label_conflicts(catalogue.with_columns(category=["coat", "bag", "shoes", "coat"]), groups)
    assert [(each.row, each.suggested) for each in different] == [
        (1, "coat"),
        (2, "coat"),
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six images of two categories; one has a darker copy in the other category."""
    rng = np.random.default_rng(0)
    for number in range(6):
        coarse = Image.fromarray(rng.integers(0, 256, (6, 5, 3), dtype=np.uint8))
        path = tmp_path / ("coat" if number < 3 else "hat") / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        coarse.resize((50, 60), Image.Resampling.BICUBIC).save(path)
    with Image.open(tmp_path / "coat/0.png") as image:
        ImageEnhance.Brightness(image).enhance(0.95).save(tmp_path / "hat/copy.png")
    return tmp_path


@pytest.mark.parametrize("has_files", [True, False])
def test_near_duplicates_are_found_in_any_data_set(folder: Path, has_files: bool) -> None:
    files = open_dataset("folder", str(folder))
    catalogue = files.catalogue().with_columns(group=["one"] * 7)  # existing groups are no near-duplicates

    class Own:
        def catalogue(self, filters: object = None) -> Catalogue:
            return catalogue

        def image(self, key: str) -> np.ndarray:
            return files.image(key)

    groups = near_duplicate_groups(files if has_files else Own(), catalogue)
    ids = catalogue.column("id")
    assert set(ids[groups != ""]) == {"coat/0.png", "hat/copy.png"}
    conflicts = find_label_conflicts(catalogue, groups)
    assert {(ids[each.row], each.suggested) for each in conflicts} == {("coat/0.png", "hat"), ("hat/copy.png", "coat")}


def test_composed_images_are_not_compared() -> None:
    source = open_dataset("shop_street")
    catalogue = source.catalogue({"category": ["bag"]})
    assert not near_duplicate_groups(source, catalogue).astype(bool).any()
