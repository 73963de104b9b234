"""A run folder opened for reading."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.runs.run import Run
from fashion_lsh.runs.training_run import TrainingRun
from tests.runs.factories import (
    SHORTLIST,
    finished,
    searched,
)


def test_data_that_have_changed_are_refused(
    settings: dict[str, Any], data: GarmentData, make_data: Callable[..., GarmentData]
) -> None:
    run = TrainingRun.begin(settings, data)
    run.check_data(make_data())
    with pytest.raises(ValueError, match="have changed since it was made: make a new run"):
        run.check_data(make_data(split_seed=1))
    other = make_data()
    other.checksum = other.catalogue.checksum + "of other pixels in files of the same names"
    with pytest.raises(ValueError, match="have changed since it was made: make a new run"):
        run.check_data(other)
    (run.path / "stages.json").write_text("{")
    with pytest.raises(ValueError, match=r"stages\.json is damaged .*: make the run again, with fresh=true"):
        run.check_data(make_data())


def test_a_run_that_was_copied_elsewhere_answers_the_same(
    settings: dict[str, Any], data: GarmentData, tmp_path: Path
) -> None:
    run = finished(settings, data)
    before = searched(run, data, SHORTLIST)
    home = shutil.copytree(run.path, tmp_path / "elsewhere" / "copy")
    shutil.rmtree(settings["runs"])
    copy = Run(home)
    after = searched(copy, data, SHORTLIST)
    assert np.array_equal(before.hits.rows, after.hits.rows)
    assert np.array_equal(before.hits.distances, after.hits.distances)
    assert copy.metrics["query/category/map@100"] == after.metrics["query/category/map@100"]
    assert copy.config == settings
    picture = data.catalogue.column("image")[0]
    assert np.array_equal(copy.source().image(picture), data.source.image(picture))
