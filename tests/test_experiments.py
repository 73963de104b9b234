"""Run one job of each command in experiments/ on a few images: make experiments-smoke."""

import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fashion_lsh.cli.reproduce import ROOT, TRAIN, Page, expand_jobs, pages, resolve_settings
from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datasets import open_dataset

SMALLEST = ["data=shop_street", "data.sources=null", "data.image_size=64", "data.workers=0", "trainer=smoke",
            "logger=csv", "hydra.mode=RUN", "classifier.epochs=1"]  # fmt: skip
SHORTEST = {"experiment=speedup": ["study.sizes=[1600]", "study.composed=1600", "study.num_queries=5"],
            "experiment=distances": ["study.gallery_size=300", "study.num_queries=5"]}  # fmt: skip
FEW = {"train": 32, "val": 16, "query": 8, "gallery": 8}  # images per category, of four categories


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of a catalogue of a few composed images, stored beside it."""
    folder = tmp_path_factory.mktemp("few")
    source = open_dataset("shop_street", None, 0)
    full = source.catalogue({"category": ["bag", "coat", "dress", "shirt"]})
    rows = [full.rows(split)[full.column("category")[full.rows(split)] == name][:count]
            for split, count in FEW.items() for name in full.categories]  # fmt: skip
    chosen = full.take(np.concatenate(rows))
    names = {key: f"{number}.png" for number, key in enumerate(sorted(set(chosen.column("image"))))}
    for key, name in names.items():
        Image.fromarray(source.image(key)).save(folder / name)
    chosen.with_columns(image=[names[key] for key in chosen.column("image")]).save(folder / "few.parquet")
    return folder / "few.parquet"


def smallest(line: str, folder: Path, images: Path | None) -> list[str]:
    """Arguments of a line's first job, reduced to `images` and few epochs, with all outputs below `folder`."""
    script, *words = shlex.split(line, comments=True)[1:]
    if script != TRAIN:
        return [script, f"run={folder}/runs/latest", f"page={folder}/page", words[-1], *SHORTEST[words[-1]]]
    words = [word for word in expand_jobs(line)[0] if not word.startswith(("data.", "detector.level="))]
    settings = resolve_settings(words)
    words += [*SMALLEST, f"runs={folder}/runs", f"jobs={folder}/jobs"]
    words += ["data.source=folder", f"data.root={images}"] if images else []
    words += ["detector.image_size=64", "detector.level=garment", "detector.epochs=1"] if settings["detector"] else []
    words += ["hash.epochs=1"] if settings["hash"] else []
    words += ["split.unseen=[bag,coat]"] if "unseen" in settings["split"] else []
    return [TRAIN, *words]


@pytest.mark.smoke
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_one_job_of_each_command(page: Page, few: Path, tmp_path: Path) -> None:
    for line in page.lines:
        if not line.startswith("python -m "):
            arguments = smallest(line, tmp_path, few if page.has_jobs else None)
            done = subprocess.run([sys.executable, *arguments], cwd=ROOT, stdout=-1, stderr=-2, text=True)
            assert done.returncode == 0, f"{line}\n{shlex.join(arguments)}\n{done.stdout[-3000:]}"
    assert any(tmp_path.glob("jobs/*.json" if page.has_jobs else "page/results.csv"))


def test_small_catalogue_has_four_splits(few: Path) -> None:
    catalogue = Catalogue.open(few)
    assert {split: len(catalogue.rows(split)) for split in FEW} == {split: 4 * count for split, count in FEW.items()}
    assert all((few.parent / name).exists() for name in catalogue.column("image"))
