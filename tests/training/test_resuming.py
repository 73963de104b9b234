"""Resumed training gives the same weights as uninterrupted training."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.training import fitting
from fashion_lsh.training.hash_head import HashHead
from tests.disks import full_disk
from tests.models.factories import save
from tests.training.factories import (
    file_names,
    fit_on_cpu,
    logged_epochs,
    make_module,
    make_scripted_module,
    states_are_equal,
    stop_at_epoch_end,
    stop_in_epoch,
)

pytestmark = pytest.mark.train

MakeData = Callable[..., GarmentData]


STOPS = [
    pytest.param(stop, epoch, id=f"{stop.__name__}_{epoch}")
    for stop in (stop_at_epoch_end, stop_in_epoch)
    for epoch in (1, 2)
]


@pytest.mark.usefixtures("tiny_backbones", "increasing_accuracy")
@pytest.mark.parametrize(("stop", "epoch"), STOPS)
@pytest.mark.parametrize("optim", ["sgd", "adamw"])
def test_resumed_fit_equals_uninterrupted_fit(
    stop: Callable[..., None],
    epoch: int,
    optim: str,
    make_data: MakeData,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    optim_config = {"name": optim, "lr": 0.02, "momentum": 0.9, "weight_decay": 0.01, "warmup": 0.3}
    uninterrupted = fit_on_cpu(make_module(HashHead, optim=optim_config), make_data(), tmp_path / "whole")
    with pytest.MonkeyPatch.context() as patch:
        stop(epoch, patch)
        with pytest.raises(RuntimeError, match="interrupted"):
            fit_on_cpu(make_module(HashHead, optim=optim_config), make_data(), tmp_path / "stopped")
    assert not (tmp_path / "stopped" / "hash_head.ckpt").exists()
    caplog.set_level(logging.INFO)
    resumed = fit_on_cpu(make_module(HashHead, optim=optim_config), make_data(), tmp_path / "stopped")
    assert logged_epochs(caplog) == [f"{number}/3" for number in range(epoch + 1, 4)]
    assert states_are_equal(resumed.state_dict(), uninterrupted.state_dict())
    assert resumed.fingerprint() == uninterrupted.fingerprint()
    assert file_names(tmp_path / "stopped") == ["hash_head.ckpt"]


@pytest.mark.usefixtures("increasing_accuracy")
def test_resumed_fit_of_resnet18_equals_uninterrupted_fit(make_data: MakeData, tmp_path: Path) -> None:
    uninterrupted = fit_on_cpu(make_module(epochs=2), make_data(), tmp_path / "whole")
    with pytest.MonkeyPatch.context() as patch:
        stop_in_epoch(1, patch)
        with pytest.raises(RuntimeError, match="interrupted"):
            fit_on_cpu(make_module(epochs=2), make_data(), tmp_path / "stopped")
    assert states_are_equal(
        fit_on_cpu(make_module(epochs=2), make_data(), tmp_path / "stopped").state_dict(), uninterrupted.state_dict()
    )


@pytest.mark.usefixtures("tiny_backbones")
@pytest.mark.parametrize(("accuracies", "best"), [((0.9, 0.8, 0.7, 0.6), 0), ((0.4, 0.3, 0.9, 0.6), 2)])
def test_fit_resumes_from_the_last_finished_epoch(
    accuracies: tuple[float, ...], best: int, make_data: MakeData, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        stop_in_epoch(3, patch)
        with pytest.raises(RuntimeError, match="interrupted"):
            fit_on_cpu(first := make_scripted_module(*accuracies), make_data(), tmp_path)
    caplog.set_level(logging.INFO)
    resumed = fit_on_cpu(make_scripted_module(*accuracies), make_data(), tmp_path)
    assert logged_epochs(caplog) == ["4/4"]
    assert torch.equal(
        resumed.head.weight, first.states[best]["head.weight"]
    )  # weights of an epoch before the interruption


@pytest.mark.usefixtures("tiny_backbones")
@pytest.mark.parametrize("patience", [None, 1])
def test_fit_interrupted_after_the_last_epoch_resumes_without_training(
    patience: int | None, make_data: MakeData, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    accuracies = (0.5, 0.9, 0.4) if patience is None else (0.9, 0.5, 1.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "save_model", lambda *args, **kwargs: (_ for _ in ()).throw(OSError("no space")))
        with pytest.raises(OSError, match="no space"):
            fit_on_cpu(first := make_scripted_module(*accuracies), make_data(), tmp_path, patience=patience)
    caplog.set_level(logging.INFO)
    resumed = fit_on_cpu(make_scripted_module(*accuracies), make_data(), tmp_path, patience=patience)
    assert logged_epochs(caplog) == []
    assert states_are_equal(resumed.state_dict(), first.model.state_dict())


@pytest.mark.usefixtures("tiny_backbones")
def test_trained_stage_is_loaded_instead_of_trained_again(
    make_data: MakeData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    save(make_module(), tmp_path / "classifier.ckpt")
    monkeypatch.setattr(pl, "Trainer", None)
    caplog.set_level(logging.INFO)
    other = make_module(lr_factor=0.5)
    for parameter in other.parameters():
        nn.init.zeros_(parameter)
    loaded = fit_on_cpu(other, make_data(), tmp_path)
    assert loaded.fingerprint() == make_module().model.fingerprint()
    assert not loaded.training
    assert "Loading the trained classifier" in caplog.text


@pytest.mark.usefixtures("tiny_backbones")
def test_fit_resumes_after_a_full_disk(make_data: MakeData, tmp_path: Path) -> None:
    uninterrupted = fit_on_cpu(make_module(epochs=2), make_data(), tmp_path / "whole")
    with pytest.raises(OSError, match=r"best\.ckpt"), full_disk(5000):
        fit_on_cpu(make_module(epochs=2), make_data(), tmp_path / "stopped")
    assert file_names(tmp_path / "stopped") == ["checkpoints", "checkpoints/classifier"]
    assert states_are_equal(
        fit_on_cpu(make_module(epochs=2), make_data(), tmp_path / "stopped").state_dict(), uninterrupted.state_dict()
    )
