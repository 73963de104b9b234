"""The order of an epoch depends on seed and epoch alone."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fashion_lsh.data.sampler import ANEW, EpochSampler

seeds = st.integers(0, 2**32 - 1)


def drawn(sampler: EpochSampler, epoch: int) -> list[int]:
    sampler.set_epoch(epoch)
    keys = list(sampler)
    assert len(keys) == len(sampler)
    assert {number for _, number in keys} <= {epoch}
    return [row for row, _ in keys]


@given(seeds, st.integers(1, 30), st.integers(1, 70), st.integers(0, 9))
@settings(max_examples=80, deadline=None)
def test_resumed_epoch_is_the_one_that_was_broken_off(seed: int, size: int, count: int, epoch: int) -> None:
    rows = np.arange(size) * 3
    through = EpochSampler(rows, seed, count)
    orders = [drawn(through, number) for number in range(epoch + 1)]
    assert drawn(EpochSampler(rows, seed, count), epoch) == orders[epoch]
    assert drawn(through, 0) == orders[0]


@given(seeds, st.integers(1, 30), st.integers(1, 70), st.integers(1, 6))
@settings(max_examples=80, deadline=None)
def test_no_row_comes_twice_before_all_came_once(seed: int, size: int, count: int, epochs: int) -> None:
    rows = np.random.default_rng(seed).choice(1000, size, replace=False)
    sampler = EpochSampler(rows, seed, count)
    line = [row for epoch in range(epochs) for row in drawn(sampler, epoch)]
    assert len(line) == epochs * count
    for start in range(0, len(line), size):
        turn = line[start : start + size]
        assert len(set(turn)) == len(turn)
        assert set(turn) <= set(rows.tolist())
    assert max(Counter(line).values()) == -(-len(line) // size)


def test_without_a_count_each_epoch_shows_every_row_once_in_another_order() -> None:
    sampler = EpochSampler(np.arange(50) + 7, seed=0)
    one, other = drawn(sampler, 0), drawn(sampler, 1)
    assert sorted(one) == sorted(other) == list(range(7, 57))
    assert one != other
    assert one != sorted(one)
    assert len(sampler) == 50


def test_another_seed_gives_another_order() -> None:
    assert drawn(EpochSampler(np.arange(50), 0), 3) != drawn(EpochSampler(np.arange(50), 1), 3)


def test_keys_carry_the_epoch_to_the_processes_that_load() -> None:
    sampler = EpochSampler(np.arange(4), 0)
    sampler.set_epoch(5)
    assert {epoch for _, epoch in sampler} == {5}


@given(seeds, st.lists(st.integers(1, 20), min_size=1, max_size=5), st.integers(1, 60), st.integers(0, 5))
@settings(max_examples=80, deadline=None)
def test_balanced_draws_give_each_label_as_many(seed: int, sizes: list[int], count: int, epoch: int) -> None:
    labels = np.repeat(np.arange(len(sizes)) * 2, sizes)  # label 1 and 3 do not occur
    rows = np.arange(len(labels)) + 100
    sampler = EpochSampler(rows, seed, count, labels)
    found = drawn(sampler, epoch)
    assert found == drawn(EpochSampler(rows, seed, count, labels), epoch)
    drawn_labels = [labels[row - 100] for row in found]
    times = [drawn_labels.count(label) for label in np.unique(labels)]
    assert max(times) - min(times) <= 1


def test_balanced_draws_favour_no_label_over_the_epochs() -> None:
    labels = np.repeat(np.arange(7), [1, 2, 3, 4, 5, 6, 70])
    sampler = EpochSampler(np.arange(91), 0, 10, labels)  # three labels more often than the others, each epoch
    times = Counter(int(labels[row]) for epoch in range(700) for row in drawn(sampler, epoch))
    assert [times[label] for label in range(7)] == pytest.approx([1000] * 7, rel=0.06)


def test_balanced_draws_reach_all_rows() -> None:
    labels = np.repeat([0, 1], [5, 40])
    sampler = EpochSampler(np.arange(45), 0, 45, labels)
    assert {row for epoch in range(30) for row in drawn(sampler, epoch)} == set(range(45))


@given(seeds, st.integers(1, 30), st.integers(1, 8), st.integers(1, 70), st.integers(0, 5))
@settings(max_examples=80, deadline=None)
def test_pairs_are_two_rows_of_one_item_or_one_row_seen_twice(
    seed: int, size: int, kinds: int, count: int, epoch: int
) -> None:
    rows = np.arange(size) * 3
    items = np.random.default_rng(seed).integers(0, kinds, size)
    item = dict(zip(rows.tolist(), items.tolist(), strict=True))
    sampler = EpochSampler(rows, seed, count, items=items)
    sampler.set_epoch(epoch)
    keys = list(sampler)
    assert len(keys) == len(sampler) == 2 * max(1, count // 2)
    for (row, first), (other, second) in zip(keys[::2], keys[1::2], strict=True):
        assert item[row] == item[other]
        alone = (items == item[row]).sum() == 1
        assert (row == other) == alone
        assert (first, second) == (epoch, epoch + ANEW)
    again = EpochSampler(rows, seed, count, items=items)
    again.set_epoch(epoch)
    assert list(again) == keys
