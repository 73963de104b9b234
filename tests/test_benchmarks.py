"""Every benchmark can be imported; the benchmark of head training runs on few vectors."""

from importlib import import_module
from pathlib import Path

import pytest

from benchmarks import head_training

BENCHMARKS = sorted(path.stem for path in (Path(__file__).parents[1] / "benchmarks").glob("[!_]*.py"))


@pytest.mark.parametrize("name", BENCHMARKS)
def test_benchmark_can_be_imported(name: str) -> None:
    import_module(f"benchmarks.{name}")


@pytest.mark.train
def test_head_training_measures_seconds_and_accuracy() -> None:
    measured = head_training.measure(rows=2000, epochs=2, batch_size=16)
    assert measured["seconds"] > 0
    assert measured["val accuracy"] > 0.3  # 30 categories
