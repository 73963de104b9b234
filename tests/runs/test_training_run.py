"""Which command finds a run's folder again, and what begins it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.runs.training_run import TrainingRun
from tests.models.factories import save
from tests.runs.factories import (
    changed,
    files,
    finished,
    hasher,
    keys,
)


def test_the_same_command_finds_the_same_folder(
    settings: dict[str, Any], make_data: Callable[..., GarmentData]
) -> None:
    run = TrainingRun.begin(settings, make_data())
    save(hasher(), run.path / "hasher.ckpt")
    again = TrainingRun.begin(json.loads(json.dumps(settings)), make_data())
    assert again.path == run.path
    assert again.path.parent == Path(settings["runs"]) / "test"
    assert len(again.path.name) == 8
    assert (again.path / "hasher.ckpt").exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [("seed", 1), ("data.image_size", 64), ("backbone.weights", "imagenet"), ("classifier.lr_factor", 2),
     ("hash.bits", 8), ("hash", None), ("search.probes", "all"), ("trainer.accelerator", "gpu")],
)  # fmt: skip
def test_another_setting_makes_another_folder(
    key: str, value: Any, settings: dict[str, Any], data: GarmentData
) -> None:
    assert TrainingRun.begin(changed(settings, key, value), data).path != TrainingRun.begin(settings, data).path


def test_another_split_or_version_makes_another_folder_and_other_stages(
    settings: dict[str, Any], make_data: Callable[..., GarmentData], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, split = TrainingRun.begin(settings, make_data()), TrainingRun.begin(settings, make_data(split_seed=1))
    monkeypatch.setattr("fashion_lsh.runs.keys.__version__", "99")
    version = TrainingRun.begin(settings, make_data())
    assert len({first.path, split.path, version.path}) == 3
    assert all(len({keys(run)[stage] for run in (first, split, version)}) == 3 for stage in ("classifier", "hasher"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "other"),
        ("fresh", True),
        ("logger.project", "mine"),
        ("data.workers", 4),
        ("jobs", "somewhere"),
        ("data.root", "elsewhere"),
    ],
)
def test_what_changes_no_result_changes_no_name(
    key: str, value: Any, settings: dict[str, Any], data: GarmentData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where the folder of jobs is made
    one, other = TrainingRun.begin(settings, data), TrainingRun.begin(changed(settings, key, value), data)
    assert one.path.name == other.path.name
    assert keys(one) == keys(other)


def test_other_pixels_in_files_of_the_same_names_make_another_folder(
    settings: dict[str, Any], make_data: Callable[..., GarmentData], drawn: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(drawn.parent, tmp_path / "copy")) / drawn.name
    before = TrainingRun.begin(settings, make_data(root=str(copy)))
    assert before.path == TrainingRun.begin(settings, make_data()).path
    Image.new("RGB", (48, 48)).save(copy.parent / "circle-0-shop.png")
    assert TrainingRun.begin(settings, make_data(root=str(copy))).path != before.path


def test_a_place_for_scores_that_takes_no_files_is_found_before_anything_is_written(
    settings: dict[str, Any], data: GarmentData, tmp_path: Path
) -> None:
    (tmp_path / "jobs").write_text("no folder")
    with pytest.raises(OSError, match=r"jobs takes no files \(File exists\): choose another folder"):
        TrainingRun.begin({**settings, "jobs": str(tmp_path / "jobs")}, data)
    assert not Path(settings["runs"]).exists()


def test_the_order_of_settings_changes_no_name(settings: dict[str, Any], data: GarmentData) -> None:
    turned = {name: settings[name] for name in reversed(settings)}
    assert TrainingRun.begin(turned, data).path == TrainingRun.begin(settings, data).path


@pytest.mark.parametrize(
    ("key", "value", "differing"),
    [("seed", 1, {"classifier", "hasher"}), ("data.image_size", 64, {"classifier", "hasher"}),
     ("classifier.epochs", 2, {"classifier", "hasher"}), ("trainer.accelerator", "gpu", {"classifier", "hasher"}),
     ("backbone.weights", "imagenet", {"classifier", "hasher"}), ("hash.bits", 8, {"hasher"}),
     ("search.probes", 2, set())],
)  # fmt: skip
def test_a_stage_depends_on_what_made_it_alone(
    key: str, value: Any, differing: set[str], settings: dict[str, Any], data: GarmentData
) -> None:
    one, other = keys(TrainingRun.begin(settings, data)), keys(TrainingRun.begin(changed(settings, key, value), data))
    assert {stage for stage in one if one[stage] != other[stage]} == differing


def test_other_weights_in_a_file_of_the_same_name_make_another_folder_and_other_stages(
    settings: dict[str, Any], data: GarmentData, tmp_path: Path
) -> None:
    file = tmp_path / "some.pt"
    settings = changed(settings, "backbone.weights", str(file))
    found = []
    for content in (b"one", b"two", b"one"):
        file.write_bytes(content)
        found.append(TrainingRun.begin(settings, data))
    assert found[0].path == found[2].path != found[1].path
    assert all(keys(found[0])[stage] != keys(found[1])[stage] for stage in ("classifier", "hasher"))


@pytest.mark.parametrize("name", ["latest", "", "..", ".", "a/b", "/a"])
def test_a_name_that_is_no_folders_is_refused(name: str, settings: dict[str, Any], data: GarmentData) -> None:
    with pytest.raises(ValueError, match=f"name='{name}': give the name of one folder"):
        TrainingRun.begin(changed(settings, "name", name), data)
    assert not Path(settings["runs"]).exists()


def test_the_latest_run_is_linked_by_a_relative_path(settings: dict[str, Any], data: GarmentData) -> None:
    first = TrainingRun.begin(settings, data)
    second = TrainingRun.begin(changed(settings, "seed", 1), data)
    link = Path(settings["runs"]) / "latest"
    assert link.resolve() == second.path.resolve()
    assert not link.readlink().is_absolute()
    TrainingRun.begin(settings, data)
    assert link.resolve() == first.path.resolve()
    assert files(Path(settings["runs"])) == {"latest", "test"}


def test_no_file_of_a_run_knows_where_the_run_lies(settings: dict[str, Any], data: GarmentData, tmp_path: Path) -> None:
    run = finished(settings, data)
    paths = [path for path in run.path.rglob("*") if path.is_file()]
    knowing = [path.name for path in paths if str(tmp_path).encode() in path.read_bytes()]
    assert knowing == ["config.yaml"]  # as it was typed: where runs go
