"""Evaluate a model with further crop modes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.evaluation.detection import undetected_ratios
from fashion_lsh.evaluation.protocol import encode_split, evaluate
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.models.encoding import Model
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.search.searcher import Searcher

CropMode = Literal["whole", "annotated", "detected", "detected_or_whole"]
HEADLINE_METRICS = ("accuracy", "macro_f1", "category/map@100", "item/map@100", "item/recall@10")


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


def score_crop_modes(
    model: Model, data: GarmentData, policy: SearchPolicy, modes: Sequence[CropMode]
) -> dict[str, float]:
    """Score the search with queries and gallery cropped in each of the modes.

    Returns:
        `crops/<mode>/<metric>`: HEADLINE_METRICS with confidence intervals; missing if nothing was detected in the
        gallery. `crops/<mode>/undetected`: fraction of queries without detections, which count as wrong and have no
        hits.
    """
    metrics: dict[str, float] = {}
    for mode in modes:
        recropped_data = with_crop_mode(data, mode)
        ratios = undetected_ratios(recropped_data)
        metrics[f"crops/{mode}/undetected"] = ratios["crop/query/undetected"]
        if ratios["crop/gallery/undetected"] == 1:
            continue
        query, gallery = (encode_split(model, recropped_data, part) for part in ("query", "gallery"))
        searcher = Searcher(model, Gallery.build(model, gallery.encoded, gallery.catalogue), policy)
        query_metrics = evaluate(searcher, query, gallery.not_indexed).metrics
        metrics |= headline_metrics(f"crops/{mode}", query_metrics)
    return metrics


def headline_metrics(prefix: str, metrics: Mapping[str, float]) -> dict[str, float]:
    """Select HEADLINE_METRICS and their confidence intervals, and rename `query/<metric>` to `<prefix>/<metric>`."""
    names = [f"{name}{suffix}" for name in HEADLINE_METRICS for suffix in ("", "_low", "_high")]
    return {f"{prefix}/{name}": metrics[f"query/{name}"] for name in names if f"query/{name}" in metrics}
