"""A built wheel, installed without this checkout, trains and searches in an empty folder."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BUILD = "import sys, setuptools.build_meta as backend; backend.build_wheel(sys.argv[1])"
SOURCES = ("fashion_lsh", "conf", "hydra_plugins", "setup.py", "pyproject.toml", "README.md", "LICENSE")
FEW_IMAGES = ["data=folder", "data.image_size=32", "data.samples_per_epoch=32", "data.batch_size=16", "data.workers=0",
              "backbone.weights=null", "trainer=smoke", "logger=csv", "classifier.epochs=1"]  # fmt: skip

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Console script of a virtual environment with the built wheel and the libraries of this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        (folder / "source").mkdir(exist_ok=True)
        copy(ROOT / name, folder / "source" / name)
    subprocess.run(
        [sys.executable, "-c", BUILD, folder / "dist"], cwd=folder / "source", check=True, capture_output=True
    )
    [wheel] = (folder / "dist").glob("*.whl")
    venv.create(folder / "venv", with_pip=False)
    paths = {"base": str(folder / "venv"), "platbase": str(folder / "venv")}
    site_packages = Path(sysconfig.get_path("purelib", "venv", paths))
    (site_packages / "libraries.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    uv = shutil.which("uv") or Path(sys.prefix) / "tools/bin/uv"
    python = folder / "venv/bin/python"
    subprocess.run([uv, "pip", "install", "--quiet", "--offline", "--no-deps", "--python", python, wheel], check=True)
    return folder / "venv/bin/fashion-lsh"


def run(program: Path, folder: Path, *argv: object, status: int = 0) -> str:
    done = subprocess.run(
        [program, *map(str, argv)], cwd=folder, capture_output=True, text=True, timeout=250, env=dict(os.environ)
    )
    assert done.returncode == status, (done.stdout + done.stderr)[-3000:]
    return done.stdout


def test_the_wheel_has_the_data_files_of_the_package(program: Path) -> None:
    names = subprocess.run(
        ["git", "ls-files", "fashion_lsh"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    [installed] = program.parents[1].glob("lib/python*/site-packages")
    missing = [name for name in names if not name.endswith(".py") and not (installed / name).exists()]
    assert missing == []


def test_installed_wheel_trains_and_searches_in_an_empty_folder(program: Path, shapes: Path, tmp_path: Path) -> None:
    python = program.with_name("python")
    code = "import fashion_lsh; print(fashion_lsh.__file__)"
    printed = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert Path(printed.strip()).is_relative_to(program.parents[1])
    assert "config files" in run(program, tmp_path, "doctor")
    run(program, tmp_path, "train", "experiment=demo", *FEW_IMAGES, f"data.root={shapes}")
    assert (tmp_path / "runs/latest/metrics.json").exists()
    shutil.copy(ROOT / "docs/street.png", tmp_path)
    assert "predicted category" in run(program, tmp_path, "search", "runs/latest", "street.png", "--k", 3)


def test_the_wheel_has_the_sweeper(program: Path, tmp_path: Path) -> None:
    command = [program, "train", "-m", "hydra/sweeper=optuna", "hash.bits=24,48"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=250, env=dict(os.environ))
    assert done.returncode == 2
    assert "sweep.metric=null" in done.stderr  # raised by the sweeper


def test_config_folder_of_the_user_is_added(program: Path, tmp_path: Path) -> None:
    (tmp_path / "my_conf/experiment").mkdir(parents=True)
    (tmp_path / "my_conf/experiment/mine.yaml").write_text("# @package _global_\nname: mine\n")
    printed = run(program, tmp_path, "train", "--config-dir", "my_conf", "experiment=mine", "--cfg", "job")
    assert "\nname: mine\n" in printed
    run(program, tmp_path, "train", "experiment=mine", "--cfg", "job", status=2)
