"""Street photographs of Clothing Co-Parsing, with boxes in COCO format and specific tags."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fashion_lsh.data.datasets.coco import Coco
from fashion_lsh.data.datasets.coco_file import Row

SPECIFIC_TAGS = {"boots", "sandals", "cape", "bodysuit"}  # tags that are more specific than the category


class Scenes(Coco):
    """COCO data set with tags: a box with one of SPECIFIC_TAGS in `source_tags` has category `<category>/<tag>`.

    For example, a box of category shoes with the tag boots has category `shoes/boots`.

    Args:
        root: See Coco.
    """

    licence = "Apache-2.0"

    def _rows(self, content: Mapping[str, Any], file: Path, split: str) -> Iterator[Row]:
        rows = super()._rows(content, file, split)
        for row, annotation in zip(rows, content["annotations"], strict=True):
            tag = _specific_tag(annotation)
            yield {**row, "category": f"{row['category']}/{tag}"} if tag and row["category"] else row


def _specific_tag(annotation: Mapping[str, Any]) -> str:
    """Return the first tag of an annotation that is in SPECIFIC_TAGS, or ""."""
    tags = annotation.get("source_tags") or []
    if not isinstance(tags, list):
        raise ValueError(f"source_tags={tags!r}: not a list; use a list of names in each annotation")
    return next((tag for tag in tags if tag in SPECIFIC_TAGS), "")
