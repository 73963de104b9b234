"""Stages of another run are reused only with the same settings and data."""

import logging
import shutil
from collections.abc import Callable
from typing import Any

import pytest

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.runs.stage_cache import initialise
from fashion_lsh.runs.training_run import TrainingRun
from tests.models.factories import save
from tests.runs.factories import (
    classifier,
    hash_head,
    set_key,
    write_finished_run,
)


def test_logs_of_a_reused_stage_are_copied(config: dict[str, Any], data: GarmentData) -> None:
    other = write_finished_run(config, data)
    logs = other.path / "logs/version_0/metrics.csv"
    logs.parent.mkdir(parents=True)
    logs.write_text(
        "classifier/val/loss,epoch,hash_head/train/loss,hash_head/val/loss,step\n,0,2.5,,9\n,0,,1.5,19\n1.0,0,,,19\n"
    )
    run = TrainingRun.open(set_key(set_key(config, "search.nprobe", 2), "name", "second"), data)
    logged_rows: list[dict[str, float]] = []
    initialise(hash_head(1), run, logged_rows.append)
    assert logged_rows == [
        {"epoch": 0.0, "hash_head/train/loss": 2.5, "trainer/global_step": 9.0},
        {"epoch": 0.0, "hash_head/val/loss": 1.5, "trainer/global_step": 19.0},
    ]
    copied = (run.path / "logs/version_0/metrics.csv").read_text().split()
    assert copied == ["epoch,hash_head/train/loss,hash_head/val/loss,step", "0,2.5,,9", "0,,1.5,19"]


def test_trained_stage_of_another_run_is_copied(
    config: dict[str, Any], data: GarmentData, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    other = write_finished_run(config, data)
    run = TrainingRun.open(set_key(set_key(config, "search.nprobe", 2), "name", "second"), data)
    stage = hash_head(1)
    initialise(stage, run)
    assert f"Reusing hash_head.ckpt of {other.path}" in caplog.text
    assert (run.path / "hash_head.ckpt").read_bytes() == (other.path / "hash_head.ckpt").read_bytes()
    assert not (run.path / "classifier.ckpt").exists()
    shutil.rmtree(other.path)
    assert run.model().fingerprint() == hash_head().model.fingerprint()


@pytest.mark.parametrize(
    ("key", "value"),
    [("seed", 1), ("data.image_size", 64), ("backbone.name", "resnet34"), ("backbone.weights", None),
     ("classifier.lr_factor", 1), ("hash.bits", 8), ("trainer.accelerator", "gpu"), ("overwrite", True)],
)  # fmt: skip
def test_stage_with_another_config_is_not_reused(
    key: str, value: Any, config: dict[str, Any], data: GarmentData
) -> None:
    write_finished_run(set_key(config, "backbone.weights", "some.pt"), data)
    config = set_key(set_key(config, "backbone.weights", "some.pt"), "name", "second")
    run = TrainingRun.open(set_key(config, key, value), data)
    initialise(hash_head(), run)
    assert not (run.path / "hash_head.ckpt").exists()


def test_stage_of_another_split_is_not_reused(config: dict[str, Any], make_data: Callable[..., GarmentData]) -> None:
    write_finished_run(config, make_data())
    run = TrainingRun.open(config, make_data(split_seed=1))
    initialise(hash_head(), run)
    assert not (run.path / "hash_head.ckpt").exists()


def test_deleted_run_does_not_prevent_reuse(config: dict[str, Any], data: GarmentData) -> None:
    other = write_finished_run(config, data)
    (other.path / "config.yaml").unlink()
    run = TrainingRun.open(set_key(config, "name", "second"), data)
    initialise(hash_head(), run)
    assert run.model().fingerprint() == hash_head().model.fingerprint()


def test_existing_checkpoint_is_not_overwritten(config: dict[str, Any], data: GarmentData) -> None:
    write_finished_run(config, data)
    run = TrainingRun.open(set_key(config, "name", "second"), data)
    save(hash_head(5), run.path / "hash_head.ckpt")
    initialise(hash_head(), run)
    assert run.model().fingerprint() == hash_head(5).model.fingerprint()


def test_only_an_untrained_classifier_loads_backbone_weights(
    config: dict[str, Any], data: GarmentData, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(
        "fashion_lsh.models.crop_model.load_weights", lambda backbone, weights: calls.append((backbone, weights))
    )
    run = TrainingRun.open(set_key(config, "backbone.weights", "some.pt"), data)
    initialise(stage := classifier(), run)
    assert calls == [(stage.model.backbone, "some.pt")]
    initialise(hash_head(), run)
    save(stage, run.path / "classifier.ckpt")
    initialise(classifier(), run)
    assert len(calls) == 1
