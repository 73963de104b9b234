"""Fitting: what is learnt, what is kept, and that a fit which was stopped ends as one that was not."""

import copy
import logging
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
from fashion_lsh.models.backbones import Backbone
from fashion_lsh.models.calibration import fit_temperature
from fashion_lsh.models.checkpoints import load_model, min_bytes
from fashion_lsh.training import callbacks, fitting
from fashion_lsh.training.callbacks import EpochLogger, RunCSVLogger
from fashion_lsh.training.classifier import Classifier
from fashion_lsh.training.crop_module import CropModule
from fashion_lsh.training.fitting import fit
from fashion_lsh.training.hash_head import HashHead
from tests.disks import full_disk
from tests.models.factories import make_arguments, save

MakeData = Callable[..., GarmentData]


def tiny_backbone(name: str) -> Backbone:
    """A network of two seconds less: with what has a state (batch norm) and what draws (dropout)."""
    layers = [nn.Conv2d(3, 8, 5, stride=4), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()]
    return Backbone(name, nn.Sequential(*layers, nn.Dropout(0.3)), 32, 32)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """All backbones are tiny ones."""
    monkeypatch.setattr("fashion_lsh.models.crop_model.create_backbone", tiny_backbone)


def make_model(kind: type[CropModule] = Classifier, **changes: Any) -> Any:
    optim = {"name": "sgd", "lr": 0.02, "momentum": 0.9, "weight_decay": 0.0005, "warmup": 0.1}
    torch.manual_seed(0)
    return kind(**make_arguments(kind, **{"epochs": 3, "head_factor": 1.0, "optim": optim} | changes))  # type: ignore[arg-type]


class Scripted(Classifier):
    """Fits as a Classifier does; its accuracy on `val` is written beforehand, and its weights then are kept."""

    accuracies = (0.1,)

    def validation_step(self, batch: Batch) -> None:
        self.log("classifier/val/accuracy", self.accuracies[self.current_epoch], batch_size=len(batch.labels))

    def on_validation_epoch_end(self) -> None:
        self.seen = [*getattr(self, "seen", []), copy.deepcopy(self.model.state_dict())]


@pytest.fixture
def rising(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last epoch is always the best: what is kept shows all that was trained."""

    def better(self: CropModule, batch: Batch) -> None:
        self.log(f"{self.name}/val/accuracy", float(self.current_epoch), batch_size=len(batch.labels))

    monkeypatch.setattr(CropModule, "validation_step", better)


def scripted(*accuracies: float) -> Any:
    model = make_model(Scripted, epochs=len(accuracies))
    model.accuracies = accuracies
    return model


def fit_on_cpu(model: Any, data: GarmentData, folder: Path, **changes: Any) -> Any:
    return fit(model, data, folder, accelerator="cpu", **changes)


def equal_states(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def file_names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def stop_at_epoch_end(epoch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    original = EpochLogger.on_train_epoch_end

    def stop(self: Any, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == epoch:
            raise RuntimeError("the power went out")
        original(self, trainer, pl_module)

    monkeypatch.setattr(EpochLogger, "on_train_epoch_end", stop)


def stop_in_epoch(epoch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    original = CropModule.training_step

    def stop(self: Any, batch: Batch) -> Tensor:
        if self.current_epoch == epoch and self.global_step % 2:
            raise RuntimeError("the power went out")
        return original(self, batch)

    monkeypatch.setattr(CropModule, "training_step", stop)


def logged_epochs(caplog: pytest.LogCaptureFixture) -> list[str]:
    """`1/3`, `2/3`, … as they were logged."""
    texts = [record.getMessage() for record in caplog.records if record.name == callbacks.__name__]
    return [text.split()[1].rstrip(":") for text in texts if text.startswith("epoch ")]


@pytest.fixture
def colour_data(tmp_path: Path, make_data: MakeData) -> GarmentData:
    """36 red, green and blue pictures."""
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


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("initial_training_mode", [True, False])
@pytest.mark.parametrize("by_lightning_trainer", [True, False])
@pytest.mark.parametrize("kind", [Classifier, HashHead])
def test_fit_does_not_change_a_frozen_backbone(
    kind: type[CropModule], by_lightning_trainer: bool, initial_training_mode: bool, make_data: MakeData,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    modes: list[tuple[bool, bool]] = []
    original = kind.training_step

    def record_modes(self: Any, batch: Batch) -> Tensor:
        modes.append((self.training, any(module.training for module in self.model.backbone.modules())))
        return original(self, batch)

    monkeypatch.setattr(kind, "training_step", record_modes)
    model, data = make_model(kind, frozen=True, epochs=2).train(initial_training_mode), make_data()
    backbone, head = state_bytes(model.model.backbone), state_bytes(model.model.head)
    if by_lightning_trainer:
        pl.Trainer(max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False,
                   enable_progress_bar=False, default_root_dir=tmp_path).fit(model, data)  # fmt: skip
    else:
        fit_on_cpu(model, data, tmp_path)
    assert set(modes) == {(True, False)}  # neither batch norm nor dropout is in training mode
    assert state_bytes(model.model.backbone) == backbone
    assert state_bytes(model.model.head) != head


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("kind", [Classifier, HashHead])
def test_fit_learns_a_separable_set(kind: type[CropModule], colour_data: GarmentData, tmp_path: Path) -> None:
    optim = {"name": "adamw", "lr": 0.01, "momentum": 0.9, "weight_decay": 0.01, "warmup": 0.1}
    model = make_model(kind, categories=colour_data.categories, epochs=20, head_factor=3.0, optim=optim)
    model = fit_on_cpu(model, colour_data, tmp_path / "run")
    with torch.inference_mode():
        correct = [model(batch.images).logits.argmax(1) == batch.labels for batch in colour_data.loader("gallery")]
    assert torch.cat(correct).float().mean() > 0.8  # a third by chance
    assert (
        torch.load(tmp_path / "run" / f"{model.name}.ckpt", weights_only=True)["fit_metrics"][
            f"{model.name}/val/accuracy"
        ]
        > 0.8
    )


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("kind", [Classifier, HashHead])
def test_fit_leaves_one_checkpoint(kind: type[CropModule], make_data: MakeData, tmp_path: Path) -> None:
    fit_on_cpu(model := make_model(kind, epochs=1), make_data(), tmp_path)
    assert file_names(tmp_path) == [f"{model.name}.ckpt"]
    content = torch.load(tmp_path / f"{model.name}.ckpt", weights_only=True)
    assert content["hyper_parameters"] == dict(model.hparams)
    assert content["fit_metrics"][f"{model.name}/best_epoch"] == 1


def test_loaded_checkpoint_gives_identical_outputs(make_data: MakeData, tmp_path: Path) -> None:
    data = make_data()
    model = fit_on_cpu(make_model(HashHead, epochs=1), data, tmp_path)
    opened = load_model(tmp_path / "hash_head.ckpt")
    batch = next(iter(data.val_dataloader()))
    assert not model.training
    assert not opened.training
    with torch.inference_mode():
        before, after = model(batch.images), opened(batch.images)
        assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
        assert torch.equal(model.probabilities(before.logits), opened.probabilities(after.logits))
    assert opened.fingerprint() == model.fingerprint()


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(("accuracies", "best"), [((0.2, 0.9, 0.5), 1), ((0.9, 0.5, 0.8), 0), ((0.5, 0.7, 0.7), 1)])
def test_best_val_epoch_is_kept(accuracies: tuple[float, ...], best: int, make_data: MakeData, tmp_path: Path) -> None:
    model = scripted(*accuracies)
    best_state = fit_on_cpu(model, make_data(), tmp_path).state_dict()
    del best_state["temperature"]
    matching = [
        number
        for number, state in enumerate(model.seen)
        if all(torch.equal(best_state[n], state[n]) for n in best_state)
    ]
    fit_metrics = load_model(tmp_path / "classifier.ckpt").fit_metrics
    assert matching == [best]
    assert fit_metrics["classifier/best_epoch"] == best + 1
    assert fit_metrics["classifier/val/accuracy"] == pytest.approx(max(accuracies))
    assert 0 <= fit_metrics["classifier/val/ece_before"] <= 1
    assert 0 <= fit_metrics["classifier/val/ece_after"] <= 1


@pytest.mark.usefixtures("tiny")
def test_temperature_of_the_best_epoch_is_saved(make_data: MakeData, tmp_path: Path) -> None:
    data = make_data(batch_size=5)
    model = fit_on_cpu(make_model(epochs=2), data, tmp_path)
    batches = list(data.val_dataloader())
    with torch.inference_mode():
        logits = torch.cat([model(batch.images).logits for batch in batches])
    expected = fit_temperature(logits, torch.cat([batch.labels for batch in batches]))
    assert model.temperature.item() == pytest.approx(expected, rel=1e-5)
    assert model.temperature.item() != 1
    assert load_model(tmp_path / "classifier.ckpt").temperature.item() == model.temperature.item()


@pytest.mark.usefixtures("tiny")
def test_calibration_error_is_logged_before_and_after(make_data: MakeData, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    model = make_model()
    model.post_fit(make_data())
    assert f"temperature {model.model.temperature:.3f}, ECE on val" in caplog.text


STOPS = [
    pytest.param(stop, epoch, id=f"{stop.__name__}_{epoch}")
    for stop in (stop_at_epoch_end, stop_in_epoch)
    for epoch in (1, 2)
]


@pytest.mark.usefixtures("tiny", "rising")
@pytest.mark.parametrize(("stop", "epoch"), STOPS)
@pytest.mark.parametrize("optim", ["sgd", "adamw"])
def test_resumed_fit_equals_uninterrupted(
    stop: Callable[..., None],
    epoch: int,
    optim: str,
    make_data: MakeData,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    optim_config = {"name": optim, "lr": 0.02, "momentum": 0.9, "weight_decay": 0.01, "warmup": 0.3}
    uninterrupted = fit_on_cpu(make_model(HashHead, optim=optim_config), make_data(), tmp_path / "whole")
    with pytest.MonkeyPatch.context() as patch:
        stop(epoch, patch)
        with pytest.raises(RuntimeError, match="the power went out"):
            fit_on_cpu(make_model(HashHead, optim=optim_config), make_data(), tmp_path / "stopped")
    assert not (tmp_path / "stopped" / "hash_head.ckpt").exists()
    caplog.set_level(logging.INFO)
    resumed = fit_on_cpu(make_model(HashHead, optim=optim_config), make_data(), tmp_path / "stopped")
    assert logged_epochs(caplog) == [f"{number}/3" for number in range(epoch + 1, 4)]
    assert equal_states(resumed.state_dict(), uninterrupted.state_dict())
    assert resumed.fingerprint() == uninterrupted.fingerprint()
    assert file_names(tmp_path / "stopped") == ["hash_head.ckpt"]


@pytest.mark.gpu
@pytest.mark.parametrize("kind", [Classifier, HashHead])
def test_gpu_checkpoint_gives_the_same_outputs_on_cpu(
    kind: type[CropModule], make_data: MakeData, tmp_path: Path
) -> None:
    gpu_model = fit(make_model(kind, epochs=2), make_data(), tmp_path, accelerator="gpu")
    assert gpu_model.device.type == "cuda"
    cpu_model = load_model(tmp_path / f"{gpu_model.name}.ckpt", "cpu")
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    with torch.inference_mode():
        for ours, theirs in zip(cpu_model(images), gpu_model(images.to(gpu_model.device)), strict=True):
            assert (ours is None) == (theirs is None)
            if ours is not None:
                torch.testing.assert_close(ours, theirs.cpu(), rtol=0.02, atol=0.02)


@pytest.mark.usefixtures("rising")
def test_resumed_fit_of_resnet18_equals_uninterrupted(make_data: MakeData, tmp_path: Path) -> None:
    uninterrupted = fit_on_cpu(make_model(epochs=2), make_data(), tmp_path / "whole")
    with pytest.MonkeyPatch.context() as patch:
        stop_in_epoch(1, patch)
        with pytest.raises(RuntimeError, match="the power went out"):
            fit_on_cpu(make_model(epochs=2), make_data(), tmp_path / "stopped")
    assert equal_states(
        fit_on_cpu(make_model(epochs=2), make_data(), tmp_path / "stopped").state_dict(), uninterrupted.state_dict()
    )


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(("accuracies", "best"), [((0.9, 0.8, 0.7, 0.6), 0), ((0.4, 0.3, 0.9, 0.6), 2)])
def test_fit_resumes_from_the_last_finished_epoch(
    accuracies: tuple[float, ...], best: int, make_data: MakeData, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        stop_in_epoch(3, patch)
        with pytest.raises(RuntimeError, match="the power went out"):
            fit_on_cpu(first := scripted(*accuracies), make_data(), tmp_path)
    caplog.set_level(logging.INFO)
    resumed = fit_on_cpu(scripted(*accuracies), make_data(), tmp_path)
    assert logged_epochs(caplog) == ["4/4"]
    assert torch.equal(resumed.head.weight, first.seen[best]["head.weight"])  # the best was seen before the stop


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("patience", [None, 1])
def test_fit_stopped_after_the_last_epoch_trains_no_more(
    patience: int | None, make_data: MakeData, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    accuracies = (0.5, 0.9, 0.4) if patience is None else (0.9, 0.5, 1.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "save_model", lambda *args, **kwargs: (_ for _ in ()).throw(OSError("no space")))
        with pytest.raises(OSError, match="no space"):
            fit_on_cpu(first := scripted(*accuracies), make_data(), tmp_path, patience=patience)
    caplog.set_level(logging.INFO)
    resumed = fit_on_cpu(scripted(*accuracies), make_data(), tmp_path, patience=patience)
    assert logged_epochs(caplog) == []
    assert equal_states(resumed.state_dict(), first.model.state_dict())


@pytest.mark.usefixtures("tiny")
def test_finished_stage_is_loaded_not_refitted(
    make_data: MakeData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    save(make_model(), tmp_path / "classifier.ckpt")
    monkeypatch.setattr(pl, "Trainer", None)
    caplog.set_level(logging.INFO)
    other = make_model(lr_factor=0.5)
    for parameter in other.parameters():
        nn.init.zeros_(parameter)
    loaded = fit_on_cpu(other, make_data(), tmp_path)
    assert loaded.fingerprint() == make_model().model.fingerprint()
    assert not loaded.training
    assert "classifier: finished before, read from" in caplog.text


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(("patience", "expected_epochs"), [(0, 3), (1, 3), (2, 4), (None, 5)])
def test_patience_ends_the_fit(patience: int | None, expected_epochs: int, make_data: MakeData, tmp_path: Path) -> None:
    model = scripted(0.2, 0.9, 0.9, 0.5, 0.1)
    fit_on_cpu(model, make_data(), tmp_path, patience=patience)
    assert len(model.seen) == expected_epochs
    assert file_names(tmp_path) == ["classifier.ckpt"]


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("limit", [0, 100, 5000])
def test_full_disk_keeps_the_old_checkpoint(limit: int, tmp_path: Path) -> None:
    path = tmp_path / "classifier.ckpt"
    save(make_model(), path)
    before = path.read_bytes()
    with full_disk(limit), pytest.raises(OSError, match=r"classifier\.ckpt could not be written \(File too large\)"):
        save(make_model(), path)
    assert file_names(tmp_path) == ["classifier.ckpt"]
    assert path.read_bytes() == before


@pytest.mark.usefixtures("tiny")
def test_fit_resumes_after_a_full_disk(make_data: MakeData, tmp_path: Path) -> None:
    uninterrupted = fit_on_cpu(make_model(epochs=2), make_data(), tmp_path / "whole")
    with pytest.raises(OSError, match=r"best\.ckpt could not be written .*: free some space"), full_disk(5000):
        fit_on_cpu(make_model(epochs=2), make_data(), tmp_path / "stopped")
    assert file_names(tmp_path / "stopped") == ["checkpoints", "checkpoints/classifier"]
    assert equal_states(
        fit_on_cpu(make_model(epochs=2), make_data(), tmp_path / "stopped").state_dict(), uninterrupted.state_dict()
    )


def test_unwritable_log_is_named(tmp_path: Path) -> None:
    log = RunCSVLogger(tmp_path, name="logs", version="")
    log.log_metrics({"classifier/train/loss": 1.0}, 0)
    with (
        full_disk(0),
        pytest.raises(OSError, match=r"logs.* could not be written to \(File too large\): free some space"),
    ):
        log.save()


@pytest.mark.usefixtures("tiny")
def test_metrics_are_logged_with_the_stage_as_prefix(make_data: MakeData, tmp_path: Path) -> None:
    logger = RunCSVLogger(tmp_path, name="logs", version="")
    fit(make_model(HashHead, epochs=1), make_data(batch_size=3), tmp_path, [logger], accelerator="cpu")
    header = (tmp_path / "logs" / "metrics.csv").read_text().splitlines()[0].split(",")
    val = {"hash_head/val/accuracy", "hash_head/val/loss", "hash_head/val/macro_f1"}
    assert set(header) == {"epoch", "step", "hash_head/train/loss", *val}


@pytest.mark.usefixtures("tiny")
def test_each_epoch_is_logged_once(make_data: MakeData, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    fit_on_cpu(make_model(epochs=2), make_data(), tmp_path)
    assert logged_epochs(caplog) == ["1/2", "2/2"]
    line = next(record.getMessage() for record in caplog.records if record.getMessage().startswith("epoch 2/2: "))
    for name in ("train/loss", "val/accuracy", "val/loss", "val/macro_f1"):
        assert f"{name} " in line


@pytest.mark.usefixtures("tiny")
def test_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"no checkpoint at .*hash_head\.ckpt: .* type the run's train\.py command again"
    ):
        load_model(tmp_path / "hash_head.ckpt")


@pytest.mark.usefixtures("tiny")
def test_extra_arguments_are_passed_to_the_trainer(make_data: MakeData, tmp_path: Path) -> None:
    model = scripted(0.5)
    fit_on_cpu(model, make_data(), tmp_path, limit_train_batches=0.5, gradient_clip_val=5.0)
    assert model.trainer.num_training_batches == 1
    assert model.trainer.gradient_clip_val == 5.0


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("tasks", [1, 2])
def test_fit_ignores_slurm_environment(
    tasks: int, make_data: MakeData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = fit_on_cpu(make_model(epochs=2), make_data(), tmp_path / "plain")
    for name, value in {"NTASKS": tasks, "JOB_NAME": "fit", "JOB_ID": 7, "PROCID": 0, "LOCALID": 0}.items():
        monkeypatch.setenv(f"SLURM_{name}", str(value))
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "hpc_ckpt_1.ckpt").write_bytes(b"of another stage")
    monkeypatch.chdir(tmp_path / "here")
    handlers: list[Any] = []
    task = make_model(epochs=2)
    task.on_train_start = lambda: handlers.append(signal.getsignal(signal.SIGUSR1))
    assert equal_states(fit_on_cpu(task, make_data(), tmp_path / "task").state_dict(), expected.state_dict())
    assert handlers == [signal.SIG_DFL]  # at SLURM's warning Lightning would save an hpc_ckpt


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no checkpoint"])
def test_damaged_checkpoint_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "hash_head.ckpt").write_bytes(content)
    with pytest.raises(ValueError, match=r"hash_head\.ckpt is damaged, or was made by another version"):
        load_model(tmp_path / "hash_head.ckpt")


@pytest.mark.usefixtures("tiny")
def test_min_bytes_counts_weights_and_one_fit(tmp_path: Path) -> None:
    model = make_model()
    save(model, tmp_path / "classifier.ckpt")
    weights = sum(value.nbytes for value in model.model.state_dict().values())
    assert weights <= (tmp_path / "classifier.ckpt").stat().st_size
    assert min_bytes([model.model, model.model]) == 5 * weights
