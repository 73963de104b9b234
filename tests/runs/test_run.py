"""Run folder opened for reading."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.runs.run import CALIBRATION_FILE, Run
from fashion_lsh.runs.training_run import TrainingRun
from fashion_lsh.search.coverage import CoverageCalibration
from tests.runs.factories import (
    RERANK,
    evaluate_policy,
    write_finished_run,
)


def test_changed_data_are_rejected(
    config: dict[str, Any], data: GarmentData, make_data: Callable[..., GarmentData]
) -> None:
    run = TrainingRun.open(config, data)
    run.check_data(make_data())
    with pytest.raises(ValueError, match="the data have changed"):
        run.check_data(make_data(split_seed=1))
    other = make_data()
    other.checksum = other.catalogue.checksum + "of other pixels in files of the same names"
    with pytest.raises(ValueError, match="the data have changed"):
        run.check_data(other)
    (run.path / "stage_keys.json").write_text("{")
    with pytest.raises(ValueError, match=r"stage_keys\.json is damaged .*overwrite=true"):
        run.check_data(make_data())


def test_calibration_of_another_model_is_rejected(config: dict[str, Any], data: GarmentData) -> None:
    run, policy = TrainingRun.open(config, data), replace(RERANK, coverage=0.5)
    assert run.calibrate(RERANK, "model") is RERANK
    with pytest.raises(ValueError, match=r"search\.coverage=0\.5: .*calibration\.parquet is missing; .*split"):
        run.calibrate(policy, "model")
    calibration = CoverageCalibration(np.full(9, 0.25, np.float32), np.arange(9), "item")
    calibration.save(run.path / CALIBRATION_FILE, "model")
    assert run.calibrate(policy, "model").list_threshold == 0.25
    with pytest.raises(ValueError, match=r"calibration\.parquet was computed by model model, .* other; "):
        run.calibrate(policy, "other")


def test_copied_run_returns_the_same_hits(config: dict[str, Any], data: GarmentData, tmp_path: Path) -> None:
    run = write_finished_run(config, data)
    before, original = evaluate_policy(run, data, RERANK), run.result_file
    copied = shutil.copytree(run.path, tmp_path / "elsewhere" / "copy")
    shutil.rmtree(config["runs"])
    copy = Run(copied)
    after = evaluate_policy(copy, data, RERANK)
    assert np.array_equal(before.hits.rows, after.hits.rows)
    assert np.array_equal(before.hits.distances, after.hits.distances)
    [score] = [row.value for row in after.results if (row.metric, row.k, row.relevance) == ("map", 100, "category")]
    assert copy.metrics["search/category/map@100"] == score
    assert copy.result_file.results.flat() == original.results.flat()
    assert copy.config == config
    image = data.catalogue.column("image")[0]
    assert np.array_equal(copy.source().image(image), data.source.image(image))
