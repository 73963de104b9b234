"""Search the gallery of a finished run with query images.

Unreadable images are skipped and listed on stderr; the exit status is then 1. --out writes hits.parquet, hits.csv and
contact_sheet.png; their columns, like the keys of --json, are query, rank, id, path, category, item, distance and
folded (number of other images of the item, with --unique-items). Options replace the search settings of the run.

examples:
  fashion-lsh search runs/latest street.jpg --k 12 --sheet found.png
  fashion-lsh search runs/latest queries --out hits
  fashion-lsh search runs/latest street.jpg --json
  fashion-lsh search runs/latest street.jpg --where "price < 50 and color = 'red'" --unique-items
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fashion_lsh.cli.command import (
    add_trust,
    count_or_all,
    create_parser,
    distance_or_auto,
    finite_float,
    positive_int,
    report_errors,
)
from fashion_lsh.cli.encode import list_images

if TYPE_CHECKING:
    from fashion_lsh.runs.run import Run
    from fashion_lsh.search.result import SearchResult
    from fashion_lsh.search.searcher import Searcher

SETTINGS = (  # of SearchPolicy
    "bits", "nprobe", "min_probability", "coverage", "by", "exclude", "where", "unique_items", "max_distance",
)  # fmt: skip
UNCERTAIN = 0.8  # below this probability of the predicted category, the runner-up is printed


@report_errors("search")
def main(argv: Sequence[str] | None = None) -> int:
    """Search with each image and print the hits; skip unreadable images; return the exit status."""
    args = build_parser().parse_args(argv)
    from fashion_lsh.runs.run import Run

    run = Run(args.run, args.trust)
    searcher, images = _open_searcher(run, args), list_images(args.images)
    results_by_image: list[tuple[Path, SearchResult]] = []
    records: list[dict[str, Any]] = []
    skipped = 0
    for path in images:
        try:
            results = _search_garments(searcher, path, args)
        except ValueError as error:
            prefix = "" if str(path) in str(error) else f"{path}: "
            print(f"fashion-lsh search: skipped {prefix}{error}", file=sys.stderr)
            skipped += 1
            continue
        for name, result in results:
            query = f"{path}{name}"
            found = _hit_records(query, result)
            records += found
            results_by_image.append((path, result))
            if not args.json:
                print(_format_result(query, result, found, searcher))
    if args.json:
        print(json.dumps(records, indent=1))
    if args.out:
        _write_hits(args.out, records)
    sheet = args.sheet or (args.out / "contact_sheet.png" if args.out else None)
    has_sheet = not (sheet and results_by_image) or _write_sheet(sheet, run, searcher, results_by_image)
    return int(bool(skipped) or not has_sheet)


def _hit_records(query: str, result: SearchResult) -> list[dict[str, Any]]:
    """Return the hits of a query by rank, with the columns of hits.parquet."""
    columns = ("id", "path", "category", "item", "distance", "folded")
    return [
        {"query": query, "rank": rank} | {name: getattr(hit, name) for name in columns}
        for rank, hit in enumerate(result.hits, start=1)
    ]


def _write_hits(folder: Path, records: Sequence[dict[str, Any]]) -> None:
    """Write hits.parquet and hits.csv."""
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet as pq

    from fashion_lsh.io.files import atomic_write

    fields = [("query", pa.string()), ("rank", pa.int32()), ("id", pa.string()), ("path", pa.string()),
              ("category", pa.string()), ("item", pa.string()), ("distance", pa.float64()),
              ("folded", pa.int32())]  # fmt: skip
    table = pa.Table.from_pylist(list(records), schema=pa.schema(fields))
    for name, write in (("hits.parquet", pq.write_table), ("hits.csv", pyarrow.csv.write_csv)):
        with atomic_write(folder / name) as temporary:
            write(table, temporary)
    print(f"Hits: {folder / 'hits.parquet'}, {folder / 'hits.csv'}", file=sys.stderr)


def _write_sheet(path: Path, run: Run, searcher: Searcher, results_by_image: list[tuple[Path, SearchResult]]) -> bool:
    """Write the contact sheet; print an error and return False if images are missing."""
    from fashion_lsh.io.files import atomic_write
    from fashion_lsh.report.contact_sheets import result_sheet

    try:
        with atomic_write(path) as temporary:
            result_sheet(run.source(), searcher, results_by_image).save(temporary, "PNG")
    except (OSError, ValueError) as error:  # for example, gallery images were moved
        print(
            f"fashion-lsh search: sheet not written: {error}; run the command in the folder of the training",
            file=sys.stderr,
        )
        return False
    print(f"Sheet: {path}", file=sys.stderr)
    return True


def _search_garments(searcher: Searcher, path: Path, args: argparse.Namespace) -> list[tuple[str, SearchResult]]:
    """Search with the garments of an image that the arguments select; return a label and a result for each.

    Raises:
        ValueError: the image is not readable, --box and --garment are combined, the run has no detector for --garment,
            or fewer garments than requested are detected.
    """
    if args.box and args.garment:
        raise ValueError("--box and --garment cannot be combined; pass only one of them")
    if args.box:
        return [("", searcher.search(path, args.box, args.k))]
    if searcher.detector is None and args.garment:
        raise ValueError(f"--garment {args.garment}: the run has no detector; pass --box X1 Y1 X2 Y2")
    results = searcher.search_garments(path, args.k)
    if not results:
        raise ValueError("no garment detected; pass --box X1 Y1 X2 Y2")
    if results[0].box is None:
        return [("" if searcher.detector is None else ", no garment detected, whole image", results[0])]
    if args.garment and args.garment > len(results):
        raise ValueError(f"--garment {args.garment}: not detected; pass at most {len(results)}")
    garments = [
        (f", garment {number} at {' '.join(f'{side:.0f}' for side in result.box or ())}", result)
        for number, result in enumerate(results, start=1)
    ]
    return garments if args.garment is None else [garments[args.garment - 1]]


def build_parser() -> argparse.ArgumentParser:
    parser = create_parser("search", __doc__)
    parser.add_argument("run", type=Path, help="run folder, for example runs/latest")
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE_OR_FOLDER", help="query images")
    parser.add_argument("--k", type=positive_int, default=12, help="hits per query (default 12)")
    _add_policy_options(parser)
    parser.add_argument(
        "--box",
        type=finite_float,
        nargs=4,
        metavar=("X1", "Y1", "X2", "Y2"),
        help="box of the query garment, in pixels",
    )
    parser.add_argument("--garment", type=positive_int, metavar="N", help="search with the N-th detected garment only")
    parser.add_argument(
        "--sheet", type=Path, metavar="PNG", help="write a contact sheet of the queries and hits to this file"
    )
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write hits.parquet, hits.csv and contact_sheet.png")
    parser.add_argument("--json", action="store_true", help="print the hits as JSON")
    add_trust(parser)
    return parser


def _add_policy_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that replace values of the run's search policy."""
    parser.add_argument("--nprobe", type=count_or_all, help="inverted lists to probe: 1, 2, …, or all")
    parser.add_argument("--min-probability", type=float, metavar="P",
                        help="probe the most probable lists until their cumulative probability reaches P")  # fmt: skip
    parser.add_argument("--bits", type=positive_int, metavar="N", help="compare the first N bits of the codes only")
    parser.add_argument("--by", choices=("category", "group"), help="probe single categories, or groups of categories")
    parser.add_argument(
        "--exclude", action="append", metavar="CATEGORY", help="category whose list is never probed; may be repeated"
    )
    parser.add_argument(
        "--where", metavar="FILTER", help="filter on columns of the gallery: \"price < 50 and size = 'M'\""
    )
    parser.add_argument("--unique-items", action="store_true", default=None, help="one hit per item, the nearest")
    parser.add_argument("--max-distance", type=distance_or_auto, metavar="D",
                        help="drop hits that are farther; auto: the limit that training calibrated on val")  # fmt: skip
    parser.add_argument(
        "--coverage",
        type=float,
        metavar="P",
        help="probe as many lists as a promised ratio P of covered queries needs (runs with split.calibration)",
    )


def _open_searcher(run: Run, args: argparse.Namespace) -> Searcher:
    """Open a searcher with the policy of the run; options replace its values.

    --nprobe and --min-probability also replace the coverage of the policy, and --coverage replaces both.
    """
    changes = {name: value for name in SETTINGS if (value := getattr(args, name)) is not None}
    lists = changes.keys() & {"nprobe", "min_probability"}
    reset = {"nprobe": 1, "min_probability": None} if "coverage" in changes else {"coverage": None} if lists else {}
    return run.searcher(replace(run.policy, **{**reset, **changes}))


def _format_result(query: str, result: SearchResult, hits: Sequence[dict[str, Any]], searcher: Searcher) -> str:
    from tabulate import tabulate

    from fashion_lsh.metrics.results import ONE_LIST

    policy = searcher.policy
    names = ["rank", "id", "category", "path", "distance", *(["folded"] if policy.unique_items else [])]
    headers = ["", "garment", "category", "image", "distance", "folded"]
    cells = [[hit[name] for name in names] for hit in hits]
    table = tabulate(cells, headers[: len(names)], floatfmt=".3f")
    if note := _filter_note(result, searcher):
        table = f"{table}\n{note}" if hits else note
    if not result.runner_up:  # the model has one category only
        return f"{query}\n{table}\n"
    category = f"predicted category {result.category} (probability {100 * result.probability:.0f} %)"
    if policy.scope == ONE_LIST and result.probability < UNCERTAIN:
        runner_up = f"{result.runner_up} ({100 * result.runner_up_probability:.0f} %)"
        category += f", or {runner_up}: --nprobe 2 searches both"
    return f"{query}: {category}\n{table}\n"


def _filter_note(result: SearchResult, searcher: Searcher) -> str:
    """Describe the filters that left fewer hits; "" if none did."""
    from fashion_lsh.search.row_filter import matching_rows

    policy, note = searcher.policy, ""
    if result.dropped:
        note = f"Hits farther than {policy.max_distance:.4g} (search.max_distance), not shown: {result.dropped}"
        note += "" if result.hits else "; nothing like it in the probed lists"
    elif policy.where is not None and not result.hits:
        passes = len(matching_rows(policy.where, searcher.gallery.catalogue.table)) > 0
        note = f"No garment in the {'probed lists' if passes else 'gallery'} passes --where"
        note += "; --nprobe all searches all lists" if passes and policy.nprobe != "all" else ""
    return note
