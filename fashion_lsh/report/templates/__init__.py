"""Render the Jinja templates of the reports."""

import base64
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

PAGES = {"page.md.j2": "report.md", "page.html.j2": "index.html"}  # templates of the report of a run, and its files
IMAGE_TYPES = {"svg": "image/svg+xml", "jpg": "image/jpeg", "png": "image/png"}
MAX_EMBEDDED = 1 << 20  # maximum size in bytes of a download that is part of the HTML page
MIME_TYPES = {**IMAGE_TYPES, "csv": "text/csv"}


def render_template(template: str, **values: Any) -> str:
    """Render a template of this folder; values are escaped in HTML."""
    environment = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=template.endswith(".html.j2"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters |= {"md": markdown, "data_uri": lambda block: data_uri(block.name, block.content)}
    environment.filters["address"] = lambda block: download_address(block.name, block.content)
    return environment.get_template(template).render(values)


def markdown(text: str) -> str:
    """Escape text for Markdown, including table cells."""
    return re.sub(r"([\\`*_\[\]<>#|$~&])", r"\\\1", " ".join(text.split()))


def download_address(name: str, content: bytes) -> str:
    """Address of a download: a data URI or, for more than MAX_EMBEDDED bytes, the file beside the page."""
    return data_uri(name, content) if len(content) <= MAX_EMBEDDED else quote(name)


def data_uri(name: str, content: bytes) -> str:
    """Encode a file as a data URI; the type is the extension of `name`."""
    return f"data:{MIME_TYPES[name.rpartition('.')[2]]};base64,{base64.b64encode(content).decode()}"
