"""The learning rate with the best score on val is used; a warning names heads that are worse than the classifier."""

import logging
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.dataset import Batch
from fashion_lsh.models.checkpoints import load_model
from fashion_lsh.models.crop_model import ModelOutput
from fashion_lsh.models.feature_cache import cache_features
from fashion_lsh.training import rate_search
from fashion_lsh.training.classifier import Classifier
from fashion_lsh.training.hash_head import HashHead
from fashion_lsh.training.rate_search import choose_rate
from tests.training.factories import fit_on_cpu, make_module

MakeData = Callable[..., GarmentData]
pytestmark = pytest.mark.usefixtures("tiny_backbones")
OPTIONS = {"accelerator": "cpu", "enable_model_summary": False, "num_sanity_val_steps": 0}


class RateClassifier(Classifier):
    """Classifier whose accuracy on val is highest for a rate of 0.04, and whose loss is NaN for large rates."""

    def compute_loss(self, output: ModelOutput, batch: Batch) -> torch.Tensor:
        return super().compute_loss(output, batch) * (1 if self.hparams["optim"]["lr"] < 1 else math.nan)

    def validation_step(self, batch: Batch) -> None:
        accuracy = 1 - abs(self.hparams["optim"]["lr"] - 0.04)
        self.log("classifier/val/accuracy", accuracy, batch_size=len(batch.labels))


def make_features(make_data: MakeData, folder: Path) -> GarmentData:
    return cache_features(make_module(frozen=True).model, make_data(), folder / "features")


def test_the_rate_with_the_best_score_is_chosen(make_data: MakeData, tmp_path: Path) -> None:
    module = make_module(RateClassifier, frozen=True, epochs=1)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    assert choose_rate(module, make_features(make_data, tmp_path), [1, 2, 4, 1000], 3, OPTIONS) == 0.04
    assert module.hparams["optim"]["lr"] == 0.02
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_the_first_rate_within_a_standard_error_is_chosen(make_data: MakeData, tmp_path: Path) -> None:
    """Scores 0.98 and 1 - 0.02 / 1000: the standard error of the better score is 0.001, that of 0.98 would be 0.03."""
    module, data = make_module(RateClassifier, frozen=True, epochs=1), make_features(make_data, tmp_path)
    assert choose_rate(module, data, [1, 2.001], 3, OPTIONS) == pytest.approx(0.04002)
    assert choose_rate(module, data, [1.001, 1, 1.002], 3, OPTIONS) == pytest.approx(0.02002)


def test_rates_without_a_finite_loss_are_an_error(make_data: MakeData, tmp_path: Path) -> None:
    module = make_module(RateClassifier, frozen=True, epochs=1)
    with pytest.raises(ValueError, match=r"20\.0"):
        choose_rate(module, make_features(make_data, tmp_path), [1000], None, OPTIONS)


def test_training_uses_the_rate_and_saves_it(make_data: MakeData, tmp_path: Path) -> None:
    """Training with a grid equals training with the rate that is best on val."""
    data = make_features(make_data, tmp_path)
    model = fit_on_cpu(make_module(RateClassifier, frozen=True), data, tmp_path / "grid", lr_grid=[0.5, 2])
    saved = torch.load(tmp_path / "grid/classifier.ckpt", weights_only=True)["hyper_parameters"]["optim"]["lr"]
    assert saved == 0.04
    optim = {**make_module(frozen=True).hparams["optim"], "lr": 0.04}
    expected = fit_on_cpu(make_module(RateClassifier, frozen=True, optim=optim), data, tmp_path / "one")
    assert torch.equal(model.head.weight, expected.head.weight)
    assert torch.equal(load_model(tmp_path / "grid/classifier.ckpt", "cpu").head.weight, expected.head.weight)


def test_grid_is_ignored_for_images(make_data: MakeData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_search, "choose_rate", None)  # would fail if it was called
    fit_on_cpu(make_module(Classifier, epochs=1), make_data(), tmp_path, lr_grid=[1, 2])


@pytest.mark.parametrize(("accuracy", "warns"), [(1.0, True), (0.0, False)])
def test_hash_heads_below_the_classifier_are_named(
    accuracy: float, warns: bool, make_data: MakeData, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    module = make_module(HashHead, frozen=True)
    module.model.fit_metrics = {"classifier": {"val/accuracy": accuracy}}
    with caplog.at_level(logging.WARNING):
        module.post_fit(make_features(make_data, tmp_path))
    assert ("hash.epochs" in caplog.text) == warns
