"""Run commands as a user does; settings of small runs, galleries of runs, and merged catalogues."""

import io
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from fashion_lsh.__main__ import main as command_line
from fashion_lsh.cli import gallery, merge
from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.metrics.results import ResultTable
from fashion_lsh.runs.result_file import read_results_file
from fashion_lsh.runs.run import Run

ROOT = Path(__file__).parents[2]
SMALL = ["backbone=resnet18", "backbone.weights=null", "data=folder",
         "data.image_size=32", "data.batch_size=16", "data.workers=0",
         "trainer=smoke", "logger=csv", "classifier.epochs=1"]  # fmt: skip
DETECTOR = [*SMALL, "crop=detected", "detector.image_size=64", "detector.channels=16", "detector.head=32",
            "detector.anchors=[8.0,16.0,32.0,48.0,64.0]", "detector.proposals=[60,30]", "detector.roi_batch_size=16",
            "detector.epochs=1", "detector.optim.lr=0.002", "crop.min_score=0.01", "crop.select=best"]  # fmt: skip
RATE_PATTERN = re.compile(r" \([\d.]+ per second\)")


def run_script(name: str, *argv: object, status: int = 0, folder: Path = ROOT) -> str:
    """Run `train.py`, `evaluate.py`, or another command of `fashion-lsh` in this process and folder; return the output.

    A separate process (see `run_process`) would spend most of its time on imports.
    """
    printed = io.StringIO()
    words = [str(word) for word in argv]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed), redirect_stderr(printed), restore_logging():
        patch.setattr(sys, "argv", [name, *words])
        patch.chdir(folder)
        try:
            returned: int | str | None = command_line([name.removesuffix(".py"), *words])
        except SystemExit as system_exit:
            returned = system_exit.code
    assert (returned or 0) == status, printed.getvalue()[-3000:]
    return printed.getvalue()


def read_results(run: Path) -> ResultTable:
    """All results of a run folder, which may be the link `latest`."""
    return read_results_file(run / "results.parquet").results


def scores_without_times(run: Path) -> dict[str, float]:
    """All results of a run by flat name, except times."""
    return {name: value for name, value in read_results(run).flat().items() if "_ms" not in name}


def run_process(name: str, *argv: object, status: int = 0) -> str:
    """Run a command as `run_script` does, but in a separate process."""
    program = [str(ROOT / name)] if name.endswith(".py") else ["-m", "fashion_lsh", name]
    command = [sys.executable, *program, *map(str, argv)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, env=dict(os.environ))
    printed = done.stdout + done.stderr
    assert done.returncode == status, printed[-3000:]
    return printed


@contextmanager
def restore_logging() -> Iterator[None]:
    """Restore handlers and levels of all loggers, which Hydra and the command line configure."""
    loggers = [logging.getLogger(), *(logging.getLogger(name) for name in logging.root.manager.loggerDict)]
    before = [(logger, logger.handlers[:], logger.level, logger.disabled, logger.propagate) for logger in loggers]
    logging.getLogger().handlers.clear()
    yield
    for name in logging.root.manager.loggerDict.keys() - {logger.name for logger, *_ in before}:
        logging.getLogger(name).setLevel(logging.NOTSET)
    for logger, handlers, level, disabled, propagate in before:
        logger.handlers[:], logger.disabled, logger.propagate = handlers, disabled, propagate
        logger.setLevel(level)


def run_gallery(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[int, str]:
    """Run the gallery command in this process; return exit status and output, without the rate in the output."""
    capsys.readouterr()
    status = gallery.main([str(word) for word in argv])
    printed = capsys.readouterr()
    return status, RATE_PATTERN.sub("", printed.out + printed.err)


def open_gallery(run: Run) -> Gallery:
    return run.gallery(run.model().fingerprint())


def gallery_ids(run: Run) -> list[str]:
    return open_gallery(run).catalogue.column("id").tolist()


def write_ids(folder: Path, names: list[str]) -> Path:
    """Write a file of ids for `gallery RUN remove`."""
    file = folder / "ids.txt"
    file.write_text("\n".join(names) + "\n")
    return file


def run_merge(out: Path, *argv: str) -> Catalogue:
    """Run the merge command in this process; return the written catalogue."""
    assert merge.main([str(out), *argv]) == 0
    return Catalogue.open(out / "catalogue.parquet")
