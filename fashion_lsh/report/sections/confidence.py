"""Reliability diagram of the category head."""

from fashion_lsh.report import curves, figures
from fashion_lsh.report.blocks import Block, Figure
from fashion_lsh.report.run_data import RunData
from fashion_lsh.report.sections.confusion import UNKNOWN_CATEGORIES


def confidence(run_data: RunData) -> list[Block]:
    """Plot accuracy against confidence on the queries, with the expected calibration error."""
    if not run_data.has_known_categories:
        return [UNKNOWN_CATEGORIES]
    is_detected = run_data.column("predicted") != ""
    is_correct = run_data.column("category") == run_data.column("predicted")
    reliability = curves.reliability(run_data.column("confidence")[is_detected], is_correct[is_detected])
    caption = (
        f"Expected calibration error (ECE) on the queries: {reliability.error:.3f} ({curves.BINS} equal-width bins). "
        "The temperature was fitted on val, not on these queries."
    ) + (f" Excludes {(~is_detected).sum():,} queries without a detection." if not is_detected.all() else "")
    return [Figure("reliability.svg", figures.reliability(reliability), caption)]
