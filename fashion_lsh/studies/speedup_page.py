"""Page of `experiment=speedup`: tables, a figure, and an interpretation of the thesis's 17.16 %."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from tabulate import tabulate

from fashion_lsh.report.figures import BLUE, GREEN, GREY, ORANGE, svg_figure
from fashion_lsh.report.page_file import Row
from fashion_lsh.report.phrases import markdown_table

THESIS_SAVING = 0.1716  # "17.16 % faster retrieval", from the abstract of the thesis
SAVING_TEXT = (
    "**17.16 %.** With inverted lists as imbalanced as these, probing one list scans {scanned:.1%} of the gallery. "
    "Saving 17.16 % of the end-to-end time then only means that the search took {ratio:.1%} of that time: the number "
    "measures the cost of the search relative to the network, not the merit of the method. On this machine, with one "
    'thread, that saving needs a gallery of {sizes}. Here "17.16 % faster" is read as time saved; read as a higher '
    "speed (*faster by*), smaller galleries are enough."
)
LISTS_TEXT = (
    "Gallery and queries are randomly assigned to 30 lists with the frequencies of DeepFashion's 30 most frequent "
    "categories. The lists are unrelated to the garments, so recall is not reported. *saved* is 1 − T_first / T_whole "
    "of the end-to-end time (image to hits), with a 95 % confidence interval over the queries of this one run; "
    "*faster by* is T_whole / T_first − 1; *predicted saving* is f · (1 − fraction scanned), where f is the search's "
    "fraction of the end-to-end time."
)
OWN_TEXT = (
    "No perturbed copies; item scores are over all {queries:,} queries, including misclassified ones. *recall@10 of "
    "whole* is the fraction of the first ten hits at most as far as the tenth hit in the whole gallery. *list reached* "
    "is the fraction of queries whose item is in a probed list, an upper bound on recall. Category accuracy is "
    "{query_accuracy:.1%} on the queries and {gallery_accuracy:.1%} on the gallery images of their items. With "
    "independent errors, one list would reach {independent:.1%}; measured: {reached:.1%}."
)
CODES_TEXT = (
    "All lists are probed. *saved* is the end-to-end time saved relative to exact Euclidean search, with a 95 % "
    "confidence interval; *item recall@10* is over all queries, for galleries without perturbed copies."
)
LINE_STYLES = {"euclidean": (ORANGE, "s", "--"), "hamming": (BLUE, "o", "-"), "rerank": (GREEN, "^", ":")}


def page(rows: Sequence[Row]) -> tuple[str, dict[str, bytes]]:
    """Markdown page of the rows of `Speedup`, and figures by file name."""
    own = [row for row in rows if row["lists"] == "own"]
    other = [row for row in rows if row["lists"] != "own"]
    largest = max(row["gallery"] for row in own if "item map@100" in row)
    parts = [
        describe_saving(other),
        f"### {other[0]['lists']}: one list against the whole gallery",
        LISTS_TEXT,
        _savings_table(other),
        "![Time saved by probing one list, by gallery size](saving.svg)",
        "### Codes instead of embeddings, whole gallery",
        CODES_TEXT,
        _codes_table(own),
        f"### The model's own categories, {largest:,} garments",
        OWN_TEXT.format(queries=_num_queries(own), **_recall_ceiling(own, largest)),
        *(_methods_table(own, largest, indexed_by) for indexed_by in ("predicted", "true")),
        "### Latency by step",
        _steps_table(own),
        "### Storage per garment",
        _bytes_table(own),
        _machine(rows),
    ]  # fmt: skip
    return "\n\n".join(parts), {"saving.svg": figure(own, other)}


def describe_saving(rows: Sequence[Row]) -> str:
    """Interpret the thesis's 17.16 %, with the gallery size at which this machine reaches it."""
    sizes = ", ".join(f"{_describe_sizes(rows, distance)} by {distance}" for distance in LINE_STYLES)
    scanned = _find_row(rows, rows[-1]["gallery"], "hamming", "1")["scanned"]
    ratio = THESIS_SAVING / (1 - scanned)
    return SAVING_TEXT.format(scanned=scanned, ratio=ratio, sizes=sizes)


def crossing_size(sizes: Sequence[int], savings: Sequence[float], whole: Sequence[float]) -> float:
    """Gallery size at which the saving reaches THESIS_SAVING; 0 if below the first size, inf if never.

    Args:
        sizes: Measured gallery sizes, ascending.
        savings: Saving at each size, as a fraction of `whole`.
        whole: Milliseconds at each size without the saving. Times are interpolated linearly between sizes.
    """
    if savings[0] >= THESIS_SAVING:
        return 0.0
    excess = [time * (saved - THESIS_SAVING) for time, saved in zip(whole, savings, strict=True)]
    for index in range(1, len(sizes)):
        low, high = excess[index - 1], excess[index]
        if low < 0 <= high:
            return float(sizes[index - 1] + (sizes[index] - sizes[index - 1]) * low / (low - high))
    return float("inf")


def figure(own: Sequence[Row], other: Sequence[Row]) -> bytes:
    """SVG figure: saving by gallery size, one line per distance, one panel per kind of lists."""
    panels = {
        "the model's categories": [row for row in own if row["indexed by"] == "predicted"],
        other[0]["lists"]: other,
    }
    with svg_figure(3.6, 8.0) as (canvas, buffer):
        for axes, (title, rows) in zip(canvas.subplots(1, 2, sharey=True), panels.items(), strict=True):
            for distance, (colour, marker, linestyle) in LINE_STYLES.items():
                sizes, savings = _curve(rows, distance)
                low, high = (_curve(rows, distance, f"saved {end}")[1] for end in ("low", "high"))
                axes.plot(sizes, savings, color=colour, marker=marker, linestyle=linestyle, label=distance)
                axes.fill_between(sizes, low, high, color=colour, alpha=0.15)
            axes.axhline(THESIS_SAVING, color=GREY, linewidth=1)
            axes.set(xscale="log", xlabel="garments in the gallery", title=title)
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
            axes.xaxis.set_minor_formatter(lambda _value, _place: "")
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        canvas.axes[0].set_ylabel("end-to-end time saved")
        canvas.axes[0].text(sizes[0], THESIS_SAVING, "17.16 %", va="bottom", color=GREY)
        canvas.legend(*canvas.axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=3)
    return buffer.getvalue()


def _savings_table(rows: Sequence[Row]) -> str:
    titles = ("gallery", "distance", "search, whole ms", "search, one list ms", "end to end, whole ms",
              "p95, whole ms", "end to end, one list ms", "p95, one list ms",
              "scanned", "saved", "faster by", "predicted saving")  # fmt: skip
    lines = []
    for row in (row for row in rows if row["method"] == "1"):
        whole = _find_row(rows, row["gallery"], row["distance"], "whole")
        lines.append((
            f"{row['gallery']:,}", row["distance"], _format_ms(whole, "search"), _format_ms(row, "search"),
            *(f"{method[f'end_to_end_ms{end}']:.3g}" for method in (whole, row) for end in ("", "_p95")),
            f"{row['scanned']:.1%}",
            _format_ratio(row, "saved"),
            f"{row['faster by']:.1%}", f"{row['predicted saving']:.1%}",
        ))  # fmt: skip
    return markdown_table(lines, titles)


def _codes_table(rows: Sequence[Row]) -> str:
    titles = ("gallery", "distance", "search ms", "end to end ms", "saved", "item recall@10")
    lines = [
        (
            f"{row['gallery']:,}", row["distance"], _format_ms(row, "search"), _format_ms(row, "end_to_end"),
            _format_ratio(row, "saved over euclidean"),
            f"{row['item recall@10']:.3f}" if "item recall@10" in row else "–",
        )
        for row in rows if row["indexed by"] == "predicted" and row["method"] == "whole"
    ]  # fmt: skip
    return markdown_table(lines, titles)


def _methods_table(rows: Sequence[Row], size: int, indexed_by: str) -> str:
    titles = ("method", "distance", "lists probed", "scanned", "search ms", "end to end ms", "saved", "faster by",
              "predicted saving", "recall@10 of whole", "list reached", "item mAP@100",
              "item mAP@100, category correct", "item mAP@100, category wrong", "item recall@10")  # fmt: skip
    lines = [
        (
            row["method"], row["distance"], f"{row['lists probed']:.2f}", f"{row['scanned']:.1%}",
            _format_ms(row, "search"), _format_ms(row, "end_to_end"),
            f"{row['saved']:.1%}", f"{row['faster by']:.1%}", f"{row['predicted saving']:.1%}",
            f"{row['recall@10 of whole']:.3f}", f"{row['list reached']:.3f}", f"{row['item map@100']:.3f}",
            f"{row['item map@100, category correct']:.3f}", f"{row['item map@100, category wrong']:.3f}",
            f"{row['item recall@10']:.3f}",
        )
        for row in rows if row["gallery"] == size and row["indexed by"] == indexed_by
    ]  # fmt: skip
    return f"Gallery indexed by {indexed_by} category:\n\n{markdown_table(lines, titles)}"


def _steps_table(rows: Sequence[Row]) -> str:
    names = {"decode": "decode", "crop": "crop", "features": "features + hash", "category": "category",
             "hamming": "Hamming", "rerank": "re-rank"}  # fmt: skip
    lines = [
        (f"{row['gallery']:,}", row["method"], *(f"{row[f'{name}_ms']:.3f}" for name in names))
        for row in rows
        if row["distance"] == "rerank" and row["indexed by"] == "predicted" and row["method"] in ("whole", "1")
    ]
    return markdown_table(lines, ("gallery", "method", *(f"{title} ms" for title in names.values())))


def _bytes_table(rows: Sequence[Row]) -> str:
    names = ("code bytes", "row bytes", "embedding bytes", "bytes")
    sizes = {row["distance"]: [row["distance"], *(row[name] for name in names)] for row in rows}
    return tabulate(
        list(sizes.values()), ["distance", "code bytes", "row id bytes", "embedding bytes", "total bytes"], "pipe"
    )


def _machine(rows: Sequence[Row]) -> str:
    row, loads = rows[0], [row["load"] for row in rows if "load" in row]
    names = ("bits", "gpu", "threads", "processor", "cores")
    details = ", ".join(f"{name} {row[name]}" for name in names if row.get(name))
    details += f", load average {min(loads)} to {max(loads)} at the start of each size" if loads else ""
    return (
        f"Medians of {row['queries']} queries, all methods interleaved per query, after 20 warm-up queries. {details}."
    )


def _find_row(rows: Sequence[Row], size: int, distance: str, method: str) -> Row:
    return next(row for row in rows if (row["gallery"], row["distance"], row["method"]) == (size, distance, method))


def _curve(rows: Sequence[Row], distance: str, value: str = "saved") -> tuple[list[int], list[float]]:
    points = sorted(
        (row["gallery"], row[value]) for row in rows if row["distance"] == distance and row["method"] == "1"
    )
    sizes, values = zip(*points, strict=True)
    return list(sizes), list(values)


def _describe_sizes(rows: Sequence[Row], distance: str) -> str:
    sizes, savings = _curve(rows, distance)
    size_at_thesis = crossing_size(
        sizes, savings, [_find_row(rows, size, distance, "whole")["end_to_end_ms"] for size in sizes]
    )
    if not np.isfinite(size_at_thesis):
        return f"more than {sizes[-1]:,}"
    return f"fewer than {sizes[0]:,}" if not size_at_thesis else f"about {float(f'{size_at_thesis:.2g}'):,.0f}"


def _recall_ceiling(rows: Sequence[Row], size: int) -> dict[str, float]:
    predicted = [row for row in rows if row["indexed by"] == "predicted"]
    single_list = _find_row(predicted, size, "hamming", "1")
    query_accuracy, gallery_accuracy = single_list["top-1"], single_list["gallery top-1"]
    return {
        "query_accuracy": query_accuracy,
        "gallery_accuracy": gallery_accuracy,
        "independent": query_accuracy * gallery_accuracy,
        "reached": single_list["list reached"],
    }


def _num_queries(rows: Sequence[Row]) -> int:
    return int(max(row["scored"] for row in rows if "scored" in row))


def _format_ratio(row: Row, name: str) -> str:
    return f"{row[name]:.1%} [{row[f'{name} low']:.1%}, {row[f'{name} high']:.1%}]"


def _format_ms(row: Row, name: str) -> Any:
    return f"{row[f'{name}_ms']:.3g}"
