"""What a report is made of, before it is a page or a Markdown file."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Text:
    """A paragraph; a `note` says what is missing, and why."""

    text: str
    note: bool = False
    kind: ClassVar = "text"


@dataclass(frozen=True)
class Listing:
    """Short points."""

    points: Sequence[str]
    kind: ClassVar = "listing"


@dataclass(frozen=True)
class Command:
    """What to type."""

    text: str
    kind: ClassVar = "command"


@dataclass(frozen=True)
class Table:
    """Rows of texts under columns.

    Attributes:
        summary: title to unfold it by; "": it is shown.
        highlight_first: the first row stands out.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    summary: str = ""
    highlight_first: bool = False
    kind: ClassVar = "table"


@dataclass(frozen=True)
class Figure:
    """A picture.

    Attributes:
        name: of its file; the ending tells its type.
        content: of its file.
        caption: what it shows, and what to see in it.
        min_width: pixels below which it is scrolled, not shrunk; 0: it always fits.
    """

    name: str
    content: bytes
    caption: str
    min_width: int = 0
    kind: ClassVar = "figure"


Block = Text | Listing | Command | Table | Figure


@dataclass(frozen=True)
class Section:
    """Blocks under a title; `key` is its anchor."""

    key: str
    title: str
    blocks: Sequence[Block]
