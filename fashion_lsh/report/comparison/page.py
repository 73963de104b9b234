"""Write the page that compares two runs query by query."""

from pathlib import Path

from fashion_lsh.report.comparison.pair import read_pair
from fashion_lsh.report.comparison.sections import comparison_sections
from fashion_lsh.report.page import run_title, write_pages
from fashion_lsh.runs.run import Run


def write_comparison(first: Run, second: Run) -> Path:
    """Write `<first>/report/compare-<second>/index.html`, `report.md`, and the files that they show or link.

    Returns:
        Path of the HTML page.

    Raises:
        FileNotFoundError: a run is not finished, or one of its files is missing.
        ValueError: a file is damaged, or the runs cannot be compared (see `read_pair`).
        OSError: the page cannot be written.
    """
    pair = read_pair(first, second)
    names = run_title(first), run_title(second)
    path = second.path.resolve()
    folder = first.path / "report" / f"compare-{path.parent.name}-{path.name}"
    lead = f"Differences are B - A, over {len(pair.groups):,} queries of both runs."
    return write_pages(folder, f"A: {names[0]}, B: {names[1]}", lead, comparison_sections(pair, names))
