"""Sample on which codes and searches are compared: whole items, and no image of query or gallery."""

from collections.abc import Callable

import numpy as np
import pytest

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.evaluation import advice_sample
from fashion_lsh.evaluation.advice_sample import divide_val, draw_sample

MakeData = Callable[..., GarmentData]
MANY_VAL = {"train": 0.3, "val": 0.5, "query": 0.1, "gallery": 0.1}


@pytest.fixture(autouse=True)
def _few_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advice_sample, "MIN_QUERIES", 1)


def without_views(data: GarmentData) -> GarmentData:
    return data.replace(catalogue=data.catalogue.with_columns(view=[""] * len(data.catalogue)))


@pytest.mark.parametrize("count", [6, 20, 1000])
def test_sample_has_whole_items_of_train_and_val(make_data: MakeData, count: int) -> None:
    data = make_data(ratios=MANY_VAL, samples_per_epoch=20)
    sample = draw_sample(data, count, "category")
    splits, before = sample.data.catalogue.column("split"), data.catalogue.column("split")
    assert set(splits) == {"train", "val", ""}
    assert (splits[splits != ""] == before[splits != ""]).all()
    assert not len(sample.data.rows("query"))
    for split in ("train", "val"):
        rows = sample.data.rows(split)
        assert np.isin(data.rows(split), rows).sum() == np.isin(data.items[data.rows(split)], data.items[rows]).sum()
    rows = np.concatenate([sample.data.rows("train"), sample.data.rows("val")])
    assert len(rows) <= max(count, 4)  # at least one item of two images in each split
    assert np.isin(np.concatenate([sample.query, sample.gallery]), rows).all()
    ratio = len(sample.data.rows("train")) / len(data.rows("train"))
    assert sample.data.samples_per_epoch == int(20 * ratio)


def test_relevance_is_by_item_where_val_has_items(make_data: MakeData) -> None:
    data = make_data(ratios=MANY_VAL)
    sample = draw_sample(data, 1000)
    views = data.catalogue.column("view")
    assert sample.name == "item"
    assert set(views[sample.query]) == {"street"}
    assert set(views[sample.gallery]) == {"shop"}
    assert (sample.relevance.totals == 1).all()
    no_items = data.replace(catalogue=data.catalogue.with_columns(item=[""] * len(data.catalogue)))
    no_items.__dict__.pop("items")
    assert draw_sample(no_items, 1000).name == "category"
    with pytest.raises(ValueError, match="--relevance category"):
        draw_sample(no_items, 1000, "item")


def test_image_files_of_queries_are_not_in_the_gallery(make_data: MakeData) -> None:
    data = without_views(make_data(ratios=MANY_VAL))
    val, train = data.rows("val"), data.rows("train")
    query, gallery = divide_val(data.catalogue, val, train, "item")
    assert len(np.unique(data.items[query])) == len(query) == len(val) / 2
    assert set(query) | set(gallery) == {*val, *train}
    assert not set(query) & set(gallery)
    files: Catalogue = data.catalogue.with_columns(image=[str(item) for item in data.items])
    assert set(divide_val(files, val, train, "item")[1]) == set(train)
    by_category = divide_val(data.catalogue, val, train, "category")
    assert [set(rows) for rows in by_category] == [set(val), set(train)]


def test_calibration_images_are_not_sampled(make_data: MakeData) -> None:
    data = make_data(ratios=MANY_VAL, calibration=0.5)
    sample = draw_sample(data, 1000, "category")
    assert set(sample.data.rows("val")) == set(data.rows("val"))
    assert not len(sample.data.rows("calibration"))


def test_too_small_val_is_refused(make_data: MakeData, monkeypatch: pytest.MonkeyPatch) -> None:
    data = make_data(ratios=MANY_VAL)
    none = data.replace(catalogue=data.catalogue.with_columns(split=["train"] * len(data.catalogue)))
    with pytest.raises(ValueError, match=r"split\.ratios\.val"):
        draw_sample(none, 1000)
    monkeypatch.setattr(advice_sample, "MIN_QUERIES", 1000)
    with pytest.raises(ValueError, match=r"1000.*split\.ratios\.val"):
        draw_sample(data, 1000)
