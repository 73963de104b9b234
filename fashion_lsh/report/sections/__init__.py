"""What a report says, section by section."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fashion_lsh.report import curves, figures
from fashion_lsh.report.blocks import Block, Figure, Listing, Section, Table, Text
from fashion_lsh.report.phrases import crop_words, hash_words, one_line, row_words, search_words, split_words
from fashion_lsh.report.run_data import Findings
from fashion_lsh.report.sections.detection import detection
from fashion_lsh.report.sections.examples import judged
from fashion_lsh.report.sections.model_card import card
from fashion_lsh.report.sections.neighbours import count_pairs, distances, retrieval
from fashion_lsh.report.tables import score_rows, with_interval
from fashion_lsh.runs.config import flat

MIXED_UP = 10  # pairs of categories that are named
MEANS = (
    "Means over the queries, with 95 % intervals by bootstrap over items. Category mAP@100 asks for garments of one "
    "kind, item scores for the same garment again."
)
UNNAMED = Text("Left out: no query is of a category that was trained, so the model can name none right.", note=True)
CLASSIFIER_AND_SPEED = {
    "query/accuracy": ("top-1", "queries whose category is named right"),
    "query/top5_accuracy": ("top-5", "queries whose category is among the five likeliest"),
    "query/macro_accuracy": ("macro top-1", "the same, as mean over the categories"),
    "query/macro_f1": ("macro F1", "mean over the categories"),
    "query/category/map@100_macro": ("macro mAP@100", "category mAP@100, as mean over the categories"),
    "speed/search_ms": ("search, ms", "median of one query at a time, from its code to its hits"),
    "speed/search_ms_p95": ("search, ms, 95 %", "95 of 100 queries are faster"),
    "speed/end_to_end_ms": ("picture to hits, ms", "median of one at a time: crop, network and search"),
}


def sections(found: Findings) -> list[Section]:
    """All sections, in the order of the page."""
    pairs = count_pairs(found, found.codes) if found.codes else None
    boxes = detection(found)
    return [
        Section("asked", "What was asked", asked(found)),
        Section("scores", "Scores", scores(found)),
        *([Section("boxes", "Garments found in pictures", boxes)] if boxes else []),
        Section("learning", "Learning curves", learning(found)),
        Section("confusion", "Confusion of categories", confusion(found)),
        Section("retrieval", "Precision and recall of the codes", retrieval(pairs)),
        Section("distances", "Hamming distances", distances(pairs, found.metrics)),
        Section("confidence", "Confidence", confidence(found)),
        Section("sheets", "Best, typical and worst queries", judged(found)),
        Section("settings", "Settings and environment", settings(found)),
        Section("card", "Model card", card(found)),
    ]


def asked(found: Findings) -> list[Block]:
    """What was asked, of which data."""
    config, data, garments = found.config, found.config["data"], found.garments
    counts = [f"{len(garments.rows(part)):,} {part}" for part in ("train", "val", "query")]
    searched = "the training pictures as gallery" if data["searched"] == "train" else "gallery"
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


def scores(found: Findings) -> list[Block]:
    """The score table, what its rows are, the classifier and the times."""
    metrics = found.metrics
    columns, rows = score_rows(metrics, found.label)
    further = [
        [title, with_interval(metrics, name), what]
        for name, (title, what) in CLASSIFIER_AND_SPEED.items()
        if name in metrics
    ]
    best, worst = (metrics.get(f"query/category/map@100_{end}", 0.0) for end in ("best", "worst"))
    if best - worst > 0.0005:
        further.append(["ties", f"{worst:.3f} to {best:.3f}", "category mAP@100 by the order among equal distances"])
    return [
        Text(MEANS),
        Table(columns, rows, strong=True),
        Listing([f"{row[0]}: {row_words(row[0], found.label)}" for row in rows]),
        Table(["classifier and speed", "", ""], further),
    ]


def learning(found: Findings) -> list[Block]:
    """Loss and accuracy of each stage while it was fitted."""
    blocks: list[Block] = []
    stages = {"detector": found.config["detector"], "classifier": True, "hasher": found.config["hash"]}
    for stage in (name for name, there in stages.items() if there):
        joined = curves.learning_curves(found.logs, stage)
        blocks += _fitted(stage, joined, f"{stage}/best_epoch" in found.metrics) if joined else [_not_fitted(stage)]
    return blocks


def confusion(found: Findings) -> list[Block]:
    """Which categories are taken for which."""
    if not found.named:
        return [UNNAMED]
    true, seen, names = found.column("category"), found.column("predicted"), found.garments.categories
    counts, shown = curves.confusion(true, seen, names), [one_line(name) for name in names]
    svg, wide = figures.confusion(counts, curves.shares(counts), shown)
    cells = "numbers: queries" if len(names) <= figures.COUNTED else "the counts are in queries.parquet"
    caption = f"True category (row) and what it was seen as (column); colour: share of the row; {cells}."
    matrix = Figure("confusion.svg", svg, caption, wide)
    rows = _mixed_up(counts, shown)
    if not rows:
        return [matrix, Text("No query was seen as another category.")]
    return [matrix, Table(["is", "seen as", "queries", "share of the category"], rows)]


def confidence(found: Findings) -> list[Block]:
    """Whether the category head is right as often as it is sure."""
    if not found.named:
        return [UNNAMED]
    seen = found.column("predicted") != ""
    right = found.column("category") == found.column("predicted")
    shown = curves.reliability(found.column("mass")[seen], right[seen])
    caption = (
        f"Expected calibration error (ECE) on the queries {shown.error:.3f}, {curves.BINS} bins of equal width. The "
        "temperature was fitted on val, not on these queries."
    ) + (f" Without {(~seen).sum():,} in which nothing was found." if not seen.all() else "")
    return [Figure("reliability.svg", figures.reliability(shown), caption)]


def settings(found: Findings) -> list[Block]:
    """All settings, and where it ran."""
    return [
        Table(["setting", "value"], _settings(found.config), folded="config.yaml"),
        Table(["", ""], _settings(found.environment), folded="environment.json"),
    ]


def _mixed_up(counts: np.ndarray, names: Sequence[str]) -> list[list[str]]:
    """The commonest mistakes: is, seen as, queries, their share of the category."""
    wrong = np.argwhere((counts > 0) & ~np.eye(len(counts), dtype=bool))
    common = sorted(map(tuple, wrong), key=lambda cell: (-counts[cell], cell))[:MIXED_UP]
    shares = curves.shares(counts)
    return [[names[cell[0]], names[cell[1]], f"{counts[cell]:,}", f"{shares[cell]:.1%}"] for cell in common]


def _fitted(stage: str, joined: curves.Curves, chosen: bool) -> Iterator[Block]:
    caption = f"The {stage} while it was fitted; dots: ends of epochs."
    if "val/accuracy" in joined:
        best = joined["val/accuracy"][joined["val/accuracy"][:, 2].argmax()]
        kept = "whose weights were kept" if chosen else "but the last epoch's weights were kept"
        caption += f" Best on validation: {best[2]:.3f}, in epoch {best[1] + 1:.0f}, {kept}."
    yield Figure(f"learning-{stage}.svg", figures.learning(joined), caption)
    first = min(points[0, 1] for points in joined.values())
    if first > 0:
        yield Text(
            f"The logs of the {stage} begin in epoch {first + 1:.0f}: earlier ones are not in this run.", note=True
        )


def _not_fitted(stage: str) -> Text:
    text = f"No curves of the {stage}: it was not fitted here, but taken over from a run with the same settings "
    return Text(f"{text}(train.log names it), or its logs were removed.", note=True)


def _start(backbone: Mapping[str, Any]) -> str:
    weights = backbone["weights"]
    named = {None: "from scratch", "imagenet": "from ImageNet weights"}
    frozen = "; frozen, the head alone is trained" if backbone.get("frozen") else ""
    return (named[weights] if weights in named else f"from the file {Path(weights).name}") + frozen


def _categories(found: Findings) -> str:
    """All names; where some are searched and others trained, apart."""
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


def _settings(settings: Mapping[str, Any]) -> list[Sequence[str]]:
    return [(name, "null" if value is None else one_line(str(value))) for name, value in flat(settings)]
