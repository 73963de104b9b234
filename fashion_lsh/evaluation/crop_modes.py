"""Evaluate a model with further crop modes."""

from collections.abc import Sequence
from dataclasses import replace

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.evaluation.detection import undetected_ratios
from fashion_lsh.evaluation.protocol import encode_split, evaluate
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.metrics.results import CropMode, Result, crop_condition
from fashion_lsh.models.encoding import Model
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.search.searcher import Searcher

HEADLINE = (  # relevance, metric and cutoff rank of the results under other conditions
    ("", "accuracy", 0), ("", "macro_f1", 0), ("category", "map", 100), ("item", "map", 100), ("item", "recall", 10),
)  # fmt: skip


def with_crop_mode(data: GarmentData, mode: CropMode) -> GarmentData:
    """Return the data with another crop mode.

    For an image without a detection, `detected` skips the garment, and `detected_or_whole` uses the whole image.

    Raises:
        ValueError: `mode` needs detections, but the data have none.
    """
    if mode in ("whole", "annotated"):
        return data.replace(crop=mode)
    if data.detections is None:
        raise ValueError(f"crop.eval_modes={mode}: needs detections; set crop=detected or detector=small")
    box_selector = replace(data.box_selector, fallback="skip" if mode == "detected" else "whole")
    return data.replace(crop="detected", box_selector=box_selector)


def score_crop_modes(model: Model, data: GarmentData, policy: SearchPolicy, modes: Sequence[CropMode]) -> list[Result]:
    """Score the search with queries and gallery cropped in each of the modes.

    Returns:
        HEADLINE results under the condition `crop=<mode>`; missing if nothing was detected in the gallery. `undetected`
        of the method `detector`: fraction of queries without detections, which count as wrong and have no hits.
    """
    results: list[Result] = []
    for mode in modes:
        recropped_data, condition = with_crop_mode(data, mode), crop_condition(mode)
        ratios = {row.split: row for row in undetected_ratios(recropped_data)}
        results.append(ratios["query"]._replace(condition=condition))
        if ratios["gallery"].value == 1:
            continue
        query, gallery = (encode_split(model, recropped_data, part) for part in ("query", "gallery"))
        searcher = Searcher(model, Gallery.build(model, gallery.encoded, gallery.catalogue), policy)
        results += headline_results(condition, evaluate(searcher, query, gallery.not_indexed).results)
    return results


def headline_results(condition: str, results: Sequence[Result]) -> list[Result]:
    """Select the results in HEADLINE, and set their condition."""
    return [row._replace(condition=condition) for row in results if (row.relevance, row.metric, row.k) in HEADLINE]
