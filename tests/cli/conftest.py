"""A finished run, images to add to its gallery, and data sets to merge."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fashion_lsh.data import image_scan
from fashion_lsh.gallery import image_encoding
from fashion_lsh.runs.run import Run
from tests.cli.factories import SMALL, process

LABELS = ("Tee", "Bag")


@pytest.fixture(scope="session")
def runs(shapes: Path, shared: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """A runs folder with one finished run, made by a process of its own; no test changes it."""
    return shared("runs", lambda folder: process("train.py", *SMALL, f"data.root={shapes}", f"runs={folder}"))


@pytest.fixture
def run(runs: Path, tmp_path: Path) -> Run:
    """A copy of the finished run that tests may change."""
    shutil.copytree((runs / "latest").resolve(), tmp_path / "run")
    return Run(tmp_path / "run")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Twelve images of noise in one folder, without categories."""
    folder = tmp_path / "flat, new"
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
def two_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Arguments for two folders of images, ten per label, and their label map."""
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
        "label,category,group,why\nTee,t-shirt,,\nBag,bag,,\nRobe,,outer,spans two\nTie,,,no\n"
    )
    argv = [f"{name}:folder={tmp_path / name}" for name in ("one", "two")]
    return [*argv, *(f"--map={name}={tmp_path / 'map.csv'}" for name in ("one", "two"))]
