"""Page of `experiment=distances`."""

from collections.abc import Sequence

from fashion_lsh.report.page_file import Row
from fashion_lsh.report.phrases import markdown_table

TITLES = (
    "search",
    "val item mAP@100",
    "item mAP@100",
    "gain over hamming",
    "gain over euclidean",
    "precision@10",
    "recall@1",
    "recall@10",
    "neighbour recall",
    "search ms",
)


DISTANCES = """- hamming: Hamming distance between codes.
- euclidean: exact Euclidean distance between embeddings.
- asymmetric: distance between the activations of the query and codes; needs no embeddings.
- tie_break: Hamming distance between codes, ties ordered by Euclidean distance.
- rerank: candidates by Hamming distance (number, or fraction of the probed rows), re-ranked by Euclidean distance.
- weighted: weighted sum of relative Hamming (the given weight) and Euclidean distance."""


def page(rows: Sequence[Row]) -> tuple[str, dict[str, bytes]]:
    """Markdown page of a `DistanceComparison`; no figures."""
    num_queries, gallery_size = rows[0]["queries"], rows[0]["gallery"]
    parts = [
        f"{num_queries:,} queries, {gallery_size:,} garments in the gallery. Only garments of the query's item are "
        "relevant. *gain over hamming* and *gain over euclidean* are differences in item mAP@100 from these distances; "
        "intervals are over the queries of this fit and do not cover other seeds. *neighbour recall* is the fraction "
        "of the ten nearest neighbours by exact Euclidean distance that are among the candidates (`rerank`) or among "
        "the first ten hits (other distances).",
    ]
    for scope in dict.fromkeys(row["scope"] for row in rows):
        lines = [_line(row) for row in rows if row["scope"] == scope]
        parts.append(f"### Scope: {scope}\n\n{markdown_table(lines, TITLES)}")
    return "\n\n".join([*parts, DISTANCES]), {}


def _line(row: Row) -> list[str]:
    scores = (f"{row[f'item {name}']:.3f}" for name in ("precision@10", "recall@1", "recall@10"))
    intervals = (_interval(row, name) for name in ("item map@100", "gain over hamming", "gain over euclidean"))
    return [
        row["search"], f"{row['val item map@100']:.3f}", *intervals, *scores, f"{row['neighbour recall']:.3f}",
        f"{row['search_ms']:.3g}",
    ]  # fmt: skip


def _interval(row: Row, name: str) -> str:
    return f"{row[name]:.3f} [{row[f'{name} low']:.3f}, {row[f'{name} high']:.3f}]"
