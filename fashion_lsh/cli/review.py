"""Find rows of a run's data that are worth a second look: labels, near-duplicates with two labels, outliers.

Labels: confident learning with a classifier that is fitted to the embeddings of the run by 5-fold cross-validation.
Outliers: the 1 % of garments that are farthest from their 10 nearest neighbours. Writes review.csv, and contact sheets
with the numbers of its lines. Edit the columns `action` (relabel, exclude, keep) and `new_category`, then set
data.corrections=review/review.csv in the train command.

examples:
  fashion-lsh review runs/latest --out review
  fashion-lsh review runs/latest --out review --limit 50
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from fashion_lsh.cli.command import add_trust, create_parser, positive_int, report_errors


@report_errors("review")
def main(argv: Sequence[str] | None = None) -> int:
    """Review the data of a run, write the files, print a summary."""
    args = build_parser().parse_args(argv)
    from fashion_lsh.data.datamodule import GarmentData
    from fashion_lsh.report.label_review import check_new, describe_review, review_data, write_review
    from fashion_lsh.runs.run import Run

    check_new(args.out)
    run = Run(args.run, args.trust)
    model = run.model()
    data = run.instantiate(run.config["data"], GarmentData, box_selector=run.box_selector)
    data = run.with_detections(data)
    review = review_data(model, data, args.limit)
    print(describe_review(review, write_review(args.out, review, data)))
    return 0


def build_parser() -> argparse.ArgumentParser:
    parser = create_parser("review", __doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder, for example runs/latest")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder to write to")
    parser.add_argument("--limit", type=positive_int, default=200, metavar="N", help="rows per reason (default: 200)")
    add_trust(parser)
    return parser
