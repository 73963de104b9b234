"""Fixtures that speed up training and determine the best epoch."""

import pytest

from fashion_lsh.data.dataset import Batch
from fashion_lsh.training.code_module import CodeModule
from fashion_lsh.training.crop_module import CropModule
from tests.training.factories import tiny_backbone


@pytest.fixture
def tiny_backbones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace every backbone by a tiny one."""
    monkeypatch.setattr("fashion_lsh.models.crop_model.create_backbone", tiny_backbone)


@pytest.fixture
def increasing_accuracy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the last epoch the best epoch, so that the saved weights depend on all epochs."""

    def validation_step(self: CropModule, batch: Batch) -> None:
        self.log(f"{self.name}/val/accuracy", float(self.current_epoch), batch_size=len(batch.labels))

    def log_map(self: CodeModule) -> None:
        self.log(f"{self.name}/val/code_map", float(self.current_epoch))

    monkeypatch.setattr(CropModule, "validation_step", validation_step)
    monkeypatch.setattr(CodeModule, "on_validation_epoch_end", log_map)
