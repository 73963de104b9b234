"""Page of `experiment=distances`."""

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
    "neighbour recall",
    "search ms",
)


def page(rows: Sequence[Row]) -> tuple[str, dict[str, bytes]]:
    """Markdown page of the rows of `DistanceComparison`; no figures."""
    parts = [
        f"{rows[0]['queries']:,} queries, {rows[0]['gallery']:,} garments in the gallery. Relevance is the item (other "
        "garments of the same category are not relevant). *neighbour recall* is the fraction of the ten nearest "
        "neighbours by exact Euclidean distance among the candidates (`rerank`) or the first ten hits (otherwise). "
        "Differences whose interval contains 0 are not significant.",
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
        row["search"], f"{row['val item map@100']:.3f}", *intervals, *scores, f"{row['neighbour recall']:.3f}",
        f"{row['search_ms']:.3g}",
    ]  # fmt: skip


def _interval(row: Row, name: str) -> str:
    return f"{row[name]:.3f} [{row[f'{name} low']:.3f}, {row[f'{name} high']:.3f}]"
