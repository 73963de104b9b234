"""Training: frozen backbones, best epoch, calibration, checkpoints, logs and early stopping."""

import logging
import math
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from PIL import Image
from torch import Tensor, nn

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.dataset import Batch
from fashion_lsh.metrics.code_validation import ValidationMap
from fashion_lsh.models.calibration import fit_temperature
from fashion_lsh.models.checkpoints import load_model
from fashion_lsh.training.callbacks import RunCSVLogger
from fashion_lsh.training.classifier import Classifier
from fashion_lsh.training.crop_module import CropModule
from fashion_lsh.training.fitting import fit
from fashion_lsh.training.hash_head import HashHead
from tests.disks import full_disk
from tests.training.factories import (
    file_names,
    fit_on_cpu,
    logged_epochs,
    make_module,
    make_scripted_module,
    states_are_equal,
)

MakeData = Callable[..., GarmentData]


@pytest.fixture
def colour_data(tmp_path: Path, make_data: MakeData) -> GarmentData:
    """36 red, green and blue images."""
    colours = {"red": (200, 40, 40), "green": (40, 200, 40), "blue": (40, 40, 200)}
    lines = ["image,category"]
    for number in range(12):
        for name, colour in colours.items():
            shade = tuple(value + 4 * number for value in colour)
            Image.new("RGB", (32, 32), shade).save(tmp_path / f"{name}{number}.png")
            lines.append(f"{name}{number}.png,{name}")
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    return make_data(root=str(tmp_path / "manifest.csv"), batch_size=6)


def state_bytes(module: nn.Module) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in module.state_dict().items()}


@pytest.mark.usefixtures("tiny_backbones")
@pytest.mark.parametrize("initial_training_mode", [True, False])
@pytest.mark.parametrize("by_lightning_trainer", [True, False])
@pytest.mark.parametrize("module_class", [Classifier, HashHead])
def test_fit_does_not_change_a_frozen_backbone(
    module_class: type[CropModule], by_lightning_trainer: bool, initial_training_mode: bool, make_data: MakeData,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    modes: list[tuple[bool, bool]] = []
    original = module_class.training_step

    def record_modes(self: Any, batch: Batch) -> Tensor:
        modes.append((self.training, any(module.training for module in self.model.backbone.modules())))
        return original(self, batch)

    monkeypatch.setattr(module_class, "training_step", record_modes)
    module, data = make_module(module_class, frozen=True, epochs=2).train(initial_training_mode), make_data()
    backbone, head = state_bytes(module.model.backbone), state_bytes(module.model.head)
    if by_lightning_trainer:
        pl.Trainer(max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False,
                   enable_progress_bar=False, default_root_dir=tmp_path).fit(module, data)  # fmt: skip
    else:
        fit_on_cpu(module, data, tmp_path)
    assert set(modes) == {(True, False)}  # batch norm and dropout of the frozen backbone are in evaluation mode
    assert state_bytes(module.model.backbone) == backbone
    assert state_bytes(module.model.head) != head


@pytest.mark.usefixtures("tiny_backbones")
@pytest.mark.parametrize("module_class", [Classifier, HashHead])
def test_fit_separates_colours(module_class: type[CropModule], colour_data: GarmentData, tmp_path: Path) -> None:
    optim = {"name": "adamw", "lr": 0.01, "momentum": 0.9, "weight_decay": 0.01, "warmup": 0.1}
    module = make_module(module_class, categories=colour_data.categories, epochs=20, head_factor=3.0, optim=optim)
    model = fit_on_cpu(module, colour_data, tmp_path / "run")
    with torch.inference_mode():
        is_correct = [model(batch.images).logits.argmax(1) == batch.labels for batch in colour_data.loader("gallery")]
    assert torch.cat(is_correct).float().mean() > 0.8  # the accuracy of a random guess is 1/3
    content = torch.load(tmp_path / "run" / f"{model.name}.ckpt", weights_only=True)
    score = "val/code_map" if module_class is HashHead else "val/accuracy"
    assert content["fit_metrics"][model.name][score] > 0.8


@pytest.mark.usefixtures("tiny_backbones")
@pytest.mark.parametrize("module_class", [Classifier, HashHead])
def test_fit_leaves_one_checkpoint(module_class: type[CropModule], make_data: MakeData, tmp_path: Path) -> None:
    fit_on_cpu(module := make_module(module_class, epochs=1), make_data(), tmp_path)
    assert file_names(tmp_path) == [f"{module.name}.ckpt"]
    content = torch.load(tmp_path / f"{module.name}.ckpt", weights_only=True)
    assert content["hyper_parameters"] == dict(module.hparams)
    assert content["fit_metrics"][module.name]["best_epoch"] == 1


@pytest.mark.usefixtures("tiny_backbones")
def test_fit_metrics_of_an_earlier_stage_are_kept_beside_those_of_the_stage(
    make_data: MakeData, tmp_path: Path
) -> None:
    data = make_data()
    classifier = fit_on_cpu(make_module(Classifier, epochs=1), data, tmp_path)
    hash_head = fit_on_cpu(make_module(HashHead, epochs=2).start_from(classifier), data, tmp_path)
    assert list(hash_head.fit_metrics) == ["classifier", "hash_head"]
    assert hash_head.fit_metrics["classifier"] == classifier.fit_metrics["classifier"]
    assert load_model(tmp_path / "hash_head.ckpt").fit_metrics == hash_head.fit_metrics
    for stage, score in (("classifier", "val/accuracy"), ("hash_head", "val/code_map")):
        assert set(hash_head.fit_metrics[stage]) == {
            "best_epoch",
            score,
            "val/accuracy",
            "val/ece_before",
            "val/ece_after",
        }


def test_loaded_checkpoint_gives_identical_outputs(make_data: MakeData, tmp_path: Path) -> None:
    data = make_data()
    model = fit_on_cpu(make_module(HashHead, epochs=1), data, tmp_path)
    loaded = load_model(tmp_path / "hash_head.ckpt")
    batch = next(iter(data.val_dataloader()))
    assert not model.training
    assert not loaded.training
    with torch.inference_mode():
        before, after = model(batch.images), loaded(batch.images)
        assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
        assert torch.equal(model.probabilities(before.logits), loaded.probabilities(after.logits))
    assert loaded.fingerprint() == model.fingerprint()


@pytest.mark.usefixtures("tiny_backbones")
@pytest.mark.parametrize(
    ("accuracies", "best_epoch"), [((0.2, 0.9, 0.5), 1), ((0.9, 0.5, 0.8), 0), ((0.5, 0.7, 0.7), 2)]
)
def test_best_val_epoch_is_kept(
    accuracies: tuple[float, ...], best_epoch: int, make_data: MakeData, tmp_path: Path
) -> None:
    module = make_scripted_module(*accuracies)
    best_state = fit_on_cpu(module, make_data(), tmp_path).state_dict()
    del best_state["temperature"]
    matching_epochs = [
        number
        for number, state in enumerate(module.states)
        if all(torch.equal(best_state[n], state[n]) for n in best_state)
    ]
    fit_metrics = load_model(tmp_path / "classifier.ckpt").fit_metrics["classifier"]
    assert matching_epochs == [best_epoch]
    assert fit_metrics["best_epoch"] == best_epoch + 1
    assert fit_metrics["val/accuracy"] == pytest.approx(max(accuracies))
    assert 0 <= fit_metrics["val/ece_before"] <= 1
    assert 0 <= fit_metrics["val/ece_after"] <= 1


@pytest.mark.usefixtures("tiny_backbones")
@pytest.mark.parametrize(("accuracies", "best_epoch"), [
    ((0.4, math.nan, 0.2), 1), ((math.nan, 0.3, math.nan), 2), ((math.nan, math.nan, math.nan), 3)])  # fmt: skip
def test_an_unknown_value_does_not_replace_a_known_one(
    accuracies: tuple[float, ...], best_epoch: int, make_data: MakeData, tmp_path: Path
) -> None:
    model = fit_on_cpu(make_scripted_module(*accuracies), make_data(), tmp_path)
    assert model.fit_metrics["classifier"]["best_epoch"] == best_epoch


@pytest.mark.usefixtures("tiny_backbones")
@pytest.mark.parametrize("patience", [None, 5])
def test_the_last_epoch_is_kept_if_the_map_of_the_codes_is_unknown(
    patience: int | None, make_data: MakeData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setattr(
        "fashion_lsh.training.code_module.validation_map", lambda *_: ValidationMap("category", math.nan)
    )
    model = fit_on_cpu(make_module(HashHead, epochs=3), make_data(), tmp_path, patience=patience)
    assert model.fit_metrics["hash_head"]["best_epoch"] == 3
    assert "val/code_map" not in model.fit_metrics["hash_head"]
    [warning] = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "last epoch is kept" in warning


@pytest.mark.usefixtures("tiny_backbones")
def test_temperature_of_the_best_epoch_is_saved(make_data: MakeData, tmp_path: Path) -> None:
    data = make_data(batch_size=5)
    model = fit_on_cpu(make_module(epochs=2), data, tmp_path)
    batches = list(data.val_dataloader())
    with torch.inference_mode():
        logits = torch.cat([model(batch.images).logits for batch in batches])
    expected = fit_temperature(logits, torch.cat([batch.labels for batch in batches]))
    assert model.temperature.item() == pytest.approx(expected, rel=1e-5)
    assert model.temperature.item() != 1
    assert load_model(tmp_path / "classifier.ckpt").temperature.item() == model.temperature.item()


@pytest.mark.usefixtures("tiny_backbones")
def test_calibration_error_is_logged_before_and_after_calibration(
    make_data: MakeData, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    module = make_module()
    module.post_fit(make_data())
    assert f"classifier: temperature {module.model.temperature:.3f}; " in caplog.text


@pytest.mark.usefixtures("tiny_backbones")
@pytest.mark.parametrize(("patience", "expected_epochs"), [(0, 3), (1, 3), (2, 4), (None, 5)])
def test_training_stops_after_patience(
    patience: int | None, expected_epochs: int, make_data: MakeData, tmp_path: Path
) -> None:
    module = make_scripted_module(0.2, 0.9, 0.9, 0.5, 0.1)
    fit_on_cpu(module, make_data(), tmp_path, patience=patience)
    assert len(module.states) == expected_epochs
    assert file_names(tmp_path) == ["classifier.ckpt"]


def test_path_of_an_unwritable_log_is_in_the_error(tmp_path: Path) -> None:
    log = RunCSVLogger(tmp_path, name="logs", version="")
    log.log_metrics({"classifier/train/loss": 1.0}, 0)
    with full_disk(0), pytest.raises(OSError, match=r"logs.*File too large"):
        log.save()


@pytest.mark.usefixtures("tiny_backbones")
def test_metrics_are_logged_with_the_stage_as_prefix(make_data: MakeData, tmp_path: Path) -> None:
    logger = RunCSVLogger(tmp_path, name="logs", version="")
    fit(make_module(HashHead, epochs=1), make_data(batch_size=3), tmp_path, [logger], accelerator="cpu")
    header = (tmp_path / "logs" / "metrics.csv").read_text().splitlines()[0].split(",")
    val = {f"hash_head/val/{name}" for name in ("accuracy", "loss", "macro_f1", "code_map")}
    assert set(header) == {"epoch", "step", "hash_head/train/loss", *val}


@pytest.mark.usefixtures("tiny_backbones")
def test_each_epoch_is_logged_once(make_data: MakeData, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    fit_on_cpu(make_module(epochs=2), make_data(), tmp_path)
    assert logged_epochs(caplog) == ["1/2", "2/2"]
    line = next(
        record.getMessage() for record in caplog.records if record.getMessage().startswith("classifier: epoch 2/2: ")
    )
    for name in ("train/loss", "val/accuracy", "val/loss", "val/macro_f1"):
        assert f"{name} " in line


@pytest.mark.usefixtures("tiny_backbones")
def test_extra_arguments_are_passed_to_the_trainer(make_data: MakeData, tmp_path: Path) -> None:
    module = make_scripted_module(0.5)
    fit_on_cpu(module, make_data(), tmp_path, limit_train_batches=0.5, gradient_clip_val=5.0)
    assert module.trainer.num_training_batches == 1
    assert module.trainer.gradient_clip_val == 5.0


@pytest.mark.usefixtures("tiny_backbones")
@pytest.mark.parametrize("num_tasks", [1, 2])
def test_fit_ignores_slurm_environment(
    num_tasks: int, make_data: MakeData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = fit_on_cpu(make_module(epochs=2), make_data(), tmp_path / "plain")
    for name, value in {"NTASKS": num_tasks, "JOB_NAME": "fit", "JOB_ID": 7, "PROCID": 0, "LOCALID": 0}.items():
        monkeypatch.setenv(f"SLURM_{name}", str(value))
    (tmp_path / "cwd").mkdir()
    (tmp_path / "cwd" / "hpc_ckpt_1.ckpt").write_bytes(b"of another stage")
    monkeypatch.chdir(tmp_path / "cwd")
    handlers: list[Any] = []
    module = make_module(epochs=2)
    module.on_train_start = lambda: handlers.append(signal.getsignal(signal.SIGUSR1))
    assert states_are_equal(fit_on_cpu(module, make_data(), tmp_path / "task").state_dict(), expected.state_dict())
    assert handlers == [signal.SIG_DFL]  # Lightning's SLURM support would handle SIGUSR1 to save an hpc_ckpt
