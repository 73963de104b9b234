"""DeepFashion2: garments in street pictures, and the same garments in shop pictures."""

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

FOLDERS = ("train", "validation")  # test has no annotations
VIEWS = {"user": "street", "shop": "shop"}
IMAGE_KEYS = ("source", "pair_id")  # every other key is a garment
CHUNK = 2000  # files between two steps of the progress


class Garment(NamedTuple):
    """A row of the catalogue; the box is xyxy in pixels."""

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
    """Every garment of `train/annos/*.json` and `validation/annos/*.json`.

    Train is of split train; of validation, the users' pictures ask and the shops' are searched. Two garments are the
    same item if they share pair and style; style 0 is nobody's match, so it has no item. All pictures of a pair are of
    one group. Left out are files that cannot be read, and garments without category, style or a box with an area.

    Args:
        root: the folder of train/ and validation/.
    """

    licence = "research alone (not confirmed)"
    expected = (
        ExpectedFile("train/annos/*.json", "the garments of each picture to train on"),
        ExpectedFile("train/image/*.jpg", "pictures to train on"),
        ExpectedFile("validation/annos/*.json", "the garments of each picture that asks or is searched"),
        ExpectedFile("validation/image/*.jpg", "pictures that ask or are searched"),
    )
    published = PublishedCounts({"train": 191_961, "query": 10_844, "gallery": 21_309}, "images")

    def list_garments(self) -> tuple[Catalogue, dict[str, str]]:
        read_errors: list[OSError] = []
        files = [
            (folder, path)
            for folder in FOLDERS
            for path in _annotation_files(self.root / folder / "annos", read_errors)
        ]
        left_out = report_unreadable(read_errors)
        if not files:
            raise FileNotFoundError(
                f"no train/annos/*.json or validation/annos/*.json in {self.root}: give data.root the folder where "
                "train.zip and validation.zip are unpacked"
            )
        for folder in sorted(set(FOLDERS) - {folder for folder, _ in files}):
            log.warning("%s holds no annotations: none of its pictures are read", self.root / folder)
        garments: list[Garment] = []
        with ThreadPoolExecutor() as pool:
            for chunk in track(chunks(files, CHUNK), "reading annotations", len(files), len):
                for rows, problems in pool.map(lambda file: _read_file(*file), chunk):
                    garments += rows
                    left_out |= problems
        if not garments:
            raise ValueError(
                f"{self.root} holds no garments; the first problem: {next(iter(left_out.values()), 'none')}"
            )
        columns = dict(zip(Garment._fields, map(list, zip(*garments, strict=True)), strict=True))
        return Catalogue.from_columns({**columns, "source": ["deepfashion2"] * len(garments)}), left_out


def _annotation_files(folder: Path, read_errors: list[OSError]) -> list[str]:
    """Paths of the JSON files of a folder, by name; none where there is no folder; `read_errors` gets one that
    cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.path for entry in entries if entry.name.endswith(".json") and entry.name[0] != ".")
    except FileNotFoundError:
        return []
    except OSError as error:
        read_errors.append(error)
        return []


def _read_file(folder: str, path: str) -> tuple[list[Garment], dict[str, str]]:
    """The garments of one file, and what is left out of it: id -> reason."""
    name = f"{folder}/{Path(path).stem}"
    try:
        content = json.loads(Path(path).read_bytes())
        if content["source"] not in VIEWS:
            return [], {name: f"{path}: its source is {content['source']!r}, which is none of {', '.join(VIEWS)}"}
        pair, view = int(content["pair_id"]), VIEWS[content["source"]]
    except OSError as error:
        return [], {name: f"{path} cannot be read ({error.strerror or error})"}
    except KeyError as error:
        return [], {name: f"{path} has no {error}"}
    except (ValueError, TypeError) as error:
        return [], {name: f"{path} is no JSON of a picture ({error}): unpack it anew"}
    garments, left_out = [], {}
    for key in sorted(set(content) - set(IMAGE_KEYS)):
        try:
            garments.append(_parse_garment(folder, name, key, content[key], pair, view))
        except ValueError as error:
            left_out[f"{name}/{key}"] = f"{path}: {key} {error}"
    return garments, left_out


def _parse_garment(folder: str, name: str, key: str, annotation: Any, pair: int, view: str) -> Garment:
    """ValueError: it has no category, style or box."""
    if not isinstance(annotation, Mapping):
        raise ValueError(f"is {annotation!r}, no garment")
    missing = [field for field in ("category_name", "style", "bounding_box") if field not in annotation]
    if missing:
        raise ValueError(f"has no {missing[0]!r}")
    category, style = str(annotation["category_name"] or "").strip(), annotation["style"]
    if not category or not isinstance(style, int):
        raise ValueError(f"has the category {annotation['category_name']!r} and the style {style!r}")
    box = parse_box(annotation["bounding_box"])
    if box is None:
        raise ValueError(f"has the box {annotation['bounding_box']!r}, which is no box with an area")
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
