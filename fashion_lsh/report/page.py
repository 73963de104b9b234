"""Report of a finished run, as one self-contained HTML page and as Markdown."""

import logging
from collections.abc import Sequence
from pathlib import Path

from fashion_lsh.io.files import atomic_write
from fashion_lsh.metrics.results import SEARCH
from fashion_lsh.report.blocks import Download, Figure, Section
from fashion_lsh.report.phrases import backbone_name, one_line
from fashion_lsh.report.run_data import read_run_data
from fashion_lsh.report.sections import sections
from fashion_lsh.report.templates import PAGES, render_template
from fashion_lsh.runs.job_file import save_job
from fashion_lsh.runs.result_file import RESULTS_FILE
from fashion_lsh.runs.run import Run

log = logging.getLogger(__name__)


def write_report(run: Run) -> Path:
    """Write `<run>/report/index.html`, `report.md` and the figures and tables that they show or link.

    Returns:
        Path of the HTML page.

    Raises:
        FileNotFoundError: the run is not finished, or one of its files is missing.
        ValueError: a file of the run is damaged.
        OSError: the report cannot be written.
    """
    run_data = read_run_data(run)
    content = sections(run_data)
    score = run_data.results.value(SEARCH, "map", 100, relevance="category")
    backbone, source = backbone_name(run_data.config["backbone"]), run_data.config["data"]["source"]
    lead = f"{backbone} on {source}: category mAP@100 {score:.3f}"
    return write_pages(run.path / "report", f"Run {run_title(run)}", lead, content)


def write_pages(folder: Path, title: str, lead: str, content: Sequence[Section]) -> Path:
    """Write `index.html`, `report.md` and the files of their blocks to a folder; user text is escaped.

    Returns:
        Path of the HTML page.
    """
    for block in (block for section in content for block in section.blocks if isinstance(block, Figure | Download)):
        _write(folder / block.name, block.content)
    for template, name in PAGES.items():
        _write(folder / name, render_template(template, title=title, lead=lead, sections=content).encode())
    log.info("Report written to %s", folder / "index.html")
    return folder / "index.html"


def run_title(run: Run) -> str:
    """Name of a run folder with its parent folder, on one line."""
    path = run.path.resolve()
    return f"{one_line(path.parent.name)}/{one_line(path.name)}"


def ensure_report(run: Run) -> None:
    """Write the report of a finished run if it is missing or older than its results, and save its job.

    With own sections, the report is also written if it is older than the config, which may name another section.
    """
    page = run.path / "report" / "index.html"
    sources = [RESULTS_FILE, *(["config.yaml"] if run.config.get("sections") else [])]
    newest = max((run.path / name).stat().st_mtime_ns for name in sources) if run.metrics else 0
    save_job(run)  # before the report, so that a report that fails does not lose the job
    if run.metrics and not (page.exists() and page.stat().st_mtime_ns >= newest):
        write_report(run)


def _write(path: Path, content: bytes) -> None:
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)
