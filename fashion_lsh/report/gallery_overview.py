"""Overview of a gallery: clusters of its embeddings and near-duplicate images, as contact sheets and a CSV file."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.cluster.vq import kmeans2

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datasets import Source
from fashion_lsh.data.datasets.folder import UNKNOWN_CATEGORY
from fashion_lsh.data.datasets.image_files import ImageFiles
from fashion_lsh.data.review.duplicate_labels import near_duplicate_groups
from fashion_lsh.data.schema import BOX_COLUMNS
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.io.files import atomic_write
from fashion_lsh.io.rows import evenly_spaced
from fashion_lsh.report.contact_sheets import MISSING_IMAGE_ERRORS, hit_tile
from fashion_lsh.report.tiles import Tile, blank_tile, draw_sheet

SAMPLES_PER_CLUSTER = 256  # number of rows, per cluster, that k-means is fitted to
BLOCK = 1 << 14  # rows assigned at once
TILES_PER_LINE = 8
MAX_GROUPS = 40  # number of near-duplicate groups on a sheet


class Overview(NamedTuple):
    """Clusters and near-duplicates of a gallery of N garments.

    Attributes:
        clusters: (N,) int64 cluster of each catalogue row, 0 for the largest.
        distances: (N,) float32 Euclidean distance of each embedding from the centre of its cluster.
        duplicate_groups: (N,) str near-duplicate group of each row, named after its first id; "": none.
    """

    clusters: np.ndarray
    distances: np.ndarray
    duplicate_groups: np.ndarray


def analyse(gallery: Gallery, source: Source, num_clusters: int, seed: int = 0) -> Overview:
    """Cluster the embeddings by k-means (k-means++ start), and find near-duplicates by perceptual hashes.

    Args:
        gallery: gallery of N garments.
        source: data set that opens the images.
        num_clusters: number of clusters; at most one per two garments is made.
        seed: random seed of k-means.

    Raises:
        ValueError: the gallery is empty, or stores no embeddings.
    """
    if not len(gallery):
        raise ValueError("the gallery is empty; add images first")
    if not gallery.has_embeddings:
        raise ValueError("gallery.embeddings=false: no embeddings to cluster; build the gallery with embeddings")
    rows = gallery.rows
    count = max(1, min(num_clusters, len(rows) // 2))
    sample = evenly_spaced(len(rows), count * SAMPLES_PER_CLUSTER)
    vectors = gallery.embeddings[rows[sample]].astype(np.float32)
    centres, _ = kmeans2(vectors, count, minit="++", rng=seed, missing="warn")
    clusters, distances = np.empty(len(rows), np.int64), np.empty(len(rows), np.float32)
    for start in range(0, len(rows), BLOCK):
        block = gallery.embeddings[rows[start : start + BLOCK]].astype(np.float32)
        squared = (block**2).sum(axis=1)[:, None] - 2 * block @ centres.T + (centres**2).sum(axis=1)
        clusters[start : start + BLOCK] = squared.argmin(axis=1)
        distances[start : start + BLOCK] = np.sqrt(squared.min(axis=1).clip(0))
    order = np.argsort(-np.bincount(clusters, minlength=count), kind="stable")
    rank = np.empty(count, np.int64)
    rank[order] = np.arange(count)
    return Overview(rank[clusters], distances, near_duplicate_groups(source, gallery.catalogue))


def write_overview(folder: Path, overview: Overview, catalogue: Catalogue, source: Source, margin: float) -> list[Path]:
    """Write overview.csv and the sheets clusters.png and duplicates.png; return the paths.

    For a data set of image files, overview.csv is a manifest: label its empty categories, cluster by cluster.

    Args:
        folder: folder to write to; existing files of these names are replaced.
        overview: result of `analyse`.
        catalogue: N rows of the gallery.
        source: data set that opens the images.
        margin: margin of the crops, see `CropModel`.
    """
    paths = [folder / "overview.csv", folder / "clusters.png"]
    with atomic_write(paths[0]) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "image", "category", *BOX_COLUMNS, "cluster", "near_dup_group"])
        for row, box in enumerate(catalogue.boxes.tolist()):
            garment = catalogue.row(row)
            category = "" if garment["category"] == UNKNOWN_CATEGORY else garment["category"]
            sides = ["" if np.isnan(side) else side for side in box]
            group = overview.duplicate_groups[row]
            writer.writerow(
                [garment["id"], _path(source, garment["image"]), category, *sides, overview.clusters[row], group]
            )
    _write_sheet(paths[1], *_cluster_lines(overview), catalogue, source, margin)
    if (overview.duplicate_groups != "").any():
        paths.append(folder / "duplicates.png")
        _write_sheet(paths[-1], *_duplicate_lines(overview), catalogue, source, margin)
    return paths


def _path(source: Source, key: str) -> str:
    """Absolute path of an image file; the key of an image without a file."""
    return str((source.folder / key).resolve()) if isinstance(source, ImageFiles) else key


def describe_overview(overview: Overview, paths: Sequence[Path]) -> str:
    """Numbers of clusters and near-duplicates, and the written files."""
    sizes = np.bincount(overview.clusters)
    duplicates = overview.duplicate_groups[overview.duplicate_groups != ""]
    return (
        f"{len(sizes)} clusters of {sizes.min():,} to {sizes.max():,} garments; {len(duplicates):,} garments in "
        f"{len(set(duplicates)):,} groups of near-duplicates\n"
        f"Written to {paths[0].parent}: {', '.join(path.name for path in paths)}"
    )


def _cluster_lines(overview: Overview) -> tuple[list[str], list[np.ndarray]]:
    """Title and rows of each cluster: the garments nearest to the centre."""
    titles, lines = [], []
    for cluster, size in enumerate(np.bincount(overview.clusters)):
        rows = np.flatnonzero(overview.clusters == cluster)
        lines.append(rows[np.argsort(overview.distances[rows], kind="stable")[:TILES_PER_LINE]])
        titles.append(f"cluster {cluster}: {size:,} garments")
    return titles, lines


def _duplicate_lines(overview: Overview) -> tuple[list[str], list[np.ndarray]]:
    """Title and rows of the largest groups of near-duplicates."""
    names, sizes = np.unique(overview.duplicate_groups[overview.duplicate_groups != ""], return_counts=True)
    largest = np.argsort(-sizes, kind="stable")[:MAX_GROUPS]
    lines = [np.flatnonzero(overview.duplicate_groups == name)[:TILES_PER_LINE] for name in names[largest]]
    return [
        f"{name}: {size:,} near-duplicates" for name, size in zip(names[largest], sizes[largest], strict=True)
    ], lines


def _write_sheet(
    path: Path, titles: Sequence[str], lines: Sequence[np.ndarray], catalogue: Catalogue, source: Source, margin: float
) -> None:
    def tile(row: int) -> Tile:
        try:
            return hit_tile(source, catalogue, row, margin)
        except MISSING_IMAGE_ERRORS:
            return blank_tile()

    sheet = draw_sheet([[tile(int(row)) for row in rows] for rows in lines], [], row_titles=titles)
    with atomic_write(path) as temporary:
        sheet.save(temporary, "PNG")
