"""Run folders are created, and opened again with the same config; invalid names are rejected."""

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
    file_names,
    hash_head,
    read_stage_keys,
    set_key,
    write_finished_run,
)


def test_same_config_opens_the_same_folder(config: dict[str, Any], make_data: Callable[..., GarmentData]) -> None:
    run = TrainingRun.open(config, make_data())
    save(hash_head(), run.path / "hash_head.ckpt")
    reopened = TrainingRun.open(json.loads(json.dumps(config)), make_data())
    assert reopened.path == run.path
    assert reopened.path.parent == Path(config["runs"]) / "test"
    assert len(reopened.path.name) == 8
    assert (reopened.path / "hash_head.ckpt").exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [("seed", 1), ("data.image_size", 64), ("backbone.weights", "imagenet"), ("classifier.lr_factor", 2),
     ("hash.bits", 8), ("hash", None), ("search.nprobe", "all"), ("trainer.accelerator", "gpu")],
)  # fmt: skip
def test_another_config_creates_another_folder(key: str, value: Any, config: dict[str, Any], data: GarmentData) -> None:
    assert TrainingRun.open(set_key(config, key, value), data).path != TrainingRun.open(config, data).path


def test_another_split_or_version_changes_run_and_stage_keys(
    config: dict[str, Any], make_data: Callable[..., GarmentData], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, split = TrainingRun.open(config, make_data()), TrainingRun.open(config, make_data(split_seed=1))
    monkeypatch.setattr("fashion_lsh.runs.keys.used_versions", lambda settings: {"Classifier": 99})
    version = TrainingRun.open(config, make_data())
    assert len({first.path, split.path, version.path}) == 3
    assert all(
        len({read_stage_keys(run)[stage] for run in (first, split, version)}) == 3
        for stage in ("classifier", "hash_head")
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "other"),
        ("overwrite", True),
        ("logger.project", "mine"),
        ("data.workers", 4),
        ("jobs", "somewhere"),
        ("data.root", "elsewhere"),
        ("trainer.devices", 2),
        ("trainer.strategy", "ddp"),
    ],
)
def test_ignored_keys_do_not_change_the_run_key(
    key: str, value: Any, config: dict[str, Any], data: GarmentData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # jobs=somewhere is a relative path
    one, other = TrainingRun.open(config, data), TrainingRun.open(set_key(config, key, value), data)
    assert one.path.name == other.path.name
    assert read_stage_keys(one) == read_stage_keys(other)


def test_changed_pixels_create_another_folder(
    config: dict[str, Any], make_data: Callable[..., GarmentData], shapes: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(shapes.parent, tmp_path / "copy")) / shapes.name
    before = TrainingRun.open(config, make_data(root=str(copy)))
    assert before.path == TrainingRun.open(config, make_data()).path
    Image.new("RGB", (48, 48)).save(copy.parent / "circle-0-shop.png")
    assert TrainingRun.open(config, make_data(root=str(copy))).path != before.path


def test_unwritable_jobs_folder_is_rejected_before_the_run_folder_is_created(
    config: dict[str, Any], data: GarmentData, tmp_path: Path
) -> None:
    (tmp_path / "jobs").write_text("not a folder")
    with pytest.raises(OSError, match=r"jobs .*File exists"):
        TrainingRun.open({**config, "jobs": str(tmp_path / "jobs")}, data)
    assert not Path(config["runs"]).exists()


def test_run_key_does_not_depend_on_the_order_of_keys(config: dict[str, Any], data: GarmentData) -> None:
    reordered = {name: config[name] for name in reversed(config)}
    assert TrainingRun.open(reordered, data).path == TrainingRun.open(config, data).path


@pytest.mark.parametrize(
    ("key", "value", "differing"),
    [("seed", 1, {"classifier", "hash_head"}), ("data.image_size", 64, {"classifier", "hash_head"}),
     ("classifier.epochs", 2, {"classifier", "hash_head"}), ("trainer.accelerator", "gpu", {"classifier", "hash_head"}),
     ("backbone.weights", "imagenet", {"classifier", "hash_head"}), ("hash.bits", 8, {"hash_head"}),
     ("search.nprobe", 2, set())],
)  # fmt: skip
def test_stage_key_depends_only_on_its_own_config(
    key: str, value: Any, differing: set[str], config: dict[str, Any], data: GarmentData
) -> None:
    one, other = (
        read_stage_keys(TrainingRun.open(config, data)),
        read_stage_keys(TrainingRun.open(set_key(config, key, value), data)),
    )
    assert {stage for stage in one if one[stage] != other[stage]} == differing


def test_changed_weights_file_changes_run_and_stage_keys(
    config: dict[str, Any], data: GarmentData, tmp_path: Path
) -> None:
    file = tmp_path / "some.pt"
    config = set_key(config, "backbone.weights", str(file))
    runs = []
    for content in (b"one", b"two", b"one"):
        file.write_bytes(content)
        runs.append(TrainingRun.open(config, data))
    assert runs[0].path == runs[2].path != runs[1].path
    assert all(
        read_stage_keys(runs[0])[stage] != read_stage_keys(runs[1])[stage] for stage in ("classifier", "hash_head")
    )


@pytest.mark.parametrize("name", ["latest", "", "..", ".", "a/b", "/a"])
def test_invalid_run_name_is_rejected(name: str, config: dict[str, Any], data: GarmentData) -> None:
    with pytest.raises(ValueError, match=f"name='{name}': not a valid run name"):
        TrainingRun.open(set_key(config, "name", name), data)
    assert not Path(config["runs"]).exists()


def test_latest_is_a_relative_symlink(config: dict[str, Any], data: GarmentData) -> None:
    first = TrainingRun.open(config, data)
    second = TrainingRun.open(set_key(config, "seed", 1), data)
    link = Path(config["runs"]) / "latest"
    assert link.resolve() == second.path.resolve()
    assert not link.readlink().is_absolute()
    TrainingRun.open(config, data)
    assert link.resolve() == first.path.resolve()
    assert file_names(Path(config["runs"])) == {"latest", "test"}


def test_run_files_contain_no_absolute_paths(config: dict[str, Any], data: GarmentData, tmp_path: Path) -> None:
    run = write_finished_run(config, data)
    paths = [path for path in run.path.rglob("*") if path.is_file()]
    names = [path.name for path in paths if str(tmp_path).encode() in path.read_bytes()]
    assert names == ["config.yaml"]  # config.yaml contains the setting `runs`
