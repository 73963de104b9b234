"""Read the report of a run as HTML and as Markdown."""

from html.parser import HTMLParser
from typing import Any

from fashion_lsh.report.page import write_report
from fashion_lsh.runs.run import Run

TITLES = ["Setup", "Scores", "Learning curves", "Confusion matrix", "Scores by category",
          "Precision and recall of the codes", "Hamming distances", "Calibration", "Best, typical and worst queries",
          "Queries found by one method only", "Settings and environment", "Model card"]  # fmt: skip
VOID_TAGS = {"meta", "img", "br", "hr"}


class Page(HTMLParser):
    """Tags and text nodes of an HTML page; construction fails if tags are not nested correctly."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open_tags: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        assert self.open_tags == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open_tags += [tag] if tag not in VOID_TAGS else []

    def handle_endtag(self, tag: str) -> None:
        assert self.open_tags.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and self.open_tags:
            self.texts.append((self.open_tags[-1], data.strip()))

    def texts_in(self, tag: str) -> list[str]:
        return [text for parent, text in self.texts if parent == tag]

    @property
    def text(self) -> str:
        return " ".join(text for tag, text in self.texts if tag != "style")


def read_page(run: Run) -> Page:
    """Write the report, and read its HTML page."""
    return Page(write_report(run).read_text())


def read_markdown(run: Run) -> str:
    """Read the Markdown of a written report."""
    return (run.path / "report" / "report.md").read_text()
