"""Batches of features: same keys as the sampler, views by epoch, and rows of the matrix."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.features import Features, KeyBatches
from fashion_lsh.data.sampler import PARTNER_EPOCH_OFFSET, EpochSampler

MakeData = Callable[..., GarmentData]


def make_features(num_rows: int, num_views: int = 0) -> Features:
    """Features whose first value is the catalogue row, and whose second value is the view; 0: no augmentation."""
    views, rows = np.meshgrid(np.arange(1 + num_views), np.arange(num_rows), indexing="ij")
    matrix = np.stack([rows.ravel(), views.ravel()], axis=1).astype(np.float16)
    return Features(matrix, np.arange(len(matrix)).reshape(1 + num_views, num_rows))


@given(st.integers(1, 40), st.integers(1, 9), st.booleans(), st.booleans(), st.integers(0, 5))
def test_batches_contain_the_keys_of_the_sampler_in_order(
    num_rows: int, batch_size: int, drop_last: bool, pairs: bool, epoch: int
) -> None:
    items = np.arange(num_rows) // 2 if pairs else None
    sampler = EpochSampler(np.arange(num_rows) * 3, 7, items=items)
    batches = KeyBatches(sampler, batch_size, drop_last)
    batches.set_epoch(epoch)
    expected = list(sampler)
    if drop_last:
        expected = expected[: len(expected) // batch_size * batch_size]
    assert [tuple(key) for batch in batches for key in batch.tolist()] == expected
    assert len(batches) == len(list(batches))
    assert {key[1] % PARTNER_EPOCH_OFFSET for key in expected} <= {epoch}


def test_epochs_and_partners_use_different_views() -> None:
    features = make_features(4, num_views=3)
    keys = np.array([[2, 0], [2, PARTNER_EPOCH_OFFSET], [2, 2], [2, 2 + PARTNER_EPOCH_OFFSET], [0, 3]])
    assert features.take(keys, augment=True).tolist() == [[2, 1], [2, 2], [2, 3], [2, 1], [0, 1]]
    assert features.take(keys, augment=False).tolist() == [[2, 0]] * 4 + [[0, 0]]
    assert make_features(4).take(keys, augment=True).tolist() == [[2, 0]] * 4 + [[0, 0]]
    assert features.take(keys, augment=True).dtype == np.float32


def test_loaders_return_features_labels_and_items_of_their_rows(make_data: MakeData) -> None:
    data = make_data(batch_size=8)
    with_features = data.replace(features=make_features(len(data.catalogue)))
    for loader, expected in (
        (with_features.loader("gallery"), data.loader("gallery")),
        (with_features.loader("train", 5), data.loader("train", 5)),
        (with_features.train_dataloader(), data.train_dataloader()),
    ):
        one, other = list(loader), list(expected)
        for name in ("labels", "rows", "items"):
            values, others = (torch.cat([getattr(batch, name) for batch in batches]) for batches in (one, other))
            assert torch.equal(values, others)
        assert torch.cat([batch.images[:, 0] for batch in one]).tolist() == torch.cat([x.rows for x in other]).tolist()


def test_train_batches_are_those_of_the_images(make_data: MakeData) -> None:
    data = make_data(batch_size=8, balanced=True)
    loaders = [each.train_dataloader() for each in (data, data.replace(features=make_features(len(data.catalogue))))]
    for epoch in (0, 1):
        for loader in loaders:
            loader.sampler.set_epoch(epoch)
        one, other = ([batch.rows.tolist() for batch in loader] for loader in loaders)
        assert one == other


def test_other_crops_drop_the_features(make_data: MakeData) -> None:
    data = make_data()
    with_features = data.replace(features=make_features(len(data.catalogue)))
    assert with_features.replace(crop="whole").features is None
    assert with_features.replace(seed=1).features is not None


@pytest.mark.parametrize("size", [2, 5])
def test_item_pairs_need_an_even_batch_size(size: int, make_data: MakeData) -> None:
    data = make_data(batch_size=size, item_pairs=True)
    with pytest.raises(ValueError, match=f"data.batch_size={size}"):
        data.replace(features=make_features(len(data.catalogue))).train_dataloader()
