"""Read a run's report as HTML and as Markdown."""

from html.parser import HTMLParser
from typing import Any

from fashion_lsh.report.page import write_report
from fashion_lsh.runs.run import Run

TITLES = ["Setup", "Scores", "Learning curves", "Confusion matrix", "Precision and recall of the codes",
          "Hamming distances", "Calibration", "Best, typical and worst queries", "Settings and environment",
          "Model card"]  # fmt: skip
WITHOUT_END = {"meta", "img", "br", "hr"}


class Page(HTMLParser):
    """Tags and texts of an HTML page; checks that tags are nested correctly."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open += [tag] if tag not in WITHOUT_END else []

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and self.open:
            self.texts.append((self.open[-1], data.strip()))

    def of(self, tag: str) -> list[str]:
        return [text for inside, text in self.texts if inside == tag]

    @property
    def text(self) -> str:
        return " ".join(text for tag, text in self.texts if tag != "style")


def page_of(run: Run) -> Page:
    return Page(write_report(run).read_text())


def markdown_of(run: Run) -> str:
    return (run.path / "report" / "report.md").read_text()
