"""Files of a run folder."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.runs.run import Run
from fashion_lsh.runs.training_run import TrainingRun
from tests.runs.factories import (
    changed,
    files,
    finished,
    keys,
)


def test_the_closing_line_counts_what_was_left_out(settings: dict[str, Any], data: GarmentData) -> None:
    run = TrainingRun.begin(settings, data)
    run.write_json("metrics.json", {"query/count": 3})
    assert run.closing == f"The run lies in {run.path}"
    run.add_skipped({"a": "no such file", 'b, "c"\nd': "cut short"})
    run.add_skipped({"a": "no such file"})  # named before
    assert run.closing == (f"The run lies in {run.path}; 2 garments were left out: {run.path / 'skipped.csv'} says why")


def test_a_damaged_list_of_what_was_left_out_is_named(settings: dict[str, Any], data: GarmentData) -> None:
    run = TrainingRun.begin(settings, data)
    (run.path / "skipped.csv").write_text("id,reason\nalone\n")
    with pytest.raises(ValueError, match=r"skipped\.csv is damaged .*: remove it, then go on"):
        run.add_skipped({"a": "no such file"})
    (run.path / "skipped.csv").unlink()
    run.add_skipped({"a": "no such file"})
    assert (run.path / "skipped.csv").read_text().splitlines() == ["id,reason", "a,no such file"]


def test_a_begun_run_says_what_was_asked_and_where(
    settings: dict[str, Any], data: GarmentData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GarmentData, "skipped", property(lambda self: {"a,1": 'too "dark"'}))
    run = TrainingRun.begin(settings, data)
    assert files(run.path) == {"config.yaml", "stages.json", "environment.json", "skipped.csv", "split.parquet"}
    assert yaml.safe_load((run.path / "config.yaml").read_text()) == settings == run.config
    assert set(keys(run)) == {"classifier", "hasher", "data"}
    assert (run.path / "skipped.csv").read_text().splitlines() == ["id,reason", '"a,1","too ""dark"""']
    assert Catalogue.open(run.path / "split.parquet").checksum == data.catalogue.checksum
    assert run.metrics == {}


def test_the_environment_is_that_of_the_machine_that_made_the_figures(
    settings: dict[str, Any], data: GarmentData
) -> None:
    run = finished(settings, data)
    environment = json.loads((run.path / "environment.json").read_text())
    assert environment["torch"] == torch.__version__.partition("+")[0]
    assert environment["threads"] == torch.get_num_threads()
    assert {"python", "processor", "platform", "cores", "gpu", "fashion-lsh", "faiss-cpu"} <= set(environment)
    run.write_json("environment.json", {"processor": "of another machine"})
    TrainingRun.begin(settings, data)
    assert json.loads((run.path / "environment.json").read_text()) == {"processor": "of another machine"}


@pytest.mark.parametrize("group", ["backbone", "search", "hash"])
def test_settings_that_lack_a_group_are_damaged(group: str, settings: dict[str, Any], data: GarmentData) -> None:
    run = TrainingRun.begin(settings, data)
    left = {name: value for name, value in run.config.items() if name != group}
    (run.path / "config.yaml").write_text(yaml.safe_dump(left))
    with pytest.raises(ValueError, match=rf"config\.yaml is damaged \(it has no {group}\): remove it, and type"):
        _ = run.config


def test_a_folder_that_is_no_run_is_refused_with_the_way_out(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(FileNotFoundError, match=r"is no run: it has no config\.yaml; give a folder that train\.py"):
            Run(path)


def test_fresh_starts_over_and_deletes_its_own_folder_alone(
    settings: dict[str, Any], data: GarmentData, tmp_path: Path
) -> None:
    run, sibling = finished(settings, data), finished(changed(settings, "seed", 1), data)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept.txt").write_text("mine")
    (run.path / "link").symlink_to(outside)
    before = {path: path.read_bytes() for path in sibling.path.rglob("*") if path.is_file()}
    again = TrainingRun.begin(changed(settings, "fresh", True), data)
    assert again.path == run.path
    assert files(run.path) == {"config.yaml", "stages.json", "environment.json", "skipped.csv", "split.parquet"}
    assert (outside / "kept.txt").read_text() == "mine"
    assert before == {path: path.read_bytes() for path in sibling.path.rglob("*") if path.is_file()}
    assert files(Path(settings["runs"])) == {"latest", "test"}


def test_scores_are_never_seen_half_written(settings: dict[str, Any], data: GarmentData) -> None:
    run, seen, done = TrainingRun.begin(settings, data), [], threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.append(len(run.metrics))

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(20):
        run.write_json("metrics.json", {f"query/{number}": 0.1 for number in range(5000)})
    done.set()
    reader.join()
    assert set(seen) <= {0, 5000}
    assert 5000 in [*seen, len(run.metrics)]


def test_a_file_that_cannot_be_written_leaves_the_old_one(
    settings: dict[str, Any], data: GarmentData, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = TrainingRun.begin(settings, data)
    run.write_json("metrics.json", {"query/count": 1.0})
    before = files(run.path)

    def half(self: Path, text: str) -> None:
        self.write_bytes(text[: len(text) // 2].encode())
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", half)
    with pytest.raises(OSError, match=r"metrics\.json could not be written \(No space left on device\)"):
        run.write_json("metrics.json", {"query/count": 2.0})
    assert run.metrics == {"query/count": 1.0}
    assert files(run.path) == before
