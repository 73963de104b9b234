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
from fashion_lsh.models.checkpoints import least_bytes, load_model
from fashion_lsh.training import callbacks, fitting
from fashion_lsh.training.callbacks import CsvLog, EpochLog
from fashion_lsh.training.classifier import Classifier
from fashion_lsh.training.crop_module import CropModule
from fashion_lsh.training.fitting import fit
from fashion_lsh.training.hash_head import Hasher
from tests.disks import full_disk
from tests.models.factories import arguments, save

Make = Callable[..., GarmentData]


def tiny_backbone(name: str) -> Backbone:
    """A network of two seconds less: with what has a state (batch norm) and what draws (dropout)."""
    layers = [nn.Conv2d(3, 8, 5, stride=4), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()]
    return Backbone(name, nn.Sequential(*layers, nn.Dropout(0.3)), 32, 32)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """All backbones are tiny ones."""
    monkeypatch.setattr("fashion_lsh.models.crop_model.make_backbone", tiny_backbone)


def stage_of(kind: type[CropModule] = Classifier, **changes: Any) -> Any:
    optim = {"name": "sgd", "lr": 0.02, "momentum": 0.9, "weight_decay": 0.0005, "warmup": 0.1}
    torch.manual_seed(0)
    return kind(**arguments(kind, **{"epochs": 3, "head_factor": 1.0, "optim": optim} | changes))  # type: ignore[arg-type]


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
    stage = stage_of(Scripted, epochs=len(accuracies))
    stage.accuracies = accuracies
    return stage


def fitted(stage: Any, data: GarmentData, folder: Path, **changes: Any) -> Any:
    return fit(stage, data, folder, accelerator="cpu", **changes)


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def stopped_at_the_end_of(epoch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = EpochLog.on_train_epoch_end

    def stop(self: Any, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == epoch:
            raise RuntimeError("the power went out")
        plain(self, trainer, pl_module)

    monkeypatch.setattr(EpochLog, "on_train_epoch_end", stop)


def stopped_in_the_middle_of(epoch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = CropModule.training_step

    def stop(self: Any, batch: Batch) -> Tensor:
        if self.current_epoch == epoch and self.global_step % 2:
            raise RuntimeError("the power went out")
        return plain(self, batch)

    monkeypatch.setattr(CropModule, "training_step", stop)


def epochs_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """`1/3`, `2/3`, … as they were logged."""
    texts = [record.getMessage() for record in caplog.records if record.name == callbacks.__name__]
    return [text.split()[1].rstrip(":") for text in texts if text.startswith("epoch ")]


@pytest.fixture
def coloured(tmp_path: Path, make_data: Make) -> GarmentData:
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


def bytes_of(module: nn.Module) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in module.state_dict().items()}


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("found_in_training_mode", [True, False])
@pytest.mark.parametrize("by_lightning_alone", [True, False])
@pytest.mark.parametrize("kind", [Classifier, Hasher])
def test_a_fit_leaves_every_byte_of_a_frozen_backbone(
    kind: type[CropModule], by_lightning_alone: bool, found_in_training_mode: bool, make_data: Make, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    modes: list[tuple[bool, bool]] = []
    plain = kind.training_step

    def watched(self: Any, batch: Batch) -> Tensor:
        modes.append((self.training, any(module.training for module in self.model.backbone.modules())))
        return plain(self, batch)

    monkeypatch.setattr(kind, "training_step", watched)
    stage, data = stage_of(kind, frozen=True, epochs=2).train(found_in_training_mode), make_data()
    backbone, head = bytes_of(stage.model.backbone), bytes_of(stage.model.head)
    if by_lightning_alone:
        pl.Trainer(max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False,
                   enable_progress_bar=False, default_root_dir=tmp_path).fit(stage, data)  # fmt: skip
    else:
        fitted(stage, data, tmp_path)
    assert set(modes) == {(True, False)}  # neither batch norm nor dropout is in training mode
    assert bytes_of(stage.model.backbone) == backbone
    assert bytes_of(stage.model.head) != head


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("kind", [Classifier, Hasher])
def test_a_set_that_can_be_learnt_is_learnt(kind: type[CropModule], coloured: GarmentData, tmp_path: Path) -> None:
    optim = {"name": "adamw", "lr": 0.01, "momentum": 0.9, "weight_decay": 0.01, "warmup": 0.1}
    stage = stage_of(kind, categories=coloured.categories, epochs=20, head_factor=3.0, optim=optim)
    stage = fitted(stage, coloured, tmp_path / "run")
    with torch.inference_mode():
        right = [stage(batch.images).logits.argmax(1) == batch.labels for batch in coloured.loader("gallery")]
    assert torch.cat(right).float().mean() > 0.8  # a third by chance
    assert (
        torch.load(tmp_path / "run" / f"{stage.name}.ckpt", weights_only=True)["facts"][f"{stage.name}/val/accuracy"]
        > 0.8
    )


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("kind", [Classifier, Hasher])
def test_one_checkpoint_is_left_and_it_opens_alone(kind: type[CropModule], make_data: Make, tmp_path: Path) -> None:
    fitted(stage := stage_of(kind, epochs=1), make_data(), tmp_path)
    assert files(tmp_path) == [f"{stage.name}.ckpt"]
    content = torch.load(tmp_path / f"{stage.name}.ckpt", weights_only=True)
    assert content["hyper_parameters"] == dict(stage.hparams)
    assert content["facts"][f"{stage.name}/best_epoch"] == 1


def test_a_fitted_stage_answers_the_same_to_the_bit_when_it_is_opened_again(make_data: Make, tmp_path: Path) -> None:
    data = make_data()
    stage = fitted(stage_of(Hasher, epochs=1), data, tmp_path)
    opened = load_model(tmp_path / "hasher.ckpt")
    batch = next(iter(data.val_dataloader()))
    assert not stage.training
    assert not opened.training
    with torch.inference_mode():
        before, after = stage(batch.images), opened(batch.images)
        assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
        assert torch.equal(stage.masses(before.logits), opened.masses(after.logits))
    assert opened.fingerprint() == stage.fingerprint()


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(("accuracies", "best"), [((0.2, 0.9, 0.5), 1), ((0.9, 0.5, 0.8), 0), ((0.5, 0.7, 0.7), 1)])
def test_the_epoch_that_was_best_on_val_is_kept_of_equals_the_first(
    accuracies: tuple[float, ...], best: int, make_data: Make, tmp_path: Path
) -> None:
    stage = scripted(*accuracies)
    kept = fitted(stage, make_data(), tmp_path).state_dict()
    del kept["temperature"]
    matching = [number for number, state in enumerate(stage.seen) if all(torch.equal(kept[n], state[n]) for n in kept)]
    facts = load_model(tmp_path / "classifier.ckpt").facts
    assert matching == [best]
    assert facts["classifier/best_epoch"] == best + 1
    assert facts["classifier/val/accuracy"] == pytest.approx(max(accuracies))
    assert 0 <= facts["classifier/val/ece_before"] <= 1
    assert 0 <= facts["classifier/val/ece_after"] <= 1


@pytest.mark.usefixtures("tiny")
def test_the_temperature_of_the_kept_weights_is_stored(make_data: Make, tmp_path: Path) -> None:
    data = make_data(batch_size=5)
    stage = fitted(stage_of(epochs=2), data, tmp_path)
    batches = list(data.val_dataloader())
    with torch.inference_mode():
        logits = torch.cat([stage(batch.images).logits for batch in batches])
    wanted = fit_temperature(logits, torch.cat([batch.labels for batch in batches]))
    assert stage.temperature.item() == pytest.approx(wanted, rel=1e-5)
    assert stage.temperature.item() != 1
    assert load_model(tmp_path / "classifier.ckpt").temperature.item() == stage.temperature.item()


@pytest.mark.usefixtures("tiny")
def test_the_calibration_error_is_logged_before_and_after(make_data: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    stage = stage_of()
    stage.settle(make_data())
    assert f"temperature {stage.model.temperature:.3f}, ECE on val" in caplog.text


STOPS = [
    pytest.param(stop, epoch, id=f"{stop.__name__}_{epoch}")
    for stop in (stopped_at_the_end_of, stopped_in_the_middle_of)
    for epoch in (1, 2)
]


@pytest.mark.usefixtures("tiny", "rising")
@pytest.mark.parametrize(("stop", "epoch"), STOPS)
@pytest.mark.parametrize("optim", ["sgd", "adamw"])
def test_a_fit_that_was_stopped_ends_as_one_that_was_not(
    stop: Callable[..., None], epoch: int, optim: str, make_data: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chosen = {"name": optim, "lr": 0.02, "momentum": 0.9, "weight_decay": 0.01, "warmup": 0.3}
    whole = fitted(stage_of(Hasher, optim=chosen), make_data(), tmp_path / "whole")
    with pytest.MonkeyPatch.context() as patch:
        stop(epoch, patch)
        with pytest.raises(RuntimeError, match="the power went out"):
            fitted(stage_of(Hasher, optim=chosen), make_data(), tmp_path / "stopped")
    assert not (tmp_path / "stopped" / "hasher.ckpt").exists()
    caplog.set_level(logging.INFO)
    resumed = fitted(stage_of(Hasher, optim=chosen), make_data(), tmp_path / "stopped")
    assert epochs_of(caplog) == [f"{number}/3" for number in range(epoch + 1, 4)]
    assert same(resumed.state_dict(), whole.state_dict())
    assert resumed.fingerprint() == whole.fingerprint()
    assert files(tmp_path / "stopped") == ["hasher.ckpt"]


@pytest.mark.gpu
@pytest.mark.parametrize("kind", [Classifier, Hasher])
def test_what_a_gpu_has_fitted_answers_alike_on_the_processor(
    kind: type[CropModule], make_data: Make, tmp_path: Path
) -> None:
    there = fit(stage_of(kind, epochs=2), make_data(), tmp_path, accelerator="gpu")
    assert there.device.type == "cuda"
    here = load_model(tmp_path / f"{there.name}.ckpt", "cpu")
    pictures = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    with torch.inference_mode():
        for ours, theirs in zip(here(pictures), there(pictures.to(there.device)), strict=True):
            assert (ours is None) == (theirs is None)
            if ours is not None:
                torch.testing.assert_close(ours, theirs.cpu(), rtol=0.02, atol=0.02)


@pytest.mark.usefixtures("rising")
def test_a_fit_of_a_real_backbone_that_was_stopped_ends_as_one_that_was_not(make_data: Make, tmp_path: Path) -> None:
    whole = fitted(stage_of(epochs=2), make_data(), tmp_path / "whole")
    with pytest.MonkeyPatch.context() as patch:
        stopped_in_the_middle_of(1, patch)
        with pytest.raises(RuntimeError, match="the power went out"):
            fitted(stage_of(epochs=2), make_data(), tmp_path / "stopped")
    assert same(fitted(stage_of(epochs=2), make_data(), tmp_path / "stopped").state_dict(), whole.state_dict())


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(("accuracies", "best"), [((0.9, 0.8, 0.7, 0.6), 0), ((0.4, 0.3, 0.9, 0.6), 2)])
def test_a_fit_goes_on_from_the_last_epoch_it_ended_be_it_the_best_or_not(
    accuracies: tuple[float, ...], best: int, make_data: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        stopped_in_the_middle_of(3, patch)
        with pytest.raises(RuntimeError, match="the power went out"):
            fitted(first := scripted(*accuracies), make_data(), tmp_path)
    caplog.set_level(logging.INFO)
    resumed = fitted(scripted(*accuracies), make_data(), tmp_path)
    assert epochs_of(caplog) == ["4/4"]
    assert torch.equal(resumed.head.weight, first.seen[best]["head.weight"])  # the best was seen before the stop


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("patience", [None, 1])
def test_a_fit_that_was_stopped_after_its_last_epoch_trains_no_further(
    patience: int | None, make_data: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    accuracies = (0.5, 0.9, 0.4) if patience is None else (0.9, 0.5, 1.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "save_model", lambda *args, **kwargs: (_ for _ in ()).throw(OSError("no space")))
        with pytest.raises(OSError, match="no space"):
            fitted(first := scripted(*accuracies), make_data(), tmp_path, patience=patience)
    caplog.set_level(logging.INFO)
    resumed = fitted(scripted(*accuracies), make_data(), tmp_path, patience=patience)
    assert epochs_of(caplog) == []
    assert same(resumed.state_dict(), first.model.state_dict())


@pytest.mark.usefixtures("tiny")
def test_a_finished_stage_is_read_and_not_fitted_again(
    make_data: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    save(stage_of(), tmp_path / "classifier.ckpt")
    monkeypatch.setattr(pl, "Trainer", None)
    caplog.set_level(logging.INFO)
    other = stage_of(lr_factor=0.5)
    for parameter in other.parameters():
        nn.init.zeros_(parameter)
    read = fitted(other, make_data(), tmp_path)
    assert read.fingerprint() == stage_of().model.fingerprint()
    assert not read.training
    assert "classifier: finished before, read from" in caplog.text


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(("patience", "ended"), [(0, 3), (1, 3), (2, 4), (None, 5)])
def test_a_fit_ends_after_so_many_epochs_without_a_better_one(
    patience: int | None, ended: int, make_data: Make, tmp_path: Path
) -> None:
    stage = scripted(0.2, 0.9, 0.9, 0.5, 0.1)
    fitted(stage, make_data(), tmp_path, patience=patience)
    assert len(stage.seen) == ended
    assert files(tmp_path) == ["classifier.ckpt"]


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("limit", [0, 100, 5000])
def test_on_a_full_disk_the_old_checkpoint_stays_and_the_error_says_why(limit: int, tmp_path: Path) -> None:
    path = tmp_path / "classifier.ckpt"
    save(stage_of(), path)
    before = path.read_bytes()
    with full_disk(limit), pytest.raises(OSError, match=r"classifier\.ckpt could not be written \(File too large\)"):
        save(stage_of(), path)
    assert files(tmp_path) == ["classifier.ckpt"]
    assert path.read_bytes() == before


@pytest.mark.usefixtures("tiny")
def test_a_fit_that_the_disk_stopped_leaves_no_draft_and_can_go_on(make_data: Make, tmp_path: Path) -> None:
    whole = fitted(stage_of(epochs=2), make_data(), tmp_path / "whole")
    with pytest.raises(OSError, match=r"best\.ckpt could not be written .*: free some space"), full_disk(5000):
        fitted(stage_of(epochs=2), make_data(), tmp_path / "stopped")
    assert files(tmp_path / "stopped") == ["fitting", "fitting/classifier"]
    assert same(fitted(stage_of(epochs=2), make_data(), tmp_path / "stopped").state_dict(), whole.state_dict())


def test_a_log_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    log = CsvLog(tmp_path, name="logs", version="")
    log.log_metrics({"classifier/train/loss": 1.0}, 0)
    with (
        full_disk(0),
        pytest.raises(OSError, match=r"logs.* could not be written to \(File too large\): free some space"),
    ):
        log.save()


@pytest.mark.usefixtures("tiny")
def test_what_is_measured_while_fitting_is_logged_under_the_stages_name(make_data: Make, tmp_path: Path) -> None:
    logger = CsvLog(tmp_path, name="logs", version="")
    fit(stage_of(Hasher, epochs=1), make_data(batch_size=3), tmp_path, [logger], accelerator="cpu")
    header = (tmp_path / "logs" / "metrics.csv").read_text().splitlines()[0].split(",")
    val = {"hasher/val/accuracy", "hasher/val/loss", "hasher/val/macro_f1"}
    assert set(header) == {"epoch", "step", "hasher/train/loss", *val}


@pytest.mark.usefixtures("tiny")
def test_each_epoch_is_one_line_of_the_log(make_data: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    fitted(stage_of(epochs=2), make_data(), tmp_path)
    assert epochs_of(caplog) == ["1/2", "2/2"]
    line = next(record.getMessage() for record in caplog.records if record.getMessage().startswith("epoch 2/2: "))
    for name in ("train/loss", "val/accuracy", "val/loss", "val/macro_f1"):
        assert f"{name} " in line


@pytest.mark.usefixtures("tiny")
def test_a_stage_that_is_not_there_is_missed_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"no checkpoint at .*hasher\.ckpt: .* type the run's train\.py command again"
    ):
        load_model(tmp_path / "hasher.ckpt")


@pytest.mark.usefixtures("tiny")
def test_further_arguments_are_the_trainers(make_data: Make, tmp_path: Path) -> None:
    stage = scripted(0.5)
    fitted(stage, make_data(), tmp_path, limit_train_batches=0.5, gradient_clip_val=5.0)
    assert stage.trainer.num_training_batches == 1
    assert stage.trainer.gradient_clip_val == 5.0


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("tasks", [1, 2])
def test_a_task_of_slurm_fits_as_a_process_does(
    tasks: int, make_data: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = fitted(stage_of(epochs=2), make_data(), tmp_path / "plain")
    for name, value in {"NTASKS": tasks, "JOB_NAME": "fit", "JOB_ID": 7, "PROCID": 0, "LOCALID": 0}.items():
        monkeypatch.setenv(f"SLURM_{name}", str(value))
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "hpc_ckpt_1.ckpt").write_bytes(b"of another stage")
    monkeypatch.chdir(tmp_path / "here")
    handlers: list[Any] = []
    task = stage_of(epochs=2)
    task.on_train_start = lambda: handlers.append(signal.getsignal(signal.SIGUSR1))
    assert same(fitted(task, make_data(), tmp_path / "task").state_dict(), plain.state_dict())
    assert handlers == [signal.SIG_DFL]  # at SLURM's warning Lightning would save an hpc_ckpt


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no checkpoint"])
def test_a_damaged_checkpoint_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "hasher.ckpt").write_bytes(content)
    with pytest.raises(ValueError, match=r"hasher\.ckpt is damaged, or was made by another version"):
        load_model(tmp_path / "hasher.ckpt")


@pytest.mark.usefixtures("tiny")
def test_a_run_wants_at_least_its_weights_and_those_of_one_fit(tmp_path: Path) -> None:
    stage = stage_of()
    save(stage, tmp_path / "classifier.ckpt")
    weights = sum(value.nbytes for value in stage.model.state_dict().values())
    assert weights <= (tmp_path / "classifier.ckpt").stat().st_size
    assert least_bytes([stage.model, stage.model]) == 5 * weights
