"""Batches of several processes: together they are the batches of one process."""

from collections.abc import Callable
from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.ranks import RankBatches, Ranks
from fashion_lsh.data.sampler import EpochSampler

sizes = st.integers(1, 4).flatmap(lambda size: st.tuples(st.just(size), st.integers(1, 5).map(lambda n: n * size)))


@given(sizes, st.integers(1, 60), st.integers(0, 3), st.booleans())
def test_ranks_share_the_global_batches_of_an_epoch(
    size_and_batch: tuple[int, int], num_rows: int, epoch: int, has_pairs: bool
) -> None:
    size, batch_size = size_and_batch
    rows = np.arange(num_rows)
    sampler = EpochSampler(rows, 0, items=rows // 3 if has_pairs else None)
    sampler.set_epoch(epoch)
    if len(sampler) < size:
        with pytest.raises(ValueError, match=rf"^trainer\.devices={size}: "):
            RankBatches(sampler, batch_size, Ranks(0, size))
        return
    parts = [list(RankBatches(sampler, batch_size, Ranks(rank, size))) for rank in range(size)]
    assert {len(batches) for batches in parts} == {len(RankBatches(sampler, batch_size, Ranks(0, size)))}
    merged = [list(chain(*batch)) for batch in zip(*parts, strict=True)]
    for batch in zip(*parts, strict=True):
        assert len({len(part) for part in batch}) == 1  # DistributedDataParallel averages equally weighted ranks
    order = list(sampler)
    shown = list(chain(*merged))
    dropped = len(order) - len(shown)
    assert shown == order[: len(shown)]  # the order of one process, each key once
    assert dropped == RankBatches(sampler, batch_size, Ranks(0, size)).num_dropped
    assert 0 <= dropped < batch_size
    assert all(len(batch) == batch_size for batch in merged) or len(merged) == 1


@given(sizes, st.integers(1, 60))
def test_ranks_evaluate_each_row_once(size_and_batch: tuple[int, int], num_rows: int) -> None:
    size, batch_size = size_and_batch
    if num_rows < size:
        return
    keys = list(range(num_rows))
    parts = [list(RankBatches(keys, batch_size, Ranks(rank, size))) for rank in range(size)]
    batches = list(zip(*parts, strict=True))  # equally many in all ranks
    assert all(len(part) for batch in batches for part in batch)
    assert list(chain(*chain(*batches))) == keys


@pytest.mark.parametrize(("batch_size", "valid"), [(63, 64), (1, 4), (66, 64), (9, 8)])
def test_error_of_an_indivisible_batch_names_a_valid_size(
    batch_size: int, valid: int, make_data: Callable[..., GarmentData]
) -> None:
    data = make_data(batch_size=batch_size).replace(ranks=Ranks(0, 4))
    with pytest.raises(ValueError, match=rf"^data\.batch_size={batch_size}: .*data\.batch_size={valid}$"):
        data.train_dataloader()
    Ranks(0, 4).check_batch_size(valid, "data.batch_size")


def test_training_images_of_a_garment_do_not_depend_on_the_rank(make_data: Callable[..., GarmentData]) -> None:
    data = make_data(batch_size=8)
    batches = list(data.train_dataloader())
    whole = {int(row): image for batch in batches for row, image in zip(batch.rows, batch.images, strict=True)}
    for rank in range(2):
        for batch in data.replace(ranks=Ranks(rank, 2), workers=rank).train_dataloader():
            assert len(batch.rows) == 4
            for row, image in zip(batch.rows.tolist(), batch.images, strict=True):
                assert (image == whole[row]).all()
