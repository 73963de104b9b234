"""Write report pages: python -m fashion_lsh report runs/latest, runs/backbones or experiments/backbones.

A run gets a report. A folder of runs, or an experiment with jobs/*.json, gets a page that compares them. The folder of
all experiments gets a page that checks their claims. Any other folder with a README.md gets that page as HTML. With
--repeats, the page of a stability study is written from runs that differ in seed and split.
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
    """Write a page per folder; print errors and continue; return 1 if any page failed."""
    args = build_parser().parse_args(argv)
    failed = False
    for folder in args.folders:
        try:
            sys.stdout.write(f"{_page(folder, args.base, args.repeats)}\n")
        except (OSError, ValueError) as error:
            sys.stderr.write(f"fashion_lsh report: {error}\n")
            failed = True
    return int(failed)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fashion_lsh report", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="run, folder of runs, or experiment")
    parser.add_argument("--base", default="", metavar="SETTINGS", help="baseline method, for example hash=none")
    parser.add_argument("--repeats", type=Path, nargs="*", metavar="RUN", help="runs of a stability study")
    return parser


def _page(folder: Path, base: str, repeats: Sequence[Path] | None) -> Path:
    if repeats is not None:
        return write_html(_study("stability").write_stability(folder, repeats))
    if has_jobs(folder):
        return write_html(write_sweep_page(folder, base))
    if base:
        raise ValueError(f"--base {base}: {folder} has no jobs to compare; omit --base")
    if (folder / CLAIMS).exists():
        return write_html(_study("claims").write_claims(folder))
    if (folder / "README.md").exists():
        return write_html(folder / "README.md")
    from fashion_lsh.report.page import write_report  # imports torch: slower than a table of 200 runs
    from fashion_lsh.runs.run import Run

    return write_report(Run(folder))


def _study(name: str) -> Any:
    """Import a module of fashion_lsh.studies only where it is used: no other package may depend on it.

    Raises:
        ValueError: a package is not installed.
    """
    try:
        return import_module(f"fashion_lsh.studies.{name}")
    except ModuleNotFoundError as error:
        raise ValueError(f"package {error.name} is not installed; install it to write this page") from error
