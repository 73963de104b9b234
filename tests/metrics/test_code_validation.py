"""mAP of the codes of a validation split."""

import numpy as np
import pytest

from fashion_lsh.metrics import code_validation
from fashion_lsh.metrics.code_validation import validation_map


def codes_of(labels: np.ndarray) -> np.ndarray:
    """One distinct code per label, (N, 1) uint8."""
    return labels.astype(np.uint8)[:, None]


def test_items_are_relevant_if_they_have_several_images() -> None:
    items = np.repeat(np.arange(30), 2)
    categories = items % 3
    assert validation_map(codes_of(items), categories, items) == ("item", 1.0)
    name, by_category = validation_map(codes_of(categories), categories, items)
    assert name == "item"
    assert by_category < 0.5  # rows of the same category are tied


def test_categories_are_relevant_with_few_item_queries() -> None:
    categories = np.arange(60) % 3
    assert validation_map(codes_of(categories), categories, np.arange(60)) == ("category", 1.0)
    items = np.append(np.repeat(np.arange(19), 2), np.arange(100, 122))  # 19 queries with a relevant row
    assert validation_map(codes_of(categories), categories, items).relevance == "category"


def test_images_of_the_query_view_are_the_queries() -> None:
    items = np.repeat(np.arange(30), 3)
    is_query_view = np.tile([True, False, False], 30)
    codes = codes_of(items)
    codes[is_query_view] = (codes[is_query_view] + 1) % 30  # the code of another item, only in the query view
    assert validation_map(codes, items % 3, items, is_query_view).value < 0.3
    assert validation_map(codes_of(items), items % 3, items, is_query_view).value == 1
    for same_view in (np.ones(90, bool), np.zeros(90, bool)):
        assert validation_map(codes, items % 3, items, same_view) == validation_map(codes, items % 3, items)


def test_the_sample_is_evenly_spaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_validation, "MAX_QUERIES", 3)
    monkeypatch.setattr(code_validation, "MAX_GALLERY", 5)
    queries, gallery = code_validation._split(np.zeros(40, np.int64), None)
    assert queries.tolist() == [1, 19, 39]
    assert gallery.tolist() == [0, 8, 18, 28, 38]


def test_without_relevant_rows_the_value_is_nan() -> None:
    relevance, value = validation_map(codes_of(np.arange(4)), np.arange(4), np.arange(4))
    assert relevance == "category"
    assert np.isnan(value)
