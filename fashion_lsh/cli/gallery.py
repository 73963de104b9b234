"""Add images to the gallery of a finished run, remove garments, or show its size.

python -m fashion_lsh gallery RUN add FOLDER_OR_MANIFEST    to resume after an interruption, run the same command
python -m fashion_lsh gallery RUN remove IDS.txt            IDS.txt has one id per line
python -m fashion_lsh gallery RUN stats
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tabulate import tabulate

from fashion_lsh.gallery.image_encoding import Cropper
from fashion_lsh.gallery.updates import add, remove
from fashion_lsh.io.files import folder_lock
from fashion_lsh.runs.run import Run


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; print an error in one line and return 2."""
    args = build_parser().parse_args(argv)
    try:
        run = Run(args.run)
        match args.command:
            case "add":
                _add(run, args.images)
            case "remove":
                _remove(run, args.ids)
            case "stats":
                print(_format_stats(run, args.verify))
    except (OSError, ValueError) as error:
        print(f"fashion_lsh gallery: {error}", file=sys.stderr)
        return 2
    return 0


def build_parser() -> argparse.ArgumentParser:
    summary, _, epilog = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m fashion_lsh gallery",
        description=summary,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, help="run folder, for example runs/latest")
    commands = parser.add_subparsers(dest="command", required=True)
    add_parser = commands.add_parser("add", help="add images")
    add_parser.add_argument(
        "images", metavar="FOLDER_OR_MANIFEST", help="images as for data=folder; categories are optional"
    )
    remove_parser = commands.add_parser("remove", help="remove garments")
    remove_parser.add_argument(
        "ids",
        type=Path,
        metavar="IDS.txt",
        help="one id per line, as printed by the search command; write an id that contains a newline as a JSON string",
    )
    stats = commands.add_parser("stats", help="show the number of garments and the size in bytes")
    stats.add_argument("--verify", action="store_true", help="verify the checksums of the embeddings (reads all files)")
    return parser


def _add(run: Run, images: str) -> None:
    start_time = time.perf_counter()
    cropper = Cropper(run.model(), run.detector(), run.box_selector)
    with folder_lock(run.path):
        result = add(run.gallery_folder, cropper, images, run.config["data"]["crop"], run.add_skipped)
    rate = f" ({result.added / (time.perf_counter() - start_time):.1f} per second)" if result.added else ""
    indexed = f", {result.already_indexed:,} were already indexed" if result.already_indexed else ""
    skipped = f"; skipped {len(result.skipped):,}, see {run.path / 'skipped.csv'}" if result.skipped else ""
    print(f"Added {_count(result.added, 'garment')}{rate}{indexed}{skipped}")


def _remove(run: Run, file: Path) -> None:
    try:
        lines = [line.rstrip("\r") for line in file.read_text(encoding="utf-8-sig").split("\n")]
        ids = [json.loads(line) if line.startswith('"') else line for line in lines if line.strip()]
    except FileNotFoundError as error:
        raise ValueError(f"{file}: no such file; pass a file with one id per line") from error
    except ValueError as error:
        raise ValueError(
            f"{file}: not a list of ids ({error}); write one id per line, plain or as a JSON string"
        ) from error
    if not ids:
        raise ValueError(f"{file}: no ids; write one id per line")
    fingerprint = run.model().fingerprint()
    with folder_lock(run.path):
        remove(run.gallery_folder, fingerprint, ids)
    print(f"Removed {_count(len(ids), 'garment')}")


def _count(count: int, noun: str) -> str:
    return f"1 {noun}" if count == 1 else f"{count:,} {noun}s"


def _format_stats(run: Run, verify: bool) -> str:
    """Format two tables: size of the gallery, and number of garments in each inverted list."""
    model = run.model()
    gallery = run.gallery(model.fingerprint(), verify)
    index_stats, embeddings = gallery.index.stats(), gallery.embeddings
    embedding_bytes = embeddings.shape[0] * embeddings.shape[1] * embeddings.dtype.itemsize
    vector_name = "codes" if model.bits else "embeddings to search"
    num_garments = max(1, index_stats.rows)
    rows = [
        ("garments", f"{index_stats.rows:,}", ""),
        (
            vector_name,
            f"{index_stats.vector_bytes:,} bytes",
            f"{index_stats.vector_bytes / num_garments:.1f} per garment",
        ),
        (
            "row ids (int64)",
            f"{index_stats.row_bytes:,} bytes",
            f"{index_stats.row_bytes / num_garments:.1f} per garment",
        ),
        (
            "embeddings for re-ranking",
            f"{embedding_bytes:,} bytes",
            f"{embeddings.shape[1]} × float16, {_count(len(embeddings.segments), 'segment')}",
        ),
        ("total", f"{index_stats.vector_bytes + index_stats.row_bytes + embedding_bytes:,} bytes", ""),
        ("tombstones", f"{gallery.tombstones:,}", "embeddings of removed garments"),
    ]
    list_table = tabulate(
        zip(model.categories, index_stats.list_sizes, strict=True), headers=["predicted category", "garments"]
    )
    return f"{tabulate(rows, tablefmt='plain', disable_numparse=True)}\n\n{list_table}"
