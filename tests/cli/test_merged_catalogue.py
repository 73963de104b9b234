"""A merged catalogue can be opened and used for training; changed images are detected."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fashion_lsh.data.datasets import open_dataset
from fashion_lsh.data.datasets.merged import MergedCatalogue
from fashion_lsh.data.images import ImageError
from fashion_lsh.runs.job_file import job_files
from fashion_lsh.runs.result_file import read_results_file
from tests.cli.factories import run_merge, run_script
from tests.runs.factories import tiny_backbone

pytestmark = pytest.mark.train


def test_merged_catalogue_reads_source_images(two_folder_arguments: list[str], tmp_path: Path) -> None:
    rows = run_merge(tmp_path / "out", *two_folder_arguments)
    source = open_dataset("thesis30", str(tmp_path / "out"), 0)
    assert source.catalogue().checksum == rows.checksum
    plain = open_dataset("folder", str(tmp_path / "one"), 0)
    assert np.array_equal(source.image("one/Tee/3.png"), plain.image("Tee/3.png"))
    with pytest.raises(ImageError, match="no source 'three'"):
        source.image("three/Tee/3.png")  # a run may refer to a source of an older catalogue


def test_missing_or_damaged_image_list_is_reported(two_folder_arguments: list[str], tmp_path: Path) -> None:
    run_merge(tmp_path / "out", *two_folder_arguments)
    source, image_list = open_dataset("thesis30", str(tmp_path / "out"), 0), tmp_path / "out/images.parquet"
    image_list.write_bytes(image_list.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"images\.parquet"):
        source.catalogue()
    image_list.unlink()
    with pytest.raises(ValueError, match=r"images\.parquet"):
        source.catalogue()


def test_changed_images_are_rescanned(
    two_folder_arguments: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run_merge(tmp_path / "out", *two_folder_arguments)
    (tmp_path / "one/Tee/3.png").unlink()
    (tmp_path / "one/Tee/4.png").write_bytes(b"not an image any more")
    Image.new("RGB", (50, 60)).save(tmp_path / "one/Tee/5.png")
    source = open_dataset("thesis30", str(tmp_path / "out"), 0)
    rows = source.catalogue()
    assert isinstance(source, MergedCatalogue)
    assert sorted(source.skipped) == ["one/Tee/3.png", "one/Tee/4.png"]
    assert not {"one/Tee/3.png", "one/Tee/4.png"} & set(rows.column("id"))
    assert "since the merge: 3" in caplog.text
    assert "Skipped 2 garments" in caplog.text


def test_checksum_depends_on_pixels_not_on_modification_times(two_folder_arguments: list[str], tmp_path: Path) -> None:
    run_merge(tmp_path / "out", *two_folder_arguments)

    def checksum() -> str:
        source = open_dataset("thesis30", str(tmp_path / "out"), 0)
        assert isinstance(source, MergedCatalogue)
        source.catalogue()
        return source.checksum

    before = checksum()
    os.utime(tmp_path / "one/Tee/4.png", (1, 1))
    assert checksum() == before
    Image.new("RGB", (50, 60), (9, 9, 9)).save(tmp_path / "one/Tee/4.png")
    assert checksum() != before


def test_garment_is_skipped_if_its_box_is_outside_the_changed_image(
    two_folder_arguments: list[str], tmp_path: Path
) -> None:
    for number in range(9):
        (tmp_path / f"one/Tee/{number}.png").rename(tmp_path / f"one/{number}.png")
    boxes = "".join(f"{number}.png,Tee,30,30,45,55\n" for number in range(9))
    (tmp_path / "one/list.csv").write_text(f"path,label,x1,y1,x2,y2\n{boxes}")
    argv = [f"one:folder={tmp_path / 'one/list.csv'}", *two_folder_arguments[1:]]
    run_merge(tmp_path / "out", *argv)
    Image.new("RGB", (20, 20)).save(tmp_path / "one/3.png")
    source = open_dataset("thesis30", str(tmp_path / "out"), 0)
    source.catalogue()
    assert isinstance(source, MergedCatalogue)
    assert len(source.skipped) == 1
    assert "3.png" in next(iter(source.skipped.values()))


@pytest.mark.usefixtures("tiny")
def test_experiment_backbones_gpu_runs_on_a_merged_catalogue(two_folder_arguments: list[str], tmp_path: Path) -> None:
    """The initial weights are loaded from a file, and images have 224 pixels."""
    run_merge(tmp_path / "out", *two_folder_arguments)
    weights = tmp_path / "weights.pt"
    torch.save(tiny_backbone("resnet18").network.state_dict(), weights)
    few = ["trainer=smoke", "logger=csv", "data.workers=0", "data.batch_size=4", "classifier.epochs=1", "hash.epochs=1"]
    argv = [f"data.root={tmp_path / 'out'}", f"runs={tmp_path / 'runs'}", f"jobs={tmp_path / 'jobs'}"]
    one = ["backbone=resnet18", f"backbone.weights={weights}", "optim.lr=0.01"]
    printed = run_script("train.py", "experiment=backbones_gpu", *few, *argv, *one)
    assert "classifier: initialised from weights.pt (resnet18)" in printed
    [job] = job_files(tmp_path / "jobs")
    content = read_results_file(job)
    assert content.settings["data"]["image_size"] == 224
    assert (content.results.value("data", "garments") or 0) >= 2


@pytest.mark.parametrize(
    ("damage", "message"),
    [(None, r"sources\.json is missing"), ("{", r"sources\.json: damaged"), ("[]", r"sources\.json: damaged")],
)
def test_folder_that_is_not_a_merged_catalogue_is_rejected(damage: str | None, message: str, tmp_path: Path) -> None:
    if damage is not None:
        (tmp_path / "sources.json").write_text(damage)
    with pytest.raises((FileNotFoundError, ValueError), match=message):
        open_dataset("thesis30", str(tmp_path), 0)
