"""Write pages: python -m fashion_lsh report runs/latest, runs/backbones or experiments/backbones.

Of a run its report; of a folder of runs, or an experiment with jobs/*.json, one page that compares them; of the folder
of all experiments a page that tells which claims hold. An experiment whose README.md another command writes is shown as
it is. With --repeats the page of a stability study is written from these runs, which differ in seed and split.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from fashion_lsh.report.html import write_html
from fashion_lsh.report.sweep.jobs import has_jobs
from fashion_lsh.report.sweep.page import write_sweep_page

CLAIMS = "claims.md.j2"  # template in the folder of all experiments


def main(argv: Sequence[str] | None = None) -> int:
    """Write each page; a folder without one is named, and the others are written."""
    parser = argparse.ArgumentParser(
        prog="python -m fashion_lsh report", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="a run, runs, or an experiment")
    parser.add_argument("--base", default="", metavar="SETTINGS", help="of the row others are compared with: hash=none")
    parser.add_argument("--repeats", type=Path, nargs="*", metavar="RUN", help="runs of a stability study")
    args = parser.parse_args(argv)
    failed = False
    for folder in args.folders:
        try:
            sys.stdout.write(f"{_page(folder, args.base, args.repeats)}\n")
        except (OSError, ValueError) as error:
            sys.stderr.write(f"fashion_lsh report: {error}\n")
            failed = True
    return int(failed)


def _page(folder: Path, base: str, repeats: Sequence[Path] | None) -> Path:
    if repeats is not None:
        return write_html(_study("stability").write_stability(folder, repeats))
    if has_jobs(folder):
        return write_html(write_sweep_page(folder, base))
    if base:
        raise ValueError(f"--base {base} names a row to compare with, and {folder} has no jobs: leave it out")
    if (folder / CLAIMS).exists():
        return write_html(_study("claims").write_claims(folder))
    if (folder / "README.md").exists():
        return write_html(folder / "README.md")
    from fashion_lsh.report.page import write_report  # these import torch, which takes longer than a table of 200 runs
    from fashion_lsh.runs.run import Run

    return write_report(Run(folder))


def _study(name: str) -> Any:
    """A module of fashion_lsh.studies, on which nothing else depends.

    Raises:
        ValueError: it is not installed.
    """
    try:
        return import_module(f"fashion_lsh.studies.{name}")
    except ModuleNotFoundError as error:
        raise ValueError(f"this page needs {error.name}, which is not installed") from error
