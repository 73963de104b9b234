"""Stages that another run finished are reused."""

import logging
import shutil
from collections.abc import Callable
from typing import Any

import pytest

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.runs.stage_cache import prepare
from fashion_lsh.runs.training_run import TrainingRun
from tests.models.factories import save
from tests.runs.factories import (
    changed,
    classifier,
    finished,
    hasher,
)


def test_the_curves_of_a_stage_that_is_taken_over_are_kept_and_shown(
    settings: dict[str, Any], data: GarmentData
) -> None:
    other = finished(settings, data)
    logs = other.path / "logs/version_0/metrics.csv"
    logs.parent.mkdir(parents=True)
    logs.write_text(
        "classifier/val/loss,epoch,hasher/train/loss,hasher/val/loss,step\n,0,2.5,,9\n,0,,1.5,19\n1.0,0,,,19\n"
    )
    run = TrainingRun.begin(changed(changed(settings, "search.probes", 2), "name", "second"), data)
    shown: list[dict[str, float]] = []
    prepare(hasher(1), run, shown.append)
    assert shown == [
        {"epoch": 0.0, "hasher/train/loss": 2.5, "trainer/global_step": 9.0},
        {"epoch": 0.0, "hasher/val/loss": 1.5, "trainer/global_step": 19.0},
    ]
    kept = (run.path / "logs/version_0/metrics.csv").read_text().split()
    assert kept == ["epoch,hasher/train/loss,hasher/val/loss,step", "0,2.5,,9", "0,,1.5,19"]


def test_a_stage_that_another_run_finished_is_taken_over_and_is_its_own(
    settings: dict[str, Any], data: GarmentData, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    other = finished(settings, data)
    run = TrainingRun.begin(changed(changed(settings, "search.probes", 2), "name", "second"), data)
    stage = hasher(1)
    prepare(stage, run)
    assert "hasher: the same settings were used in" in caplog.text
    assert (run.path / "hasher.ckpt").read_bytes() == (other.path / "hasher.ckpt").read_bytes()
    assert not (run.path / "classifier.ckpt").exists()
    shutil.rmtree(other.path)
    assert run.model().fingerprint() == hasher().model.fingerprint()


@pytest.mark.parametrize(
    ("key", "value"),
    [("seed", 1), ("data.image_size", 64), ("backbone.name", "resnet34"), ("backbone.weights", None),
     ("classifier.lr_factor", 1), ("hash.bits", 8), ("trainer.accelerator", "gpu"), ("fresh", True)],
)  # fmt: skip
def test_a_stage_is_not_taken_over_where_anything_that_matters_differs(
    key: str, value: Any, settings: dict[str, Any], data: GarmentData
) -> None:
    finished(changed(settings, "backbone.weights", "some.pt"), data)
    settings = changed(changed(settings, "backbone.weights", "some.pt"), "name", "second")
    run = TrainingRun.begin(changed(settings, key, value), data)
    prepare(hasher(), run)
    assert not (run.path / "hasher.ckpt").exists()


def test_a_stage_of_another_split_is_not_taken_over(
    settings: dict[str, Any], make_data: Callable[..., GarmentData]
) -> None:
    finished(settings, make_data())
    run = TrainingRun.begin(settings, make_data(split_seed=1))
    prepare(hasher(), run)
    assert not (run.path / "hasher.ckpt").exists()


def test_remains_of_a_run_that_was_deleted_stop_no_other(settings: dict[str, Any], data: GarmentData) -> None:
    other = finished(settings, data)
    (other.path / "config.yaml").unlink()
    run = TrainingRun.begin(changed(settings, "name", "second"), data)
    prepare(hasher(), run)
    assert run.model().fingerprint() == hasher().model.fingerprint()


def test_a_stage_of_the_runs_own_is_left_alone(settings: dict[str, Any], data: GarmentData) -> None:
    finished(settings, data)
    run = TrainingRun.begin(changed(settings, "name", "second"), data)
    save(hasher(5), run.path / "hasher.ckpt")
    prepare(hasher(), run)
    assert run.model().fingerprint() == hasher(5).model.fingerprint()


def test_only_a_classifier_that_is_still_to_be_fitted_gets_the_weights_of_the_settings(
    settings: dict[str, Any], data: GarmentData, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(
        "fashion_lsh.models.crop_model.load_weights", lambda trunk, weights: asked.append((trunk, weights))
    )
    run = TrainingRun.begin(changed(settings, "backbone.weights", "some.pt"), data)
    prepare(stage := classifier(), run)
    assert asked == [(stage.model.backbone, "some.pt")]
    prepare(hasher(), run)
    save(stage, run.path / "classifier.ckpt")
    prepare(classifier(), run)
    assert len(asked) == 1
