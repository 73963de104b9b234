"""Consumer-to-shop retrieval of DeepFashion2 with detected boxes."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.dataset import CropDataset, build_dataloader, collate
from fashion_lsh.data.detections import NO_BOXES
from fashion_lsh.data.schema import box_columns
from fashion_lsh.evaluation.batch_encoding import encode_all
from fashion_lsh.evaluation.protocol import EncodedSplit
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.metrics.detection import MATCH_IOU, iou
from fashion_lsh.metrics.results import Result
from fashion_lsh.metrics.statistics import item_interval
from fashion_lsh.models.encoding import Encoded, Model
from fashion_lsh.search.searcher import Searcher

DETECTED_BOXES = "boxes=all_detected"  # condition of the results: all detections are searched
BLOCK = 256  # number of queries that are searched at a time


@dataclass(frozen=True)
class DetectedRetrieval:
    """Top-k accuracy with all detected boxes, by the rules of DeepFashion2's evaluation code.

    Queries are the annotated garments of the query images whose item is known (style above 0) and in the gallery. Each
    detection of a query image belongs to the annotated garment with which it has the highest IoU; among those whose
    category is predicted correctly, the one with the highest detection score is searched. A query without such a
    detection is missed, and counts as wrong. The gallery consists of all detections of the gallery images. A hit is
    correct if its IoU with an annotated garment of the query's item is at least MATCH_IOU.

    Y. Ge et al.: DeepFashion2, CVPR 2019, section 5; evaluation/evaluation.md of the data set's repository. The
    category is that of the classifier. Gallery rows at equal distance are ranked by image and detection score.

    Attributes:
        cutoffs: cutoff ranks.
    """

    cutoffs: tuple[int, ...] = (1, 5, 10, 15, 20)

    def __call__(
        self,
        searcher: Searcher,
        data: GarmentData,
        query: EncodedSplit,  # noqa: ARG002  interface of Evaluator
        gallery: EncodedSplit,  # noqa: ARG002
    ) -> Iterable[Result]:
        """Return `recall` at each cutoff rank, and the ratio of queries without a detection, `undetected`.

        Raises:
            ValueError: the data have no detections, nothing was detected in the gallery, or no query has a relevant
                garment in the gallery.
        """
        model, annotated = searcher.model, data.catalogue
        query_boxes, gallery_boxes = (detected_garments(data, split) for split in ("query", "gallery"))
        encoded_query, encoded_gallery = (encode_garments(model, data, boxes) for boxes in (query_boxes, gallery_boxes))
        rows = scored_queries(annotated)
        predicted = np.array([*model.categories, ""])[encoded_query.predicted]
        selected = select_detections(annotated, rows, query_boxes, predicted)
        queries = encoded_query.take(selected).without_detections(selected < 0)
        found = Searcher(model, Gallery.build(model, encoded_gallery, gallery_boxes), searcher.policy)
        items = annotated.column("item")[rows]
        is_correct = np.zeros((len(rows), max(self.cutoffs)), dtype=bool)
        matched = matched_items(annotated, gallery_boxes)
        for start in range(0, len(rows), BLOCK):
            block = slice(start, start + BLOCK)
            hits = found.search_encoded(queries.take(block), max(self.cutoffs)).rows
            is_correct[block] = correct_hits(hits, items[block], matched)
        return _results(is_correct, selected < 0, items, self.cutoffs, searcher)


def scored_queries(annotated: Catalogue) -> np.ndarray:
    """Rows of the queries whose item is in the gallery, (Q,) int64.

    Raises:
        ValueError: there is none.
    """
    rows, items = annotated.rows("query"), annotated.column("item").astype(str)
    is_scored = np.isin(items[rows], items[annotated.rows("gallery")]) & (items[rows] != "")
    if not is_scored.any():
        raise ValueError(f"none of {len(rows)} queries has an item that is in the gallery; check the column item")
    return rows[is_scored]


def detected_garments(data: GarmentData, split: str) -> Catalogue:
    """All detections of the images of a split that pass the thresholds of the box selector, as catalogue rows.

    Raises:
        ValueError: the data have no detections, or there is no detection in the split.
    """
    if data.detections is None:
        raise ValueError("crop=detected: the data have no detections; set detector=small")
    selector = data.box_selector
    images = sorted(set(data.catalogue.column("image")[data.catalogue.rows(split)]))
    boxes = [data.detections.boxes.get(image, NO_BOXES).filter(selector.min_score, selector.min_size).xyxy
             for image in images]  # fmt: skip
    counts = [len(each) for each in boxes]
    if not sum(counts):
        raise ValueError(f"crop.min_score={selector.min_score:g}: no detection in split {split!r}; lower it")
    columns: dict[str, Any] = {
        "id": [f"{image}#{number}" for image, count in zip(images, counts, strict=True) for number in range(count)],
        "image": np.repeat(images, counts).tolist(),
        "category": ["garment"] * sum(counts),
        "split": [split] * sum(counts),
    }
    return Catalogue.from_columns(columns | box_columns(np.concatenate(boxes)))


def encode_garments(model: Model, data: GarmentData, garments: Catalogue) -> Encoded:
    """Encode the crops of n catalogue rows: n encoded rows."""
    unknown = np.full(len(garments), -1)
    crops = CropDataset(
        data.source, garments.column("image"), unknown, unknown, garments.boxes, model.margin, model.image_size,
        0.0, 1.0, None,
    )  # fmt: skip
    keys = [(row, 0) for row in range(len(garments))]
    pin_memory = torch.device(model.device).type == "cuda"
    return encode_all(model, build_dataloader(crops, data.batch_size, keys, data.workers, collate, pin_memory))[0]


def select_detections(
    annotated: Catalogue, queries: np.ndarray, detected: Catalogue, predicted: np.ndarray
) -> np.ndarray:
    """Select the detection that is searched for each query (see DetectedRetrieval).

    Args:
        annotated: catalogue of annotated garments.
        queries: (Q,) int64 rows of the queries in `annotated`.
        detected: m detections in the images of the queries; those of an image by descending score.
        predicted: (m,) str, predicted category of each detection.

    Returns:
        (Q,) int64 rows of `detected`; -1: the query is missed.
    """
    boxes, detected_boxes, categories = annotated.boxes, detected.boxes, annotated.column("category")
    rows_by_image, detections_by_image = _rows_by_image(annotated), _rows_by_image(detected)
    best: dict[int, int] = {}  # annotated row -> detection
    for image in set(annotated.column("image")[queries]):
        rows = rows_by_image[image]
        for detection in detections_by_image.get(image, []):
            row = int(rows[iou(detected_boxes[detection], boxes[rows]).argmax()])
            if predicted[detection] == categories[row]:
                best.setdefault(row, int(detection))
    return np.array([best.get(int(row), -1) for row in queries], dtype=np.int64)


def matched_items(annotated: Catalogue, detected: Catalogue) -> list[set[str]]:
    """Items of the annotated garments in the same image with an IoU of at least MATCH_IOU, for each of n detections."""
    items, boxes, rows_by_image = annotated.column("item"), annotated.boxes, _rows_by_image(annotated)
    matched = []
    for image, box in zip(detected.column("image"), detected.boxes, strict=True):
        rows = rows_by_image[image]
        matched.append(set(items[rows][iou(box, boxes[rows]) >= MATCH_IOU]) - {""})
    return matched


def correct_hits(hits: np.ndarray, items: Sequence[str] | np.ndarray, matched: Sequence[set[str]]) -> np.ndarray:
    """Mark correct hits.  hits (Q, K) int, -1 for none; items (Q,) str; matched: items of each row -> (Q, K) bool."""
    return np.array(
        [[row >= 0 and item in matched[row] for row in rows] for rows, item in zip(hits, items, strict=True)],
        dtype=bool,
    ).reshape(hits.shape)


def _results(
    is_correct: np.ndarray, is_missed: np.ndarray, items: np.ndarray, cutoffs: Sequence[int], searcher: Searcher
) -> list[Result]:
    fields: dict[str, Any] = {
        "method": searcher.policy.method, "scope": searcher.policy.scope, "condition": DETECTED_BOXES,
        "bits": searcher.model.bits if searcher.policy.uses_codes and searcher.model.bits else 0, "n": len(items),
    }  # fmt: skip
    results = [Result("undetected", float(is_missed.mean()), **fields)]
    for k in cutoffs:
        scores = np.asarray(is_correct[:, :k].any(axis=1), dtype=np.float64)
        value, bounds = float(scores.mean()), item_interval(scores, items)
        results.append(Result("recall", value, *bounds, k=k, relevance="item", **fields))
    return results


def _rows_by_image(catalogue: Catalogue) -> dict[str, np.ndarray]:
    """Rows of each image, ascending."""
    rows = defaultdict(list)
    for row, image in enumerate(catalogue.column("image")):
        rows[image].append(row)
    return {image: np.array(numbers) for image, numbers in rows.items()}
