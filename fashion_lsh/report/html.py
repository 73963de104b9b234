"""Render the README.md of an experiment as one self-contained HTML file."""

import re
from pathlib import Path

from markdown_it import MarkdownIt

from fashion_lsh.io.files import atomic_write
from fashion_lsh.report.templates import IMAGE_TYPES, data_uri, render_template

HTML_COMMENT = re.compile(r"^<!--.*?-->\n?", re.MULTILINE)
TITLE_LINE = re.compile(r"^# (.+)$", re.MULTILINE)
LONG_CELL = re.compile(r"<td(?=[^>]*>[^<]{32,}<)")  # cells with text, which may wrap, unlike cells with numbers
INTERVAL = re.compile(r"(\[[-+]?[\d.]+, [-+]?[\d.]+\])(?=[^<]*(?:</strong>)?</td>)")  # bounds in a table cell
IMAGE_TAG = re.compile(r'(<img src=")([^":]+)(")')


def write_html(page: Path) -> Path:
    """Write `index.html` in the folder of a README.md, with the images of that folder embedded.

    Returns:
        Path of the HTML file.
    """
    text = HTML_COMMENT.sub("", page.read_text())
    title = TITLE_LINE.search(text)
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    body = body.replace("<table>", '<div class="scroll"><table>').replace("</table>", "</table></div>")
    body = INTERVAL.sub(r'<span class="interval">\1</span>', body)
    body = LONG_CELL.sub('<td class="sentence"', body)
    body = IMAGE_TAG.sub(lambda match: match[1] + _embed_image(page.parent / match[2], match[2]) + match[3], body)
    out = page.with_name("index.html")
    with atomic_write(out) as temporary:
        temporary.write_text(
            render_template("experiment.html.j2", title=title[1] if title else page.parent.name, body=body)
        )
    return out


def _embed_image(image: Path, source: str) -> str:
    """Encode a local image of a known type as a data URI; return any other address unchanged."""
    if image.suffix[1:] not in IMAGE_TYPES or not image.is_file():
        return source
    return data_uri(image.name, image.read_bytes())
