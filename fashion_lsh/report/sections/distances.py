"""Hamming distances of relevant and other pairs, and statistics of the gallery's codes."""

from fashion_lsh.metrics.results import ResultTable
from fashion_lsh.report import curves, figures
from fashion_lsh.report.blocks import Block, Figure, Table
from fashion_lsh.report.hamming_pairs import NO_CODES, PairCounts

BIT_METRICS = {  # metric of the gallery codes -> title, format, definition
    "entropy": ("entropy", ".3f", "mean over bits: 1 if each bit halves the gallery, 0 if all bits are constant"),
    "balance": ("balance", ".3f", "mean of |fraction of ones - 1/2|: 0 if all bits are balanced, 0.5 if constant"),
    "correlation": ("correlation", ".3f", "mean |Pearson correlation| of two bits: 0 if uncorrelated"),
    "distinct": ("distinct codes", ",.0f", "number of different codes"),
    "distinct_ratio": ("distinct ratio", ".3f", "distinct codes per gallery garment"),
    "constant_bits": ("constant bits", ",.0f", "bits with the same value in all codes"),
    "quantisation_error": ("quantisation error", ".3f", "1 - cosine similarity of activations and bits"),
}


def distances(pairs: PairCounts | None, results: ResultTable) -> list[Block]:
    """Plot histograms of Hamming distances of relevant and other pairs; tabulate entropy and balance of the bits."""
    if pairs is None:
        return [NO_CODES]
    panels = []
    for name, relevant in pairs.relevant.items():
        same_counts = relevant.sum(axis=0)
        panels.append({f"other {name}": pairs.total[name].sum(axis=0) - same_counts, f"same {name}": same_counts})
    histograms = [(name, counts) for panel in panels for name, counts in panel.items() if counts.any()]
    means = [f"{name} {curves.mean_distance(counts):.1f}" for name, counts in histograms]
    caption = f"Pairs of a query and a gallery garment by Hamming distance. Mean distances in bits: {', '.join(means)}."
    figure = Figure("distances.svg", figures.hamming(panels), caption + pairs.note)
    values = {name: results.value("code", name, split="gallery") for name in BIT_METRICS}
    rows = [[title, f"{values[name]:{format_spec}}", description]
            for name, (title, format_spec, description) in BIT_METRICS.items()
            if values[name] is not None]  # fmt: skip
    return [figure, *([Table(["gallery codes", "value", "definition"], rows)] if rows else [])]
