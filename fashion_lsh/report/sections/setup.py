"""Setup of the run: backbone, hash layer, search, data and splits."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fashion_lsh.report.blocks import Block, Table
from fashion_lsh.report.phrases import (
    backbone_name,
    describe_crop,
    describe_hash_layer,
    describe_search,
    describe_split,
    join_names,
    one_line,
)
from fashion_lsh.report.run_data import RunData

MAX_CATEGORIES = 15  # maximum number of category names in the table


def setup(run_data: RunData) -> list[Block]:
    """Build a table of the main settings and data sizes."""
    config, data, garments = run_data.config, run_data.config["data"], run_data.garments
    counts = [f"{len(garments.rows(split)):,} {split}" for split in ("train", "val", "query")]
    gallery_size = run_data.results.value("data", "garments", split="gallery") or 0
    gallery_label = "gallery (training images)" if data["gallery"] == "train" else "gallery"
    hash_layer = describe_hash_layer(config["hash"]) if config["hash"] else "none (hash=none), embeddings are searched"
    rows = {
        "backbone": f"{backbone_name(config['backbone'])}, {_describe_initialisation(config['backbone'])}",
        "hash layer": hash_layer,
        "search": describe_search(run_data.run.policy),
        "data": data["source"],
        "crops": f"{data['image_size']} × {data['image_size']} pixels; {describe_crop(data)}",
        "garments": f"{', '.join(counts)}, {gallery_size:,.0f} {gallery_label}",
        "categories": _categories(run_data),
        "splits": describe_split(data),
        "items": _items(run_data),
        "skipped": f"{run_data.skipped:,} garments; skipped.csv lists the reasons" if run_data.skipped else "none",
    }
    if corrections := run_data.run.corrections:
        rows["corrections"] = f"{corrections['relabel']:,} relabelled, {corrections['exclude']:,} left out"
    return [Table(["", ""], [list(row) for row in rows.items()])]


def _describe_initialisation(backbone: Mapping[str, Any]) -> str:
    weights = backbone["weights"]
    descriptions = {None: "from scratch", "imagenet": "from ImageNet weights", "pretrained": "from pretrained weights"}
    frozen = "; frozen, only the head is trained" if backbone.get("frozen") else ""
    return (descriptions[weights] if weights in descriptions else f"from the file {Path(weights).name}") + frozen


def _categories(run_data: RunData) -> str:
    """List the category names; list training and gallery categories separately if they are disjoint."""
    if run_data.has_known_categories:
        return _count_and_join(run_data.garments.categories)
    training, unseen = (
        _count_and_join(run_data.garments.take(run_data.garments.rows(split)).categories)
        for split in ("train", "gallery")
    )
    return f"training {training}; unseen (query and gallery) {unseen}"


def _count_and_join(names: Sequence[str]) -> str:
    return f"{len(names)}: {join_names([one_line(name) for name in names], max_names=MAX_CATEGORIES)}"


def _items(run_data: RunData) -> str:
    if run_data.config["data"]["source"] == "shop_street":
        return "re-rendered garments, not photographs: the images of an item show one garment in one colour and pattern"
    if run_data.has("item/map@100"):
        return f"{len(set(run_data.column('item')) - {''}):,} in the query split"
    return "unknown: scores are by category only"
