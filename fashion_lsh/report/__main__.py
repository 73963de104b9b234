"""What was found, as pages: python -m fashion_lsh.report runs/latest, runs/backbones or experiments/backbones.

Of a run its report; of a folder of runs, or an experiment with jobs/*.json, one page that compares them; of the folder
of all experiments (one with verdict.md.j2) a page that tells which claims hold. An experiment whose README.md another
command writes is shown as it is.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from fashion_lsh.report.html import write_html
from fashion_lsh.report.sweep.jobs import are_jobs
from fashion_lsh.report.sweep.page import gather
from fashion_lsh.studies.claims import TEMPLATE, write_verdict


def main(words: Sequence[str] | None = None) -> int:
    """Write each page; a folder that has none to give is named, and the others are written."""
    parser = argparse.ArgumentParser(
        prog="python -m fashion_lsh.report", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="a run, runs, or an experiment")
    parser.add_argument("--base", default="", metavar="SETTINGS", help="of the row others are compared with: hash=none")
    asked = parser.parse_args(words)
    failed = False
    for folder in asked.folders:
        try:
            sys.stdout.write(f"{_page(folder, asked.base)}\n")
        except (OSError, ValueError) as error:
            sys.stderr.write(f"fashion_lsh.report: {error}\n")
            failed = True
    return int(failed)


def _page(folder: Path, base: str) -> Path:
    if are_jobs(folder):
        return write_html(gather(folder, base))
    if base:
        raise ValueError(f"--base {base} names a row to compare with, and {folder} has no jobs: leave it out")
    if (folder / TEMPLATE).exists():
        return write_html(write_verdict(folder))
    if (folder / "README.md").exists():
        return write_html(folder / "README.md")
    from fashion_lsh.report.page import write_report  # these import torch, which takes longer than a table of 200 runs
    from fashion_lsh.runs.run import Run

    return write_report(Run(folder))


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    sys.exit(main())
