"""Precision and recall of the label check (fashion-lsh review) after labels are replaced at random.

    python -m benchmarks.label_noise RUN --ratio 0.05 --seed 0

Labels that are wrong in the data count as false alarms, so the precision is a lower bound.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tabulate import tabulate

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.review.duplicate_labels import near_duplicate_groups
from fashion_lsh.report.label_review import check_labels, encode_rows
from fashion_lsh.runs.run import Run


def replace_labels(catalogue: Catalogue, rows: np.ndarray, seed: int) -> Catalogue:
    """Replace the category of these rows, (n,) int64, by another one, drawn uniformly."""
    rng, categories = np.random.default_rng(seed), catalogue.column("category").copy()
    names = np.array(catalogue.categories, dtype=object)
    for row in rows:
        categories[row] = rng.choice(names[names != categories[row]])
    return catalogue.with_columns(category=categories)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("--ratio", type=float, default=0.05, help="ratio of labels to replace")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    run = Run(args.run)
    data = run.with_detections(run.instantiate(run.config["data"], GarmentData, box_selector=run.box_selector))
    rows, embeddings = encode_rows(run.model(), data)
    replaced = np.random.default_rng(args.seed).choice(rows, round(args.ratio * len(rows)), replace=False)
    noisy = replace_labels(data.catalogue, replaced, args.seed)
    check = check_labels(noisy, rows, embeddings, near_duplicate_groups(data.source, data.catalogue))
    is_replaced = np.isin([finding.row for finding in check.findings], replaced)
    counts = {"first 50": 50, f"first {len(replaced)}": len(replaced), "all": len(is_replaced)}
    table = [
        (name, count, is_replaced[:count].mean(), is_replaced[:count].sum() / len(replaced))
        for name, count in counts.items()
    ]
    print(f"{len(replaced):,} of {len(rows):,} labels replaced; chance precision {len(replaced) / len(rows):.3f}")
    print(tabulate(table, ["doubtful labels", "count", "precision", "recall"], floatfmt=".3f"))


if __name__ == "__main__":
    main()
