"""Page of `experiment=item_codes`."""

from collections.abc import Sequence

from fashion_lsh.report.page_file import Row
from fashion_lsh.report.phrases import markdown_table

COLUMNS = (  # relevance, scope, metric, k
    ("item", "1 list", "recall", 1), ("item", "1 list", "recall", 10), ("item", "1 list", "map", "all"),
    ("item", "whole gallery", "recall", 10), ("category", "whole gallery", "map", "all"),
    ("category", "1 list", "accuracy", 1),
)  # fmt: skip
SHORT = ("float", "hamming", "asymmetric")  # the other searches are listed for the longest code of a method
TITLES = (
    "method", "bits", "bytes", "search", "recall@1, list", "recall@10, list", "mAP, list", "recall@10, all",
    "category mAP, all", "top-1",
)  # fmt: skip
VIEWS = (
    "The data have no items: an item is two augmented views of one image, so no claim about finding the same garment "
    "in other photographs is drawn from this table; compare `raw_pixels` and `colour_histogram` first."
)


def page(rows: Sequence[Row]) -> tuple[str, dict[str, bytes]]:
    """Markdown page of an `ItemCodes` comparison; no figures."""
    groups: dict[tuple[object, ...], dict[tuple[object, ...], Row]] = {}
    for row in rows:
        key = (row["method"], row["bits"], row["bytes"], row["search"])
        groups.setdefault(key, {})[row["relevance"], row["scope"], row["metric"], row["k"]] = row
    seeds = max(row["seeds"] for row in rows)
    parts = [
        f"{rows[0]['queries']:,} queries; means over {seeds} seeds of the hash stage on the features of one "
        "classifier, with 95 % intervals for new seeds and items. *list*: in the list of the predicted category; "
        "*all*: in the whole gallery. Item recall and item mAP, except where the column says category.",
    ]
    longest = {row["method"]: row["bits"] for row in sorted(rows, key=lambda row: row["bits"])}
    groups = {key: found for key, found in groups.items() if key[3] in SHORT or key[1] == longest[str(key[0])]}
    lines = [[str(part or "") for part in key] + [_cell(found.get(column)) for column in COLUMNS]
             for key, found in groups.items()]  # fmt: skip
    return "\n\n".join([*([VIEWS] if rows[0]["items"] == "views" else []), *parts, markdown_table(lines, TITLES)]), {}


def _cell(row: Row | None) -> str:
    """Value with its interval; empty without a value."""
    if row is None:
        return ""
    value = f"{row['value']:.3f}"
    return value if row["seeds"] == 1 else f"{value} [{row['low']:.3f}, {row['high']:.3f}]"
