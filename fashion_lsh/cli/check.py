"""Check which files of a data set are present.

Image files are not opened. Exit status 1: a required file or folder is missing, or no image exists.

example:
  fashion-lsh check modanet /data/modanet
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tabulate import tabulate

from fashion_lsh.cli.command import create_parser
from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datasets import FASHION_MNIST, FILE_DATASETS, open_dataset
from fashion_lsh.data.datasets.fashion_mnist import FashionMnist
from fashion_lsh.data.datasets.image_files import MISSING_IMAGE, ImageFiles, PublishedCounts
from fashion_lsh.data.image_scan import MISSING, file_state

MAX_LISTED = 5  # maximum number of printed rows or images of each problem


def main(argv: Sequence[str] | None = None) -> int:
    """Print the files, row counts and missing images of a data set; return the exit status."""
    args = build_parser().parse_args(argv)
    try:
        source = open_dataset(args.dataset, str(args.root), 0)
        if isinstance(source, ImageFiles):
            is_complete = _print_files(source)
            return 0 if _print_rows(source) and is_complete else 1
        if isinstance(source, FashionMnist):  # all files are present, otherwise open_dataset raises an error
            _print_counts(source.catalogue(), source.published)
            return 0
        raise ValueError("a merged catalogue has no published files to check; see card.md in its folder")
    except (OSError, ValueError) as error:
        print(f"fashion-lsh check: {args.dataset}: {error}", file=sys.stderr)
        return 1


def build_parser() -> argparse.ArgumentParser:
    parser = create_parser("check", __doc__)
    names = sorted([*FILE_DATASETS, FASHION_MNIST])
    parser.add_argument("dataset", metavar="DATA_SET", choices=names, help=f"data set: {', '.join(names)}")
    parser.add_argument("root", type=Path, metavar="ROOT", help="folder or manifest of the data set")
    return parser


def _print_files(source: ImageFiles) -> bool:
    """Print the status of each file of the published layout; return whether all required files are present."""
    table, is_complete = [], True
    for expected in source.expected:
        is_present = any(next(source.folder.glob(pattern), None) is not None for pattern in expected.pattern.split("|"))
        is_complete &= is_present or not expected.required
        status = "present" if is_present else "MISSING" if expected.required else "absent (optional)"
        table.append((expected.pattern.replace("|", " or "), expected.description, status))
    if table:
        print(tabulate(table, ["file or folder", "content", "status"]), end="\n\n")
    return is_complete


def _print_rows(source: ImageFiles) -> bool:
    """Print row counts, unusable rows and missing images; return whether at least one image exists."""
    rows, skipped = source.list_garments()
    _print_counts(rows, source.published or PublishedCounts({}))
    images = sorted(set(rows.column("image")))
    missing_images = [str(source.folder / name) for name in images if file_state(source.folder / name) == MISSING]
    rows_without_image = [name for name, reason in skipped.items() if reason.startswith(MISSING_IMAGE)]
    unusable_rows = [f"{name}: {reason}" for name, reason in skipped.items() if not reason.startswith(MISSING_IMAGE)]
    print(f"{len(rows):,} garments with {len(rows.categories)} labels; {len(unusable_rows):,} unusable rows")
    _print_lines(unusable_rows)
    num_missing, num_images = (len(names) + len(rows_without_image) for names in (missing_images, images))
    print(f"{num_missing:,} of {num_images:,} images are missing")
    _print_lines(missing_images + rows_without_image)
    return len(missing_images) < len(images)


def _print_counts(rows: Catalogue, published: PublishedCounts) -> None:
    """Print the size of each split; if sizes are published, also the published size and the difference from it."""
    split_of_image = dict(zip(rows.column("image"), rows.column("split"), strict=True))
    splits = list(split_of_image.values() if published.unit == "images" else rows.column("split"))
    counts = Counter(splits) | {"all": len(splits)}
    table = []
    for name in [*sorted((counts.keys() | published.counts.keys()) - {"all"}), "all"]:
        count, published_count = counts.get(name, 0), published.counts.get(name)
        row = [name or "no split", f"{count:,}"]
        if published_count is not None:
            row += [f"{published_count:,}", f"{count - published_count:+,}" if count != published_count else "matches"]
        table.append(row)
    headers = ["split", published.unit, *(["published count", "difference"] if published.counts else [])]
    print(tabulate(table, headers), end="\n\n")


def _print_lines(lines: Sequence[str]) -> None:
    for line in lines[:MAX_LISTED]:
        print(f"  {line}")
