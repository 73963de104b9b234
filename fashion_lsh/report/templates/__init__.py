"""Jinja templates of the pages, and how they are filled."""

import base64
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

MIME_TYPES = {"svg": "image/svg+xml", "jpg": "image/jpeg", "png": "image/png"}


def render_template(template: str, **values: Any) -> str:
    """Fill one of the templates of this folder; values are escaped in HTML."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=template.endswith(".html.j2"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters |= {"md": markdown, "data_uri": lambda figure: data_uri(figure.name, figure.content)}
    return environment.get_template(template).render(values)


def markdown(text: str) -> str:
    """Text that reads as itself in Markdown, in tables too."""
    return re.sub(r"([\\`*_\[\]<>#|$~&])", r"\\\1", " ".join(text.split()))


def data_uri(name: str, content: bytes) -> str:
    """A picture's file as an address that holds it; its type by the ending of its name."""
    return f"data:{MIME_TYPES[name.rpartition('.')[2]]};base64,{base64.b64encode(content).decode()}"
