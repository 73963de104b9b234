"""The page of `experiment=distances` (pure)."""

from collections.abc import Sequence

from fashion_lsh.report.page_file import Row
from fashion_lsh.report.phrases import describe_search, markdown_table

TITLES = (
    "search",
    "val item mAP@100",
    "item mAP@100",
    "over hamming",
    "over euclidean",
    "precision@10",
    "recall@1",
    "recall@10",
    "neighbours kept",
    "search ms",
)


def page(rows: Sequence[Row]) -> tuple[str, dict[str, bytes]]:
    """Markdown of what `DistanceComparison` measured; no figures."""
    parts = [
        f"{rows[0]['queries']:,} queries, {rows[0]['gallery']:,} garments in the gallery. Scores are of items (other "
        "shapes of the same category count as wrong); *neighbours kept* is the share of the ten nearest by exact "
        "Euclid that the shortlist holds, or that are among the first ten; no direction is claimed of a difference "
        "whose interval holds 0.",
    ]
    for scope in dict.fromkeys(row["scope"] for row in rows):
        lines = [_line(row) for row in rows if row["scope"] == scope]
        parts.append(f"### Scope: {scope}\n\n{markdown_table(lines, TITLES)}")
    legend = "\n".join(f"- {row['search']}: {describe_search(row['search'])}." for row in rows)
    return "\n\n".join([*parts, legend]), {}


def _line(row: Row) -> list[str]:
    scores = (f"{row[f'item {name}']:.3f}" for name in ("precision@10", "recall@1", "recall@10"))
    intervals = (_interval(row, name) for name in ("item map@100", "over hamming", "over euclidean"))
    return [
        row["search"], f"{row['val item map@100']:.3f}", *intervals, *scores, f"{row['neighbours kept']:.3f}",
        f"{row['search_ms']:.3g}",
    ]  # fmt: skip


def _interval(row: Row, name: str) -> str:
    return f"{row[name]:.3f} [{row[f'{name} low']:.3f}, {row[f'{name} high']:.3f}]"
