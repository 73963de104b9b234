"""Merge data sets into one catalogue of 30 categories, and write a data card.

A source is NAME=ROOT, or NAME:DATA_SET=ROOT if NAME is not the name of a data set (see docs/catalogue.md).

examples:
  fashion-lsh merge catalogue deepfashion_category=/data/deepfashion modanet=/data/modanet
  fashion-lsh merge catalogue mine:folder=images/manifest.csv --map mine=my_labels.csv --crop
  fashion-lsh train data=thesis30 data.root=catalogue
"""

import argparse
import csv
import logging
import shlex
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fashion_lsh.cli.command import create_parser, report_errors
from fashion_lsh.data.datasets import Source, open_dataset
from fashion_lsh.data.datasets.folder import Folder
from fashion_lsh.data.datasets.image_files import ImageFiles
from fashion_lsh.data.datasets.merged import Origin, invalidate, save
from fashion_lsh.data.image_scan import ImageInfo, file_state
from fashion_lsh.data.images import ImageError
from fashion_lsh.data.merge.cropping import CROPS_FOLDER, crop_all
from fashion_lsh.data.merge.merge import Merged, load_image, merge, scan_source
from fashion_lsh.data.merge.recipe import Recipe
from fashion_lsh.data.merge.taxonomy import SOURCES, LabelMap, load_label_map
from fashion_lsh.data.near_duplicates import MAX_DISTANCE
from fashion_lsh.io.files import atomic_write, check_writable, folder_lock
from fashion_lsh.report.data_card import card, sheet

MAX_WARNINGS = 20  # maximum number of logged leaks, and of logged garments that could not be cropped
RATIOS = {"train": 0.7, "val": 0.1, "query": 0.1, "gallery": 0.1}
log = logging.getLogger("merge")


@report_errors("merge")
def main(argv: Sequence[str] | None = None) -> int:
    """Merge the sources; return the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    args = build_parser().parse_args(argv)
    check_writable(args.out)
    with folder_lock(args.out):
        _merge(args, f"fashion-lsh merge {shlex.join(argv)}")
    return 0


def _merge(args: argparse.Namespace, command: str) -> None:
    origins = _parse_sources(args.sources)
    maps, licences = _parse_pairs(args.map, "--map", origins), _parse_pairs(args.licence, "--licence", origins)
    recipe = Recipe(
        args.max_per_category, args.min_per_category, args.max_distance, args.keep_official_splits, RATIOS, args.seed
    )
    label_maps = {  # loaded first, so that a missing label map fails before the images are scanned
        name: _load_label_map(name, origins[name], maps.get(name)) for name in origins
    }
    sources = {name: open_dataset(*origin, 0) for name, origin in origins.items()}
    needs_fingerprints = recipe.max_distance is not None
    merged = merge(
        {name: scan_source(name, source, label_maps[name], needs_fingerprints) for name, source in sources.items()},
        recipe,
    )
    source_licences = {name: licences.get(name) or getattr(source, "licence", "") for name, source in sources.items()}
    if args.crop:
        merged, sources, origins = _crop_garments(merged, sources, args.out)
    invalidate(args.out)  # an older catalogue must not remain beside the new data card
    _save_card(args.out, merged, sources, card(merged, recipe, source_licences, command))
    save(args.out, merged.catalogue, merged.image_infos, origins)
    for column, name in merged.leaks[:MAX_WARNINGS]:
        log.warning("Leak: %s %s is in more than one of train, val and test (query, gallery)", column, name)
    num_garments = int(merged.catalogue.column("main").sum())
    num_other = len(merged.catalogue) - num_garments
    print(
        f"Wrote {num_garments:,} garments of {len(merged.catalogue.categories)} categories, and {num_other:,} for the "
        f"detector only, to {args.out / 'catalogue.parquet'}; skipped {len(merged.skipped):,} rows, see "
        f"{args.out / 'card.md'}"
    )


def _save_card(out: Path, merged: Merged, sources: dict[str, Source], text: str) -> None:
    with atomic_write(out / "skipped.csv") as temporary, temporary.open("w", newline="") as file:
        csv.writer(file).writerows([("id", "reason"), *merged.skipped.items()])
    rendered = sheet(merged.catalogue, lambda key: load_image(sources, key))
    with atomic_write(out / "contact_sheet.jpg") as temporary:
        rendered.save(temporary, "JPEG", quality=80)
    with atomic_write(out / "card.md") as temporary:
        temporary.write_text(text)


def _crop_garments(
    merged: Merged, sources: dict[str, Source], out: Path
) -> tuple[Merged, dict[str, Source], dict[str, Origin]]:
    """Crop every garment into OUT/crops, so that the catalogue does not depend on other folders."""
    rows, image_infos, failures = crop_all(
        merged.catalogue, merged.image_infos, lambda key: _load_unchanged(sources, merged.image_infos, key), out
    )
    for name, reason in list(failures.items())[:MAX_WARNINGS]:
        log.warning("Skipped %s: cropping failed (%s)", name, reason)
    cropped = replace(merged, catalogue=rows, image_infos=image_infos, skipped=merged.skipped | failures)
    return cropped, {CROPS_FOLDER: Folder(str(out / CROPS_FOLDER))}, {CROPS_FOLDER: Origin("folder", CROPS_FOLDER)}


def _load_unchanged(sources: dict[str, Source], image_infos: Mapping[str, ImageInfo], key: str) -> np.ndarray:
    """Load an image.

    Raises:
        ImageError: the file was deleted or changed after the scan.
    """
    name, _, key_in_source = key.partition("/")
    source = sources[name]
    if isinstance(source, ImageFiles) and file_state(source.folder / key_in_source) != image_infos[key].state:
        raise ImageError(f"{key}: deleted or changed after the scan; run the merge command again")
    return source.image(key_in_source)


def _parse_sources(argv: Sequence[str]) -> dict[str, Origin]:
    """Parse arguments of the form NAME=ROOT or NAME:DATA_SET=ROOT."""
    origins: dict[str, Origin] = {}
    for argument in argv:
        spec, separator, root = argument.partition("=")
        name, _, dataset = spec.partition(":")
        if not separator or not name or "/" in name:
            raise ValueError(f"{argument!r}: not a source; pass NAME=ROOT or NAME:DATA_SET=ROOT")
        if name in origins:
            suggestion = f"{name}2:{dataset or name}={root}"
            raise ValueError(f"source {name!r}: passed twice; rename one of the sources, for example {suggestion}")
        origins[name] = Origin(dataset or name, str(Path(root).expanduser().resolve()) if root else None)
    return origins


def _load_label_map(name: str, origin: Origin, option: str | None) -> LabelMap:
    """Load the label map passed with --map; by default the map with the name of the source or of its data set."""
    map_name = option or next((candidate for candidate in (name, origin.dataset) if candidate in SOURCES), None)
    if map_name is None:
        raise ValueError(
            f"no label map for source {name!r}; pass --map={name}=MAP, where MAP is one of {', '.join(SOURCES)} or a "
            ".csv file"
        )
    return load_label_map(map_name)


def _parse_pairs(argv: Sequence[str], flag: str, sources: Collection[str]) -> dict[str, str]:
    pairs = dict(argument.partition("=")[::2] for argument in argv)
    if malformed := [argument for argument in argv if "=" not in argument]:
        raise ValueError(f"{flag} {malformed[0]!r}: no value; pass NAME=VALUE")
    if unknown_names := [name for name in pairs if name not in sources]:
        raise ValueError(f"{flag} {unknown_names[0]}=…: unknown source; choose from {', '.join(sources)}")
    return pairs


def build_parser() -> argparse.ArgumentParser:
    parser = create_parser("merge", __doc__)
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of the catalogue, replaced if it exists")
    parser.add_argument("sources", nargs="+", metavar="NAME[:DATA_SET]=ROOT", help="data sets to merge")
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="NAME=MAP",
        help="label map of a source: name of a built-in map, or a .csv file",
    )
    parser.add_argument(
        "--licence", action="append", default=[], metavar="NAME=TEXT", help="licence of a source, for the data card"
    )
    parser.add_argument("--max-per-category", type=int, help="maximum number of garments per category")
    parser.add_argument(
        "--min-per-category",
        type=int,
        default=10,
        help="skip categories with fewer garments; images of one item or group count once (default %(default)s)",
    )
    _add_duplicate_options(parser)
    parser.add_argument(
        "--keep-official-splits",
        action="store_true",
        help="keep the published splits of the sources, including leaks between them",
    )
    parser.add_argument(
        "--crop",
        action="store_true",
        help="crop every garment into OUT/crops, so that the source images are no longer needed",
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed (default %(default)s)")
    return parser


def _add_duplicate_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the search for near-duplicates."""
    parser.add_argument(
        "--max-distance",
        type=int,
        default=MAX_DISTANCE,
        help="maximum Hamming distance, in bits, between the perceptual hashes of near-duplicates "
        "(default %(default)s)",
    )
    parser.add_argument(
        "--skip-duplicate-search",
        dest="max_distance",
        action="store_const",
        const=None,
        help="do not search for near-duplicates, which may then be in different splits",
    )
