"""Page of `experiment=speedup`: tables, a figure, and an interpretation of the thesis's 17.16 %.

The thesis is S. Chen, *Research on Clothing Image Classification and Retrieval Based on Deep Learning*, 2020.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from tabulate import tabulate

from fashion_lsh.evaluation.latency import NUM_WARM_UP
from fashion_lsh.report.figures import BLUE, GREEN, GREY, ORANGE, svg_figure
from fashion_lsh.report.page_file import Row
from fashion_lsh.report.phrases import markdown_table, percent
from fashion_lsh.studies.probing_methods import ALL_LISTS, TOP_LIST

THESIS_SAVING = 0.1716  # "17.16 % faster retrieval", from the abstract of the thesis
SAVING_TEXT = (
    "**17.16 %.** With inverted lists as imbalanced as these, probing one list scans {scanned} of the gallery. Saving "
    "17.16 % of the end-to-end time then only means that the search took {ratio} of that time. The percentage depends "
    "on the cost of the search relative to the network, so it does not show how good the method is. On this machine, "
    "with one thread, saving 17.16 % needs a gallery of {sizes}. Here 17.16 % is read as time saved. If 17.16 % means "
    "a speed-up, smaller galleries are enough."
)
LISTS_TEXT = (
    "Gallery and queries are randomly assigned to 30 lists with the frequencies of DeepFashion's 30 most frequent "
    "categories. The lists are unrelated to the garments, so recall is not reported. *time saved* is 1 − T_one / "
    "T_all, where T_one and T_all are the end-to-end times (from image to hits) with one list and with all lists; its "
    "95 % confidence interval is over the queries of this run. *speed-up* is T_all / T_one − 1. *predicted saving* is "
    "f · (1 − fraction scanned), where f is the search's fraction of T_all."
)
OWN_TEXT = (
    "This gallery has no perturbed copies. Item scores are over all {queries:,} queries, including misclassified "
    "queries. *recall@10 vs exhaustive* is the fraction of the ten hits whose distance is at most that of the tenth "
    "hit in an exhaustive search (ties count). *item in probed lists* is the fraction of queries whose item is in a "
    "probed list, an upper bound on recall. Category accuracy is {query_accuracy} on the queries and "
    "{gallery_accuracy} on the gallery images of their items. If the errors on query and gallery images were "
    "independent, the one probed list would contain the item for {independent} of the queries; it contains the item "
    "for {measured}."
)
CODES_TEXT = (
    "All lists are probed. *time saved* is relative to exact Euclidean search, for the end-to-end time, with a 95 % "
    "confidence interval. *item recall@10* is over all queries, for galleries without perturbed copies."
)
LINE_STYLES = {"euclidean": (ORANGE, "s", "--"), "hamming": (BLUE, "o", "-"), "rerank": (GREEN, "^", ":")}
SEARCH_NAMES = {"euclidean": "Euclidean search", "hamming": "Hamming search", "rerank": "re-ranking"}


def page(rows: Sequence[Row]) -> tuple[str, dict[str, bytes]]:
    """Markdown page of the rows of `Speedup`, and SVG figures by file name."""
    model_lists = [row for row in rows if row["inverted lists"] == "model categories"]
    random_lists = [row for row in rows if row["inverted lists"] != "model categories"]
    largest = max(row["gallery"] for row in model_lists if "item map@100" in row)
    parts = [
        describe_saving(random_lists),
        f"### {random_lists[0]['inverted lists']}: one list versus all lists",
        LISTS_TEXT,
        _savings_table(random_lists),
        "![Time saved by probing one list, by gallery size](saving.svg)",
        "### Codes instead of embeddings, all lists",
        CODES_TEXT,
        _codes_table(model_lists),
        f"### The model's own categories, {largest:,} garments",
        OWN_TEXT.format(queries=_num_queries(model_lists), **_recall_bounds(model_lists, largest)),
        *(_methods_table(model_lists, largest, indexed_by) for indexed_by in ("predicted", "true")),
        "### Latency by step",
        _steps_table(model_lists),
        "### Storage per garment",
        _bytes_table(model_lists),
        _machine(rows),
    ]  # fmt: skip
    return "\n\n".join(parts), {"saving.svg": figure(model_lists, random_lists)}


def describe_saving(rows: Sequence[Row]) -> str:
    """Interpret the thesis's 17.16 %, with the gallery sizes that save as much time on this machine."""
    sizes = ", ".join(f"{_describe_size(rows, distance)} with {name}" for distance, name in SEARCH_NAMES.items())
    scanned = _find_row(rows, rows[-1]["gallery"], "hamming", TOP_LIST)["scanned"]
    ratio = THESIS_SAVING / (1 - scanned)
    return SAVING_TEXT.format(scanned=percent(scanned), ratio=percent(ratio), sizes=sizes)


def crossing_size(sizes: Sequence[int], savings: Sequence[float], baseline_ms: Sequence[float]) -> float:
    """Gallery size at which the time saved reaches THESIS_SAVING; 0 if below the first size, inf if never.

    Times are interpolated linearly between sizes.

    Args:
        sizes: Measured gallery sizes, ascending.
        savings: Time saved at each size, as a fraction of `baseline_ms`.
        baseline_ms: Milliseconds at each size with all lists probed.
    """
    if savings[0] >= THESIS_SAVING:
        return 0.0
    excess = [time * (saved - THESIS_SAVING) for time, saved in zip(baseline_ms, savings, strict=True)]
    for index in range(1, len(sizes)):
        low, high = excess[index - 1], excess[index]
        if low < 0 <= high:
            return float(sizes[index - 1] + (sizes[index] - sizes[index - 1]) * low / (low - high))
    return float("inf")


def figure(model_lists: Sequence[Row], random_lists: Sequence[Row]) -> bytes:
    """Plot time saved by gallery size as SVG: one line per distance; panels for the model's lists and random lists."""
    panels = {
        "the model's categories": [row for row in model_lists if row["indexed by"] == "predicted"],
        random_lists[0]["inverted lists"]: random_lists,
    }
    with svg_figure(3.6, 8.0) as (canvas, buffer):
        for axes, (title, rows) in zip(canvas.subplots(1, 2, sharey=True), panels.items(), strict=True):
            for distance, (colour, marker, linestyle) in LINE_STYLES.items():
                sizes, savings = _curve(rows, distance)
                low, high = (_curve(rows, distance, f"time saved {bound}")[1] for bound in ("low", "high"))
                axes.plot(sizes, savings, color=colour, marker=marker, linestyle=linestyle, label=distance)
                axes.fill_between(sizes, low, high, color=colour, alpha=0.15)
            axes.axhline(THESIS_SAVING, color=GREY, linewidth=1)
            axes.set(xscale="log", xlabel="garments in the gallery", title=title)
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
            axes.xaxis.set_minor_formatter(lambda _value, _place: "")
            axes.yaxis.set_major_formatter(lambda value, _: percent(value, 0))
        canvas.axes[0].set_ylabel("end-to-end time saved")
        canvas.axes[0].text(sizes[0], THESIS_SAVING, "17.16 %", va="bottom", color=GREY)
        canvas.legend(*canvas.axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=3)
    return buffer.getvalue()


def _savings_table(rows: Sequence[Row]) -> str:
    titles = ("gallery", "distance", "search ms, all lists", "search ms, one list", "end-to-end ms, all lists",
              "p95 ms, all lists", "end-to-end ms, one list", "p95 ms, one list",
              "scanned", "time saved", "speed-up", "predicted saving")  # fmt: skip
    lines = []
    for row in (row for row in rows if row["method"] == TOP_LIST):
        all_lists = _find_row(rows, row["gallery"], row["distance"], ALL_LISTS)
        lines.append((
            f"{row['gallery']:,}", row["distance"], _format_ms(all_lists, "search"), _format_ms(row, "search"),
            *(f"{method[f'end_to_end_ms{end}']:.3g}" for method in (all_lists, row) for end in ("", "_p95")),
            percent(row["scanned"]), _format_ratio(row, "time saved"),
            percent(row["speed-up"]), percent(row["predicted saving"]),
        ))  # fmt: skip
    return markdown_table(lines, titles)


def _codes_table(rows: Sequence[Row]) -> str:
    titles = ("gallery", "distance", "search ms", "end-to-end ms", "time saved", "item recall@10")
    lines = [
        (
            f"{row['gallery']:,}", row["distance"], _format_ms(row, "search"), _format_ms(row, "end_to_end"),
            _format_ratio(row, "time saved vs euclidean"),
            f"{row['item recall@10']:.3f}" if "item recall@10" in row else "–",
        )
        for row in rows if row["indexed by"] == "predicted" and row["method"] == ALL_LISTS
    ]  # fmt: skip
    return markdown_table(lines, titles)


def _methods_table(rows: Sequence[Row], size: int, indexed_by: str) -> str:
    titles = ("method", "distance", "lists probed", "scanned", "search ms", "end-to-end ms", "time saved", "speed-up",
              "predicted saving", "recall@10 vs exhaustive", "item in probed lists", "item mAP@100",
              "item mAP@100, category correct", "item mAP@100, category wrong", "item recall@10")  # fmt: skip
    lines = [
        (
            row["method"], row["distance"], f"{row['lists probed']:.2f}", percent(row["scanned"]),
            _format_ms(row, "search"), _format_ms(row, "end_to_end"),
            percent(row["time saved"]), percent(row["speed-up"]), percent(row["predicted saving"]),
            f"{row['recall@10 vs exhaustive']:.3f}", f"{row['item in probed lists']:.3f}", f"{row['item map@100']:.3f}",
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
        if row["distance"] == "rerank" and row["indexed by"] == "predicted" and row["method"] in (ALL_LISTS, TOP_LIST)
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
        f"Times are medians of {row['queries']} queries, one at a time, after {NUM_WARM_UP} warm-up queries. For each "
        f"query, all methods are timed in turn. Setup: {details}."
    )


def _find_row(rows: Sequence[Row], size: int, distance: str, method: str) -> Row:
    return next(row for row in rows if (row["gallery"], row["distance"], row["method"]) == (size, distance, method))


def _curve(rows: Sequence[Row], distance: str, value: str = "time saved") -> tuple[list[int], list[float]]:
    points = sorted(
        (row["gallery"], row[value]) for row in rows if row["distance"] == distance and row["method"] == TOP_LIST
    )
    sizes, values = zip(*points, strict=True)
    return list(sizes), list(values)


def _describe_size(rows: Sequence[Row], distance: str) -> str:
    sizes, savings = _curve(rows, distance)
    size_at_thesis = crossing_size(
        sizes, savings, [_find_row(rows, size, distance, ALL_LISTS)["end_to_end_ms"] for size in sizes]
    )
    if not np.isfinite(size_at_thesis):
        return f"more than {sizes[-1]:,}"
    return f"fewer than {sizes[0]:,}" if not size_at_thesis else f"about {float(f'{size_at_thesis:.2g}'):,.0f}"


def _recall_bounds(rows: Sequence[Row], size: int) -> dict[str, str]:
    """Percentages of OWN_TEXT, for one probed list."""
    predicted = [row for row in rows if row["indexed by"] == "predicted"]
    single_list = _find_row(predicted, size, "hamming", TOP_LIST)
    query_accuracy, gallery_accuracy = single_list["top-1"], single_list["gallery top-1"]
    return {
        "query_accuracy": percent(query_accuracy),
        "gallery_accuracy": percent(gallery_accuracy),
        "independent": percent(query_accuracy * gallery_accuracy),
        "measured": percent(single_list["item in probed lists"]),
    }


def _num_queries(rows: Sequence[Row]) -> int:
    return int(max(row["scored"] for row in rows if "scored" in row))


def _format_ratio(row: Row, name: str) -> str:
    return f"{percent(row[name])} [{percent(row[f'{name} low'])}, {percent(row[f'{name} high'])}]"


def _format_ms(row: Row, name: str) -> Any:
    return f"{row[f'{name}_ms']:.3g}"
