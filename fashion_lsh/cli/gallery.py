"""Add pictures to the gallery of a finished run, remove some, or see how large it is.

python -m fashion_lsh gallery RUN add FOLDER_OR_MANIFEST    typed again after a stop, it goes on
python -m fashion_lsh gallery RUN remove IDS.txt            one id a line
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
    """Do what is asked; what is wrong is said in one line."""
    args = _build_parser().parse_args(argv)
    try:
        run = Run(args.run)
        match args.command:
            case "add":
                _add(run, args.images)
            case "remove":
                _remove(run, args.ids)
            case "stats":
                print(_stats(run, args.verify))
    except (OSError, ValueError) as error:
        print(f"fashion_lsh gallery: {error}", file=sys.stderr)
        return 2
    return 0


def _build_parser() -> argparse.ArgumentParser:
    summary, _, epilog = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m fashion_lsh gallery",
        description=summary,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, help="a folder that train.py made, runs/latest say")
    commands = parser.add_subparsers(dest="command", required=True)
    add_parser = commands.add_parser("add", help="file further pictures")
    add_parser.add_argument(
        "images", metavar="FOLDER_OR_MANIFEST", help="as for data=folder; categories may be missing"
    )
    remove_parser = commands.add_parser("remove", help="take garments out")
    remove_parser.add_argument(
        "ids",
        type=Path,
        metavar="IDS.txt",
        help="one id a line, as the command search shows them; one with a newline in double quotes, as JSON writes it",
    )
    stats = commands.add_parser("stats", help="how many garments, how many bytes")
    stats.add_argument("--verify", action="store_true", help="hold the embeddings to their checksums, too: all is read")
    return parser


def _add(run: Run, images: str) -> None:
    start_time = time.perf_counter()
    cropper = Cropper(run.model(), run.detector(), run.box_selector)
    with folder_lock(run.path):
        result = add(run.gallery_folder, cropper, images, run.config["data"]["crop"], run.add_skipped)
    rate = f", {result.added / (time.perf_counter() - start_time):.1f} a second" if result.added else ""
    before = f", {result.already_indexed:,} were filed before" if result.already_indexed else ""
    left_out = f"; {len(result.skipped):,} left out: {run.path / 'skipped.csv'} says why" if result.skipped else ""
    print(f"{result.added:,} garments filed{rate}{before}{left_out}")


def _remove(run: Run, file: Path) -> None:
    try:
        lines = [line.rstrip("\r") for line in file.read_text(encoding="utf-8-sig").split("\n")]
        ids = [json.loads(line) if line.startswith('"') else line for line in lines if line.strip()]
    except ValueError as error:
        raise ValueError(
            f"{file} is no list of ids ({error}): give one a line, or in double quotes as JSON has it"
        ) from error
    if not ids:
        raise ValueError(f"{file} names no id: give one a line")
    fingerprint = run.model().fingerprint()
    with folder_lock(run.path):
        remove(run.gallery_folder, fingerprint, ids)
    print(f"{len(ids):,} garments removed")


def _stats(run: Run, verify: bool) -> str:
    """Tables: rows and bytes, and the size of each list."""
    model = run.model()
    gallery = run.gallery(model.fingerprint(), verify)
    size, embeddings = gallery.index.stats(), gallery.embeddings
    embedding_bytes = embeddings.shape[0] * embeddings.shape[1] * embeddings.dtype.itemsize
    vector_name = "code" if model.bits else "embedding to search"
    garment_count = max(1, size.rows)
    rows = [
        ("garments", f"{size.rows:,}", ""),
        (vector_name, f"{size.vector_bytes:,} bytes", f"{size.vector_bytes / garment_count:.1f} a garment"),
        ("row number", f"{size.row_bytes:,} bytes", f"{size.row_bytes / garment_count:.1f} a garment"),
        (
            "embedding to re-rank",
            f"{embedding_bytes:,} bytes",
            f"{embeddings.shape[1]} × float16, {len(embeddings.segments)} segments",
        ),
        ("total", f"{size.vector_bytes + size.row_bytes + embedding_bytes:,} bytes", ""),
        ("holes", f"{gallery.tombstones:,}", "embeddings of removed garments"),
    ]
    lists = tabulate(zip(model.categories, size.list_sizes, strict=True), headers=["category", "garments"])
    return f"{tabulate(rows, tablefmt='plain', disable_numparse=True)}\n\n{lists}"
