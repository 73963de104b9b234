"""Findings of a review, and the CSV file that a user edits and hands back as `data.corrections`."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.corrections import COLUMNS
from fashion_lsh.io.files import atomic_write

LABEL, DUPLICATE, OUTLIER = "label", "near-duplicates with two labels", "outlier"


class Finding(NamedTuple):
    """Row that is worth a second look.

    Attributes:
        row: row number.
        suggested: suggested category; "": none.
        reason: LABEL, DUPLICATE or OUTLIER, or several of them separated by `; `.
        score: of LABEL the normalised margin, of DUPLICATE the ratio of near-duplicates with the row's category, of
            OUTLIER the distance to the nearest neighbours; of several reasons that of the first.
    """

    row: int
    suggested: str
    reason: str
    score: float


def merge_findings(findings: Iterable[Finding]) -> list[Finding]:
    """Merge the findings of each row, in the order of the first; suggestion and score are those of the first."""
    by_row: dict[int, Finding] = {}
    for finding in findings:
        first = by_row.setdefault(finding.row, finding)
        if first is not finding:
            reasons, suggested = f"{first.reason}; {finding.reason}", first.suggested or finding.suggested
            by_row[finding.row] = first._replace(reason=reasons, suggested=suggested)
    return list(by_row.values())


def write_findings(path: Path, catalogue: Catalogue, findings: Sequence[Finding]) -> None:
    """Write one line per finding with the columns COLUMNS; `action` and `new_category` are empty, to be filled in."""
    ids, images, categories = (catalogue.column(name) for name in ("id", "image", "category"))
    with atomic_write(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for number, (row, suggested, reason, score) in enumerate(findings, start=1):
            found = [number, ids[row], images[row], categories[row], suggested, reason, f"{score:.3f}"]
            writer.writerow([*found, "", ""])
