"""The merge command."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fashion_lsh.cli import merge
from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datasets import open_dataset
from fashion_lsh.data.datasets.merged import MergedCatalogue
from fashion_lsh.data.merge import cropping
from fashion_lsh.data.merge import merge as merging
from fashion_lsh.data.schema import SPLITS
from tests.cli.factories import ROOT, run_merge


def test_merge_writes_catalogue_and_data_card(
    two_folder_arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    rows = run_merge(out, *two_folder_arguments, "--licence=one=CC0", "--skip-duplicate-search")
    names = {"catalogue.parquet", "images.parquet", "sources.json", "card.md", "contact_sheet.jpg", "skipped.csv"}
    assert {path.name for path in out.iterdir()} == names
    assert rows.column("main").sum() == 40
    assert set(rows.column("split")) == set(SPLITS)
    assert "40 garments of 2 categories" in capsys.readouterr().out
    card = (out / "card.md").read_text()
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in card.splitlines() if line.startswith("|")]
    for line in (["t-shirt", "10", "10", "20"], ["one", "21", "21", "CC0"], ["two", "Robe", "1", "outer", ""]):
        assert line in table
    skipped = (out / "skipped.csv").read_text()
    assert "two/Tee/a copy.png: exact copy of one/Tee/0.png, which is kept" in skipped
    assert "not a readable image" in skipped
    assert "label 'Tie' maps to no category" in skipped


def test_merge_is_deterministic(two_folder_arguments: list[str], tmp_path: Path) -> None:
    run_merge(tmp_path / "a", *two_folder_arguments)
    first = (tmp_path / "a/catalogue.parquet").read_bytes()
    shutil.rmtree(tmp_path / "cache")
    run_merge(tmp_path / "b", *two_folder_arguments)
    run_merge(tmp_path / "a", *two_folder_arguments)
    assert (tmp_path / "a/catalogue.parquet").read_bytes() == first == (tmp_path / "b/catalogue.parquet").read_bytes()
    assert (
        run_merge(tmp_path / "c", *two_folder_arguments, "--seed=1").checksum
        != Catalogue.open(tmp_path / "a/catalogue.parquet").checksum
    )


def test_renamed_source_uses_the_label_map_of_its_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert merge.main([str(tmp_path / "out"), "modanet=/a", "modanet=/b"]) == 1
    assert "modanet2:modanet=/b" in capsys.readouterr().err
    assert merge.main([str(tmp_path / "out"), "modanet=/a", "modanet2:modanet=/b"]) == 1
    assert "label map" not in capsys.readouterr().err  # the remaining error is the missing folder /a


@pytest.mark.parametrize("crop", [False, True])
def test_image_deleted_during_merge_is_skipped(
    crop: bool, two_folder_arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def merge_then_delete(*arguments: Any) -> Any:
        merged = merging.merge(*arguments)
        (tmp_path / "one/Tee/3.png").unlink()
        Image.new("RGB", (50, 60)).save(tmp_path / "one/Tee/4.png")
        return merged

    monkeypatch.setattr(merge, "merge", merge_then_delete)
    rows = run_merge(tmp_path / "out", *two_folder_arguments, *["--crop"] * crop)
    card, skipped = ((tmp_path / "out" / name).read_text() for name in ("card.md", "skipped.csv"))
    assert f"checksum {rows.checksum[:16]}" in card
    assert f"{rows.column('main').sum()} garments of 2 categories" in card
    source = open_dataset("thesis30", str(tmp_path / "out"), 0)
    opened_rows = source.catalogue()
    assert isinstance(source, MergedCatalogue)
    assert "one/Tee/3.png" not in opened_rows.column("id")
    assert [f"one/Tee/{number}.png" in skipped for number in (3, 4)] == [crop, crop]
    assert list(source.skipped) == ([] if crop else ["one/Tee/3.png"])


def test_merge_imports_neither_torch_nor_faiss() -> None:
    code = "import sys; from fashion_lsh.cli import merge; sys.exit(bool({'torch', 'faiss'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_merged_crops_need_no_source_images(
    two_folder_arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, original = [0], cropping._save

    def save(*arguments: object) -> None:
        calls[0] += 1
        if calls[0] > 15:
            raise KeyboardInterrupt
        original(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(cropping, "_save", save)
        with pytest.raises(KeyboardInterrupt):
            merge.main([str(tmp_path / "out"), *two_folder_arguments, "--crop"])
    assert not (tmp_path / "out/sources.json").exists()
    rows = run_merge(tmp_path / "out", *two_folder_arguments, "--crop")
    whole = run_merge(tmp_path / "other", *two_folder_arguments, "--crop")
    assert rows.checksum == whole.checksum
    for name in ("one", "two"):
        shutil.rmtree(tmp_path / name)
    (tmp_path / "out").rename(tmp_path / "moved")
    source = open_dataset("thesis30", str(tmp_path / "moved"), 0)
    assert len(source.catalogue()) == 40
    assert source.image(rows.column("image")[0]).shape == (60, 50, 3)


@pytest.mark.parametrize(
    ("argv", "message"),
    [(["nothing"], "'nothing': not a source"), (["a=x", "a=y"], "source 'a': passed twice"),
     (["mine:folder=x"], "no label map for source 'mine'; pass --map="), (["garments:shelf=x"], "data.source='shelf'"),
     (["garments:folder="], "data=folder needs data.root"), (["garments:folder=/x"], "/x: no such folder"),
     (["garments:folder=x", "--map", "garments"], "--map 'garments': no value"),
     (["garments:folder=x", "--max-per-category", "0"], "max_per_category=0")],
)  # fmt: skip
def test_merge_errors_are_printed_in_one_line(
    argv: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert merge.main([str(tmp_path / "out"), *argv]) == 1
    error = capsys.readouterr().err
    assert error.startswith("fashion-lsh merge: ")
    assert message in error
    assert not (tmp_path / "out/catalogue.parquet").exists()
