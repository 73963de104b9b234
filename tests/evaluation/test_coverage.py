"""Measured coverage, and calibration on a part of val, against loops over queries and gallery rows."""

from collections.abc import Callable

import numpy as np
import pytest

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.evaluation.calibration import CalibrationQueries, calibrate, check_coverage
from fashion_lsh.evaluation.coverage import coverage_results
from fashion_lsh.evaluation.protocol import encode_split
from fashion_lsh.evaluation.scoring import relevance_by_column
from fashion_lsh.metrics.results import Result
from fashion_lsh.search.coverage import coverage_scores
from fashion_lsh.search.policy import SearchPolicy
from tests.evaluation.factories import CATEGORIES, make_searcher, random_split
from tests.evaluation.fake_model import FakeModel

MakeData = Callable[..., GarmentData]
MANY_VAL = {"train": 0.2, "val": 0.5, "query": 0.1, "gallery": 0.2}


@pytest.mark.parametrize("nprobe", [1, 2, "all"])
def test_coverage_equals_that_of_a_loop(nprobe: int | str) -> None:
    query, gallery = random_split(0, 40), random_split(1, 30)
    searcher = make_searcher(gallery, "hamming", nprobe)  # type: ignore[arg-type]
    lists = searcher.policy.select_lists(query.encoded.probabilities)
    labels, items = query.catalogue.labels(CATEGORIES), query.catalogue.column("item")
    relevance = relevance_by_column(query.catalogue, gallery.catalogue)
    results = coverage_results(lists, labels, items, relevance, searcher.gallery.lists, method="m")
    row_items, row_lists = gallery.catalogue.column("item"), gallery.encoded.predicted
    covered: dict[tuple[str, str], list[bool]] = {}
    for row in range(40):
        for metric, probed in (("coverage", lists[row]), ("one_list_coverage", lists[row, :1])):
            covered.setdefault((metric, "category"), []).append(labels[row] in probed)
            relevant = row_lists[(row_items == items[row]) & (row_items != "")]
            if len(relevant):
                covered.setdefault((metric, "item"), []).append(bool(set(relevant) & set(probed)))
    by_key: dict[tuple[str, str], Result] = {(row.metric, row.relevance): row for row in results}
    assert by_key.pop(("lists_probed", "")).value == (3 if nprobe == "all" else nprobe)
    assert {key: (row.value, row.n, row.method) for key, row in by_key.items()} == {
        key: (pytest.approx(np.mean(values)), len(values), "m") for key, values in covered.items()
    }
    assert all(row.low <= row.value <= row.high for row in by_key.values())


def test_categories_without_a_list_are_left_out() -> None:
    query, gallery = random_split(0, 40), random_split(1, 30)
    relevance = relevance_by_column(query.catalogue, gallery.catalogue)
    labels, items = np.full(40, -1), query.catalogue.column("item")
    lists = np.zeros((40, 3), np.int64)
    results = coverage_results(lists, labels, items, relevance, gallery.encoded.predicted)
    assert {row.relevance for row in results} == {"", "item"}


def test_scores_of_street_images_are_calibrated_on_the_predicted_lists_of_shop_images(make_data: MakeData) -> None:
    data, model = make_data(ratios=MANY_VAL, calibration=0.7), FakeModel(CATEGORIES)
    calibration, part = calibrate(model, data), encode_split(model, data, "calibration")
    items, views = part.catalogue.column("item"), part.catalogue.column("view")
    assert calibration.relevance == "item"
    assert (calibration.excluded, calibration.missing) == (0, ())
    assert len(calibration.scores) == (views == "street").sum() == len(set(calibration.groups)) > 6
    for score, row in zip(calibration.scores, np.flatnonzero(views == "street"), strict=True):
        [shop] = np.flatnonzero((items == items[row]) & (views == "shop"))
        is_relevant = np.arange(3) == part.encoded.predicted[shop]
        assert score == coverage_scores(part.encoded.probabilities[[row]], is_relevant[None])[0]


def test_without_items_the_list_of_the_true_category_is_relevant(make_data: MakeData) -> None:
    data, model = make_data(ratios=MANY_VAL, calibration=0.7), FakeModel(CATEGORIES)
    data.catalogue = data.catalogue.with_columns(item=[""] * len(data.catalogue))
    calibration, part = calibrate(model, data), encode_split(model, data, "calibration")
    rows = np.flatnonzero(part.catalogue.column("view") == "street")
    assert calibration.relevance == "category"
    is_relevant = np.eye(3, dtype=bool)[part.catalogue.labels(CATEGORIES)[rows]]
    assert calibration.scores.tolist() == coverage_scores(part.encoded.probabilities[rows], is_relevant).tolist()


def test_items_that_are_not_in_the_gallery_of_the_test_are_not_calibrated(make_data: MakeData) -> None:
    data = make_data(ratios={"train": 0.3, "val": 0.5, "query": 0.2}, calibration=0.7, gallery="train")
    assert CalibrationQueries.from_data(data).relevance is None


def test_queries_without_another_image_of_their_item_are_left_out_and_counted(make_data: MakeData) -> None:
    data = make_data(ratios=MANY_VAL, calibration=0.7)
    part = data.rows("calibration")
    street = part[data.catalogue.column("view")[part] == "street"]
    data.catalogue = data.catalogue.with_columns(
        item=["" if row == street[0] else item for row, item in enumerate(data.catalogue.column("item"))]
    )
    queries = CalibrationQueries.from_data(data)
    assert queries.excluded == 1
    assert part[queries.query_rows].tolist() == street[1:].tolist()


def test_a_coverage_that_val_cannot_promise_is_refused_before_training(make_data: MakeData) -> None:
    check_coverage(SearchPolicy(), make_data())
    check_coverage(SearchPolicy(coverage=0.6), make_data(ratios=MANY_VAL, calibration=0.7))
    with pytest.raises(ValueError, match=r"search\.coverage=0\.6: split\.calibration=0.*split\.calibration=0\.5"):
        check_coverage(SearchPolicy(coverage=0.6), make_data())
    with pytest.raises(ValueError, match=r"search\.coverage=0\.99: \d+ .* 99 "):
        check_coverage(SearchPolicy(coverage=0.99), make_data(ratios=MANY_VAL, calibration=0.7))
    data = make_data(ratios=MANY_VAL, calibration=0.7)
    rows = [row for row in data.rows("calibration") if data.catalogue.column("category")[row] == "cross"]
    views = data.catalogue.column("view")
    views[rows] = "shop"
    data.catalogue = data.catalogue.with_columns(view=views)
    with pytest.raises(ValueError, match=r"search\.coverage=0\.6: .*'cross'"):
        check_coverage(SearchPolicy(coverage=0.6), data)
