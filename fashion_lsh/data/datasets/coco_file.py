"""Read COCO instance files."""

import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fashion_lsh.data.schema import BOX_COLUMNS, parse_box

log = logging.getLogger(__name__)

Row = dict[str, Any]
CROWD = "crowd annotation"  # reason to skip a crowd


class CocoImage(NamedTuple):
    """Image of a COCO file.

    Attributes:
        size: `width` and `height` in the file, in pixels; (0, 0) if they are missing.
        split: split of the file, or "".
        has_garments: True if an annotation other than a crowd refers to the image.
    """

    size: tuple[int, int]
    split: str
    has_garments: bool


def list_images(content: Mapping[str, Any], folder: Path, split: str) -> dict[str, CocoImage]:
    """List the images of a COCO file that `coco_rows` accepts, by image key."""
    with_garments = {
        _reference(annotation, "image_id") for annotation in content["annotations"] if not annotation.get("iscrowd")
    }
    return {
        (folder / entry["file_name"]).as_posix(): CocoImage(_size(entry), split, entry["id"] in with_garments)
        for entry in content["images"]
        if entry.get("file_name")
    }


def _size(entry: Mapping[str, Any]) -> tuple[int, int]:
    width, height = entry.get("width"), entry.get("height")
    return (int(width), int(height)) if isinstance(width, int | float) and isinstance(height, int | float) else (0, 0)


def read_coco(file: Path) -> Mapping[str, Any]:
    """Read a COCO file.  Raises ValueError if the file is not JSON or lacks images, annotations or categories."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        missing = [name for name in ("images", "annotations", "categories") if name not in content]
    except (ValueError, TypeError) as error:
        raise ValueError(f"{file}: not a JSON object ({error}); unpack the file again") from error
    if missing:
        raise ValueError(f"{file}: key {missing[0]!r} is missing; use a COCO instances file")
    return dict(content)


def coco_rows(content: Mapping[str, Any], file: Path, split: str, folder: Path) -> Iterator[Row]:
    """Yield one row per box; `problem` is the reason to skip the box, or "".

    Raises:
        ValueError: The content is not in COCO format.
    """
    try:
        file_names = {entry["id"]: entry.get("file_name") for entry in content["images"]}
        image_paths = {image_id: (folder / name).as_posix() for image_id, name in file_names.items() if name}
        names = {category["id"]: str(category["name"]) for category in content["categories"]}
        supercategories = {
            category["id"]: str(category.get("supercategory") or "") for category in content["categories"]
        }
        annotations = [dict(annotation) for annotation in content["annotations"]]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file}: not in COCO format ({error!r}); check the lists images and categories") from error
    if len(image_paths) < len(file_names):
        log.warning("%s: number of images without a file_name: %d", file, len(file_names) - len(image_paths))
    id_counts: Counter[str] = Counter()
    for index, annotation in enumerate(annotations):
        annotation_id = str(annotation.get("id", f"at {index}"))
        id_counts[annotation_id] += 1  # ids may repeat: the first release of Fashionpedia has duplicate ids
        image_id, category_id = (_reference(annotation, name) for name in ("image_id", "category_id"))
        image, name, box = image_paths.get(image_id), names.get(category_id), _box(annotation)
        yield {
            "id": f"{file.stem}/{annotation_id}"
            + (f"#{id_counts[annotation_id]}" if id_counts[annotation_id] > 1 else ""),
            "image": image,
            "category": name,
            "supercategory": supercategories.get(category_id, ""),
            "split": split,
            **dict(zip(BOX_COLUMNS, box or (None,) * 4, strict=True)),
            "problem": _skip_reason(annotation, image, name, box),
        }


def _reference(annotation: Mapping[str, Any], name: str) -> Any:
    """Return the image id or category id of an annotation; None if the value cannot be an id."""
    value = annotation.get(name)
    return None if isinstance(value, list | dict) else value


def _box(annotation: Mapping[str, Any]) -> tuple[float, float, float, float] | None:
    """Convert `bbox` (x, y, width, height) to x1, y1, x2, y2; None if the box is invalid or has no area."""
    try:
        x, y, width, height = map(float, annotation["bbox"])
    except (KeyError, TypeError, ValueError):
        return None
    return parse_box((x, y, x + width, y + height))


def _skip_reason(
    annotation: Mapping[str, Any], image: str | None, name: str | None, box: Sequence[float] | None
) -> str:
    if annotation.get("iscrowd"):
        return CROWD
    if image is None or name is None:
        missing = "image_id" if image is None else "category_id"
        return f"{missing}={annotation.get(missing)!r} is not in the file"
    if box is None:
        return f"bbox={annotation.get('bbox')!r} is invalid or has no area"
    width, height = box[2] - box[0], box[3] - box[1]
    return "" if min(width, height) >= 1 else f"box of {width:g} x {height:g} pixels is smaller than one pixel"
