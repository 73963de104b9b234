"""Street photographs of Clothing Co-Parsing with boxes in COCO format and finer tags."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fashion_lsh.data.datasets.coco import Coco, Row, coco_rows, read_coco

FINER_TAGS = {"boots", "sandals", "cape", "bodysuit"}  # tags more specific than the category


class Scenes(Coco):
    """COCO data set in which a box with one of FINER_TAGS in `source_tags` has category `<category>/<tag>`.

    For example `shoes/boots`.

    Args:
        root: See Coco.
    """

    licence = "Apache-2.0"

    def _rows(self, file: Path, split: str) -> Iterator[Row]:
        content = read_coco(file)
        rows = coco_rows(content, file, split, self._image_folder(file))
        for row, annotation in zip(rows, content["annotations"], strict=True):
            tag = _finer_tag(annotation)
            yield {**row, "category": f"{row['category']}/{tag}"} if tag and row["category"] else row


def _finer_tag(annotation: Mapping[str, Any]) -> str:
    """Return the first of FINER_TAGS among the tags of an annotation, or ""."""
    tags = annotation.get("source_tags") or []
    if not isinstance(tags, list):
        raise ValueError(f"source_tags={tags!r} of an annotation; use a list of names")
    return next((tag for tag in tags if tag in FINER_TAGS), "")
