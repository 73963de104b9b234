"""Data sets in COCO format: images with garment boxes."""

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from fashion_lsh.data.catalogue import Catalogue, Filters
from fashion_lsh.data.datasets.coco_file import CROWD, CocoImage, Row, coco_rows, list_images, read_coco
from fashion_lsh.data.datasets.image_files import SPLIT_ALIASES, DetectionOnly, ImageFiles, normalise_spelling
from fashion_lsh.data.image_scan import ImageInfo, scan
from fashion_lsh.data.images import QUARTER_TURNS, orient_boxes, read_orientation
from fashion_lsh.data.schema import BOX_COLUMNS, box_columns

log = logging.getLogger(__name__)


class Coco(ImageFiles):
    """COCO data set: each box of `instances_*.json` is a garment.

    Annotation files are in `<root>` or `<root>/annotations`, or root is an annotation file. The file name determines
    the split: `instances_train2017.json` is train. If there are several files but no test file, val becomes query, and
    `split` takes a new val from train. Images are in `<root>/images`, in a folder named after the split (`train2017`)
    or in `<root>`. Crowd annotations and boxes smaller than one pixel are skipped; `detection_only` contains the crowds
    and the query images without garments.

    Boxes of images that EXIF turns by 90 degrees are turned with the image if `width` and `height` in the file are
    those of the stored image. Other EXIF orientations do not change the size, so that boxes in stored pixels cannot be
    recognised.

    Args:
        root: Folder or `instances_*.json` file.
    """

    def __init__(self, root: str) -> None:
        super().__init__(root)
        if self.folder.name == "annotations":
            self.folder = self.folder.parent
        self._images: dict[str, CocoImage] = {}  # by image key
        self._crowds = _to_catalogue([])

    def catalogue(self, filters: Filters = None) -> Catalogue:
        rows = super().catalogue(filters)
        crowd_images, with_garments = self._crowds.column("image"), set(rows.column("image"))
        images = {
            key: image.split
            for key, image in self._images.items()
            if not image.has_garments and image.split in ("query", "") and key not in with_garments
        }
        image_infos = scan(self.folder, [*dict.fromkeys(crowd_images), *images])
        if unreadable := [key for key in images if image_infos[key].problem]:
            log.warning("%s: %d images without garments are not readable; not scored", self.root, len(unreadable))
        is_readable = [not image_infos[key].problem for key in crowd_images]
        crowds = self.correct_boxes(self._crowds.take(np.flatnonzero(is_readable)), image_infos)
        images = {key: split for key, split in images.items() if not image_infos[key].problem}
        self.detection_only = DetectionOnly(crowds, images)
        if len(crowds) or images:
            content = json.dumps([self.checksum, crowds.checksum, sorted(images.items())])
            self.checksum = sha256(content.encode()).hexdigest()
        return rows

    def list_garments(self) -> tuple[Catalogue, dict[str, str]]:
        files = self._files()
        splits = _assign_splits(files)
        rows: list[Row] = []
        self._images = {}
        for file in files:
            content = read_coco(file)
            rows += self._rows(content, file, splits[file])
            self._images |= list_images(content, self._image_folder(file), splits[file])
        if not rows:
            raise ValueError(f"{self.root}: no boxes; use instances_*.json files with annotations")
        skipped = {row["id"]: row["problem"] for row in rows if row["problem"]}
        names = [row["category"] or "" for row in rows]
        rows = [{**row, "category": name} for row, name in zip(rows, normalise_spelling(names), strict=True)]
        self._crowds = _to_catalogue([row for row in rows if row["problem"] == CROWD and None not in row.values()])
        return _to_catalogue([row for row in rows if not row["problem"]]), skipped

    def correct_boxes(self, rows: Catalogue, image_infos: Mapping[str, ImageInfo]) -> Catalogue:
        """Turn the boxes of images whose stored size, without the EXIF orientation, is in the file."""
        images, boxes = rows.column("image"), rows.boxes
        turned = {
            key: orientation
            for key in dict.fromkeys(images)
            if self._images[key].size == (image_infos[key].height, image_infos[key].width)
            and image_infos[key].height != image_infos[key].width
            and (orientation := read_orientation(self.folder / key)) in QUARTER_TURNS
        }
        if not turned:
            return rows
        for row in np.flatnonzero([key in turned for key in images]):
            width, height = self._images[images[row]].size
            boxes[[row]] = orient_boxes(boxes[[row]], turned[images[row]], width, height)
        log.warning(
            "%s: the boxes of %d images, for example %s, were turned by the EXIF orientation, because width and height "
            "in the file are those of the stored images",
            self.root, len(turned), next(iter(turned)),
        )  # fmt: skip
        return rows.with_columns(**box_columns(boxes))

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

    def _rows(self, content: Mapping[str, Any], file: Path, split: str) -> Iterator[Row]:
        return coco_rows(content, file, split, self._image_folder(file))

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


def _to_catalogue(rows: Sequence[Row]) -> Catalogue:
    names = ("id", "image", "category", "supercategory", "split", *BOX_COLUMNS)
    return Catalogue.from_columns(
        {name: [row[name] for row in rows] for name in names} | {"source": ["coco"] * len(rows)}
    )
