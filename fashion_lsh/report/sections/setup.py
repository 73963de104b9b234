"""Setup of the run: backbone, hash layer, search, data and splits."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fashion_lsh.report.blocks import Block, Table
from fashion_lsh.report.phrases import crop_words, hash_words, one_line, search_words, split_words
from fashion_lsh.report.run_data import Findings


def asked(found: Findings) -> list[Block]:
    """Build a table of the run's main settings and the sizes of its data."""
    config, data, garments = found.config, found.config["data"], found.garments
    counts = [f"{len(garments.rows(part)):,} {part}" for part in ("train", "val", "query")]
    searched = "the training pictures as gallery" if data["gallery"] == "train" else "gallery"
    bits = hash_words(config["hash"]) if config["hash"] else "none (hash=none): embeddings are searched"
    rows = {
        "backbone": f"{config['backbone']['name']}, {_start(config['backbone'])}",
        "hash layer": bits,
        "search": search_words(found.label),
        "data": data["source"],
        "crops": f"{data['image_size']} × {data['image_size']} pixels; {crop_words(data)}",
        "garments": f"{', '.join(counts)}, {found.metrics['query/gallery_rows']:,.0f} {searched}",
        "categories": _categories(found),
        "splits": split_words(data),
        "items": _items(found),
        "left out": f"{found.skipped:,} garments; skipped.csv says why" if found.skipped else "none",
    }
    return [Table(["", ""], [list(row) for row in rows.items()])]


def _start(backbone: Mapping[str, Any]) -> str:
    weights = backbone["weights"]
    named = {None: "from scratch", "imagenet": "from ImageNet weights"}
    frozen = "; frozen, the head alone is trained" if backbone.get("frozen") else ""
    return (named[weights] if weights in named else f"from the file {Path(weights).name}") + frozen


def _categories(found: Findings) -> str:
    """All names; trained and searched ones apart where they differ."""
    if found.named:
        return _listed(found.garments.categories)
    trained, searched = (
        _listed(found.garments.take(found.garments.rows(part)).categories) for part in ("train", "gallery")
    )
    return f"trained {trained}; searched, never trained {searched}"


def _listed(names: Sequence[str]) -> str:
    return f"{len(names)}: {', '.join(map(one_line, names))}"


def _items(found: Findings) -> str:
    if found.config["data"]["source"] == "shop_street":
        return "re-viewed garments: each item is one garment in one colour and pattern, drawn again; not photographs"
    if found.has("item/map@100"):
        return f"{len(set(found.column('item')) - {''}):,} among the queries"
    return "not known: scores are by category alone"
