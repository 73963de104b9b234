"""Counts of items without a pair of training images."""

import re
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fashion_lsh.data.item_pairs import describe_unpaired_items

rows = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2)), min_size=1, max_size=30)


def counts(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"(\d+) of \d+ items", text)]


@given(rows, st.booleans())
def test_counts_equal_a_loop(pairs: list[tuple[int, int]], within_category: bool) -> None:
    images, in_category = Counter(item for item, _ in pairs), Counter(pairs)
    single = [item for item, count in images.items() if count == 1]
    divided = [
        item for item, count in images.items()
        if count > 1 and within_category and all(in_category[item, category] <= 1 for category in range(3))
    ]  # fmt: skip
    items, labels = np.array(pairs).T
    text = describe_unpaired_items(items, labels, within_category=within_category)
    assert counts(text) == [number for number in (len(single), len(divided)) if number]
    assert not text or f"of {len(images)} items" in text


def test_single_images_are_seen_by_two_views_or_left_out() -> None:
    items, labels = np.array([1, 1, 2]), np.array([0, 0, 0])
    assert "1 of 2 items" in (images := describe_unpaired_items(items, labels))
    assert "two augmented views" in images
    assert "left out" in describe_unpaired_items(items, labels, has_images=False)
    assert describe_unpaired_items(items[:2], labels[:2]) == ""
