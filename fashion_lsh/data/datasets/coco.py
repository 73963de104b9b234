"""Data sets in COCO format: images with garment boxes."""

import json
import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datasets.image_files import SPLIT_ALIASES, ImageFiles, normalise_spelling
from fashion_lsh.data.schema import BOX_COLUMNS, parse_box

log = logging.getLogger(__name__)

Row = dict[str, Any]


class Coco(ImageFiles):
    """COCO data set: each box of `instances_*.json` is a garment.

    Annotation files are in `<root>` or `<root>/annotations`, or root is an annotation file. The file name determines
    the split: `instances_train2017.json` is train. If there are several files but no test file, val becomes query, and
    `split` takes a new val from train. Images are in `<root>/images`, in a folder named after the split (`train2017`)
    or in `<root>`. Crowd annotations and boxes smaller than one pixel are skipped.

    Args:
        root: Folder or `instances_*.json` file.
    """

    def __init__(self, root: str) -> None:
        super().__init__(root)
        if self.folder.name == "annotations":
            self.folder = self.folder.parent

    def list_garments(self) -> tuple[Catalogue, dict[str, str]]:
        files = self._files()
        splits = _assign_splits(files)
        rows = [row for file in files for row in self._rows(file, splits[file])]
        if not rows:
            raise ValueError(f"{self.root}: no boxes; use instances_*.json files with annotations")
        skipped = {row["id"]: row["problem"] for row in rows if row["problem"]}
        kept = [row for row in rows if not row["problem"]]
        columns = {
            name: [row[name] for row in kept] for name in ("id", "image", "split", "supercategory", *BOX_COLUMNS)
        }
        categories = normalise_spelling([row["category"] for row in kept])
        return Catalogue.from_columns({**columns, "category": categories, "source": ["coco"] * len(kept)}), skipped

    def _files(self) -> list[Path]:
        if self.root.is_file():
            return [self.root]
        paths = sorted([*self.root.glob("instances_*.json"), *self.root.glob("annotations/instances_*.json")])
        if not paths:
            raise FileNotFoundError(
                f"data.root={self.root}: no instances_*.json there or in its folder annotations; "
                "set data.root to such a folder or file"
            )
        return paths

    def _rows(self, file: Path, split: str) -> Iterator[Row]:
        return coco_rows(read_coco(file), file, split, self._image_folder(file))

    def _image_folder(self, file: Path) -> Path:
        """Return the image folder of an annotation file, relative to `self.folder`."""
        split_name = file.stem.rpartition("_")[2]
        for name in (f"images/{split_name}", "images", split_name, _split_word(file)):
            if (self.folder / name).is_dir():
                return Path(name)
        return Path()


def _split_word(file: Path) -> str:
    """Return the split word of a file name: `train` for `instances_attributes_train2020.json`."""
    return re.sub(r"\d+$", "", file.stem.rpartition("_")[2]).lower()


def _assign_splits(files: list[Path]) -> dict[Path, str]:
    """Return the split of each file: val becomes query if there is no query file; "" if a file name has no split."""
    file_splits = {file: SPLIT_ALIASES.get(_split_word(file), "") for file in files}
    if "" in file_splits.values() or len(files) == 1:
        return dict.fromkeys(files, "")
    return {
        file: "query" if split == "val" and "query" not in file_splits.values() else split
        for file, split in file_splits.items()
    }


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
        return "crowd annotation"
    if image is None or name is None:
        missing = "image_id" if image is None else "category_id"
        return f"{missing}={annotation.get(missing)!r} is not in the file"
    if box is None:
        return f"bbox={annotation.get('bbox')!r} is invalid or has no area"
    width, height = box[2] - box[0], box[3] - box[1]
    return "" if min(width, height) >= 1 else f"box of {width:g} x {height:g} pixels is smaller than one pixel"
