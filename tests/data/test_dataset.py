"""Failures of loader processes name the setting that helps."""

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
from torch.utils.data import DataLoader, Dataset

from fashion_lsh.data.dataset import build_dataloader
from fashion_lsh.data.sampler import EpochSampler


class FailingDataset(Dataset[int]):
    """Data set whose second row fails."""

    def __init__(self, fail: Callable[[], object]) -> None:
        self.fail = fail

    def __getitem__(self, row: int) -> int:
        if row == 1:
            self.fail()
        return row


def load(fail: Callable[[], object], workers: int) -> list[Any]:
    return list(build_dataloader(FailingDataset(fail), 1, [0, 1, 2], workers, lambda rows: rows, pin_memory=False))


def raise_error(message: str) -> Callable[[], None]:
    def fail() -> None:
        raise RuntimeError(message)

    return fail


@pytest.mark.parametrize(
    "fail",
    [
        raise_error("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)"),
        raise_error("unable to open shared memory object </torch_1> in read-write mode"),
        lambda: os.kill(os.getpid(), signal.SIGBUS),
        lambda: os.kill(os.getpid(), signal.SIGKILL),
    ],
)
@pytest.mark.timeout(60)
def test_a_failure_of_a_loader_process_names_the_number_of_workers(fail: Callable[[], object]) -> None:
    with pytest.raises(RuntimeError, match=r"data\.workers=1: .*data\.workers=0"):
        load(fail, workers=1)


def test_a_failure_names_the_key_of_the_loader() -> None:
    failing = FailingDataset(raise_error("unable to open shared memory object"))
    with pytest.raises(RuntimeError, match=r"scenes\.workers=1: .*scenes\.workers=0"):
        list(build_dataloader(failing, 1, [0, 1], 1, lambda rows: rows, False, workers_key="scenes.workers"))


@pytest.mark.parametrize("workers", [0, 1])
def test_errors_of_a_data_set_are_raised_unchanged(workers: int) -> None:
    with pytest.raises(RuntimeError, match="division of a garment") as caught:
        load(raise_error("division of a garment"), workers)
    assert "data.workers" not in str(caught.value)


def test_a_data_set_that_fails_in_the_main_process_raises_unchanged() -> None:
    with pytest.raises(RuntimeError, match=r"^shared memory$"):
        load(raise_error("shared memory"), workers=0)


def test_batches_equal_those_of_a_plain_data_loader() -> None:
    loader = build_dataloader(FailingDataset(int), 2, [3, 0, 2], 1, lambda rows: rows, pin_memory=False)
    assert list(loader) == list(loader) == list(DataLoader(FailingDataset(int), 2, sampler=[3, 0, 2], collate_fn=list))


def test_workers_persist_between_epochs(make_data: Callable[..., Any]) -> None:
    loader = make_data(workers=1).train_dataloader()
    assert isinstance(loader.sampler, EpochSampler)
    pids = []
    for epoch in range(2):
        loader.sampler.set_epoch(epoch)
        next(iter(loader))
        pids.append([worker.pid for worker in loader._iterator._workers])
    assert pids[0] == pids[1]
