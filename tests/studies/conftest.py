"""Fixtures: a small data set of composed images, and runs that differ in seed and split."""

import pytest

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.datasets.shop_street.dataset import ShopStreet
from fashion_lsh.data.detections import BoxSelector
from fashion_lsh.runs.run import Run
from tests.studies.factories import MakeRun, make_repeat


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> GarmentData:
    """A few composed garments of each category."""
    data = GarmentData(
        source="shop_street", root=None, categories=None, sources=None, crop="annotated",
        box_selector=BoxSelector("given", 0.3, 8.0, "whole"), margin=0.1, image_size=32, jitter=0.08, min_crop_area=1.0,
        ratios={}, gallery="gallery", leaks="refuse",
        split_seed=0, batch_size=64, workers=0, samples_per_epoch=None, balanced=False, seed=0,
    )  # fmt: skip
    data.source = ShopStreet(0, str(tmp_path_factory.mktemp("cache")), garments=12)
    return data


@pytest.fixture
def runs(make_run: MakeRun) -> list[Run]:
    return [make_repeat(make_run, "a"), make_repeat(make_run, "b", seed=1), make_repeat(make_run, "c", seed=2),
            make_repeat(make_run, "d", split=1)]  # fmt: skip
