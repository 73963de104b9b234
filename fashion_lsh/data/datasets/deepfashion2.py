"""DeepFashion2: garments in consumers' street images, and the same garments in shop images."""

import json
import logging
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datasets.image_files import ExpectedFile, ImageFiles, PublishedCounts, report_unreadable
from fashion_lsh.data.schema import parse_box
from fashion_lsh.io.progress import chunks, track

log = logging.getLogger(__name__)

FOLDERS = ("train", "validation")  # the folder test has no annotations
VIEWS = {"user": "street", "shop": "shop"}
IMAGE_KEYS = ("source", "pair_id")  # all other keys of an annotation file are garments
CHUNK = 2000  # files between two updates of the progress bar


class Garment(NamedTuple):
    """Catalogue row of one garment; the box is xyxy in pixels."""

    id: str
    image: str
    x1: float
    y1: float
    x2: float
    y2: float
    category: str
    item: str
    group: str
    split: str
    view: str


class DeepFashion2(ImageFiles):
    """All garments of `train/annos/*.json` and `validation/annos/*.json`.

    Images in `train` form the split train; in `validation`, users' images are queries and shop images form the gallery.
    Garments with equal pair and style are one item. Garments of style 0 match no other garment and have no item. All
    images of a pair form one group. Unreadable files, and garments without a category, a style or a box with an area,
    are skipped.

    Args:
        root: Folder that contains train/ and validation/.
    """

    licence = "research use only (not confirmed)"
    expected = (
        ExpectedFile("train/annos/*.json", "annotations of training images"),
        ExpectedFile("train/image/*.jpg", "training images"),
        ExpectedFile("validation/annos/*.json", "annotations of query and gallery images"),
        ExpectedFile("validation/image/*.jpg", "query and gallery images"),
    )
    published = PublishedCounts({"train": 191_961, "query": 10_844, "gallery": 21_309}, "images")

    def list_garments(self) -> tuple[Catalogue, dict[str, str]]:
        read_errors: list[OSError] = []
        files = [
            (folder, path)
            for folder in FOLDERS
            for path in _annotation_files(self.root / folder / "annos", read_errors)
        ]
        skipped = report_unreadable(read_errors)
        if not files:
            raise FileNotFoundError(
                f"data.root={self.root}: no train/annos/*.json or validation/annos/*.json; "
                "set data.root to the folder of the unpacked train.zip and validation.zip"
            )
        for folder in sorted(set(FOLDERS) - {folder for folder, _ in files}):
            log.warning("Skipped %s: no annotations", self.root / folder)
        garments: list[Garment] = []
        with ThreadPoolExecutor() as pool:
            for chunk in track(chunks(files, CHUNK), "loading annotations", len(files), len):
                for rows, problems in pool.map(lambda file: _read_file(*file), chunk):
                    garments += rows
                    skipped |= problems
        if not garments:
            raise ValueError(
                f"{self.root}: no usable garment; the first problem is: {next(iter(skipped.values()), 'none')}"
            )
        columns = dict(zip(Garment._fields, map(list, zip(*garments, strict=True)), strict=True))
        return Catalogue.from_columns({**columns, "source": ["deepfashion2"] * len(garments)}), skipped


def _annotation_files(folder: Path, read_errors: list[OSError]) -> list[str]:
    """List the JSON files of a folder, sorted; [] if the folder is missing. Read errors are added to `read_errors`."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.path for entry in entries if entry.name.endswith(".json") and entry.name[0] != ".")
    except FileNotFoundError:
        return []
    except OSError as error:
        read_errors.append(error)
        return []


def _read_file(folder: str, path: str) -> tuple[list[Garment], dict[str, str]]:
    """Read the garments of one file, and reasons for skipped garments: id -> reason."""
    name = f"{folder}/{Path(path).stem}"
    try:
        content = json.loads(Path(path).read_bytes())
        if content["source"] not in VIEWS:
            return [], {name: f"{path}: source={content['source']!r} is not one of {', '.join(VIEWS)}"}
        pair, view = int(content["pair_id"]), VIEWS[content["source"]]
    except OSError as error:
        return [], {name: f"{path}: cannot be read ({error.strerror or error})"}
    except KeyError as error:
        return [], {name: f"{path}: key {error} is missing"}
    except (ValueError, TypeError) as error:
        return [], {name: f"{path}: not a JSON annotation of an image ({error}); unpack the file again"}
    garments, skipped = [], {}
    for key in sorted(set(content) - set(IMAGE_KEYS)):
        try:
            garments.append(_parse_garment(folder, name, key, content[key], pair, view))
        except ValueError as error:
            skipped[f"{name}/{key}"] = f"{path}: {key} {error}"
    return garments, skipped


def _parse_garment(folder: str, name: str, key: str, annotation: Any, pair: int, view: str) -> Garment:
    """Parse one garment.  Raises ValueError if the category, style or box is missing or invalid."""
    if not isinstance(annotation, Mapping):
        raise ValueError(f"is {annotation!r} instead of a garment")
    missing = [field for field in ("category_name", "style", "bounding_box") if field not in annotation]
    if missing:
        raise ValueError(f"lacks the key {missing[0]!r}")
    category, style = str(annotation["category_name"] or "").strip(), annotation["style"]
    if not category or not isinstance(style, int):
        raise ValueError(f"has an invalid category {annotation['category_name']!r} or style {style!r}")
    box = parse_box(annotation["bounding_box"])
    if box is None:
        raise ValueError(f"has bounding_box={annotation['bounding_box']!r}, which is invalid or has no area")
    return Garment(
        f"{name}/{key}",
        f"{folder}/image/{name.rpartition('/')[2]}.jpg",
        *box,
        category=category,
        item=f"{folder}/{pair}/{style}" if style > 0 else "",
        group=f"{folder}/{pair}",
        split="train" if folder == "train" else "query" if view == "street" else "gallery",
        view=view,
    )
