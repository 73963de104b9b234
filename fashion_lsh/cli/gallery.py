"""Build a gallery, add images, remove garments, show clusters and near-duplicates, its size, or verify its files.

examples:
  fashion-lsh gallery build photos --backbone efficientnet_lite0     without labels and training
  fashion-lsh gallery overview runs/latest --out overview            clusters and near-duplicates on contact sheets
  fashion-lsh gallery add runs/latest new_photos       after an interruption, run the same command to resume
  fashion-lsh gallery remove runs/latest ids.txt       ids.txt has one id per line
  fashion-lsh gallery stats runs/latest --json
  fashion-lsh gallery verify runs/latest
  fashion-lsh gallery build runs/latest                from the gallery split of the data of the run
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fashion_lsh.cli.command import PROGRAM, add_trust, create_parser, positive_int, report_errors

if TYPE_CHECKING:
    from fashion_lsh.gallery.updates import AdditionResult
    from fashion_lsh.runs.run import Run

NUM_CLUSTERS = 24  # of an overview

BUILD_DESCRIPTION = (
    "With --backbone: encode all images below a folder, without labels and training, into a run folder with one "
    "inverted list; run the same command again to resume. Without: encode the gallery split of a run's data again; "
    "added images are removed."
)
ADD_DESCRIPTION = (
    "Add images. Skipped images are counted and listed with reasons in skipped.csv of the run; the exit status is 0 if "
    "at least one image is usable. Exit status 1: no image is usable, or an id is already in the gallery."
)


@report_errors("gallery")
def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; return the exit status."""
    args = build_parser().parse_args(argv)
    from fashion_lsh.runs.run import Run

    if args.verb == "build" and args.backbone:
        return _build_unlabelled(args)
    if args.verb == "build" and args.set:
        raise ValueError(f"--set {args.set[0]}: needs --backbone NAME; a run is rebuilt with its own settings")
    run = Run(args.run, args.trust)
    match args.verb:
        case "build":
            _build(run)
        case "add":
            _add(run, args.images)
        case "remove":
            _remove(run, args.ids)
        case "overview":
            _overview(run, args.out, args.clusters)
        case "stats":
            stats = _stats(run)
            print(json.dumps(stats, indent=1) if args.json else _format_stats(stats))
        case "verify":
            gallery = run.gallery(run.model().fingerprint(), verify=True)
            print(f"All checksums of the gallery match: {_count(len(gallery), 'garment')}")
    return 0


def build_parser() -> argparse.ArgumentParser:
    parser = create_parser("gallery", __doc__)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    build = verbs.add_parser(
        "build", help="build a gallery of unlabelled images, or of a run", description=BUILD_DESCRIPTION
    )
    add = verbs.add_parser("add", help="add images", description=ADD_DESCRIPTION)
    remove = verbs.add_parser("remove", help="remove garments")
    overview = verbs.add_parser("overview", help="write sheets of clusters and near-duplicates, and a manifest")
    stats = verbs.add_parser("stats", help="show the number of garments and the size in bytes")
    verify = verbs.add_parser("verify", help="verify the checksums of all files of the gallery")
    for verb in (build, add, remove, overview, stats, verify):
        name = "FOLDER_OR_RUN" if verb is build else "RUN"
        verb.add_argument("run", type=Path, metavar=name, help=f"{'images, or a ' if verb is build else ''}run folder")
        add_trust(verb)
    build.add_argument("--backbone", metavar="NAME", help="pretrained backbone: efficientnet_lite0, a name of timm, …")
    build.add_argument(
        "--set", nargs="+", default=[], metavar="KEY=VALUE", help="further settings, such as data.image_size=160"
    )
    overview.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder to write to")
    overview.add_argument(
        "--clusters", type=positive_int, default=NUM_CLUSTERS, metavar="N", help="clusters (default: 24)"
    )
    add.add_argument("images", metavar="FOLDER_OR_MANIFEST", help="images as for data=folder; categories are optional")
    remove.add_argument(
        "ids",
        type=Path,
        metavar="IDS.txt",
        help="one id per line, as printed by the search command; write an id that contains a newline as a JSON string",
    )
    stats.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _build(run: Run) -> None:
    from fashion_lsh.data.datamodule import GarmentData
    from fashion_lsh.evaluation.protocol import encode_split
    from fashion_lsh.gallery.gallery import Gallery
    from fashion_lsh.io.files import folder_lock

    if run.config["hash"] and not (run.path / "stage_keys.json").exists():
        raise ValueError(
            f"{run.path}: built from unlabelled images; remove the folder, and run gallery build FOLDER --backbone NAME"
        )
    run.check_finished()
    data = run.instantiate(run.config["data"], GarmentData, box_selector=run.box_selector)
    run.check_data(data)
    model = run.model()
    with folder_lock(run.path):
        indexed = encode_split(model, run.with_detections(data), "gallery")
        gallery = Gallery.build(model, indexed.encoded, indexed.catalogue, run.config["gallery"]["embeddings"])
        gallery.save(run.gallery_folder)
    print(f"Built the gallery: {_count(len(gallery), 'garment')}")


def _build_unlabelled(args: argparse.Namespace) -> int:
    from fashion_lsh.cli.unlabelled import build_unlabelled

    start_time = time.perf_counter()
    run, result = build_unlabelled(args.run, args.backbone, args.set)
    print(_describe_addition(run, result, time.perf_counter() - start_time))
    if run.config["gallery"]["embeddings"]:
        _overview(run, run.path / "overview", NUM_CLUSTERS)
    print(f"Built a gallery in {run.path}; search it: {PROGRAM} search {run.path} IMAGE --sheet found.png")
    return 0


def _overview(run: Run, folder: Path, num_clusters: int) -> None:
    from fashion_lsh.report.gallery_overview import analyse, describe_overview, write_overview

    model, source = run.model(), run.source()
    gallery = run.gallery(model.fingerprint())
    overview = analyse(gallery, source, num_clusters)
    paths = write_overview(folder, overview, gallery.catalogue, source, model.margin)
    print(describe_overview(overview, paths))


def _add(run: Run, images: str) -> None:
    from fashion_lsh.gallery.image_encoding import Cropper
    from fashion_lsh.gallery.updates import add
    from fashion_lsh.io.files import folder_lock

    start_time = time.perf_counter()
    cropper = Cropper(run.model(), run.detector(), run.box_selector)
    with folder_lock(run.path):
        result = add(run.gallery_folder, cropper, images, run.config["data"]["crop"], run.add_skipped)
    print(_describe_addition(run, result, time.perf_counter() - start_time))


def _describe_addition(run: Run, result: AdditionResult, seconds: float) -> str:
    rate = f" ({result.added / seconds:.1f} per second)" if result.added else ""
    indexed = f", {result.already_indexed:,} were already indexed" if result.already_indexed else ""
    skipped = f"; skipped {len(result.skipped):,}, see {run.path / 'skipped.csv'}" if result.skipped else ""
    return f"Added {_count(result.added, 'garment')}{rate}{indexed}{skipped}"


def _remove(run: Run, file: Path) -> None:
    from fashion_lsh.gallery.updates import remove
    from fashion_lsh.io.files import folder_lock

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


def _stats(run: Run) -> dict[str, Any]:
    """Measure a gallery: numbers of garments, and sizes in bytes."""
    model = run.model()
    gallery = run.gallery(model.fingerprint())
    index, embeddings = gallery.index.stats(), gallery.embeddings
    return {
        "garments": index.rows,
        "bits": model.bits,
        "vector_bytes": index.vector_bytes,
        "row_id_bytes": index.row_bytes,
        "embedding_bytes": embeddings.shape[0] * embeddings.shape[1] * embeddings.dtype.itemsize,
        "embedding_size": embeddings.shape[1],
        "segments": len(embeddings.segments),
        "tombstones": gallery.tombstones,
        "predicted_categories": dict(zip(model.categories, map(int, index.list_sizes), strict=True)),
    }


def _format_stats(stats: dict[str, Any]) -> str:
    """Format two tables: size of the gallery, and number of garments in each inverted list."""
    from tabulate import tabulate

    def per_garment(size: int) -> str:
        return f"{size / max(1, stats['garments']):.1f} per garment"

    segments = _count(stats["segments"], "segment")
    total = sum(stats[f"{name}_bytes"] for name in ("vector", "row_id", "embedding"))
    rows = [
        ("garments", f"{stats['garments']:,}", ""),
        (
            "codes" if stats["bits"] else "embeddings to search",
            f"{stats['vector_bytes']:,} bytes",
            per_garment(stats["vector_bytes"]),
        ),
        ("row ids (int64)", f"{stats['row_id_bytes']:,} bytes", per_garment(stats["row_id_bytes"])),
        (
            "embeddings for re-ranking",
            f"{stats['embedding_bytes']:,} bytes",
            f"{stats['embedding_size']} × float16, {segments}",
        ),
        ("total", f"{total:,} bytes", ""),
        ("tombstones", f"{stats['tombstones']:,}", "embeddings of removed garments"),
    ]
    list_table = tabulate(stats["predicted_categories"].items(), headers=["predicted category", "garments"])
    note = "Each garment is counted in the list of its predicted category, not of the category in its catalogue row."
    return f"{tabulate(rows, tablefmt='plain', disable_numparse=True)}\n\n{list_table}\n\n{note}"
