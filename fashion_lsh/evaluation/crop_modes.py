"""The same model and pictures, cropped in other ways: what each is worth."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.evaluation.detection import missed_shares
from fashion_lsh.evaluation.protocol import encode_part, evaluate
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.models.encoding import Model
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.search.searcher import Searcher

Crop = Literal["whole", "annotated", "detected", "detected_or_whole"]
KEPT = ("accuracy", "macro_f1", "category/map@100", "item/map@100", "item/recall@10")


def recropped(data: GarmentData, crop: Crop) -> GarmentData:
    """The same data, cut otherwise: `detected` leaves out what was not found, `detected_or_whole` keeps its picture.

    Raises:
        ValueError: boxes are to be detected, and no detector has looked.
    """
    if crop in ("whole", "annotated"):
        return data.replaced(crop=crop)
    if data.detections is None:
        raise ValueError(
            f"crop.tested={crop}: no detector has looked at the pictures: give crop=detected, or detector=small"
        )
    box_selector = replace(data.box_selector, fallback="skip" if crop == "detected" else "whole")
    return data.replaced(crop="detected", box_selector=box_selector)


def score_crops(model: Model, data: GarmentData, search: SearchPolicy, crops: Sequence[Crop]) -> dict[str, float]:
    """Scores with query and gallery cropped in each of these ways.

    Returns:
        `crops/<crop>/<metric>` for each of KEPT that is known, with the ends of its interval, where anything was found
        in the gallery; `crops/<crop>/missed`, the share of the queries in which nothing was found: they count as wrong,
        and find nothing.
    """
    metrics: dict[str, float] = {}
    for crop in crops:
        other = recropped(data, crop)
        shares = missed_shares(other)
        metrics[f"crops/{crop}/missed"] = shares["crop/query/missed"]
        if shares["crop/gallery/missed"] == 1:
            continue
        query, gallery = (encode_part(model, other, part) for part in ("query", "gallery"))
        searcher = Searcher(model, Gallery.build(model, gallery.encoded, gallery.catalogue), search)
        found = evaluate(searcher, query, gallery.lost).metrics
        metrics |= few(f"crops/{crop}", found)
    return metrics


def few(prefix: str, found: Mapping[str, float]) -> dict[str, float]:
    """Of the scores of a search, `query/<metric>`, those of KEPT with their intervals: `<prefix>/<metric>`."""
    names = [f"{name}{end}" for name in KEPT for end in ("", "_low", "_high")]
    return {f"{prefix}/{name}": found[f"query/{name}"] for name in names if f"query/{name}" in found}
