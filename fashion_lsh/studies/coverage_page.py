"""Page of `experiment=coverage`."""

from collections.abc import Sequence

from fashion_lsh.report.page_file import Row
from fashion_lsh.report.phrases import markdown_table, percent

CALIBRATED, SHIFTED = "`search.coverage`", "the same, calibrated on gallery images"
BY_CUMULATIVE, BY_NUMBER = "calibrated cumulative probability", "calibrated number of lists"
PLAIN, ONE_LIST = "`search.min_probability`", "one list"
EXPLANATION = """- `search.coverage`: lists with at least a calibrated probability are probed.
- the same, calibrated on gallery images: the threshold is calibrated on images with the views of the gallery, which
  breaks the assumption.
- calibrated cumulative probability: lists are probed until the cumulative probability reaches a calibrated value.
- calibrated number of lists: the same number of lists for all queries.
- `search.min_probability`: lists are probed until the cumulative probability reaches the promised value; not
  calibrated.
- one list: the list of the predicted category, the least that any rule probes; by category its coverage is top-1
  accuracy."""
TITLES = ("promised", "rule", "measured", "held", "lists probed", "rows scanned")
MAX_CATEGORIES = 40  # maximum number of categories in the table by category


def page(rows: Sequence[Row]) -> tuple[str, dict[str, bytes]]:
    """Markdown page of a `CoverageStudy`; no figures."""
    parts = []
    for relevance in dict.fromkeys(row["relevance"] for row in rows):
        own = [row for row in rows if row["relevance"] == relevance]
        parts += [f"### By {relevance}", _describe(own[0]), _main_table(own), _category_table(own)]
    return "\n\n".join([*parts, EXPLANATION]), {}


def _describe(row: Row) -> str:
    miss = {
        "item": "no probed list has a gallery image of the query's item",
        "category": "the list of the true category is not probed",
    }[row["relevance"]]
    excluded = f"; {row['excluded']:,} without a relevant image are left out" if row["excluded"] else ""
    return (
        f"A miss: {miss}. {row['queries']:,} queries in {row['groups']:,} groups of linked images{excluded}. Mean over "
        f"{row['draws']} random divisions of the groups into halves, one that calibrates and one that is measured, ± "
        "its standard error. Held: measured ≥ promised − 2 standard errors."
    )


def _main_table(rows: Sequence[Row]) -> str:
    has_times = any("search_ms" in row for row in rows)
    lines = [
        [
            "–" if row["rule"] == ONE_LIST else f"{row['promised']:g}", row["rule"],
            f"{row['coverage']:.4f} ± {row['standard error']:.4f}",
            "–" if row["rule"] == ONE_LIST else _yes(row["held"]),
            f"{row['lists probed']:.2f}", percent(row["scanned"]),
            *([f"{row['search_ms']:.3g}"] if has_times else []),
        ]
        for row in rows
        if not row.get("category") and (row["rule"] != ONE_LIST or row["promised"] == rows[0]["promised"])
    ]  # fmt: skip
    return markdown_table(lines, [*TITLES, *(["search ms"] if has_times else [])])


def _category_table(rows: Sequence[Row]) -> str:
    own = [row for row in rows if row.get("category")]
    levels = list(dict.fromkeys(row["promised"] for row in own))
    by_key = {(row["category"], row["promised"]): row for row in own}
    names = sorted({row["category"] for row in own})
    lines = [
        [name, *(f"{(row := by_key[name, level])['coverage']:.3f}{'' if _yes(row['held']) == 'yes' else ' (below)'}"
                 for level in levels)]
        for name in names[:MAX_CATEGORIES]
    ]  # fmt: skip
    counts = ", ".join(
        f"{sum(_yes(by_key[name, level]['held']) == 'yes' for name in names)} of {len(names)} at {level:g}"
        for level in levels
    )
    text = f"Coverage of single categories is not promised. Held in {counts}:"
    return f"{text}\n\n{markdown_table(lines, ['category', *(f'{level:g}' for level in levels)])}"


def _yes(held: object) -> str:
    return "yes" if held in (True, "True") else "no"  # rows of results.csv have strings
