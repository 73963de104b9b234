"""The order of an epoch depends only on seed and epoch."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fashion_lsh.data.sampler import PARTNER_EPOCH_OFFSET, EpochSampler

seeds = st.integers(0, 2**32 - 1)


def draw_epoch(sampler: EpochSampler, epoch: int) -> list[int]:
    sampler.set_epoch(epoch)
    keys = list(sampler)
    assert len(keys) == len(sampler)
    assert {key_epoch for _, key_epoch in keys} <= {epoch}
    return [row for row, _ in keys]


@given(seeds, st.integers(1, 30), st.integers(1, 70), st.integers(0, 9))
@settings(max_examples=80, deadline=None)
def test_a_resumed_epoch_equals_the_interrupted_epoch(seed: int, size: int, count: int, epoch: int) -> None:
    rows = np.arange(size) * 3
    sampler = EpochSampler(rows, seed, count)
    orders = [draw_epoch(sampler, index) for index in range(epoch + 1)]
    assert draw_epoch(EpochSampler(rows, seed, count), epoch) == orders[epoch]
    assert draw_epoch(sampler, 0) == orders[0]


@given(seeds, st.integers(1, 30), st.integers(1, 70), st.integers(1, 6))
@settings(max_examples=80, deadline=None)
def test_no_row_is_repeated_before_all_rows_were_drawn(seed: int, size: int, count: int, epochs: int) -> None:
    rows = np.random.default_rng(seed).choice(1000, size, replace=False)
    sampler = EpochSampler(rows, seed, count)
    sequence = [row for epoch in range(epochs) for row in draw_epoch(sampler, epoch)]
    assert len(sequence) == epochs * count
    for start in range(0, len(sequence), size):
        window = sequence[start : start + size]
        assert len(set(window)) == len(window)
        assert set(window) <= set(rows.tolist())
    assert max(Counter(sequence).values()) == -(-len(sequence) // size)


def test_without_a_count_each_epoch_is_a_permutation() -> None:
    sampler = EpochSampler(np.arange(50) + 7, seed=0)
    one, other = draw_epoch(sampler, 0), draw_epoch(sampler, 1)
    assert sorted(one) == sorted(other) == list(range(7, 57))
    assert one != other
    assert one != sorted(one)
    assert len(sampler) == 50


def test_the_order_depends_on_the_seed() -> None:
    assert draw_epoch(EpochSampler(np.arange(50), 0), 3) != draw_epoch(EpochSampler(np.arange(50), 1), 3)


def test_keys_contain_the_epoch() -> None:
    sampler = EpochSampler(np.arange(4), 0)
    sampler.set_epoch(5)
    assert {epoch for _, epoch in sampler} == {5}


@given(seeds, st.lists(st.integers(1, 20), min_size=1, max_size=5), st.integers(1, 60), st.integers(0, 5))
@settings(max_examples=80, deadline=None)
def test_balanced_epochs_contain_each_label_equally_often(seed: int, sizes: list[int], count: int, epoch: int) -> None:
    labels = np.repeat(np.arange(len(sizes)) * 2, sizes)  # labels 1 and 3 do not occur
    rows = np.arange(len(labels)) + 100
    sampler = EpochSampler(rows, seed, count, labels)
    drawn_rows = draw_epoch(sampler, epoch)
    assert drawn_rows == draw_epoch(EpochSampler(rows, seed, count, labels), epoch)
    drawn_labels = [labels[row - 100] for row in drawn_rows]
    counts = [drawn_labels.count(label) for label in np.unique(labels)]
    assert max(counts) - min(counts) <= 1


def test_all_labels_are_equally_frequent_over_balanced_epochs() -> None:
    labels = np.repeat(np.arange(7), [1, 2, 3, 4, 5, 6, 70])
    sampler = EpochSampler(
        np.arange(91), 0, 10, labels
    )  # three of the labels are drawn twice per epoch, the others once
    counts = Counter(int(labels[row]) for epoch in range(700) for row in draw_epoch(sampler, epoch))
    assert [counts[label] for label in range(7)] == pytest.approx([1000] * 7, rel=0.06)


def test_all_rows_are_drawn_in_balanced_epochs() -> None:
    labels = np.repeat([0, 1], [5, 40])
    sampler = EpochSampler(np.arange(45), 0, 45, labels)
    assert {row for epoch in range(30) for row in draw_epoch(sampler, epoch)} == set(range(45))


@given(seeds, st.integers(1, 30), st.integers(1, 8), st.integers(1, 70), st.integers(0, 5))
@settings(max_examples=80, deadline=None)
def test_pairs_are_two_rows_of_one_item_or_one_row_twice(
    seed: int, size: int, num_items: int, count: int, epoch: int
) -> None:
    rows = np.arange(size) * 3
    items = np.random.default_rng(seed).integers(0, num_items, size)
    row_items = dict(zip(rows.tolist(), items.tolist(), strict=True))
    sampler = EpochSampler(rows, seed, count, items=items)
    sampler.set_epoch(epoch)
    keys = list(sampler)
    assert len(keys) == len(sampler) == 2 * max(1, count // 2)
    for (row, first), (other, second) in zip(keys[::2], keys[1::2], strict=True):
        assert row_items[row] == row_items[other]
        is_single = (items == row_items[row]).sum() == 1
        assert (row == other) == is_single
        assert (first, second) == (epoch, epoch + PARTNER_EPOCH_OFFSET)
    repeated = EpochSampler(rows, seed, count, items=items)
    repeated.set_epoch(epoch)
    assert list(repeated) == keys
