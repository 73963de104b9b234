"""Confusion matrix of the categories, and the most confused pairs with example images."""

from collections.abc import Sequence

import numpy as np

from fashion_lsh.report import curves
from fashion_lsh.report.blocks import Block, Download, Figure, Table, Text
from fashion_lsh.report.category_figures import MAX_ANNOTATED, confusion_matrix
from fashion_lsh.report.example_images import ExampleImages
from fashion_lsh.report.page_file import to_csv
from fashion_lsh.report.phrases import one_line, percent
from fashion_lsh.report.run_data import RunData

MAX_CATEGORIES = 30  # maximum number of categories in the matrix; with more, the most confused and "others"
MAX_PAIRS = 10  # maximum number of rows in the table of confused pairs
MAX_SHEET_PAIRS, MAX_EXAMPLES = 6, 8  # maximum number of pairs with examples, and of examples of a pair
OTHERS = "all other categories"
SHEET_CAPTION = (
    "Query crops of the most confused pairs, true → predicted category, with the confidence of the prediction; the "
    "most confident errors first."
)
UNKNOWN_CATEGORIES = Text(
    "Skipped: the query categories are not in the training data, so no prediction can be correct.", note=True
)

Pair = tuple[int, int]  # true and predicted category


def confusion(run_data: RunData, images: ExampleImages) -> list[Block]:
    """Plot the confusion matrix of the queries; list the most confused pairs, with query crops and a CSV of all."""
    if not run_data.has_known_categories:
        return [UNKNOWN_CATEGORIES]
    names = run_data.garments.categories
    counts = curves.confusion(run_data.column("category"), run_data.column("predicted"), names)
    shown = [one_line(name) for name in names]
    pairs = _most_confused_pairs(counts)
    if not pairs:
        return [_matrix(counts, shown), Text("No query was assigned to a wrong category.")]
    return [
        _matrix(counts, shown),
        _pair_table(counts, shown, pairs),
        _csv(counts, names),
        *_examples(run_data, images, counts, pairs),
    ]


def _matrix(counts: np.ndarray, names: Sequence[str]) -> Figure:
    caption = "Rows: true category; columns: predicted category; colour: fraction of the row"
    if len(names) > MAX_CATEGORIES:
        selected = curves.most_confused(counts, MAX_ANNOTATED - 1)
        caption += f"; the {len(selected)} of {len(names)} categories in most errors, and all others as one"
        counts, names = curves.group_others(counts, selected), [*(names[index] for index in selected), OTHERS]
    caption += "; numbers: queries." if len(names) <= MAX_ANNOTATED else "."
    svg, width = confusion_matrix(counts, curves.row_ratios(counts), names)
    return Figure("confusion.svg", svg, caption, width)


def _most_confused_pairs(counts: np.ndarray) -> list[Pair]:
    """Pairs of different categories, the most frequent first."""
    errors = np.argwhere((counts > 0) & ~np.eye(len(counts), dtype=bool))
    return sorted(((int(true), int(predicted)) for true, predicted in errors), key=lambda pair: (-counts[pair], pair))


def _pair_table(counts: np.ndarray, names: Sequence[str], pairs: Sequence[Pair]) -> Table:
    ratios, num_errors = curves.row_ratios(counts), counts.sum() - np.trace(counts)
    rows = [
        [names[pair[0]], names[pair[1]], f"{counts[pair]:,}", percent(ratios[pair]), percent(counts[pair] / num_errors)]
        for pair in pairs[:MAX_PAIRS]
    ]
    return Table(["true", "predicted", "queries", "percentage of category", "percentage of errors"], rows)


def _csv(counts: np.ndarray, names: Sequence[str]) -> Download:
    ratios = curves.row_ratios(counts)
    rows = [
        {"true": names[true], "predicted": names[predicted], "queries": int(counts[true, predicted]),
         "ratio": round(float(ratios[true, predicted]), 6)}
        for true, predicted in np.argwhere(counts)
    ]  # fmt: skip
    return Download("confusion.csv", to_csv(rows).encode(), "all cells of the confusion matrix that are not 0.")


def _examples(run_data: RunData, images: ExampleImages, counts: np.ndarray, pairs: Sequence[Pair]) -> list[Block]:
    """Sheet with a row of query crops for each of the most confused pairs."""
    names, ratios = run_data.garments.categories, curves.row_ratios(counts)
    true, predicted, confidence = (run_data.column(name) for name in ("category", "predicted", "confidence"))
    ids, rows, titles = run_data.column("id"), [], []
    for pair in pairs[:MAX_SHEET_PAIRS]:
        queries = np.flatnonzero((true == names[pair[0]]) & (predicted == names[pair[1]]))
        selected = queries[np.argsort(-confidence[queries], kind="stable")[:MAX_EXAMPLES]]
        rows.append([images.crop(ids[query], f"{confidence[query]:.2f}") for query in selected])
        names_text = " → ".join(one_line(names[index]) for index in pair)
        titles.append(f"{names_text}: {counts[pair]:,} queries, {percent(ratios[pair])} of the category")
    return [*images.sheet("confused-pairs", rows, [], SHEET_CAPTION, titles), *images.note()]
