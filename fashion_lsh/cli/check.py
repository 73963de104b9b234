"""Check which files of a data set are present, and name all missing ones.

Image files are not opened. Exit status 1: a required file or folder is missing, or no image exists. --json prints all
unusable rows and missing images; the keys are data_set, root, passed, error, files, unit, splits (count and published
count), garments, labels, unusable_rows (with reasons), images, missing_images and missing_folders (folders of which all
listed images are missing, with the number of images).

examples:
  fashion-lsh check modanet /data/modanet
  fashion-lsh check modanet /data/modanet --json
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from fashion_lsh.cli.command import create_parser
from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datasets import FASHION_MNIST, FILE_DATASETS, open_dataset
from fashion_lsh.data.datasets.embedding_files import EmbeddingFiles
from fashion_lsh.data.datasets.fashion_mnist import FashionMnist
from fashion_lsh.data.datasets.image_files import MISSING_IMAGE, ImageFiles, PublishedCounts
from fashion_lsh.data.image_scan import MISSING, file_state

MAX_LISTED = 5  # maximum number of printed rows or images of each problem


def main(argv: Sequence[str] | None = None) -> int:
    """Print the files, row counts and missing images of a data set; return the exit status."""
    args = build_parser().parse_args(argv)
    report = check_dataset(args.dataset, args.root)
    if args.json:
        print(json.dumps(report, indent=1))
    else:
        _print_report(report)
    if report["error"]:
        print(f"fashion-lsh check: {args.dataset}: {report['error']}", file=sys.stderr)
    return int(not report["passed"])


def build_parser() -> argparse.ArgumentParser:
    parser = create_parser("check", __doc__)
    names = sorted([*FILE_DATASETS, FASHION_MNIST])
    parser.add_argument("dataset", metavar="DATA_SET", choices=names, help=f"data set: {', '.join(names)}")
    parser.add_argument("root", type=Path, metavar="ROOT", help="folder or manifest of the data set")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def check_dataset(name: str, root: Path) -> dict[str, Any]:
    """Check a data set; the report ends before the first step that fails, whose reason is `error`."""
    report: dict[str, Any] = {"data_set": name, "root": str(root), "passed": False, "error": None}
    try:
        source = open_dataset(name, str(root), 0)
        if isinstance(source, ImageFiles):
            if not source.root.exists():
                raise FileNotFoundError(f"{source.root}: no such folder or file")
            report["files"] = _check_files(source)
            report["error"] = _describe_missing(source.root, report["files"])
            report |= _check_rows(source)
            report["passed"] = not report["error"] and len(report["missing_images"]) < report["images"]
        elif isinstance(source, FashionMnist):  # all files are present, otherwise open_dataset raises an error
            report |= _count_rows(source.catalogue(), source.published) | {"passed": True}
        elif isinstance(source, EmbeddingFiles):
            report |= _count_rows(source.catalogue(), PublishedCounts({})) | {"passed": True}
        else:
            raise ValueError("a merged catalogue has no published files to check; see card.md in its folder")
    except (OSError, ValueError) as error:
        report["error"] = report["error"] or str(error)  # a missing file is the reason for an error of reading
    return report


def _check_files(source: ImageFiles) -> list[dict[str, str]]:
    """Return the status of each file of the published layout (see `ExpectedFile.status`)."""
    return [
        {"pattern": each.pattern, "content": each.description, "status": each.status(source.folder)}
        for each in source.expected
    ]


def _describe_missing(root: Path, files: Sequence[dict[str, str]]) -> str | None:
    """Name all missing files and folders in one message; None if none is missing."""
    missing = [f"{_alternatives(file)} ({file['content']})" for file in files if file["status"] == "missing"]
    if not missing:
        return None
    return f"{root}: missing: {'; '.join(missing)}; unpack the published archives there, or pass another folder"


def _alternatives(file: dict[str, str]) -> str:
    return file["pattern"].replace("|", " or ")


def _check_rows(source: ImageFiles) -> dict[str, Any]:
    """Count rows; list unusable rows with reasons, and missing images."""
    rows, skipped = source.list_garments()
    images = sorted(set(rows.column("image")))
    missing = [name for name in images if file_state(source.folder / name) == MISSING]
    rows_without_image = [name for name, reason in skipped.items() if reason.startswith(MISSING_IMAGE)]
    # A missing image is named by its path in the annotations; found images of such data sets have this path as id.
    listed = rows.column("id").tolist() if rows_without_image else images
    return _count_rows(rows, source.published or PublishedCounts({})) | {
        "unusable_rows": {name: reason for name, reason in skipped.items() if not reason.startswith(MISSING_IMAGE)},
        "images": len(images) + len(rows_without_image),
        "missing_images": [str(source.folder / name) for name in missing] + rows_without_image,
        "missing_folders": _missing_folders(listed + rows_without_image, missing + rows_without_image),
    }


def _missing_folders(images: Sequence[str], missing_images: Sequence[str]) -> dict[str, int]:
    """Count the images of each folder of which all listed images are missing, without folders in such a folder."""
    totals, missing = (Counter(str(folder) for name in names for folder in Path(name).parents)
                       for names in (images, missing_images))  # fmt: skip
    empty = {folder for folder, count in missing.items() if count == totals[folder]}
    return {
        folder: missing[folder]
        for folder in sorted(empty)
        if (parent := str(Path(folder).parent)) == folder or parent not in empty
    }


def _count_rows(rows: Catalogue, published: PublishedCounts) -> dict[str, Any]:
    """Count garments, labels, and the garments or images of each split, with the published counts if known."""
    split_of_image = dict(zip(rows.column("image"), rows.column("split"), strict=True))
    splits = list(split_of_image.values() if published.unit == "images" else rows.column("split"))
    counts = Counter(map(str, splits)) | {"all": len(splits)}
    names = [*sorted((counts.keys() | published.counts.keys()) - {"all"}), "all"]
    return {
        "unit": published.unit,
        "splits": {name: {"count": counts.get(name, 0), "published": published.counts.get(name)} for name in names},
        "garments": len(rows),
        "labels": len(rows.categories),
    }


def _print_report(report: dict[str, Any]) -> None:
    statuses = {"missing": "MISSING", "optional": "absent (optional)"}
    if report.get("files"):
        table = [
            (_alternatives(file), file["content"], statuses.get(file["status"], file["status"]))
            for file in report["files"]
        ]
        print(tabulate(table, ["file or folder", "content", "status"]), end="\n\n")
    if "splits" in report:
        _print_counts(report["splits"], report["unit"])
    if "images" in report:
        unusable_rows, missing_images = report["unusable_rows"], report["missing_images"]
        print(f"{report['garments']:,} garments with {report['labels']} labels; {len(unusable_rows):,} unusable rows")
        _print_lines([f"{name}: {reason}" for name, reason in unusable_rows.items()])
        print(f"{len(missing_images):,} of {report['images']:,} images are missing")
        _print_lines(missing_images)
        folders = [f"{folder}: all {count:,} listed images" for folder, count in report["missing_folders"].items()]
        print(f"{len(folders):,} folders without any listed image")
        _print_lines(folders)


def _print_counts(splits: dict[str, dict[str, int | None]], unit: str) -> None:
    """Print the size of each split; if sizes are published, also the published size and the difference from it."""
    table = []
    for name, sizes in splits.items():
        count, published_count = sizes["count"] or 0, sizes["published"]
        row = [name or "no split", f"{count:,}"]
        if published_count is not None:
            row += [f"{published_count:,}", f"{count - published_count:+,}" if count != published_count else "matches"]
        table.append(row)
    has_published = any(sizes["published"] is not None for sizes in splits.values())
    print(tabulate(table, ["split", unit, *(["published count", "difference"] if has_published else [])]), end="\n\n")


def _print_lines(lines: Sequence[str]) -> None:
    for line in lines[:MAX_LISTED]:
        print(f"  {line}")
