"""Files of a run folder: config, environment, metrics, skipped garments."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.corrections import Correction
from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.runs.folder import RunFolder
from fashion_lsh.runs.run import Run
from fashion_lsh.runs.training_run import TrainingRun
from tests.runs.factories import (
    file_names,
    read_stage_keys,
    set_key,
    write_finished_run,
)


def test_summary_counts_skipped_garments(config: dict[str, Any], data: GarmentData) -> None:
    run = TrainingRun.open(config, data)
    run.write_json("metrics.json", {"data/garments": 3})
    assert run.summary == f"Run folder: {run.path}"
    run.add_skipped({"a": "no such file", 'b, "c"\nd': "cut short"})
    run.add_skipped({"a": "no such file"})  # a duplicate row
    assert run.summary == (f"Run folder: {run.path}; skipped 2 garments, see {run.path / 'skipped.csv'}")


def test_damaged_skipped_csv_raises_with_its_name(config: dict[str, Any], data: GarmentData) -> None:
    run = TrainingRun.open(config, data)
    (run.path / "skipped.csv").write_text("id,reason\nalone\n")
    with pytest.raises(ValueError, match=r"skipped\.csv is damaged .*; remove it"):
        run.add_skipped({"a": "no such file"})
    (run.path / "skipped.csv").unlink()
    run.add_skipped({"a": "no such file"})
    assert (run.path / "skipped.csv").read_text().splitlines() == ["id,reason", "a,no such file"]


def test_new_run_saves_config_and_environment(
    config: dict[str, Any], data: GarmentData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GarmentData, "skipped", property(lambda self: {"a,1": 'too "dark"'}))
    run = TrainingRun.open(config, data)
    assert file_names(run.path) == {
        "config.yaml",
        "signature.json",
        "stage_keys.json",
        "environment.json",
        "skipped.csv",
        "catalogue.parquet",
    }
    assert yaml.safe_load((run.path / "config.yaml").read_text()) == config == run.config
    assert set(read_stage_keys(run)) == {"classifier", "hash_head", "data"}
    assert (run.path / "skipped.csv").read_text().splitlines() == ["id,reason", '"a,1","too ""dark"""']
    assert Catalogue.open(run.path / "catalogue.parquet").checksum == data.catalogue.checksum
    assert run.metrics == {}


def test_environment_of_a_finished_run_is_kept(config: dict[str, Any], data: GarmentData) -> None:
    run = write_finished_run(config, data)
    environment = json.loads((run.path / "environment.json").read_text())
    assert environment["torch"] == torch.__version__.partition("+")[0]
    assert environment["threads"] == torch.get_num_threads()
    resolved = {"accelerator": "cpu", "precision": "32-true", "devices": 1, "machines": 1}
    assert {name: environment[name] for name in resolved} == resolved
    assert {"python", "processor", "platform", "cores", "gpu", "fashion-lsh", "faiss-cpu"} <= set(environment)
    run.write_json("environment.json", {"processor": "of another machine"})
    TrainingRun.open(config, data)
    assert json.loads((run.path / "environment.json").read_text()) == {"processor": "of another machine"}


@pytest.mark.parametrize("group", ["backbone", "search", "hash"])
def test_config_without_a_required_group_is_rejected(group: str, config: dict[str, Any], data: GarmentData) -> None:
    run = TrainingRun.open(config, data)
    remaining = {name: value for name, value in run.config.items() if name != group}
    (run.path / "config.yaml").write_text(yaml.safe_dump(remaining))
    with pytest.raises(ValueError, match=rf"config\.yaml is damaged \({group} is missing\)"):
        _ = run.config


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"classifier/accuracy": "high"}', '{"a": true}', '{"a": {}}']
)
def test_damaged_metrics_raise_with_the_path(content: str, config: dict[str, Any], data: GarmentData) -> None:
    run = TrainingRun.open(config, data)
    (run.path / "metrics.json").write_text(content)
    with pytest.raises(ValueError, match=rf"{run.path / 'metrics.json'} is damaged .*remove it"):
        _ = run.metrics
    (run.path / "metrics.json").unlink()
    assert run.metrics == {}


def test_results_of_an_unfinished_run_are_missing(config: dict[str, Any], data: GarmentData) -> None:
    run = TrainingRun.open(config, data)
    with pytest.raises(FileNotFoundError, match=rf"{run.path / 'results.parquet'} is missing; .*overwrite=true"):
        _ = run.result_file


def test_folder_that_is_not_a_run_is_rejected(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(FileNotFoundError, match=rf"^{path}: not a run folder \(config\.yaml"):
            Run(path)


def test_error_for_a_sweep_folder_contains_a_run_folder(config: dict[str, Any], data: GarmentData) -> None:
    run = TrainingRun.open(config, data)
    with pytest.raises(FileNotFoundError, match=rf"^{run.path.parent}: not a run folder .*{run.path}$"):
        Run(run.path.parent)


def test_overwrite_deletes_only_its_own_folder(config: dict[str, Any], data: GarmentData, tmp_path: Path) -> None:
    run, sibling = write_finished_run(config, data), write_finished_run(set_key(config, "seed", 1), data)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept.txt").write_text("mine")
    (run.path / "link").symlink_to(outside)
    before = {path: path.read_bytes() for path in sibling.path.rglob("*") if path.is_file()}
    reopened = TrainingRun.open(set_key(config, "overwrite", True), data)
    assert reopened.path == run.path
    assert file_names(run.path) == {
        "config.yaml",
        "signature.json",
        "stage_keys.json",
        "environment.json",
        "skipped.csv",
        "catalogue.parquet",
    }
    assert (outside / "kept.txt").read_text() == "mine"
    assert before == {path: path.read_bytes() for path in sibling.path.rglob("*") if path.is_file()}
    assert file_names(Path(config["runs"])) == {"latest", "test"}


def test_metrics_are_written_atomically(config: dict[str, Any], data: GarmentData) -> None:
    run, observed_sizes, finished = TrainingRun.open(config, data), [], threading.Event()

    def read() -> None:
        while not finished.is_set():
            observed_sizes.append(len(run.metrics))

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(20):
        run.write_json("metrics.json", {f"random/{number}": 0.1 for number in range(5000)})
    finished.set()
    reader.join()
    assert set(observed_sizes) <= {0, 5000}
    assert 5000 in [*observed_sizes, len(run.metrics)]


def test_failed_write_keeps_the_old_file(
    config: dict[str, Any], data: GarmentData, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = TrainingRun.open(config, data)
    run.write_json("metrics.json", {"data/garments": 1.0})
    before = file_names(run.path)

    def write_half(self: Path, text: str) -> None:
        self.write_bytes(text[: len(text) // 2].encode())
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", write_half)
    with pytest.raises(OSError, match=r"metrics\.json could not be written \(No space left on device\)"):
        run.write_json("metrics.json", {"data/garments": 2.0})
    assert run.metrics == {"data/garments": 1.0}
    assert file_names(run.path) == before


def test_corrections_are_counted_by_action(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").touch()
    folder = RunFolder(tmp_path)
    assert folder.corrections == {}
    folder.write_corrections([])
    assert not (tmp_path / "corrections.csv").exists()
    folder.write_corrections([Correction(Path("a, b.csv"), 3, "x", "coat", "relabel", "hat")])
    assert folder.corrections == {"relabel": 1}
    (tmp_path / "corrections.csv").write_text("id,category\nx\n")
    with pytest.raises(ValueError, match=r"corrections\.csv is damaged"):
        _ = folder.corrections
