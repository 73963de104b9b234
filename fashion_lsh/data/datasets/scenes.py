"""Clothing Co-Parsing's street photographs as boxes in COCO's layout, told apart by their finer tags."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fashion_lsh.data.datasets.coco import Coco, Row, coco_rows, read_coco

FINER_TAGS = {"boots", "sandals", "cape", "bodysuit"}  # tags of garments that their category's name does not fit


class Scenes(Coco):
    """Every box; one with a tag of FINER_TAGS in its `source_tags` is called `<category>/<tag>`, as `shoes/boots`.

    Args:
        root: see Coco.
    """

    licence = "Apache-2.0"

    def _rows(self, file: Path, split: str) -> Iterator[Row]:
        content = read_coco(file)
        rows = coco_rows(content, file, split, self._image_folder(file))
        for row, annotation in zip(rows, content["annotations"], strict=True):
            tag = _finer_tag(annotation)
            yield {**row, "category": f"{row['category']}/{tag}"} if tag and row["category"] else row


def _finer_tag(annotation: Mapping[str, Any]) -> str:
    """The tag by which a box is told apart from others of its category, or ""."""
    tags = annotation.get("source_tags") or []
    if not isinstance(tags, list):
        raise ValueError(f"source_tags of an annotation is {tags!r}: give a list of names")
    return next((tag for tag in tags if tag in FINER_TAGS), "")
