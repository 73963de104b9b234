"""Reliability diagram of the category head."""

from fashion_lsh.report import curves, figures
from fashion_lsh.report.blocks import Block, Figure
from fashion_lsh.report.run_data import Findings
from fashion_lsh.report.sections.confusion import UNNAMED


def confidence(found: Findings) -> list[Block]:
    """Plot accuracy against confidence on the queries, with the expected calibration error."""
    if not found.named:
        return [UNNAMED]
    seen = found.column("predicted") != ""
    right = found.column("category") == found.column("predicted")
    shown = curves.reliability(found.column("mass")[seen], right[seen])
    caption = (
        f"Expected calibration error (ECE) on the queries {shown.error:.3f}, {curves.BINS} bins of equal width. The "
        "temperature was fitted on val, not on these queries."
    ) + (f" Without {(~seen).sum():,} in which nothing was found." if not seen.all() else "")
    return [Figure("reliability.svg", figures.reliability(shown), caption)]
