"""Hamming distances of relevant and other pairs, and statistics of the gallery's codes."""

from collections.abc import Mapping

from fashion_lsh.report import curves, figures
from fashion_lsh.report.blocks import Block, Figure, Table
from fashion_lsh.report.hamming_pairs import NO_CODES, PairCounts

BIT_METRICS = {  # measures of the gallery's codes: title, format, what it says
    "entropy": ("entropy", ".3f", "mean of the bits: 1 each halves the garments, 0 each is constant"),
    "balance": ("balance", ".3f", "mean of |share of ones - 1/2|: 0 each halves the garments, 0.5 each is constant"),
    "correlation": ("correlation", ".3f", "mean |Pearson| of two bits: 0 none repeats another"),
    "distinct": ("distinct codes", ",.0f", "different ones"),
    "distinct_ratio": ("distinct share", ".3f", "the same, of all garments"),
    "constant_bits": ("constant bits", ",.0f", "bits that are the same in all codes"),
    "quantisation_error": ("quantisation error", ".3f", "1 - cosine of activations and bits: 0 they are bits already"),
}


def distances(pairs: PairCounts | None, metrics: Mapping[str, float]) -> list[Block]:
    """Plot histograms of Hamming distances of relevant and other pairs; tabulate entropy and balance of the bits."""
    if pairs is None:
        return [NO_CODES]
    panels = []
    for name, relevant in pairs.relevant.items():
        same = relevant.sum(axis=0)
        panels.append({f"other {name}": pairs.total[name].sum(axis=0) - same, f"same {name}": same})
    histograms = [(name, counts) for panel in panels for name, counts in panel.items() if counts.any()]
    means = [f"{name} {curves.mean_distance(counts):.1f}" for name, counts in histograms]
    caption = f"Pairs of a query and a gallery garment by their distance. Mean distances in bits: {', '.join(means)}."
    figure = Figure("distances.svg", figures.hamming(panels), caption + pairs.note)
    rows = [[title, f"{metrics[f'codes/{name}']:{format_spec}}", description]
            for name, (title, format_spec, description) in BIT_METRICS.items()
            if f"codes/{name}" in metrics]  # fmt: skip
    return [figure, *([Table(["bits of the gallery's codes", "", ""], rows)] if rows else [])]
