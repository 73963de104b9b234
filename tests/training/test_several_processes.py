"""Several processes train to the weights of one process, also after an interruption."""

import copy
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytorch_lightning.callbacks import LearningRateMonitor

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.ranks import Ranks
from fashion_lsh.training.callbacks import RunCSVLogger, create_callbacks
from fashion_lsh.training.classifier import Classifier
from fashion_lsh.training.hash_head import HashHead
from tests.models.test_detector import make_detection_data
from tests.models.test_detector import make_module as make_detector
from tests.training.factories import fit_on_cpu, make_module
from tests.training.parallel import KilledAtEpoch, StoppedAtEpoch, max_difference, steady_backbone

pytestmark = pytest.mark.train

MakeData = Callable[..., GarmentData]
ITEMS = {"item_weight": 0.5, "bihalf": True}
METRIC = {"item_weight": 0.5, "item_loss": {"name": "TripletMarginLoss", "margin": 0.2}}
PAIRS = {"loss": "tests.training.parallel.PairwiseLoss"}


@pytest.fixture(autouse=True)
def steady_backbones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fashion_lsh.models.crop_model.create_backbone", steady_backbone)


def curves(folder: Path, skipped: set[str]) -> list[dict[str, float]]:
    """Rows of the training log."""
    header, *lines = (folder / "logs" / "metrics.csv").read_text().splitlines()
    rows = [dict(zip(header.split(","), line.split(","), strict=True)) for line in lines]
    return [{name: float(value) for name, value in row.items() if value and name not in skipped} for row in rows]


@pytest.mark.parametrize(
    ("module_class", "options"),
    [(Classifier, {}), (HashHead, ITEMS), (HashHead, PAIRS), (HashHead, METRIC)],
    ids=["classifier", "items and bihalf", "pairwise loss", "metric learning"],
)
def test_two_processes_train_to_the_weights_of_one(
    module_class: Any, options: dict[str, Any], make_data: MakeData, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    models, data = [], make_data(batch_size=8, workers=1 if module_class is Classifier else 0)
    for devices in (1, 2):
        folder = tmp_path / str(devices)
        loggers = [RunCSVLogger(folder, name="logs", version="")]
        settings = {"loggers": loggers, "callbacks": [LearningRateMonitor()], "gradient_clip_val": 5.0}
        module = make_module(module_class, epochs=2, **options)
        models.append(fit_on_cpu(module, data, folder, devices=devices, log_every_n_steps=1, **settings))
    assert max_difference(*models) < 1e-6
    # in validation, a pairwise loss compares the rows of one process
    skipped = {"hash_head/val/loss"} if options == PAIRS else set()
    expected, actual = (curves(tmp_path / name, skipped) for name in "12")
    assert len(expected) > 4
    for ours, theirs in zip(actual, expected, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)
    for stage, values in models[0].fit_metrics.items():
        assert models[1].fit_metrics[stage] == pytest.approx(values, abs=1e-5)
    assert "4 of 36 images per epoch are dropped" in caplog.text


@pytest.mark.parametrize(("first", "second"), [(2, 1), (1, 2)])
def test_weights_after_a_kill_do_not_depend_on_the_number_of_processes(
    first: int, second: int, make_data: MakeData, tmp_path: Path
) -> None:
    data = make_data(batch_size=8)
    whole = fit_on_cpu(make_module(HashHead, epochs=3, **ITEMS), data, tmp_path / "whole")
    if first == 2:
        stop, error = KilledAtEpoch(1, rank=1), pytest.raises(ChildProcessError, match="rank 1 was ended by signal 9")
    else:
        stop, error = StoppedAtEpoch(1, rank=0), pytest.raises(ValueError, match="interrupted in rank 0")
    module = make_module(HashHead, epochs=3, **ITEMS)
    with error:
        fit_on_cpu(module, data, tmp_path / "stopped", callbacks=[stop], devices=first)
    assert (tmp_path / "stopped/checkpoints/hash_head/last.ckpt").exists()
    resumed = fit_on_cpu(make_module(HashHead, epochs=3, **ITEMS), data, tmp_path / "stopped", devices=second)
    assert max_difference(whole, resumed) < 1e-6


def test_early_stopping_ends_all_processes_in_the_same_epoch(make_data: MakeData, tmp_path: Path) -> None:
    own = {"_target_": "tests.training.parallel.RecordedEpochs", "folder": str(tmp_path)}
    callbacks = create_callbacks({"own": own})  # with the guard of a user's own callback
    options = {"monitor": "val/loss", "mode": "min", "patience": 0, "callbacks": callbacks}
    fit_on_cpu(make_module(epochs=6), make_data(batch_size=8), tmp_path, devices=2, **options)
    assert (tmp_path / "epochs of rank 0").read_text() == (tmp_path / "epochs of rank 1").read_text() == "01"


def test_two_processes_train_a_detector(make_data: MakeData, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    module, scenes = make_detector(ema_decay=0.5), make_detection_data(make_data(), samples_per_epoch=10)
    before = copy.deepcopy(module.model)
    model = fit_on_cpu(module, scenes, tmp_path, devices=2)
    assert 0 < max_difference(before, model) < 10
    assert all(value.isfinite().all() for value in model.state_dict().values())
    assert "2 of 10 images per epoch are dropped" in caplog.text
    with pytest.raises(ValueError, match=r"^scenes\.batch_size=3: .*scenes\.batch_size=4$"):
        make_detection_data(make_data(), batch_size=3).replace(ranks=Ranks(0, 2)).train_dataloader()
