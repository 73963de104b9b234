"""Near-duplicate detection: recall of planted copies, and precision.

    python -m benchmarks.duplicates FOLDER_OR_MANIFEST --count 2000 --seed 0

A manifest is a CSV or Parquet file with image paths relative to it, and optional `near_dup_group` and `split` columns.
"""

import argparse
import time
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from tabulate import tabulate

from benchmarks.edits import EDITS
from fashion_lsh.data.connected_components import connected_components
from fashion_lsh.data.images import open_image
from fashion_lsh.data.near_duplicates import (
    MAX_DISTANCE,
    MIN_SIMILARITY,
    fingerprint,
    near_duplicate_pairs,
    similarity,
    thumbnail,
)
from fashion_lsh.data.schema import read_table
from fashion_lsh.io.files import atomic_write
from fashion_lsh.report.tiles import Tile, draw_sheet

OUT = Path("runs/bench/duplicates")
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
DISTANCES = (12, 16, 20, 24, 28, 32, 40)
MAX_PAIRS_SHOWN = 24  # maximum number of unlabelled pairs on the sheet


class ImageList(NamedTuple):
    """Images with near-duplicate groups and splits.

    Attributes:
        paths: N image files.
        groups: (N,) str; "" if unknown.
        splits: (N,) str; "" if unknown.
    """

    paths: list[Path]
    groups: np.ndarray
    splits: np.ndarray


class Samples(NamedTuple):
    """Originals and copies, n samples in total.

    Attributes:
        fingerprints: (n, 4, 32) uint8.
        thumbnails: (n, 20, 20, 3) uint8.
        origin: (n,) int64, row of the original image.
        edits: (n,) str, name of the edit of each copy; "" for originals.
    """

    fingerprints: np.ndarray
    thumbnails: np.ndarray
    origin: np.ndarray
    edits: np.ndarray


def main() -> None:
    """Evaluate planted copies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, help="image folder or manifest")
    parser.add_argument("--count", type=int, default=2000, help="number of images to copy (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="random seed (%(default)s)")
    arguments = parser.parse_args()
    evaluate(list_images(arguments.images), arguments.count, arguments.seed)


def evaluate(images: ImageList, count: int, seed: int) -> None:
    """Print recall by edit, precision and groups across splits; write sheets of unlabelled and unmatched pairs."""
    samples = plant_copies(images, count, seed)
    groups = images.groups[samples.origin]
    pairs_by_distance = {distance: near_duplicate_pairs(samples.fingerprints, distance) for distance in DISTANCES}
    similar_pairs = {
        distance: candidates[similarity(samples.thumbnails, candidates) >= MIN_SIMILARITY]
        for distance, candidates in pairs_by_distance.items()
    }
    edit_names = list(dict.fromkeys(samples.edits[samples.edits != ""]))
    print(tabulate(
        [(distance, *(f"{copy_recall(samples, candidates, edit_name):.4f}" for edit_name in edit_names),
          len(candidates), len(unlabelled_pairs(samples, groups, candidates)),
          len(similar_pairs[distance]), len(unlabelled_pairs(samples, groups, similar_pairs[distance])))
         for distance, candidates in pairs_by_distance.items()],
        ["distance", *edit_names, "pairs", "unlabelled", f"similarity >= {MIN_SIMILARITY}", "unlabelled"]))  # fmt: skip
    similar = similar_pairs[MAX_DISTANCE]
    unlabelled = unlabelled_pairs(samples, groups, similar)
    recalls = [f"{edit_name} {copy_recall(samples, similar, edit_name):.4f}" for edit_name in edit_names]
    print(f"At distance <= {MAX_DISTANCE} and similarity >= {MIN_SIMILARITY}: "
          f"precision {1 - len(unlabelled) / max(1, len(similar)):.5f} of "
          f"{len(similar):,} pairs; recall {', '.join(recalls)}")  # fmt: skip
    print(
        f"Banding: recall {banding_recall(samples, pairs_by_distance[MAX_DISTANCE]):.5f} of pairs of one original at "
        f"distance <= {MAX_DISTANCE}"
    )
    tiles = [
        image_tile(images, samples.origin[row], str(samples.edits[row]))
        for pair in unlabelled[:MAX_PAIRS_SHOWN]
        for row in pair
    ]
    write_sheet("unlabelled", list(zip(tiles[::2], tiles[1::2], strict=True)))
    report_groups_across_splits(images, samples, similar)


def list_images(path: Path) -> ImageList:
    """List the images of a manifest, or all images below a folder."""
    if path.is_dir():
        paths = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
        empty = np.full(len(paths), "", dtype=object)
        return ImageList(paths, empty, empty)
    table = read_table(path)
    columns = [
        table[name].to_pylist() if name in table.column_names else [""] * table.num_rows for name in ("group", "split")
    ]
    paths = [path.parent / name for name in table["image"].to_pylist()]
    return ImageList(paths, *(np.array([cell or "" for cell in column], dtype=object) for column in columns))


def plant_copies(images: ImageList, count: int, seed: int) -> Samples:
    """Compute fingerprints of all images and, for `count` random images, of one copy per edit."""
    rng = np.random.default_rng(seed)
    copied_rows = set(rng.permutation(len(images.paths))[:count].tolist())
    entries: list[tuple[np.ndarray, np.ndarray, int, str]] = []
    elapsed = 0.0
    for row, path in enumerate(images.paths):
        original = Image.fromarray(open_image(path))
        edits = EDITS if row in copied_rows else {}
        copies = {name: edit(original, rng) for name, edit in edits.items()}
        for edit_name, image in {"": original, **copies}.items():
            array = np.asarray(image)
            start = time.perf_counter()
            code = fingerprint(array)
            elapsed += time.perf_counter() - start
            entries.append((code, thumbnail(array), row, edit_name))
    codes, thumbnails, origin, edit_names = zip(*entries, strict=True)
    print(
        f"{len(codes):,} images with copies, {len(copied_rows):,} originals copied; "
        f"{1000 * elapsed / len(codes):.2f} ms per fingerprint"
    )
    return Samples(np.stack(codes), np.stack(thumbnails), np.array(origin), np.array(edit_names))


def copy_recall(samples: Samples, matched_pairs: np.ndarray, edit: str) -> float:
    """Fraction of the copies by one edit that are paired with their original.  matched_pairs: (P, 2) int64."""
    left, right = matched_pairs.T
    is_copy_of_original = (
        (samples.origin[left] == samples.origin[right]) & (samples.edits[left] == "") & (samples.edits[right] == edit)
    )
    return float(is_copy_of_original.sum() / max(1, (samples.edits == edit).sum()))


def unlabelled_pairs(samples: Samples, groups: np.ndarray, matched_pairs: np.ndarray) -> np.ndarray:
    """Pairs of different originals that are not in the same group."""
    left, right = matched_pairs.T
    is_labelled = (samples.origin[left] == samples.origin[right]) | (
        (groups[left] == groups[right]) & (groups[left] != "")
    )
    return matched_pairs[~is_labelled]


def banding_recall(samples: Samples, matched_pairs: np.ndarray) -> float:
    """Fraction of the pairs from the same original, at distance <= MAX_DISTANCE, that are found by banding."""
    rows = np.flatnonzero(np.isin(samples.origin, samples.origin[samples.edits != ""]))
    matched = {(int(left), int(right)) for left, right in matched_pairs}
    near_pairs = [pair for rows_of_original in np.split(rows, np.flatnonzero(np.diff(samples.origin[rows])) + 1)
            for pair in combinations(rows_of_original.tolist(), 2)
            if fingerprint_distance(samples.fingerprints, *pair) <= MAX_DISTANCE]  # fmt: skip
    return sum(pair in matched for pair in near_pairs) / max(1, len(near_pairs))


def fingerprint_distance(fingerprints: np.ndarray, left: int, right: int) -> int:
    """Distance between the fingerprints of two rows, as defined in `near_duplicate_pairs`."""
    variants = ((fingerprints[left, :1], fingerprints[right]), (fingerprints[left], fingerprints[right, :1]))
    return min(
        int(np.bitwise_count(left_codes ^ right_codes).sum(axis=1, dtype=int).min())
        for left_codes, right_codes in variants
    )


def report_groups_across_splits(images: ImageList, samples: Samples, matched_pairs: np.ndarray) -> None:
    """Print groups with images in several splits; write a sheet of groups without a detected cross-split pair."""
    rows = np.flatnonzero(samples.edits == "")  # in the order of the manifest
    components = connected_components(len(samples.edits), matched_pairs)[rows]
    unmatched, table_rows = [], []
    for name in sorted(set(images.groups) - {""}):
        members = np.flatnonzero(images.groups == name)
        split_pairs = [pair for pair in combinations(members.tolist(), 2) if len(set(images.splits[list(pair)])) > 1]
        if not split_pairs:
            continue
        is_detected = any(components[left] == components[right] for left, right in split_pairs)
        nearest = min(
            split_pairs,
            key=lambda pair: fingerprint_distance(samples.fingerprints, *rows[list(pair)].tolist()),
        )
        pair_rows = rows[list(nearest)]
        distance = fingerprint_distance(samples.fingerprints, *pair_rows.tolist())
        pair_similarity = float(similarity(samples.thumbnails, pair_rows[None])[0])
        table_rows.append((name, len(members), is_detected, distance, pair_similarity))
        if not is_detected:
            unmatched.append([image_tile(images, int(row), f"{name[:8]} {images.splits[row]}") for row in members])
    if table_rows:
        print(f"Groups across splits: {len(table_rows) - len(unmatched)} of {len(table_rows)} detected")
        print(
            tabulate(table_rows, ["group", "images", "detected", "min distance", "similarity at min"], floatfmt=".2f")
        )
    write_sheet("missed", unmatched)


def image_tile(images: ImageList, row: int, caption: str) -> Tile:
    """Tile of the image of a row."""
    return Tile(open_image(images.paths[row]), caption)


def write_sheet(name: str, rows: Sequence[Sequence[Tile]]) -> None:
    """Write a contact sheet to OUT; without rows, remove the old sheet."""
    path = OUT / f"{name}.png"
    path.unlink(missing_ok=True)
    if rows:
        with atomic_write(path) as temporary:
            draw_sheet(rows, [name], 160).save(temporary, "PNG")
        print(f"Written to {path}")


if __name__ == "__main__":
    main()
