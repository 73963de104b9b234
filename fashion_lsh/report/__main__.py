"""Write the reports of finished runs: python -m fashion_lsh.report runs/latest."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from fashion_lsh.report.page import write_report
from fashion_lsh.run import Run


def main(words: Sequence[str] | None = None) -> int:
    """Write each report; a run that has none to give is named, and the others are written."""
    parser = argparse.ArgumentParser(prog="python -m fashion_lsh.report", description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="a folder of train.py, runs/latest say")
    failed = False
    for path in parser.parse_args(words).runs:
        try:
            sys.stdout.write(f"{write_report(Run(path))}\n")
        except (OSError, ValueError) as error:
            sys.stderr.write(f"fashion_lsh.report: {error}\n")
            failed = True
    return int(failed)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    sys.exit(main())
