"""Published protocols in the train and evaluate commands, on a small copy of the in-shop layout."""

import shutil
from pathlib import Path

import pytest

from fashion_lsh.evaluation.detected_retrieval import DETECTED_BOXES
from fashion_lsh.metrics.results import Column
from fashion_lsh.runs.run import Run
from tests.cli.factories import read_results, run_script
from tests.evaluation.layouts import write_deepfashion2, write_inshop

SMALL = ["backbone=resnet18", "backbone.weights=null", "data.image_size=32", "data.batch_size=16", "data.workers=0",
         "trainer=smoke", "logger=csv", "classifier.epochs=1"]  # fmt: skip

pytestmark = pytest.mark.train


def test_a_run_of_a_protocol_prints_its_official_scores(tmp_path: Path, tiny: None) -> None:
    root, runs = write_inshop(tmp_path / "inshop"), tmp_path / "runs"
    words = [*SMALL, "protocol=inshop", f"data.root={root}", f"runs={runs}"]
    printed = run_script("train.py", *words, status=1)
    assert "protocol=inshop" in printed
    assert "query has 2 of 14,218 garments" in printed
    assert not list(runs.glob("main/*"))  # before training
    printed = run_script("train.py", *words, "evaluation.partial=true")
    assert "not run here" in printed
    assert "FashionNet" in printed
    table = read_results(runs / "latest")
    value = table.value(*table.search[:1], "recall", 40, relevance="item", scope=table.search[1])
    assert value is not None
    assert f"{value:.3f}" in printed
    assert "not run here" in (runs / "latest/report/report.md").read_text()
    printed = run_script("evaluate.py", f"run={runs / 'latest'}", "search=hamming", "search.nprobe=all")
    assert "FashionNet" in printed  # the protocol of the run applies
    assert read_results(runs / "latest").value("hamming", "recall", 50, relevance="item") is not None


def test_a_finished_run_is_scored_by_a_protocol(tmp_path: Path, tiny: None) -> None:
    root, runs = write_inshop(tmp_path / "inshop"), tmp_path / "runs"
    run_script("train.py", *SMALL, "data=deepfashion_inshop", "split=official", f"data.root={root}", f"runs={runs}")
    run, official = (runs / "latest").resolve(), ["evaluation.protocol=inshop", "evaluation.partial=true"]
    search = Run(run).policy
    assert read_results(run).value(search.method, "recall", 30, relevance="item", scope=search.scope) is None
    printed = run_script("evaluate.py", f"run={run}", *official)
    assert "FashionNet" in printed
    assert read_results(run).value(search.method, "recall", 30, relevance="item", scope=search.scope) is not None
    assert "Official scores of protocol=inshop" in (run / "report/report.md").read_text()
    assert "Nothing added" in run_script("evaluate.py", f"run={run}", *official)
    assert "query has 2 of 14,218 garments" in run_script("evaluate.py", f"run={run}", official[0], status=1)


def test_a_protocol_of_other_data_is_refused(runs: Path, tmp_path: Path) -> None:
    run = shutil.copytree((runs / "latest").resolve(), tmp_path / "run")
    printed = run_script("evaluate.py", f"run={run}", "evaluation.protocol=inshop", status=1)
    assert "data.source='folder'" in printed
    assert "protocol=inshop" in printed
    assert "evaluation.protocol='shop'" in run_script("evaluate.py", f"run={run}", "evaluation.protocol=shop", status=1)


def test_deepfashion2_is_scored_with_all_detected_boxes(tmp_path: Path, tiny: None) -> None:
    root, runs = write_deepfashion2(tmp_path / "deepfashion2"), tmp_path / "runs"
    detector = ["detector.image_size=64", "detector.channels=16", "detector.head=32", "detector.proposals=[60,30]",
                "detector.epochs=1", "crop.min_score=0.01"]  # fmt: skip
    words = [*SMALL, *detector, "protocol=deepfashion2_detected", "evaluation.partial=true", f"data.root={root}"]
    printed = run_script("train.py", *words, f"runs={runs}")
    assert "Match R-CNN (class)" in printed
    results = read_results(runs / "latest")
    official = [row for row in results if row.condition == DETECTED_BOXES]
    assert {(row.metric, row.k) for row in official} == {
        ("undetected", 0),
        *(("recall", k) for k in (1, 5, 10, 15, 20)),
    }
    assert {row.n for row in official} == {3}
    run_script("evaluate.py", f"run={runs / 'latest'}", "search=hamming", "search.nprobe=all")
    column = Column("hamming", "recall", 20, "item", condition=DETECTED_BOXES)
    assert read_results(runs / "latest").find(column) is not None
