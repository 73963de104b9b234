"""merge.py: data sets into one folder that trains; and the check of what was unpacked."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import merge
import numpy as np
import pytest
import torch
from PIL import Image
from tests.test_scripts import SMALL, script

from fashion_lsh.data import check, image_scan
from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datasets import open_source
from fashion_lsh.data.datasets.merged import MergedFolder
from fashion_lsh.data.images import PictureError
from fashion_lsh.data.merge import cropping
from fashion_lsh.data.merge import merge as merging
from fashion_lsh.data.schema import SPLITS
from fashion_lsh.models.backbones import backbone

LABELS = ("Tee", "Bag")


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The words for two folders of pictures, ten of each label, and their label map."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(image_scan, "FEW", 0)
    rng = np.random.default_rng(0)
    for source in ("one", "two"):
        for label in (*LABELS, "Robe", "Tie"):
            (tmp_path / source / label).mkdir(parents=True)
            for number in range(10 if label in LABELS else 1):
                coarse = Image.fromarray(rng.integers(0, 256, (6, 5, 3), dtype=np.uint8))
                coarse.resize((50, 60), Image.Resampling.BICUBIC).save(tmp_path / source / label / f"{number}.png")
    shutil.copyfile(tmp_path / "one/Tee/0.png", tmp_path / "two/Tee/a copy.png")
    (tmp_path / "two/Tee/text.jpg").write_text("no picture")
    (tmp_path / "map.csv").write_text(
        "label,category,group,why\nTee,t-shirt,,\nBag,bag,,\nRobe,,outer,spans two\nTie,,,no\n"
    )
    words = [f"{name}:folder={tmp_path / name}" for name in ("one", "two")]
    return [*words, *(f"--map={name}={tmp_path / 'map.csv'}" for name in ("one", "two"))]


def merged(out: Path, *words: str) -> Catalogue:
    assert merge.main([str(out), *words]) == 0
    return Catalogue.open(out / "catalogue.parquet")


def test_sources_become_one_folder_with_a_card(
    two: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    rows = merged(out, *two, "--licence=one=CC0", "--no-duplicates")
    names = {"catalogue.parquet", "pictures.parquet", "sources.json", "card.md", "sheet.jpg", "left_out.csv"}
    assert {path.name for path in out.iterdir()} == names
    assert rows.column("main").sum() == 40
    assert set(rows.column("split")) == set(SPLITS)
    assert "40 garments of 2 categories" in capsys.readouterr().out
    card = (out / "card.md").read_text()
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in card.splitlines() if line.startswith("|")]
    for line in (["t-shirt", "10", "10", "20"], ["one", "21", "21", "CC0"], ["two", "Robe", "1", "outer", ""]):
        assert line in table
    left_out = (out / "left_out.csv").read_text()
    assert "two/Tee/a copy.png: the same picture as one/Tee/0.png, which is kept" in left_out
    assert "no readable picture" in left_out
    assert "label 'Tie' has none of the categories" in left_out


def test_the_same_command_gives_the_same_catalogue(two: list[str], tmp_path: Path) -> None:
    merged(tmp_path / "a", *two)
    first = (tmp_path / "a/catalogue.parquet").read_bytes()
    shutil.rmtree(tmp_path / "cache")
    merged(tmp_path / "b", *two)
    merged(tmp_path / "a", *two)
    assert (tmp_path / "a/catalogue.parquet").read_bytes() == first == (tmp_path / "b/catalogue.parquet").read_bytes()
    assert (
        merged(tmp_path / "c", *two, "--seed=1").checksum != Catalogue.open(tmp_path / "a/catalogue.parquet").checksum
    )


def test_a_merged_catalogue_gives_its_pictures(two: list[str], tmp_path: Path) -> None:
    rows = merged(tmp_path / "out", *two)
    source = open_source("thesis30", str(tmp_path / "out"), 0)
    assert source.catalogue().checksum == rows.checksum
    plain = open_source("folder", str(tmp_path / "one"), 0)
    assert np.array_equal(source.picture("one/Tee/3.png"), plain.picture("Tee/3.png"))
    with pytest.raises(PictureError, match="has no source 'three' any more, it was merged anew: make the run again"):
        source.picture("three/Tee/3.png")  # which a run on an older catalogue asks for


def test_a_source_that_is_called_otherwise_has_the_map_of_its_data_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert merge.main([str(tmp_path / "out"), "modanet=/a", "modanet=/b"]) == 2
    assert "give one of them another name, as modanet2:modanet=/b" in capsys.readouterr().err
    assert merge.main([str(tmp_path / "out"), "modanet=/a", "modanet2:modanet=/b"]) == 2
    assert "no map of labels" not in capsys.readouterr().err  # nothing lies in /a


def test_a_merged_catalogue_whose_list_of_pictures_is_gone_or_damaged_says_the_way_out(
    two: list[str], tmp_path: Path
) -> None:
    merged(tmp_path / "out", *two)
    source, listed = open_source("thesis30", str(tmp_path / "out"), 0), tmp_path / "out/pictures.parquet"
    listed.write_bytes(listed.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"pictures\.parquet is damaged or missing .*: merge anew"):
        source.catalogue()
    listed.unlink()
    with pytest.raises(ValueError, match=r"pictures\.parquet is damaged or missing .*: merge anew"):
        source.catalogue()


def test_pictures_that_have_changed_are_looked_at_again(
    two: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    merged(tmp_path / "out", *two)
    (tmp_path / "one/Tee/3.png").unlink()
    (tmp_path / "one/Tee/4.png").write_bytes(b"no picture any more")
    Image.new("RGB", (50, 60)).save(tmp_path / "one/Tee/5.png")
    source = open_source("thesis30", str(tmp_path / "out"), 0)
    rows = source.catalogue()
    assert isinstance(source, MergedFolder)
    assert sorted(source.skipped) == ["one/Tee/3.png", "one/Tee/4.png"]
    assert not {"one/Tee/3.png", "one/Tee/4.png"} & set(rows.column("id"))
    assert "3 pictures have changed since they were merged" in caplog.text
    assert "2 garments are left out, the first: " in caplog.text


def test_other_pixels_are_told_by_the_checksum_and_other_times_are_not(two: list[str], tmp_path: Path) -> None:
    merged(tmp_path / "out", *two)

    def checksum() -> str:
        source = open_source("thesis30", str(tmp_path / "out"), 0)
        assert isinstance(source, MergedFolder)
        source.catalogue()
        return source.checksum

    before = checksum()
    os.utime(tmp_path / "one/Tee/4.png", (1, 1))
    assert checksum() == before
    Image.new("RGB", (50, 60), (9, 9, 9)).save(tmp_path / "one/Tee/4.png")
    assert checksum() != before


def test_a_box_that_lies_off_its_changed_picture_is_found_out(two: list[str], tmp_path: Path) -> None:
    for number in range(9):
        (tmp_path / f"one/Tee/{number}.png").rename(tmp_path / f"one/{number}.png")
    boxes = "".join(f"{number}.png,Tee,30,30,45,55\n" for number in range(9))
    (tmp_path / "one/list.csv").write_text(f"path,label,x1,y1,x2,y2\n{boxes}")
    words = [f"one:folder={tmp_path / 'one/list.csv'}", *two[1:]]
    merged(tmp_path / "out", *words)
    Image.new("RGB", (20, 20)).save(tmp_path / "one/3.png")
    source = open_source("thesis30", str(tmp_path / "out"), 0)
    source.catalogue()
    assert isinstance(source, MergedFolder)
    assert len(source.skipped) == 1
    assert "3.png" in next(iter(source.skipped.values()))


@pytest.mark.parametrize("crop", [False, True])
def test_a_picture_that_goes_while_it_is_merged_is_named(
    crop: bool, two: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def seen_and_gone(*arguments: Any) -> Any:
        made = merging.merge(*arguments)
        (tmp_path / "one/Tee/3.png").unlink()
        Image.new("RGB", (50, 60)).save(tmp_path / "one/Tee/4.png")
        return made

    monkeypatch.setattr(merge, "merge", seen_and_gone)
    rows = merged(tmp_path / "out", *two, *["--crop"] * crop)
    card, left_out = ((tmp_path / "out" / name).read_text() for name in ("card.md", "left_out.csv"))
    assert f"checksum {rows.checksum[:16]}" in card
    assert f"{rows.column('main').sum()} garments of 2 categories" in card
    source = open_source("thesis30", str(tmp_path / "out"), 0)
    found = source.catalogue()
    assert isinstance(source, MergedFolder)
    assert "one/Tee/3.png" not in found.column("id")
    assert [f"one/Tee/{number}.png" in left_out for number in (3, 4)] == [crop, crop]
    assert list(source.skipped) == ([] if crop else ["one/Tee/3.png"])


def test_merging_needs_no_network_library() -> None:
    told = "import sys, merge; sys.exit(bool({'torch', 'faiss'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", told], cwd=Path(__file__).parents[1], check=False).returncode == 0


def test_with_crops_the_folder_is_whole_by_itself(
    two: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, real = [0], cropping._save

    def save(*arguments: object) -> None:
        calls[0] += 1
        if calls[0] > 15:
            raise KeyboardInterrupt
        real(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(cropping, "_save", save)
        with pytest.raises(KeyboardInterrupt):
            merge.main([str(tmp_path / "out"), *two, "--crop"])
    assert not (tmp_path / "out/sources.json").exists()
    rows = merged(tmp_path / "out", *two, "--crop")
    whole = merged(tmp_path / "other", *two, "--crop")
    assert rows.checksum == whole.checksum
    for name in ("one", "two"):
        shutil.rmtree(tmp_path / name)
    (tmp_path / "out").rename(tmp_path / "moved")
    source = open_source("thesis30", str(tmp_path / "moved"), 0)
    assert len(source.catalogue()) == 40
    assert source.picture(rows.column("picture")[0]).shape == (60, 50, 3)


def test_a_merged_catalogue_trains(two: list[str], tmp_path: Path) -> None:
    merged(tmp_path / "out", *two)
    small = [word for word in SMALL if not word.startswith("data=")]
    script("train.py", *small, "data=thesis30", f"data.root={tmp_path / 'out'}", f"runs={tmp_path / 'runs'}")
    metrics = json.loads((tmp_path / "runs/latest/metrics.json").read_text())
    assert metrics["query/count"] >= 2


def test_the_backbones_for_a_gpu_start_from_weights_at_224_pixels(two: list[str], tmp_path: Path) -> None:
    merged(tmp_path / "out", *two)
    weights = tmp_path / "weights.pt"
    torch.save(backbone("resnet18").network.state_dict(), weights)
    few = ["trainer=smoke", "logger=csv", "data.workers=0", "data.batch_size=4", "classifier.epochs=1", "hash.epochs=1"]
    words = [f"data.root={tmp_path / 'out'}", f"runs={tmp_path / 'runs'}", f"jobs={tmp_path / 'jobs'}"]
    one = ["backbone=resnet18", f"backbone.weights={weights}", "optim.lr=0.01"]
    printed = script("train.py", "experiment=backbones_gpu", *few, *words, *one)
    assert "classifier starts from weights.pt (resnet18)" in printed
    [job] = (tmp_path / "jobs").iterdir()
    assert json.loads(job.read_text())["settings"]["data"]["image_size"] == 224


@pytest.mark.parametrize(
    ("words", "told"),
    [(["nothing"], "'nothing' is no source: give NAME=ROOT"), (["a=x", "a=y"], "source 'a' is given twice"),
     (["mine:folder=x"], "no map of labels for 'mine'"), (["garments:shelf=x"], "data set 'shelf' is unknown"),
     (["garments:folder="], "data=folder needs data.root"), (["garments:folder=/x"], "no folder or file /x"),
     (["garments:folder=x", "--map", "garments"], "--map 'garments': give NAME=VALUE"),
     (["garments:folder=x", "--most", "0"], "most=0: give 1 or more")],
)  # fmt: skip
def test_what_cannot_be_merged_is_told_in_one_line(
    words: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert merge.main([str(tmp_path / "out"), *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("merge.py: ")
    assert told in error
    assert not (tmp_path / "out/catalogue.parquet").exists()


@pytest.mark.parametrize(
    ("damage", "told"), [(None, "is no merged catalogue"), ("{", "is damaged"), ("[]", "is damaged")]
)
def test_a_folder_that_is_no_merged_catalogue_is_refused(damage: str | None, told: str, tmp_path: Path) -> None:
    if damage is not None:
        (tmp_path / "sources.json").write_text(damage)
    with pytest.raises((FileNotFoundError, ValueError), match=told):
        open_source("thesis30", str(tmp_path), 0)


def test_the_check_tells_what_is_there_and_what_is_missing(
    two: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check.main(["folder", str(tmp_path / "one")]) == 0
    printed = capsys.readouterr().out
    assert "22 garments of 4 labels; 0 further rows are of no use" in printed
    assert "0 of 22 pictures are missing" in printed
    (tmp_path / "list.csv").write_text("path,label\none/Tee/1.png,Tee\none/Tee/gone.png,Tee\n")
    assert check.main(["folder", str(tmp_path / "list.csv")]) == 0
    assert f"1 of 2 pictures are missing\n  {tmp_path / 'one/Tee/gone.png'}" in capsys.readouterr().out
    assert check.main(["folder", str(tmp_path / "nowhere")]) == 1
    assert "folder: no folder or file" in capsys.readouterr().err
