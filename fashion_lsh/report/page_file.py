"""Page of an experiment: hand-written text, with generated results between two markers."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fashion_lsh.io.files import atomic_write
from fashion_lsh.report.page_settings import PageSettings, read_page_settings

BEGIN, END = "<!-- generated results: do not edit -->", "<!-- end of results -->"

# Matches the line that marks results as outdated.
OUTDATED = re.compile(r"^\*Outdated: measured with version \S+\.\*\n\n?", re.MULTILINE)

Row = dict[str, Any]


def write_page(folder: Path, rows: Sequence[Row], text: str, figures: Mapping[str, bytes] | None = None) -> None:
    """Write `results.csv`, the figures, and Markdown between the markers of `README.md`.

    The commands of page.yaml are written above the Markdown. A missing `README.md` is created. The line that
    marks results as outdated is removed (see OUTDATED).

    Args:
        folder: folder of the experiment or the run.
        rows: result rows; `results.csv` has the columns of all rows.
        text: Markdown between the markers.
        figures: content by file name.

    Raises:
        ValueError: README.md lacks the markers.
    """
    page = folder / "README.md"
    readme = page.read_text() if page.exists() else f"# {folder.resolve().name}\n\n{BEGIN}\n{END}\n"
    if readme.count(BEGIN) != 1 or readme.count(END) != 1 or readme.find(END) < readme.find(BEGIN):
        raise ValueError(f"{page}: needs the lines {BEGIN!r} and {END!r} once each, in this order; add or move them")
    for name, content in (figures or {}).items():
        with atomic_write(folder / name) as temporary:
            temporary.write_bytes(content)
    with atomic_write(folder / "results.csv") as temporary:
        temporary.write_text(to_csv(rows))
    before, _, rest = OUTDATED.sub("", readme).partition(BEGIN)
    generated = "\n\n".join([BEGIN, *_commands(read_page_settings(folder)), text, END])
    with atomic_write(page) as temporary:
        temporary.write_text(f"{before}{generated}{rest.partition(END)[2]}")


def _commands(settings: PageSettings) -> list[str]:
    """Markdown that lists the commands of an experiment; empty without commands."""
    if not settings.commands:
        return []
    duration = f"about {settings.minutes:g} minutes{' a job' if settings.jobs else ''} on two cores"
    return [f"Commands ({duration}):", "\n".join(["```", *settings.commands, "```"])]


def to_csv(rows: Sequence[Row]) -> str:
    """Format rows as CSV with the columns of all rows."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()
