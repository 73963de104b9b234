"""Train, evaluate and search with a calibrated coverage."""

from pathlib import Path

import pytest

from fashion_lsh.runs.run import CALIBRATION_FILE
from fashion_lsh.search.coverage import CoverageCalibration
from tests.cli.factories import SMALL, read_results, run_script

SPLIT = ["split.ratios={train: 0.3, val: 0.4, query: 0.1, gallery: 0.2}", "split.calibration=0.6"]


@pytest.mark.usefixtures("tiny")
def test_a_run_with_a_calibration_promises_any_coverage(shapes: Path, tmp_path: Path) -> None:
    words = [*SMALL, f"data.root={shapes}", f"runs={tmp_path}", "hash.epochs=1", *SPLIT]
    printed = run_script("train.py", *words, "search.coverage=0.6")
    run = tmp_path / "latest"
    calibration, _ = CoverageCalibration.open(run / CALIBRATION_FILE)
    assert calibration.relevance == "item"
    assert f"Coverage: {len(calibration.scores)} calibration queries" in printed
    assert "1 list, coverage 0.6" in printed
    assert "coverage: promised 0.6, measured by item " in printed
    run_script("evaluate.py", f"run={run}", "search=hamming", "search.coverage=0.75")
    run_script("evaluate.py", f"run={run}", "search=hamming")
    results = read_results(run)
    coverage = {scope: results.value(method, "coverage", relevance="item", scope=scope)
                for method, scope in results.methods() if method in ("hamming", "rerank 1000")}  # fmt: skip
    assert coverage.keys() == {"1 list, coverage 0.6", "1 list, coverage 0.75", "1 list"}
    assert (coverage["1 list, coverage 0.75"] or 0) >= (coverage["1 list"] or 0)
    image = shapes.parent / "circle-0-street.png"
    printed = run_script("search", run, image, "--coverage", 0.7)
    assert "circle-" in printed
    assert "--nprobe 2" not in printed
    assert "search.coverage=0.99: " in run_script("search", run, image, "--coverage", 0.99, status=1)
    assert "search.coverage=0.6 with search.nprobe=all" in run_script(
        "evaluate.py", f"run={run}", "search.nprobe=all", status=1
    )
    assert "circle-" in run_script("search", run, image, "--nprobe", "all")
    with (run / CALIBRATION_FILE).open("r+b") as file:
        file.truncate(50)
    assert f"{CALIBRATION_FILE} is damaged" in run_script("search", run, image, status=1)


def test_a_run_without_a_calibration_names_the_way_out(runs: Path, shapes: Path) -> None:
    words = [runs / "latest", shapes.parent / "circle-0-street.png", "--coverage", 0.9]
    assert "train with split.calibration=0.5" in run_script("search", *words, status=1)
    printed = run_script("evaluate.py", f"run={runs / 'latest'}", "search.coverage=0.9", status=1)
    assert "search.coverage=0.9: " in printed
    assert "train with split.calibration=0.5" in printed
