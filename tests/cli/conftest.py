"""Fixtures: a finished run, images to add to its gallery, and data sets to merge."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fashion_lsh.data import image_scan
from fashion_lsh.gallery import image_encoding
from fashion_lsh.runs.run import Run
from tests.cli.factories import SMALL, run_process
from tests.runs.factories import tiny_backbone

LABELS = ("Tee", "Bag")  # labels that the label map of two_folder_arguments maps to a category


@pytest.fixture(scope="session")
def runs(shapes: Path, shared_folder: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """Runs folder with a finished run, trained in a separate process; tests must not change the folder."""
    return shared_folder(
        "runs", lambda folder: run_process("train.py", *SMALL, f"data.root={shapes}", f"runs={folder}")
    )


@pytest.fixture
def run(runs: Path, tmp_path: Path) -> Run:
    """Copy of the finished run, which tests may change."""
    shutil.copytree((runs / "latest").resolve(), tmp_path / "run")
    return Run(tmp_path / "run")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Folder of twelve noise images without categories."""
    folder = tmp_path / "flat, new"  # a comma and a space in the path, since paths are written to CSV files
    folder.mkdir()
    rng = np.random.default_rng(1)
    for number in range(12):
        Image.fromarray(rng.integers(0, 256, (40, 30, 3), dtype=np.uint8)).save(folder / f"{number:02}.png")
    return folder


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Save a gallery after every five images."""
    monkeypatch.setattr(image_encoding, "CHUNK", 5)


@pytest.fixture
def two_folder_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Arguments of the merge command for two image folders and a label map.

    Each folder has ten images for each of LABELS, and a single image for each of two further labels, "Robe" and "Tie".
    """
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(image_scan, "MIN_CACHED_IMAGES", 0)
    rng = np.random.default_rng(0)
    for source in ("one", "two"):
        for label in (*LABELS, "Robe", "Tie"):
            (tmp_path / source / label).mkdir(parents=True)
            for number in range(10 if label in LABELS else 1):
                coarse = Image.fromarray(rng.integers(0, 256, (6, 5, 3), dtype=np.uint8))
                coarse.resize((50, 60), Image.Resampling.BICUBIC).save(tmp_path / source / label / f"{number}.png")
    shutil.copyfile(tmp_path / "one/Tee/0.png", tmp_path / "two/Tee/a copy.png")
    (tmp_path / "two/Tee/text.jpg").write_text("not an image")
    (tmp_path / "map.csv").write_text(
        "label,category,group,reason\nTee,t-shirt,,\nBag,bag,,\nRobe,,outer,spans two\nTie,,,no\n"
    )
    argv = [f"{name}:folder={tmp_path / name}" for name in ("one", "two")]
    return [*argv, *(f"--map={name}={tmp_path / 'map.csv'}" for name in ("one", "two"))]


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every backbone is a tiny network: for tests that train from scratch in this process."""
    monkeypatch.setattr("fashion_lsh.models.crop_model.create_backbone", tiny_backbone)
