"""Review the data of a run: find doubtful labels, label conflicts and outliers, and write a CSV file and sheets."""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.connected_components import components_by_value
from fashion_lsh.data.crops import crop_image
from fashion_lsh.data.datamodule import GarmentData, SplitName
from fashion_lsh.data.review.confident_learning import find_label_issues
from fashion_lsh.data.review.cross_validation import assign_folds, out_of_sample_probabilities
from fashion_lsh.data.review.duplicate_labels import find_label_conflicts, near_duplicate_groups
from fashion_lsh.data.review.findings import DUPLICATE, LABEL, OUTLIER, Finding, merge_findings, write_findings
from fashion_lsh.data.review.outliers import find_outliers, neighbour_distances
from fashion_lsh.evaluation.protocol import encode_split
from fashion_lsh.io.progress import chunks
from fashion_lsh.models.encoding import Model
from fashion_lsh.report.contact_sheets import MISSING_IMAGE_ERRORS, downscale
from fashion_lsh.report.tiles import Tile, write_contact_sheet

log = logging.getLogger(__name__)

NUM_FOLDS = 5
TILES_PER_LINE, LINES_PER_SHEET = 10, 5
TILE_SIZE = 160  # pixels
MAX_PAIRS = 5  # number of label pairs named in the summary
REVIEW_FILE = "review.csv"
SPLITS: tuple[SplitName, ...] = ("train", "val", "calibration", "query", "gallery")


class LabelCheck(NamedTuple):
    """Result of checking the labels of n rows.

    Attributes:
        findings: doubtful labels, the most doubtful first.
        num_rows: number of checked rows.
        accuracy: ratio of checked rows whose label the cross-validated classifier predicts.
        unchecked: categories that are in one fold only, so that they cannot be predicted out of sample.
    """

    findings: list[Finding]
    num_rows: int
    accuracy: float
    unchecked: list[str]


class Review(NamedTuple):
    """Findings on the data of a run.

    Attributes:
        catalogue: all rows of the data.
        findings: one finding per row: doubtful labels, near-duplicates with two labels, outliers.
        labels: result of checking the labels.
    """

    catalogue: Catalogue
    findings: list[Finding]
    labels: LabelCheck


def review_data(model: Model, data: GarmentData, limit: int = 200, seed: int = 0) -> Review:
    """Find rows that are worth a second look, in all splits.

    Args:
        model: model whose embeddings are used.
        data: data, with detections if crops are detected.
        limit: maximum number of rows for each reason.
        seed: random seed of the folds.
    """
    catalogue = data.catalogue
    rows, embeddings = encode_rows(model, data)
    groups = near_duplicate_groups(data.source, catalogue)
    labels = check_labels(catalogue, rows, embeddings, groups, seed)
    conflicts = find_label_conflicts(catalogue, groups)
    distances = neighbour_distances(embeddings)
    findings = [
        *labels.findings[:limit],
        *(Finding(conflict.row, conflict.suggested, DUPLICATE, conflict.ratio) for conflict in conflicts[:limit]),
        *(Finding(int(rows[row]), "", OUTLIER, distances[row]) for row in find_outliers(distances)[:limit]),
    ]
    return Review(catalogue, merge_findings(findings), labels)


def encode_rows(model: Model, data: GarmentData) -> tuple[np.ndarray, np.ndarray]:
    """Encode all garments of all splits, except those without a detection: rows (n,) int64, embeddings (n, D)."""
    splits = [name for name in SPLITS if len(data.all_rows(name))]
    if data.gallery == "train" and "gallery" in splits:
        splits.remove("gallery")  # the data use the split train instead
    rows = np.concatenate([data.rows(name) for name in splits])
    embeddings = np.concatenate([encode_split(model, data, name).encoded.embeddings for name in splits])
    is_detected = ~data.undetected[rows] | (data.box_selector.fallback == "whole")
    return rows[is_detected], embeddings[is_detected]


def check_labels(
    catalogue: Catalogue, rows: np.ndarray, embeddings: np.ndarray, near_duplicates: np.ndarray, seed: int = 0
) -> LabelCheck:
    """Find labels that are probably wrong, by confident learning on cross-validated probabilities.

    Rows with the same image, item, group or near-duplicate group are in the same fold.

    Args:
        catalogue: N rows.
        rows: (n,) int64 rows to check.
        embeddings: (n, D) embeddings of these rows.
        near_duplicates: (N,) str near-duplicate group of each row; "": none.
        seed: random seed of the folds.
    """
    links = [catalogue.column(name)[rows] for name in ("image", "item", "group")]
    groups = components_by_value([*links, near_duplicates[rows]])
    names = np.array(sorted(set(catalogue.column("category")[rows])), dtype=object)
    labels = catalogue.labels(names.tolist())[rows]
    folds = assign_folds(labels, groups, NUM_FOLDS, seed)
    num_folds = np.array([len(set(folds[labels == label])) for label in range(len(names))])
    is_checked = num_folds[labels] > 1
    unchecked = names[num_folds < 2].tolist()
    if unchecked:
        log.warning("Labels not checked, since their images are too few or all linked: %s", ", ".join(unchecked))
    if len(names) - len(unchecked) < 2:
        return LabelCheck([], 0, 0.0, unchecked)
    names, labels = np.unique(names[labels[is_checked]], return_inverse=True)
    probabilities = out_of_sample_probabilities(embeddings[is_checked], labels, folds[is_checked], len(names))
    issues, checked_rows = find_label_issues(probabilities, labels), rows[is_checked]
    findings = [
        Finding(int(checked_rows[row]), str(names[suggested]), LABEL, float(margin))
        for row, suggested, margin in zip(*issues, strict=True)
    ]
    accuracy = float((probabilities.argmax(axis=1) == labels).mean())
    return LabelCheck(findings, len(labels), accuracy, unchecked)


def write_review(folder: Path, review: Review, data: GarmentData) -> list[Path]:
    """Write review.csv and contact sheets whose captions have the numbers of its lines; return the paths.

    Raises:
        FileExistsError: the folder has a review.csv, which may have been edited.
    """
    check_new(folder)
    paths = [folder / REVIEW_FILE]
    write_findings(paths[0], review.catalogue, review.findings)
    for number, tiles in enumerate(chunks(_tiles(review, data), TILES_PER_LINE * LINES_PER_SHEET), start=1):
        paths.append(folder / f"sheet_{number:02}.png")
        write_contact_sheet(paths[-1], list(chunks(tiles, TILES_PER_LINE)), [], TILE_SIZE)
    return paths


def check_new(folder: Path) -> None:
    """Check that a folder has no review, which may have been edited.  Raises FileExistsError."""
    if (folder / REVIEW_FILE).exists():
        raise FileExistsError(f"{folder / REVIEW_FILE}: already exists, possibly with your edits; pass another folder")


def _tiles(review: Review, data: GarmentData) -> list[Tile]:
    """Tile of each finding: the garment, its number in the file, its category and the suggested one."""
    images, categories = review.catalogue.column("image"), review.catalogue.column("category")
    tiles = []
    for number, (row, suggested, reason, _) in enumerate(review.findings, start=1):
        words = f"{categories[row]} → {suggested}" if suggested else f"{categories[row]} ({reason})"
        tiles.append(Tile(_tile_image(data, images[row], data.crop_boxes[row]), f"{number} {words}"))
    return tiles


def _tile_image(data: GarmentData, key: str, box: np.ndarray) -> np.ndarray:
    """Crop of a garment, or the whole image; a grey tile if the image can no longer be read."""
    try:
        image = data.source.image(key)
        return downscale(image, box)[0] if np.isnan(box).any() else crop_image(image, box, data.margin, TILE_SIZE)
    except MISSING_IMAGE_ERRORS as error:
        log.warning("No tile for %s: %s", key, error)
        return np.full((TILE_SIZE, TILE_SIZE, 3), 128, dtype=np.uint8)


def describe_review(review: Review, paths: Sequence[Path]) -> str:
    """Summarise a review, and say how to hand corrections back."""
    labels, reasons = review.labels, [finding.reason for finding in review.findings]
    counts = ", ".join(
        f"{sum(name in reason for reason in reasons):,} {text}"
        for name, text in ((LABEL, "doubtful labels"), (DUPLICATE, DUPLICATE), (OUTLIER, "outliers"))
    )
    categories = review.catalogue.column("category")
    pairs = Counter(f"{categories[finding.row]} → {finding.suggested}" for finding in labels.findings)
    frequent = ", ".join(f"{pair} {count:,}" for pair, count in pairs.most_common(MAX_PAIRS)) or "none"
    return (
        f"Checked the labels of {labels.num_rows:,} of {len(review.catalogue):,} garments; accuracy of the "
        f"cross-validated classifier: {labels.accuracy:.3f}\n"
        f"Doubtful labels: {len(labels.findings):,}; most frequent: {frequent}\n"
        f"To look at: {len(reasons):,} garments ({counts})\n"
        f"Written to {paths[0].parent}: {', '.join(path.name for path in paths)}\n"
        "Set action to relabel, exclude or keep (an empty new_category accepts the suggestion), then train with "
        f"data.corrections={paths[0]}"
    )
