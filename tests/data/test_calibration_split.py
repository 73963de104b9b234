"""Division of val into a part that selects and a part that calibrates."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fashion_lsh.data.calibration_split import divide_queries, divide_val
from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.detections import NO_BOXES, BoxSelector, Detections
from fashion_lsh.data.splits import row_components

MakeData = Callable[..., GarmentData]
ROWS = st.lists(
    st.tuples(st.sampled_from(["hat", "coat"]), st.sampled_from(["", *"abcd"]), st.sampled_from(["train", "val"])),
    min_size=1, max_size=30,
)  # fmt: skip


def make_catalogue(**columns: Any) -> Catalogue:
    names = [str(row) for row in range(len(next(iter(columns.values()))))]
    return Catalogue.from_columns({"id": names, "image": names, "category": ["hat"] * len(names)} | columns)


@given(ROWS, st.floats(0.05, 0.95), st.integers(0, 3))
def test_both_parts_are_val_and_share_no_linked_rows(rows: list[tuple[str, str, str]], ratio: float, seed: int) -> None:
    category, item, split = map(list, zip(*rows, strict=True))
    catalogue = make_catalogue(category=category, item=item, split=split)
    val = catalogue.rows("val")
    try:
        parts = divide_val(catalogue, ratio, seed)
    except ValueError as error:
        assert f"split.calibration={ratio:g}:" in str(error)  # noqa: PT017  hypothesis also draws val of single groups
        components = row_components(catalogue.take(val)) if len(val) else np.empty(0)
        counts = [len(set(components[catalogue.column("category")[val] == name])) for name in set(category)]
        assert max(counts, default=0) < 3  # a component may have both categories
        return
    assert sorted(np.concatenate(list(parts.values())).tolist()) == val.tolist()
    assert all((np.diff(each) > 0).all() for each in parts.values())
    components = row_components(catalogue)
    assert not set(catalogue.take(parts["val"]).column("item")) & set(
        catalogue.take(parts["calibration"]).column("item")
    ) - {""}
    assert len(components) == len(rows)
    assert {name: each.tolist() for name, each in divide_val(catalogue, ratio, seed).items()} == {
        name: each.tolist() for name, each in parts.items()
    }


def test_each_category_is_divided_by_the_ratio() -> None:
    catalogue = make_catalogue(category=["hat"] * 40 + ["coat"] * 20 + ["tie"], split=["val"] * 61)
    parts = {
        name: catalogue.take(rows).column("category").tolist() for name, rows in divide_val(catalogue, 0.25, 0).items()
    }
    assert [parts["calibration"].count(name) for name in ("hat", "coat", "tie")] == [10, 5, 0]
    assert [parts["val"].count(name) for name in ("hat", "coat", "tie")] == [30, 15, 1]


def test_rows_of_val_and_calibration_of_a_data_module(make_data: MakeData) -> None:
    whole, divided = make_data(), make_data(calibration=0.5)
    assert not len(whole.rows("calibration"))
    assert divided.checksum == whole.checksum
    assert sorted([*divided.rows("val"), *divided.rows("calibration")]) == whole.rows("val").tolist()
    assert len(divided.rows("calibration")) > 0
    images = [row for batch in divided.val_dataloader() for row in batch.rows.tolist()]
    assert sorted(images) == divided.rows("val").tolist()
    assert not len(divided.not_indexed("val"))


def test_calibration_keeps_garments_without_a_detection(make_data: MakeData) -> None:
    data = make_data(calibration=0.5, crop="detected", box_selector=BoxSelector(fallback="skip"))
    images = set(data.catalogue.column("image"))
    data = data.with_detections(Detections.from_pairs((image, NO_BOXES) for image in sorted(images)))
    assert len(data.rows("calibration")) == len(make_data(calibration=0.5).rows("calibration")) > 0
    assert data.undetected[data.rows("calibration")].all()
    with pytest.raises(ValueError, match="split 'val'"):
        data.rows("val")


def test_unseen_categories_cannot_be_calibrated() -> None:
    with pytest.raises(ValueError, match=r"split\.unseen=2: .*split\.calibration=0"):
        GarmentData(unseen=2, calibration=0.5)


def test_queries_have_the_views_of_the_queries() -> None:
    part = make_catalogue(item=["a", "a", "b", "b", "c", "", ""], view=["street", "shop"] * 3 + ["street"])
    query, gallery = make_catalogue(view=["street"] * 2), make_catalogue(view=["shop"] * 3)
    is_query, is_gallery = divide_queries(part, query, gallery)
    assert is_query.tolist() == [True, False, True, False, True, False, True]
    assert is_gallery.tolist() == [False, True, False, True, False, False, False]


def test_images_of_an_item_without_views_are_divided_like_query_and_gallery() -> None:
    part = make_catalogue(item=["a"] * 6 + ["b"] * 2 + ["c"])
    is_query, is_gallery = divide_queries(part, make_catalogue(view=[""] * 10), make_catalogue(view=[""] * 20))
    assert is_query.tolist() == [True, True, *[False] * 4, True, False, True]
    assert (is_query ^ is_gallery).all()
