"""Write report pages.

For a run, write a report; for two runs, A and B, also a page that compares them query by query, in the folder
A/report/compare-B. For a folder of runs, or an experiment with jobs/*.parquet, write a page that compares all
runs; page.yaml in the folder may set its columns and base. For the folder of all experiments, write a page that checks
the claims. For any other folder with a README.md, convert README.md to HTML.

examples:
  fashion-lsh report runs/latest
  fashion-lsh report runs/backbones/A runs/backbones/B
  fashion-lsh report runs/backbones
  fashion-lsh report runs/backbones --columns top-1 "item recall@10" --base backbone.name=resnet18
  fashion-lsh report experiments/backbones
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from fashion_lsh.cli.command import add_trust, create_parser
from fashion_lsh.report.html import write_html
from fashion_lsh.report.page_settings import read_page_settings
from fashion_lsh.report.sweep.jobs import has_jobs
from fashion_lsh.report.sweep.page import write_sweep_page

CLAIMS = "claims.md.j2"  # template file in the folder of all experiments


def main(argv: Sequence[str] | None = None) -> int:
    """Write a page per folder, and one that compares two runs.

    Errors are printed; the other pages are written. Nothing is written if a folder is missing or repeated. The
    comparison is skipped if a run has no report.

    Returns:
        1 if a page could not be written, else 0.
    """
    args = build_parser().parse_args(argv)
    if error := _folders_error(args.folders):
        sys.stderr.write(f"fashion-lsh report: {error}\n")
        return 1
    pages = [partial(_write_page, folder, args.base, args.columns, args.trust) for folder in args.folders]
    has_failed = sum(map(_failed, pages)) > 0
    if not has_failed and len(args.folders) == 2 and all(map(_is_run, args.folders)):
        first, second = args.folders
        has_failed = _failed(partial(_write_comparison, first, second, args.trust))
    return int(has_failed)


def _folders_error(folders: Sequence[Path]) -> str:
    """Describe missing and repeated folders; "" if there are none."""
    missing = [str(folder) for folder in folders if not folder.is_dir()]
    if missing:
        return f"{', '.join(missing)}: no such folder; pass runs, folders of runs or experiments"
    if len({folder.resolve() for folder in folders}) < len(folders):
        return f"{' '.join(map(str, folders))}: a folder is repeated; pass each folder once"
    return ""


def _failed(write: Callable[[], Path]) -> bool:
    """Write a page and print its path; True if it could not be written, with the reason on stderr."""
    try:
        sys.stdout.write(f"{write()}\n")
    except (OSError, ValueError) as error:
        sys.stderr.write(f"fashion-lsh report: {error}\n")
        return True
    return False


def build_parser() -> argparse.ArgumentParser:
    parser = create_parser("report", __doc__)
    parser.add_argument(
        "folders",
        type=Path,
        nargs="+",
        metavar="FOLDER",
        help="run, folder of runs, or experiment; two runs are also compared",
    )
    parser.add_argument(
        "--base", default="", metavar="SETTINGS", help="method to compare the other methods with, for example hash=none"
    )
    parser.add_argument(
        "--columns", nargs="+", default=(), metavar="METRIC",
        help='metrics of the table, for example "item recall@10" or lsh/item/map@100 (default: page.yaml)',
    )  # fmt: skip
    add_trust(parser)
    return parser


def _write_page(folder: Path, base: str, columns: Sequence[str], trust: bool) -> Path:
    study = read_page_settings(folder).study
    if (base or columns) and (study or not has_jobs(folder)):
        raise ValueError(f"{folder} has no jobs to compare; omit --base and --columns")
    if study:
        return write_html(_import_study(study).write_study(folder))
    if has_jobs(folder):
        return write_html(write_sweep_page(folder, base, columns))
    if (folder / CLAIMS).exists():
        return write_html(_import_study("claims").write_claims(folder))
    if (folder / "README.md").exists():
        return write_html(folder / "README.md")
    # Imported here, since importing torch takes longer than writing a page of 200 runs.
    from fashion_lsh.report.page import write_report
    from fashion_lsh.runs.run import Run

    return write_report(Run(folder, trust))


def _is_run(folder: Path) -> bool:
    return (folder / "config.yaml").is_file()


def _write_comparison(first: Path, second: Path, trust: bool) -> Path:
    from fashion_lsh.report.comparison.page import write_comparison
    from fashion_lsh.runs.run import Run

    return write_comparison(Run(first, trust), Run(second, trust))


def _import_study(name: str) -> Any:
    """Import a module of fashion_lsh.studies at run time: other packages must not depend on fashion_lsh.studies.

    Raises:
        ValueError: a package that the module imports is not installed.
    """
    try:
        return import_module(f"fashion_lsh.studies.{name}")
    except ModuleNotFoundError as error:
        raise ValueError(f"package {error.name} is not installed; install it to write this page") from error
