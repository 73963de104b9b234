"""Building blocks of a report, rendered as HTML or Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Text:
    """A paragraph.

    Attributes:
        note: highlight the paragraph as a caveat or a missing result.
    """

    text: str
    note: bool = False
    kind: ClassVar = "text"


@dataclass(frozen=True)
class Listing:
    """A bullet list."""

    points: Sequence[str]
    kind: ClassVar = "listing"


@dataclass(frozen=True)
class Command:
    """A shell command."""

    text: str
    kind: ClassVar = "command"


@dataclass(frozen=True)
class Table:
    """A table of text cells.

    Attributes:
        summary: title of a collapsed table; "" if the table is not collapsed.
        highlight_first: show the first row in bold.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    summary: str = ""
    highlight_first: bool = False
    kind: ClassVar = "table"


@dataclass(frozen=True)
class Figure:
    """A figure with its caption.

    Attributes:
        name: file name; the extension is the image type.
        content: bytes of the file.
        caption: text below the figure, also its alternative text.
        min_width: width in pixels below which the figure scrolls instead of shrinking; 0 if the figure always shrinks.
    """

    name: str
    content: bytes
    caption: str
    min_width: int = 0
    kind: ClassVar = "figure"


@dataclass(frozen=True)
class Download:
    """A file beside the page; a small file is also part of the HTML page, see `download_address`.

    Attributes:
        name: file name; the extension is the type of the content.
        content: bytes of the file.
        caption: text that describes the content.
    """

    name: str
    content: bytes
    caption: str
    kind: ClassVar = "download"


Block = Text | Listing | Command | Table | Figure | Download


@dataclass(frozen=True)
class Section:
    """Titled list of blocks.

    Attributes:
        key: HTML anchor.
    """

    key: str
    title: str
    blocks: Sequence[Block]
