"""Fixtures: config and data of a small run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fashion_lsh.data.datamodule import GarmentData
from tests.runs.factories import HASH_ARGUMENTS, MODEL_ARGUMENTS, POLICY_DEFAULTS, tiny_backbone


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace every backbone by a tiny one, so that checkpoints are small."""
    monkeypatch.setattr("fashion_lsh.models.crop_model.create_backbone", tiny_backbone)


@pytest.fixture
def data(make_data: Callable[..., GarmentData]) -> GarmentData:
    return make_data()


@pytest.fixture
def config(tmp_path: Path, shapes: Path) -> dict[str, Any]:
    """Config of a small run as plain values."""
    return {
        "name": "test", "seed": 0, "overwrite": False, "cache": "version", "jobs": None, "runs": str(tmp_path / "runs"),
        "backbone": {"name": "resnet18", "weights": None},
        "data": {"source": "folder", "root": str(shapes), "split_seed": 0, "workers": 0, "image_size": 32,
                 "crop": "annotated"},
        "detector": None, "scenes": None,
        "classifier": dict(MODEL_ARGUMENTS),
        "hash": {"_target_": "fashion_lsh.training.hash_head.HashHead", **MODEL_ARGUMENTS, **HASH_ARGUMENTS},
        "search": {"_target_": "fashion_lsh.search.policy.SearchPolicy", **POLICY_DEFAULTS},
        "trainer": {"accelerator": "cpu"}, "logger": {"project": None, "tags": [], "lightning": {}}, "callbacks": {},
    }  # fmt: skip
