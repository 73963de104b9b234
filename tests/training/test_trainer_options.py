"""Settings of devices and strategy; one process trains on cached features."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import distributed as dist

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.features import Features
from fashion_lsh.training.fitting import STRATEGIES, check_trainer_options
from fashion_lsh.training.job import TrainingJob, train
from fashion_lsh.training.worker import connect, process_group
from fashion_lsh.training.world import World
from tests.training.factories import fit_on_cpu, make_module
from tests.training.parallel import max_difference


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strategy": "fsdp"}, r"^trainer\.strategy='fsdp': .*ddp_spawn"),
        ({"sync_batchnorm": True}, r"^trainer\.sync_batchnorm=true: needs GPUs"),
        ({"devices": 1000}, r"^trainer\.devices=1000: "),
        ({"num_nodes": 2}, r"^trainer\.num_nodes=2: "),
        ({"device": 2}, r"^trainer\.device=2: .*devices"),
    ],
)
def test_invalid_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_trainer_options({"accelerator": "cpu", **options})


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_names_of_ddp_are_accepted(strategy: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    check_trainer_options({"accelerator": "cpu", "devices": 2, "strategy": strategy})
    is_renamed = strategy in ("ddp", "ddp_spawn", "ddp_fork", "ddp_notebook")
    assert (f"trainer.strategy={strategy}: 2 processes" in caplog.text) == is_renamed


@pytest.mark.usefixtures("tiny_backbones")
def test_one_process_trains_on_cached_features(
    make_data: Callable[..., GarmentData], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    data = make_data()
    num_rows = len(data.catalogue)
    matrix = np.random.default_rng(0).normal(size=(num_rows, 32)).astype(np.float32)
    data = data.replace(features=Features(matrix, np.arange(num_rows)[None]))
    models = [fit_on_cpu(make_module(frozen=True), data, tmp_path / str(n), devices=n) for n in (1, 2)]
    assert max_difference(*models) == 0
    assert "classifier: one process trains on cached features" in caplog.text
    assert "Using 2 processes" not in caplog.text


@pytest.mark.usefixtures("tiny_backbones")
def test_a_process_group_of_one_trains_to_the_same_weights(
    make_data: Callable[..., GarmentData], tmp_path: Path
) -> None:
    models = []
    for name in ("alone", "group"):
        module, options = make_module(epochs=2), {"accelerator": "cpu", "precision": "32-true"}
        job = TrainingJob(module, make_data(), tmp_path / name, [], None, options)
        if name == "group":
            with process_group(World(), connect(World(), 0), "job0", "cpu"):
                train(World(), job, [])
        else:
            train(World(), job, [])
        models.append(module.model)
    assert max_difference(*models) < 1e-6
    assert not dist.is_initialized()
